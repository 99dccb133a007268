"""Hints on nodes in a real ComfyUI: they stay until the next run, on the workflow and in the browser they belong to."""

from __future__ import annotations

import time
from typing import Any

import graphs
import pytest
from browser import wait
from comfy_server import ComfyServer, needs_comfyui
from comfyui_page import centre, open_workflow, put, save_screenshot, script

pytestmark = [needs_comfyui, pytest.mark.slow]

TEXTS = "[...document.querySelectorAll('.acestep-hints')].map((box) => box.textContent).join(' ')"


def prepare(ui: Any, caption: str) -> None:
    open_workflow(ui, "text_to_music")
    put(ui, "AceStepXLLoader", "model", "demo")
    put(ui, "AceStepXLSchedule", "steps", 1)
    put(ui, "AceStepXLEmptyLatent", "seconds", 5)
    put(ui, "AceStepXLEncode", "caption", caption)
    put(ui, "AceStepXLEncode", "bpm", 90)
    put(ui, "AceStepXLSampler", "seed", time.time_ns() % 2**32)


def run(ui: Any, server: ComfyServer) -> None:
    """Queue the open workflow and wait until it has ended."""
    count = len(server.get("/history"))
    script(ui, "app.queuePrompt(0)")
    wait_for_end(ui, server, count)


def wait_for_end(ui: Any, server: ComfyServer, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(server.get("/history")) <= count:
        assert time.monotonic() < deadline, server.log()[-2000:]
        time.sleep(0.2)
    wait(ui, "new Promise((done) => setTimeout(() => done(true), 700))")


def test_hints_stay_when_the_run_has_ended_until_a_run_has_none(ui: Any, comfy: ComfyServer) -> None:
    prepare(ui, "waltz, 140 bpm")
    run(ui, comfy)
    centre(ui, "AceStepXLEncode")
    assert "140 bpm" in script(ui, f"return {TEXTS}")
    box = script(
        ui,
        "return [...document.querySelectorAll('.acestep-hints')].find((e) => e.textContent.includes('140 bpm'))"
        ".getBoundingClientRect().toJSON()",
    )
    assert box["width"] > 100 and box["height"] > 20
    save_screenshot(ui, "hints")
    saved = script(ui, "return app.graph.serialize()")
    assert "140 bpm," not in str([node.get("widgets_values", [])[3:] for node in saved["nodes"]])
    put(ui, "AceStepXLEncode", "caption", "waltz")
    run(ui, comfy)
    assert "140 bpm" not in script(ui, f"return {TEXTS}")


def test_hints_are_shown_only_on_the_workflow_that_was_queued(ui: Any, comfy: ComfyServer) -> None:
    prepare(ui, "waltz, 150 bpm")
    count = len(comfy.get("/history"))
    script(ui, "app.queuePrompt(0)")
    wait(ui, "new Promise((done) => setTimeout(() => done(true), 500))")
    open_workflow(ui, "variations")
    wait_for_end(ui, comfy, count)
    assert "150 bpm" not in script(ui, f"return {TEXTS}")
    script(ui, "app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')")
    centre(ui, "AceStepXLEncode")
    wait(ui, f"{TEXTS}.includes('150 bpm')")


def test_prompts_from_elsewhere_leave_no_hints(ui: Any, comfy: ComfyServer) -> None:
    prepare(ui, "waltz")
    (node,) = script(ui, "return app.graph._nodes.filter((n) => n.type === 'AceStepXLEncode').map((n) => String(n.id))")
    graph = graphs.text_to_music()
    graph[node] = graph.pop("text")
    for other in graph.values():
        for name, value in other["inputs"].items():
            if isinstance(value, list) and value[0] == "text":
                other["inputs"][name] = [node, value[1]]
    graph[node]["inputs"] |= {"caption": "waltz, 160 bpm", "bpm": 90}
    comfy.run(graph)
    wait(ui, "new Promise((done) => setTimeout(() => done(true), 700))")
    assert "160 bpm" not in script(ui, "return document.body.textContent")
