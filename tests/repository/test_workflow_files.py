"""The shipped workflow files are complete: inputs, versions, model links, layout and pictures."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import complete_workflows
import make_thumbnails
import numpy as np
import pytest
from PIL import Image

from acestep_xl.runner.model_bundles import BUNDLES
from acestep_xl.runner.shipped import FOLDER, SHIPPED

NAMES = {path: name for name, path in SHIPPED.items()}
TITLE = 30


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_a_workflow_is_as_comfyui_would_save_it_today(path: Path) -> None:
    assert complete_workflows.complete(read(path)) == read(path), "run python docs/generate/complete_workflows.py"


def test_an_old_file_is_completed_and_keeps_the_user_s_values() -> None:
    old = read(SHIPPED["text_to_music"])
    save = next(node for node in old["nodes"] if node["type"] == "AceStepXLSave")
    save["inputs"], save["widgets_values"] = save["inputs"][:4], ["mine", "wav", "32"]
    save["size"] = [340, 100]
    completed = complete_workflows.complete(old)
    new = next(node for node in completed["nodes"] if node["type"] == "AceStepXLSave")
    assert new["widgets_values"][:3] == ["mine", "wav", "32"]
    assert len(new["widgets_values"]) == sum("widget" in entry for entry in new["inputs"]) > 3
    assert new["size"][1] > 200


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_every_model_file_is_listed_with_its_link(path: Path) -> None:
    workflow = read(path)
    needed = {source for source in BUNDLES["xl-sft"] if source.path.endswith(".safetensors")}
    assert {(m["directory"], m["name"]) for m in workflow["models"]} == {tuple(s.target.split("/")) for s in needed}
    for model in workflow["models"]:
        assert model["url"].startswith("https://huggingface.co/") and model["url"].endswith("/" + model["name"])
    for node in workflow["nodes"]:
        if node["type"] == "AceStepXLLoader":
            assert node["properties"]["models"] == workflow["models"]


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_nodes_do_not_overlap(path: Path) -> None:
    boxes = [(node["type"], *node["pos"], *node["size"]) for node in read(path)["nodes"]]
    for i, (first, x, y, width, height) in enumerate(boxes):
        for second, x2, y2, width2, height2 in boxes[i + 1 :]:
            separate = x + width <= x2 or x2 + width2 <= x or y + height <= y2 - TITLE or y2 + height2 <= y - TITLE
            assert separate, (first, second)


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_every_node_is_in_a_titled_group(path: Path) -> None:
    workflow = read(path)
    boxes = [group["bounding"] for group in workflow["groups"]]
    assert len(boxes) >= 3 and all(group["title"] for group in workflow["groups"])
    for node in workflow["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        inside = [b for b in boxes if b[0] <= x and b[1] <= y - TITLE and x + width <= b[0] + b[2]]
        assert any(y + height <= b[1] + b[3] for b in inside), node["type"]


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_a_workflow_opens_at_a_readable_size(path: Path) -> None:
    """ComfyUI fits a template's nodes into three quarters of its canvas, here that of a full-HD screen."""
    boxes = [(*node["pos"], *node["size"]) for node in read(path)["nodes"]]
    width = max(x + w for x, _, w, _ in boxes) - min(x for x, *_ in boxes)
    height = max(y + h for _, y, _, h in boxes) - min(y for _, y, *_ in boxes) + TITLE
    scale = 0.75 * min(1920 / width, 980 / height)
    assert scale >= (0.5 if path == SHIPPED["chain"] else 0.6)


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_a_second_run_makes_another_song(path: Path) -> None:
    values = [value for node in read(path)["nodes"] for value in node["widgets_values"]]
    assert "randomize" in values


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_a_note_can_be_read_in_both_renderers(path: Path) -> None:
    """The Vue renderer shows inline code in a colour that the note's ground swallows."""
    (note,) = (node for node in read(path)["nodes"] if node["type"] == "MarkdownNote")
    (text,) = note["widgets_values"]
    assert text.startswith("## ") and "`" not in text
    assert note["properties"]["acestep_xl_note"] == NAMES[path]


def test_the_app_is_text_to_music_in_app_mode() -> None:
    graph, app = read(SHIPPED["text_to_music"]), read(SHIPPED["text_to_music_app"])
    assert app["extra"].pop("linearMode") is True
    differing = [key for key in graph if graph[key] != app[key]]
    assert differing == ["id", "nodes"]
    kinds = [one["type"] for one, other in zip(graph["nodes"], app["nodes"], strict=True) if one != other]
    assert kinds == ["MarkdownNote"]


@pytest.mark.parametrize("name", ["text_to_music", "text_to_music_app"])
def test_an_app_shows_inputs_and_outputs_that_exist(name: str) -> None:
    workflow = read(SHIPPED[name])
    nodes = {node["id"]: node for node in workflow["nodes"]}
    data = workflow["extra"]["linearData"]
    for number, name in data["inputs"]:
        assert name in {entry["name"] for entry in nodes[number]["inputs"]}
    assert [nodes[number]["type"] for number in data["outputs"]] == ["AceStepXLSave"]


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_a_workflow_has_a_small_current_picture(path: Path) -> None:
    file = path.with_suffix(".jpg")
    assert file.stat().st_size < 60_000
    with Image.open(file) as image:
        shipped = np.asarray(image.convert("RGB"), dtype=int)
    drawn = make_thumbnails.picture(read(path), make_thumbnails.STRIPS[NAMES[path]])
    buffer = io.BytesIO()
    drawn.save(buffer, "JPEG", quality=88)
    # Other library versions round differently; a different graph differs far more.
    assert abs(shipped - np.asarray(Image.open(buffer), dtype=int)).mean() < 1, (
        "run python docs/generate/make_thumbnails.py"
    )


def test_every_workflow_has_a_name_and_every_picture_a_workflow() -> None:
    for suffix in (".json", ".jpg"):
        assert set(FOLDER.glob(f"*{suffix}")) == {path.with_suffix(suffix) for path in SHIPPED.values()}


def test_file_names_are_titles_in_the_order_of_the_table() -> None:
    """ComfyUI's template browser shows file names as titles, and sorts by them."""
    titles = [path.stem for path in SHIPPED.values()]
    assert titles == sorted(titles) and titles[0].endswith("Text to music")
    for number, title in enumerate(titles, 1):
        assert title.startswith(f"{number:02d} ") and title[3].isupper() and "_" not in title
        assert not set(title) & set('<>:"/\\|?*%#'), "characters that a file system or a URL cannot hold"


def test_the_template_browser_has_a_place_for_every_workflow() -> None:
    """It shows cards in the order of the file system; the style sheet gives each its number."""
    style = (Path(__file__).parents[2] / "web/acestep_xl.css").read_text("utf-8")
    places = re.findall(r'\[data-testid="template-workflow-(.+)"\] \{\s+order: (\d+);', style)
    assert [name for name, _ in places] == [path.stem for path in SHIPPED.values()]
    assert [int(place) for _, place in places] == list(range(1, len(SHIPPED) + 1))
