"""The nodes' help pages: one per node, current in every language, with a picture, shown by ComfyUI."""

from __future__ import annotations

import re
import urllib.request
import xml.etree.ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import draw_workflow
import make_help
import pytest
from browser import chromium, wait
from comfy_server import ROOT, ComfyServer, needs_comfyui

from acestep_xl import host
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

PAGES = ROOT / "web" / "docs"
SVG = "{http://www.w3.org/2000/svg}"
LANGUAGES = ("en", "es", "ja", "zh")


def test_pages_and_pictures_are_current_and_none_is_left_over() -> None:
    files = make_help.files()
    for path, text in files.items():
        assert path.exists() and path.read_text("utf-8") == text, f"run python docs/generate/make_help.py: {path}"
    assert {path for path in PAGES.rglob("*") if path.is_file()} == set(files)


def test_every_node_has_a_handwritten_text() -> None:
    texts = {path.stem: path.read_text("utf-8") for path in (ROOT / "docs" / "help").glob("*.md")}
    assert set(texts) == set(NODE_CLASS_MAPPINGS)
    for name, text in texts.items():
        assert len(text.split()) > 20, f"{name} is too short"
        assert "TODO" not in text


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_a_page_names_every_input_and_output(name: str, tmp_path: Path) -> None:
    node: Any = NODE_CLASS_MAPPINGS[name]
    with host.use(HeadlessHost([], tmp_path)):
        declared = node.INPUT_TYPES()
    inputs = [*declared.get("required", {}), *declared.get("optional", {})]
    for path in [PAGES / f"{name}.md", *(PAGES / name / f"{language}.md" for language in LANGUAGES[1:])]:
        text = path.read_text("utf-8")
        for key in (*inputs, *getattr(node, "RETURN_NAMES", ())):
            assert f"**{key}**" in text or f"** `{key}`" in text, (path, key)
        (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
        assert (PAGES / picture).exists()


def test_every_output_has_a_tooltip() -> None:
    for name, node_class in NODE_CLASS_MAPPINGS.items():
        node: Any = node_class
        assert len(getattr(node, "OUTPUT_TOOLTIPS", ())) == len(node.RETURN_TYPES), name


def test_every_node_has_search_aliases_a_category_and_a_title() -> None:
    for name, node_class in NODE_CLASS_MAPPINGS.items():
        node: Any = node_class
        assert len(node.SEARCH_ALIASES) >= 2 and all(alias == alias.lower() for alias in node.SEARCH_ALIASES), name
        assert re.fullmatch(r"audio/ACE-Step XL(/\w+)?", node.CATEGORY), name
        title = NODE_DISPLAY_NAME_MAPPINGS[name]
        assert title[0].isupper() and "ACE-Step" in title, name


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_a_picture_is_a_self_contained_svg_of_the_node(name: str, tmp_path: Path) -> None:
    text = (PAGES / "images" / f"{name}.svg").read_text("utf-8")
    root = xml.etree.ElementTree.fromstring(text)
    words = {element.text for element in root.iter(f"{SVG}text")}
    with host.use(HeadlessHost([], tmp_path)):
        node: Any = NODE_CLASS_MAPPINGS[name]
        declared = node.INPUT_TYPES()
    multiline = draw_workflow.MULTILINE
    shown = [*declared.get("required", {}), *declared.get("optional", {}), *getattr(node, "RETURN_NAMES", ())]
    assert {key for key in shown if key not in multiline} <= words
    assert "href" not in text and "<script" not in text
    assert len(text) < 30_000


# In ComfyUI.


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with ComfyServer(tmp_path_factory.mktemp("comfyui")) as server:
        yield server


@needs_comfyui
@pytest.mark.slow
def test_comfyui_shows_the_page_and_its_picture(comfy: ComfyServer, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as driver:
        for language, title in (("en", "Guidance (ACE-Step)"), ("zh", "引导 (ACE-Step)")):
            comfy.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.Locale": language})
            driver.get(comfy.url)
            wait(driver, "Boolean(window.app?.extensionManager && app.canvas && app.isGraphReady !== false)", 60)
            driver.execute_script(
                "const node = LiteGraph.createNode('AceStepXLGuider'); app.graph.add(node);"
                "app.canvas.selectNode(node); app.canvas.setDirty(true, true)"
            )
            wait(driver, "document.querySelector('[data-testid=info-button]')")
            driver.execute_script("document.querySelector('[data-testid=info-button]').click()")
            wait(driver, "document.querySelector('.node-help-content h1')")
            assert driver.execute_script("return document.querySelector('.node-help-content h1').textContent") == title
            wait(driver, "document.querySelector('.node-help-content img')?.naturalWidth > 300")


@needs_comfyui
@pytest.mark.slow
def test_comfyui_serves_pages_pictures_locales_and_thumbnails(comfy: ComfyServer) -> None:
    base = f"{comfy.url}/extensions/acestep-xl/docs"
    for name in NODE_CLASS_MAPPINGS:
        for path in (f"{name}.md", f"{name}/ja.md", f"images/{name}.svg"):
            with urllib.request.urlopen(f"{base}/{path}", timeout=30) as response:
                # ComfyUI treats HTML as a missing page, and requires this type for pictures.
                assert (response.headers["Content-Type"] == "image/svg+xml") == path.endswith("svg"), path
                assert "html" not in response.headers["Content-Type"]
    words = comfy.get("/i18n")
    assert set(words) == set(LANGUAGES)
    assert set(words["ja"]["nodeDefs"]) == set(NODE_CLASS_MAPPINGS)
    shown = comfy.get("/workflow_templates")["acestep-xl"]
    for name in shown:
        with urllib.request.urlopen(
            f"{comfy.url}/api/workflow_templates/acestep-xl/{name}.jpg", timeout=30
        ) as response:
            assert response.headers["Content-Type"] == "image/jpeg"
