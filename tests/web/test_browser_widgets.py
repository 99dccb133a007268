"""The player and the region picker in a real ComfyUI and a headless Chromium, with both of ComfyUI's node renderers.

With SCREENSHOTS set to a folder, the tests save screenshots there.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from browser import drag, press, wait
from comfy_server import ComfyServer, needs_comfyui
from comfyui_page import (
    FIND,
    RENDERERS,
    centre,
    open_template,
    open_workflow,
    put,
    reload,
    save_screenshot,
    script,
    value,
)

from acestep_xl.audio.region_text import parse_regions
from acestep_xl.runner.shipped import SHIPPED

pytestmark = [needs_comfyui, pytest.mark.slow]


def repaint(ui: Any) -> None:
    open_workflow(ui, "repaint")
    centre(ui, "AceStepXLRepaint")
    wait(ui, "document.querySelector('.acestep-picker .acestep-source:not(.acestep-unknown)')")


def labels(ui: Any) -> list[str]:
    boxes = "[...document.querySelectorAll('.acestep-picker .acestep-region')]"
    return script(ui, f"return {boxes}.map((box) => box.getAttribute('aria-label'))")


def test_a_drawn_region_survives_saving_and_loading(ui: Any, comfy: ComfyServer) -> None:
    repaint(ui)
    assert value(ui, "AceStepXLRepaint", "regions") == "3-5"
    # Eight seconds of melody with two-second margins.
    drag(ui, ".acestep-timeline", 8 / 12, 9 / 12)
    first, second = parse_regions(value(ui, "AceStepXLRepaint", "regions"))
    assert (first.start, first.end) == (3, 5)
    assert (second.start, second.end) == pytest.approx((6, 7), abs=0.05)
    drag(ui, ".acestep-timeline", 0.5 / 12, 2 / 12)
    before = parse_regions(value(ui, "AceStepXLRepaint", "regions"))[2]
    assert (before.start, before.end) == pytest.approx((-1.5, 0), abs=0.05)
    save_screenshot(ui, "repaint")
    text, saved = value(ui, "AceStepXLRepaint", "regions"), script(ui, "return app.graph.serialize()")
    node = next(node for node in saved["nodes"] if node["type"] == "AceStepXLRepaint")
    assert node["widgets_values"] == [text, 0.5, 0.05, 1, "balanced"]
    reload(ui, comfy)
    open_workflow(ui, saved)
    centre(ui, "AceStepXLRepaint")
    wait(ui, "document.querySelectorAll('.acestep-region').length === 3")
    assert value(ui, "AceStepXLRepaint", "regions") == text


def test_editing_the_text_redraws_the_regions(ui: Any) -> None:
    repaint(ui)
    put(ui, "AceStepXLRepaint", "regions", "0:01-0:02, 6.5-end")
    assert labels(ui) == ["Region 1: 0:01.00 to 0:02.00", "Region 2: 0:06.50 to 0:08.00"]


def test_keys_of_the_picker_do_not_reach_comfyui(ui: Any) -> None:
    repaint(ui)
    put(ui, "AceStepXLRepaint", "regions", "1-2, 3-4")
    count = script(ui, "return app.graph._nodes.length")
    script(ui, "document.querySelectorAll('.acestep-region')[1].click()")
    script(ui, "document.querySelectorAll('.acestep-region')[1].focus()")
    press(ui, "\ue014", "\ue017", "+")  # Right, Delete, plus
    assert value(ui, "AceStepXLRepaint", "regions") == "1-2, 0-1"
    assert script(ui, "return app.graph._nodes.length") == count


@pytest.mark.parametrize("by", ["mouse", "key", "button"])
def test_an_edit_of_regions_can_be_undone(ui: Any, by: str) -> None:
    repaint(ui)
    if by == "mouse":
        drag(ui, ".acestep-timeline", 8 / 12, 9 / 12)
    elif by == "key":
        script(ui, "document.querySelector('.acestep-region').focus()")
        press(ui, "\ue014")
    else:
        ui.find_element("css selector", ".acestep-picker [title^='Add a region']").click()
    assert value(ui, "AceStepXLRepaint", "regions") != "3-5"
    script(ui, "app.extensionManager.command.execute('Comfy.Undo')")
    regions = "widgets.find((widget) => widget.name === 'regions').value"
    wait(ui, f"{FIND.replace('arguments[0]', repr('AceStepXLRepaint'))}?.{regions} === '3-5'")
    shown = "[...document.querySelectorAll('.acestep-region')].map((box) => box.getAttribute('aria-label')).join()"
    wait(ui, f"{shown} === 'Region 1: 0:03.00 to 0:05.00'")
    centre(ui, "AceStepXLRepaint")
    drag(ui, ".acestep-timeline", 8 / 12, 9 / 12)
    assert len(parse_regions(value(ui, "AceStepXLRepaint", "regions"))) == 2


def test_the_source_is_found_through_core_loaders_reroutes_and_bypassed_nodes(ui: Any) -> None:
    repaint(ui)
    script(
        ui,
        """
        const add = (type) => { const node = LiteGraph.createNode(type); app.graph.add(node); return node; };
        const [loader, bypassed, reroute] = [add("LoadAudio"), add("TrimAudioDuration"), add("Reroute")];
        const repaint = app.graph._nodes.find((node) => node.type === "AceStepXLRepaint");
        loader.widgets.find((widget) => widget.name === "audio").value = "albums/tune.wav";
        bypassed.mode = 4;
        loader.connect(0, bypassed, 0);
        bypassed.connect(0, reroute, 0);
        reroute.connect(0, repaint, repaint.findInputSlot("audio"));
        window.bypassed = bypassed;
        """,
    )
    status = "document.querySelector('.acestep-picker .acestep-status').textContent"
    wait(ui, f"{status} === '0:10.0'")
    # Once a node trims the audio, the file's times no longer apply, so its waveform is not shown.
    script(ui, "window.bypassed.mode = 0")
    wait(ui, f"{status}.startsWith('No source file')")


def test_a_mask_replaces_the_regions(ui: Any) -> None:
    repaint(ui)
    script(
        ui,
        """
        const mask = LiteGraph.createNode("SolidMask");
        app.graph.add(mask);
        const repaint = app.graph._nodes.find((node) => node.type === "AceStepXLRepaint");
        mask.connect(0, repaint, repaint.findInputSlot("mask"));
        """,
    )
    wait(ui, "document.querySelector('.acestep-status').textContent.startsWith('The mask is connected')")
    drag(ui, ".acestep-timeline", 8 / 12, 9 / 12)
    assert value(ui, "AceStepXLRepaint", "regions") == "3-5"


def test_every_song_of_a_batch_can_be_played(ui: Any) -> None:
    open_workflow(ui, "text_to_music")
    put(ui, "AceStepXLLoader", "model", "demo")
    put(ui, "AceStepXLSchedule", "steps", 1)
    put(ui, "AceStepXLEmptyLatent", "batch_size", 3)
    put(ui, "AceStepXLEmptyLatent", "seconds", 5)
    put(ui, "AceStepXLSave", "filename_prefix", f"song_{ui.renderer}")
    centre(ui, "AceStepXLSave")
    script(ui, "app.queuePrompt(0)")
    wait(ui, "document.querySelectorAll('.acestep-chip').length === 3", 120)
    script(ui, "document.querySelector('.acestep-player button').click()")
    for number, chip in enumerate(ui.find_elements("css selector", ".acestep-chip"), 1):
        chip.click()
        wait(ui, f"document.querySelector('.acestep-chip[aria-checked=true]').textContent === '{number}'")
        wait(ui, "Number(document.querySelector('.acestep-track').getAttribute('aria-valuenow')) > 0.3")
        assert f"song_{ui.renderer}_0000{number}" in script(
            ui, "return document.querySelector('.acestep-player a').href"
        )
    save_screenshot(ui, "batch")


def test_songs_are_still_there_after_switching_workflows(ui: Any) -> None:
    open_workflow(ui, "text_to_music")
    put(ui, "AceStepXLLoader", "model", "demo")
    put(ui, "AceStepXLSchedule", "steps", 1)
    put(ui, "AceStepXLEmptyLatent", "seconds", 4)
    script(ui, "app.queuePrompt(0)")
    centre(ui, "AceStepXLSave")
    song = "document.querySelector('.acestep-player a[href*=output]')?.href"
    link = wait(ui, song, 120)
    open_workflow(ui, "cover")
    centre(ui, "AceStepXLSave")
    wait(ui, f"document.querySelector('.acestep-player') && !({song})")
    script(ui, "app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')")
    assert wait(ui, song).split("&shown=")[0] == link.split("&shown=")[0]


def test_the_wheel_zooms_over_a_widget(ui: Any) -> None:
    repaint(ui)
    before = script(ui, "return app.canvas.ds.scale")
    script(
        ui,
        "const options = { deltaY: -120, bubbles: true, cancelable: true, clientX: 400, clientY: 400 };"
        "document.querySelector('.acestep-timeline').dispatchEvent(new WheelEvent('wheel', options))",
    )
    wait(ui, f"app.canvas.ds.scale > {before}")


def test_workflows_open_from_the_template_browser_run_and_play(ui: Any) -> None:
    """Each in one of the renderers, with the demo network and few steps. An app opens without its nodes."""
    for name in [name for name in SHIPPED if name != "text_to_music_app"][RENDERERS.index(ui.renderer) :: 2]:
        open_template(ui, SHIPPED[name].stem)
        put(ui, "AceStepXLLoader", "model", "demo")
        put(ui, "AceStepXLSchedule", "steps", 2)
        if script(ui, f"return Boolean({FIND})", "AceStepXLEmptyLatent"):
            put(ui, "AceStepXLEmptyLatent", "seconds", 6)
        if name in ("core_nodes", "plot"):  # uses ComfyUI's own player; needs an optional package
            continue
        script(ui, "app.canvas.ds.scale = 1; app.queuePrompt(0)")
        centre(ui, "AceStepXLSave")
        player = "[...document.querySelectorAll('.acestep-player')].find((e) => e.querySelector('a[href*=output]'))"
        wait(ui, player, 120)
        script(ui, f"{player}.querySelector('button').click()")
        wait(ui, f"Number({player}.querySelector('.acestep-track').getAttribute('aria-valuenow')) > 0.2")
        save_screenshot(ui, f"template_{name}")


def test_a_dropped_recording_is_uploaded_selected_and_shown(ui: Any, comfy: ComfyServer) -> None:
    open_workflow(ui, "cover")
    centre(ui, "AceStepXLLoadAudio")
    clock = "document.querySelector('.acestep-player .acestep-clock').textContent"
    wait(ui, f"{clock} === '0:00 / 0:08'")
    name = f"dropped_{ui.renderer}.wav"
    ui.execute_async_script(
        f"""
        const [kind, name, done] = arguments;
        fetch("/view?filename=tune.wav&subfolder=albums&type=input").then((answer) => answer.blob()).then((blob) => {{
            const file = new File([blob], name, {{ type: "audio/wav" }});
            const dropped = {FIND}.onDragDrop({{ dataTransfer: {{ files: [file] }} }});
            done(dropped);
        }});
        """,
        "AceStepXLLoadAudio",
        name,
    )
    wait(ui, f"{clock} === '0:00 / 0:10'")
    assert value(ui, "AceStepXLLoadAudio", "audio") == name
    assert (comfy.folder / "input" / name).exists()
    assert name in comfy.get("/object_info/AceStepXLLoadAudio")["AceStepXLLoadAudio"]["input"]["required"]["audio"][0]
    save_screenshot(ui, "load")


@pytest.mark.parametrize("name", ["repaint", "text_to_music"])
def test_widgets_leave_no_trace_in_saved_workflows_and_prompts(ui: Any, name: str) -> None:
    shipped = json.loads(SHIPPED[name].read_text("utf-8"))
    open_workflow(ui, name)
    saved = {node["id"]: node for node in script(ui, "return app.graph.serialize()")["nodes"]}
    for node in shipped["nodes"]:
        if node["type"] in ("AceStepXLLoadAudio", "AceStepXLRepaint", "AceStepXLSave"):
            inputs = script(ui, f"return {FIND}.widgets.filter((w) => w.name !== 'audioUI').length", node["type"])
            values = saved[node["id"]]["widgets_values"]
            assert len(values) == inputs and values[: len(node["widgets_values"])] == node["widgets_values"]
            assert saved[node["id"]]["properties"] == node["properties"]
    prompt = ui.execute_async_script("app.graphToPrompt().then(({ output }) => arguments[0](output))")
    assert not [key for node in prompt.values() for key in node["inputs"] if "UI" in key or key == ""]


def test_nodes_are_large_enough_for_their_widgets(ui: Any) -> None:
    open_workflow(ui, {"nodes": [], "links": [], "version": 0.4})
    for kind, minimum in (("AceStepXLRepaint", 400), ("AceStepXLLoadAudio", 340), ("AceStepXLSave", 340)):
        script(ui, "app.graph.clear(); app.graph.add(LiteGraph.createNode(arguments[0]))", kind)
        centre(ui, kind)
        wait(ui, "document.querySelector('.acestep')?.offsetParent")
        box, inner = script(
            ui,
            "const e = document.querySelector('.acestep'); return [e.getBoundingClientRect().toJSON(),"
            "e.querySelector('.acestep-track').getBoundingClientRect().toJSON()]",
        )
        assert script(ui, f"return {FIND}.size[0]", kind) >= minimum
        assert inner["height"] > 40 and inner["bottom"] <= box["bottom"] + 1, kind


def test_our_files_log_no_errors(ui: Any) -> None:
    lines = [line["message"] for line in ui.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]
    assert [line for line in lines if "acestep" in line.lower() and "huggingface.co" not in line] == []
