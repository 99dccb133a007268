"""Results, their players and sources in a real ComfyUI and a headless Chromium."""

from __future__ import annotations

from typing import Any

import pytest
from browser import drag, press, wait
from comfy_server import ComfyServer, needs_comfyui
from comfyui_page import centre, open_workflow, put, save_screenshot, script, value

pytestmark = [needs_comfyui, pytest.mark.slow]

PLAYER = "document.querySelector('.acestep-player')"
POSITION = f"Number({PLAYER}.querySelector('.acestep-track').getAttribute('aria-valuenow'))"
LOADERS = "app.graph._nodes.filter((node) => node.type === 'AceStepXLLoadAudio')"


def add(ui: Any, kind: str, **values: Any) -> None:
    script(ui, "app.graph.add(LiteGraph.createNode(arguments[0]))", kind)
    for name, new in values.items():
        put(ui, kind, name, new)


def listen_to_the_example(ui: Any) -> None:
    """A preview of the example, run."""
    open_workflow(ui, {"nodes": [], "links": [], "version": 0.4})
    add(ui, "AceStepXLLoadAudio")
    add(ui, "AceStepXLPreview")
    script(
        ui,
        "const [loader, preview] = app.graph._nodes; loader.connect(0, preview, 0); app.queuePrompt(0)",
    )
    centre(ui, "AceStepXLPreview")
    wait(ui, "document.querySelector('.acestep-player a[href*=temp]')", 120)


def press_use_as_source(ui: Any) -> None:
    script(ui, "document.querySelector('.acestep-player button[title^=\"Use as source\"]').click()")


def test_a_preview_plays_and_saves_nothing(ui: Any, comfy: ComfyServer) -> None:
    saved = sorted((comfy.folder / "output").rglob("*"))
    listen_to_the_example(ui)
    script(ui, "[...document.querySelectorAll('.acestep-player')].at(-1).querySelector('button').click()")
    wait(ui, "[...document.querySelectorAll('.acestep-track')].some((e) => e.getAttribute('aria-valuenow') > 0.3)")
    save_screenshot(ui, "preview")
    assert list((comfy.folder / "temp").glob("acestep_preview_*.flac"))
    assert sorted((comfy.folder / "output").rglob("*")) == saved


def test_songs_of_a_batch_are_compared_at_one_place(ui: Any) -> None:
    open_workflow(ui, "text_to_music")
    put(ui, "AceStepXLLoader", "model", "demo")
    put(ui, "AceStepXLSchedule", "steps", 1)
    put(ui, "AceStepXLEmptyLatent", "batch_size", 2)
    put(ui, "AceStepXLEmptyLatent", "seconds", 6)
    put(ui, "AceStepXLSampler", "seed", 41)
    centre(ui, "AceStepXLSave")
    script(ui, "app.queuePrompt(0)")
    wait(ui, "document.querySelectorAll('.acestep-chip').length === 2", 120)
    wait(ui, f"{PLAYER}.querySelector('.acestep-clock').textContent.endsWith('/ 0:06')")
    names = f"{PLAYER}.querySelector('.acestep-name').textContent"
    assert script(ui, f"return {names}").endswith(" · seed 41")
    drag(ui, ".acestep-player .acestep-track", 0.4, 0.5)
    wait(ui, f"{POSITION} > 2.5")
    ui.find_elements("css selector", ".acestep-chip")[1].click()
    wait(ui, f"{names}.endsWith(' · seed 42') && {POSITION} > 2.5")
    save_screenshot(ui, "compare")


def test_a_result_becomes_the_source_of_the_only_loader(ui: Any, comfy: ComfyServer) -> None:
    listen_to_the_example(ui)
    put(ui, "AceStepXLLoadAudio", "start", 2.0)
    press_use_as_source(ui)
    chosen = f"{LOADERS}[0].widgets.find((widget) => widget.name === 'audio').value"
    name = wait(ui, f"{chosen} !== 'example' && {chosen}")
    assert name.startswith("acestep_preview_") and (comfy.folder / "input" / name).is_file()
    assert value(ui, "AceStepXLLoadAudio", "start") == 0
    wait(ui, f"document.body.innerText.includes('now loads {name}')")
    save_screenshot(ui, "source_set")


