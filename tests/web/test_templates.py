"""Shipped workflows in a real ComfyUI: the language of their notes, the colours of their sockets, their panel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from browser import wait
from comfy_server import ROOT, ComfyServer, needs_comfyui
from comfyui_page import FIND, close_dialog, open_templates, open_workflow, reload, script

from acestep_xl.runner.shipped import SHIPPED

pytestmark = [needs_comfyui, pytest.mark.slow]

NOTE = "return app.graph._nodes.find((node) => node.type === 'MarkdownNote').widgets[0].value"
TITLES = "return app.graph._groups.map((group) => group.title)"


@pytest.fixture
def spanish(ui: Any, comfy: ComfyServer) -> Any:
    comfy.post("/settings", {"Comfy.Locale": "es"})
    reload(ui, comfy)
    yield ui
    comfy.post("/settings", {"Comfy.Locale": "en"})
    reload(ui, comfy)


def test_notes_and_groups_are_in_the_language_of_the_interface(spanish: Any) -> None:
    texts = json.loads((ROOT / "locales" / "es" / "main.json").read_text("utf-8"))["acestep_xl_workflows"]
    for name in SHIPPED:
        open_workflow(spanish, name)
        assert script(spanish, NOTE) == texts["notes"][name]
        assert {"Canción", "Resultado"} & set(script(spanish, TITLES)), name
    saved = script(spanish, "return app.graph.serialize()")
    note = next(node for node in saved["nodes"] if node["type"] == "MarkdownNote")
    note["widgets_values"] = ["## My own note"]
    saved["groups"][0]["title"] = "My own group"
    open_workflow(spanish, saved)
    assert script(spanish, NOTE) == "## My own note" and script(spanish, TITLES)[0] == "My own group"


@pytest.mark.parametrize("palette", ["dark", "light"])
def test_every_socket_type_has_a_colour_of_its_own(ui: Any, palette: str) -> None:
    change = "app.extensionManager.setting.set('Comfy.ColorPalette', arguments[0]).then(arguments[1])"
    ui.execute_async_script(change, palette)
    open_workflow(ui, "text_to_music")
    types = ["MODEL", "CLIP", "VAE", "ACESTEP_ENCODED_AUDIO"]
    colours = "arguments[0].map((type) => app.canvas.default_connection_color_byType[type])"
    wait(ui, f"((types) => types.every((type) => app.canvas.default_connection_color_byType[type]))({types})")
    assert len(set(script(ui, f"return {colours}", types))) == len(types)
    links = "return arguments[0].map((type) => LGraphCanvas.link_type_colors[type])"
    assert len(set(script(ui, links, types))) == len(types)
    variables = "const style = getComputedStyle(document.documentElement); return arguments[0].map((type) => "
    assert len(set(script(ui, variables + "style.getPropertyValue(`--color-datatype-${type}`))", types))) == len(types)
    ui.execute_async_script(change, "dark")


def test_our_elements_are_no_inputs_of_the_properties_panel(ui: Any) -> None:
    """Older frontends list every widget that the Vue renderer shows, so there it has a label that people read."""
    open_workflow(ui, "text_to_music")
    script(ui, f"app.canvas.selectNode({FIND})", "AceStepXLSave")
    panel = "document.querySelectorAll('.widget-item')"
    toggle = "document.querySelector('button[aria-label=\"Toggle properties panel\"]')"
    if not script(ui, f"return {panel}.length"):
        wait(ui, f"{toggle}?.click() ?? true")
    wait(ui, f"[...{panel}].some((item) => item.textContent.includes('sidecar'))")
    listed = script(ui, f"return [...{panel}].map((item) => item.textContent.trim())")
    assert not [text for text in listed if "audioUI" in text]
    if ui.renderer == "canvas" or ui.frontend == "other":
        assert "Player" not in " ".join(listed)
    widget = f"{FIND}.widgets.find(({{ name }}) => name === 'audioUI')"
    assert script(ui, f"return {widget}.options.hideInPanel", "AceStepXLSave") is True
    wait(ui, "document.querySelector('.acestep-player')?.offsetParent")
    script(ui, f"{toggle}.click()")


def test_templates_are_listed_in_the_order_of_their_numbers(ui: Any) -> None:
    open_templates(ui)
    cards = "[...document.querySelectorAll('[data-testid^=template-workflow-]')]"
    wait(ui, f"{cards}.length === {len(SHIPPED)}")
    place = "(card) => [Math.round(card.getBoundingClientRect().top), card.getBoundingClientRect().left]"
    boxes = script(ui, f"return {cards}.map((card) => [...({place})(card), card.dataset.testid])")
    titles = [test_id.removeprefix("template-workflow-") for *_, test_id in sorted(boxes)]
    assert titles == [path.stem for path in SHIPPED.values()]
    close_dialog(ui)
