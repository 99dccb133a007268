"""ComfyUI's page in a browser: workflows, nodes and their widgets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from browser import press, wait
from comfy_server import ComfyServer

from acestep_xl.runner.shipped import SHIPPED

RENDERERS = ("canvas", "vue")
# The node of a class, by the first argument of a script.
FIND = "app.graph._nodes.find((node) => node.type === arguments[0])"


def reload(ui: Any, comfy: ComfyServer) -> None:
    """Open ComfyUI and wait until its graph and our style sheet are there."""
    ui.get(comfy.url)
    wait(ui, "Boolean(window.app?.extensionManager && app.canvas && app.isGraphReady !== false)", 60)
    wait(ui, "document.querySelector('[href$=\"acestep_xl.css\"]')")
    wait(ui, "app.extensionManager.workflow.activeWorkflow && app.graph._nodes.length")


def script(ui: Any, text: str, *arguments: Any) -> Any:
    """The value that a script returns."""
    return ui.execute_script(text, *arguments)


def open_workflow(ui: Any, workflow: dict[str, Any] | str) -> None:
    """Open a workflow, or a shipped one by its name."""
    if isinstance(workflow, str):
        workflow = json.loads(SHIPPED[workflow].read_text("utf-8"))
    answer = ui.execute_async_script(
        "app.loadGraphData(arguments[0]).then(() => arguments[1]('opened'), (error) => arguments[1](String(error)))",
        workflow,
    )
    assert answer == "opened"


def centre(ui: Any, kind: str) -> None:
    """Centre a node at 1.5 times its size, away from the others."""
    script(
        ui,
        f"const node = {FIND}; node.pos = [5000, 5000];"
        "const scale = 1.5, { ds } = app.canvas; ds.scale = scale;"
        "ds.offset = [200 / scale - 5000, 150 / scale - 5000]; app.canvas.setDirty(true, true);",
        kind,
    )
    wait(ui, "new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(true), 300)))")


def value(ui: Any, kind: str, name: str) -> Any:
    """A widget's value."""
    return script(ui, f"return {FIND}.widgets.find((widget) => widget.name === arguments[1]).value", kind, name)


def put(ui: Any, kind: str, name: str, new: Any) -> None:
    """Set a widget's value, as typing it does."""
    change = "input.value = arguments[2]; input.callback?.(arguments[2]);"
    script(
        ui, f"const input = {FIND}.widgets.find((widget) => widget.name === arguments[1]); {change}", kind, name, new
    )


def save_screenshot(ui: Any, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        ui.save_screenshot(f"{folder}/{name}_{ui.frontend}_{ui.renderer}.png")


def open_templates(ui: Any) -> None:
    """Open ComfyUI's template browser at this pack's workflows."""
    script(ui, "app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    leaves = "[...document.querySelectorAll('aside *, nav *, [role=dialog] *')].filter((e) => !e.children.length)"
    wait(ui, f"{leaves}.some((e) => e.textContent.trim() === 'acestep-xl')")
    script(ui, f"{leaves}.findLast((e) => e.textContent.trim() === 'acestep-xl').click()")


def close_dialog(ui: Any) -> None:
    """Close the dialog on top, as Escape does."""
    press(ui, "\ue00c")
    wait(ui, "!document.querySelector('[data-testid=template-workflows-content]')")


def open_template(ui: Any, name: str) -> None:
    """Open a shipped workflow from ComfyUI's template browser."""
    open_templates(ui)
    card = f"document.querySelector('[data-testid=\"template-workflow-{name}\"]')"
    # Cards are created while scrolling, and images load when they come into view.
    last = "document.querySelector('[data-testid=template-workflows-content]')?.lastElementChild"
    wait(ui, f"({card} ?? {last})?.scrollIntoView() ?? {card}?.querySelector('img')?.naturalWidth === 512")
    script(ui, f"window.before = app.graph._nodes[0]; {card}.click()")
    wait(ui, f"app.extensionManager.workflow.activeWorkflow?.filename?.startsWith('{name}')")
    loader = "app.graph._nodes.find((node) => node.type === 'AceStepXLLoader')"
    wait(ui, f"app.graph._nodes[0] !== window.before && {loader}?.widgets.length")