def test_a_loader_is_added_where_there_is_none(ui: Any) -> None:
    listen_to_the_example(ui)
    script(ui, f"app.graph.remove({LOADERS}[0])")
    press_use_as_source(ui)
    wait(ui, f"{LOADERS}.length === 1 && {LOADERS}[0].widgets[0].value.startsWith('acestep_preview_')")


def test_one_of_several_loaders_is_asked_for(ui: Any) -> None:
    listen_to_the_example(ui)
    add(ui, "AceStepXLLoadAudio")
    press_use_as_source(ui)
    wait(ui, "document.querySelector('dialog.acestep-dialog[open]')")
    save_screenshot(ui, "which_loader")
    press(ui, "\ue00c")  # Escape: nothing happens
    wait(ui, "!document.querySelector('dialog.acestep-dialog')")
    assert script(ui, f"return {LOADERS}.map((node) => node.widgets[0].value)") == ["example", "example"]
    press_use_as_source(ui)
    wait(ui, "document.querySelector('dialog.acestep-dialog[open]')")
    ui.find_elements("css selector", ".acestep-dialog button")[1].click()
    wait(ui, f"{LOADERS}[1].widgets[0].value.startsWith('acestep_preview_')")
    assert script(ui, f"return {LOADERS}[0].widgets[0].value") == "example"


def test_handles_choose_the_part_of_a_recording(ui: Any) -> None:
    open_workflow(ui, {"nodes": [], "links": [], "version": 0.4})
    add(ui, "AceStepXLLoadAudio")
    centre(ui, "AceStepXLLoadAudio")
    wait(ui, f"{PLAYER}.querySelector('.acestep-clock').textContent === '0:00 / 0:08'")
    wait(ui, "!document.querySelector('.acestep-trim-start').hidden")
    script(ui, "document.querySelector('.acestep-trim-start').focus()")
    press(ui, "\ue014", "\ue014")  # Right
    assert value(ui, "AceStepXLLoadAudio", "start") == pytest.approx(0.2)
    width = script(ui, "return document.querySelector('.acestep-track').getBoundingClientRect().width")
    handle = script(ui, "return document.querySelector('.acestep-trim-end').getBoundingClientRect().width")
    drag(ui, ".acestep-trim-end", 0.5, 0.5 - width / handle / 2)
    assert value(ui, "AceStepXLLoadAudio", "end") == pytest.approx(4, abs=0.2)
    save_screenshot(ui, "trim")
    put(ui, "AceStepXLLoadAudio", "start", 3.0)
    shown = "document.querySelector('.acestep-trim-start').getAttribute('aria-valuenow')"
    wait(ui, f"{shown} === '3'")
    script(ui, "document.querySelector('.acestep-player button').click()")
    wait(ui, f"{POSITION} > 3.1 && {POSITION} < 4.5")
    script(ui, "document.querySelector('.acestep-player button').click()")
    put(ui, "AceStepXLLoadAudio", "audio", "albums/tune.wav")
    assert [value(ui, "AceStepXLLoadAudio", name) for name in ("start", "end")] == [0, 0]


def test_the_region_picker_shows_the_part(ui: Any) -> None:
    open_workflow(ui, "repaint")
    centre(ui, "AceStepXLRepaint")
    wait(ui, "document.querySelector('.acestep-picker .acestep-source:not(.acestep-unknown)')")
    put(ui, "AceStepXLRepaint", "regions", "0-1")
    put(ui, "AceStepXLLoadAudio", "start", 2.5)
    put(ui, "AceStepXLLoadAudio", "end", 7.5)
    script(ui, "document.querySelector('.acestep-picker .acestep-timeline').blur()")
    wait(ui, "document.querySelector('.acestep-picker .acestep-source').getBoundingClientRect().width > 10")
    ends = "[...document.querySelectorAll('.acestep-picker .acestep-end')].map((e) => e.ariaValueMax).join()"
    wait(ui, f"Number({ends}) === 7")  # the five seconds of the part and a margin of two
    save_screenshot(ui, "part_in_the_picker")
