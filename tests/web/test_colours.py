"""What the widgets show can be told from its ground, with every palette of ComfyUI."""

from __future__ import annotations

from typing import Any

import pytest
from browser import wait
from comfy_server import needs_comfyui
from comfyui_page import centre, open_workflow, save_screenshot, script

pytestmark = [needs_comfyui, pytest.mark.slow]

PALETTES = ("dark", "light", "solarized", "arc", "nord", "github")
# Contrast ratios of WCAG 2.2: 1.4.11 for what is not text, 1.4.3 for text.
GRAPHICS, TEXT = 3.0, 4.5
# Of the labels of ComfyUI's own nodes, in palettes where they have less.
LABELS = {"solarized": 2.9}
# The ground of an element, which the elements around it may shine through, and a colour of another element over it.
PAINT = """
const [groundOf, element, property] = arguments;
const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const fill = (colour) => { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); };
const shown = () => [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
const grounds = [];
for (let node = groundOf; node; node = node.parentElement) grounds.unshift(getComputedStyle(node).backgroundColor);
fill("#000");
grounds.forEach(fill);
const ground = shown();
fill(getComputedStyle(element)[property]);
return [ground, shown()];
"""


def luminance(colour: list[int]) -> float:
    """Relative luminance (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[int], other: list[int]) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def ratio(ui: Any, selector: str, colour: str, ground_of: str | None = None) -> float:
    """Contrast of an element's colour with the ground of another, or its own."""
    elements = [ui.find_element("css selector", name) for name in (ground_of or selector, selector)]
    return contrast(*script(ui, PAINT, *elements, colour))


def select(ui: Any, palette: str) -> None:
    ui.execute_async_script(
        "app.extensionManager.setting.set('Comfy.ColorPalette', arguments[0]).then(arguments[1])", palette
    )
    wait(ui, "new Promise((done) => setTimeout(() => done(true), 300))")


@pytest.fixture(params=PALETTES)
def palette(request: pytest.FixtureRequest, ui: Any) -> Any:
    select(ui, request.param)
    yield request.param
    select(ui, "dark")


def test_regions_handles_and_focus_stand_out(ui: Any, palette: str) -> None:
    open_workflow(ui, "repaint")
    centre(ui, "AceStepXLRepaint")
    wait(ui, "document.querySelector('.acestep-picker .acestep-source:not(.acestep-unknown)')")
    script(ui, "document.querySelector('.acestep-picker .acestep-region').focus()")
    save_screenshot(ui, f"colours_{palette}")
    source = ".acestep-picker .acestep-source"
    ratios = {
        "edge": ratio(ui, ".acestep-region", "borderLeftColor", source),
        "focus": ratio(ui, ".acestep-region", "outlineColor", source),
        "wave": ratio(ui, ".acestep-picker .acestep-wave", "fill", source),
    }
    assert {name: value for name, value in ratios.items() if value < GRAPHICS} == {}
    assert ratio(ui, ".acestep-region", "backgroundColor", source) > 1.2, "a region looks like the rest"
    # Palettes whose own text has less contrast than that are not corrected.
    own = ratio(ui, ".acestep-picker", "color")
    for text in (".acestep-status", ".acestep-ruler span"):
        assert ratio(ui, f".acestep-picker {text}", "color") >= min(TEXT, 0.85 * own), text


def test_the_played_part_and_the_chosen_song_stand_out(ui: Any, palette: str) -> None:
    open_workflow(ui, "text_to_music")
    centre(ui, "AceStepXLSave")
    files = [{"filename": f"{n}.wav", "subfolder": "albums", "type": "input"} for n in ("tune", "tune")]
    script(
        ui,
        "app.graph._nodes.find((node) => node.type === 'AceStepXLSave').onExecuted({ audio: arguments[0] })",
        files,
    )
    wait(ui, "document.querySelectorAll('.acestep-player .acestep-chip').length === 2")
    save_screenshot(ui, f"player_{palette}")
    player = ".acestep-player .acestep-"
    for wave in ("played", "wave:not(.acestep-played)"):
        assert ratio(ui, f"{player}{wave}", "fill", f"{player}track") >= GRAPHICS, wave
    own = ratio(ui, ".acestep-player", "color")
    for text in ("clock", "name", "chip", "speed", "button"):
        assert ratio(ui, f"{player}{text}", "color") >= min(TEXT, 0.85 * own), text
    chosen, other = (f'{player}chip[aria-checked="{state}"]' for state in ("true", "false"))
    assert ratio(ui, chosen, "borderTopColor") >= GRAPHICS
    assert ratio(ui, other, "borderTopColor") == 1, "the others have no edge"


def test_notes_are_legible(ui: Any, palette: str) -> None:
    """Their ground is a colour of the workflow, and the text one of the palette. On the canvas it is always white."""
    if ui.renderer == "canvas":
        pytest.skip("the canvas draws the ground, which no element has")
    open_workflow(ui, "core_nodes")
    centre(ui, "MarkdownNote")
    text = ".comfy-markdown-content"
    wait(ui, f"document.querySelector('{text}')")
    save_screenshot(ui, f"note_{palette}")
    assert ratio(ui, text, "color") >= min(TEXT, 0.85 * LABELS.get(palette, TEXT / 0.85))
