"""A real ComfyUI for tests.

COMFYUI_PATH: its checkout. COMFYUI_PYTHON: the interpreter with its requirements. COMFYUI_FRONTEND: the folder of
another frontend, such as ``comfyui_frontend_package/static`` of a newer wheel, on which the browser tests run too.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from acestep_xl.runner.node_table import NodeTable

ROOT = Path(__file__).parent.parent.parent
COMFYUI = os.environ.get("COMFYUI_PATH")
FRONTEND = os.environ.get("COMFYUI_FRONTEND")
needs_comfyui = pytest.mark.skipif(COMFYUI is None, reason="COMFYUI_PATH does not name a ComfyUI checkout")
START_SECONDS, REQUEST_SECONDS, RUN_SECONDS = 180, 120, 300


class ComfyServer:
    """ComfyUI on the CPU and a free port, with this pack as the only one, in a folder of its own.

    The folder holds its models, inputs, outputs and settings, so the checkout stays untouched. options: ComfyUI's own,
    on its command line. pack: False leaves this pack out. frontend: the folder of another frontend than the installed
    one. Use it as a context manager; a second start on the same folder is a restart.
    """

    def __init__(
        self, folder: Path, options: tuple[str, ...] = (), pack: bool = True, frontend: str | None = None
    ) -> None:
        self.folder = folder
        self.frontend = "other" if frontend else "installed"
        for name in ("custom_nodes", "models", "input", "output", "temp", "user"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        link = folder / "custom_nodes" / "acestep-xl"
        if pack and not link.exists():
            link.symlink_to(ROOT, target_is_directory=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = folder / "comfyui.log"
        self._command = [
            os.environ.get("COMFYUI_PYTHON", sys.executable),
            "main.py",
            "--cpu",
            "--disable-auto-launch",
            "--disable-api-nodes",
            *("--port", str(self.port)),
            *("--base-directory", str(folder)),
            *("--user-directory", str(folder / "user")),
            *("--database-url", f"sqlite:///{folder / 'user' / 'comfyui.db'}"),
            *(("--front-end-root", frontend) if frontend else ()),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ComfyServer:
        assert COMFYUI is not None
        environment = {**os.environ, "HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=COMFYUI, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.get("/system_stats")
                return self
            except OSError:
                time.sleep(0.3)
        self.__exit__()
        raise AssertionError(f"ComfyUI did not start:\n{self.log()[-3000:]}")

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=REQUEST_SECONDS) as response:
            return json.load(response)

    def post(self, path: str, body: Any) -> Any:
        """The JSON of the response, error or not; None for an empty one."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        return json.loads(text) if text else None

    def submit(self, graph: dict[str, Any]) -> str:
        response = self.post("/prompt", {"prompt": graph})
        assert "prompt_id" in response, json.dumps(response)[:2000]
        return response["prompt_id"]

    def wait(self, prompt_id: str) -> dict[str, Any]:
        """The history entry of a prompt once it has ended, in whatever way."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            if history := self.get(f"/history/{prompt_id}"):
                return history[prompt_id]
            time.sleep(0.1)
        raise AssertionError(f"ComfyUI did not finish in {RUN_SECONDS} s:\n{self.log()[-2000:]}")

    def run(self, graph: dict[str, Any]) -> dict[str, Any]:
        """Run a graph that must succeed. Returns its history entry."""
        entry = self.wait(self.submit(graph))
        assert entry["status"]["status_str"] == "success", json.dumps(entry["status"])[:3000]
        return entry

    def files(self, entry: dict[str, Any]) -> list[Path]:
        """The audio files of a run, in order."""
        return [
            self.folder / file["type"] / file["subfolder"] / file["filename"]
            for output in entry["outputs"].values()
            for file in output.get("audio", ())
        ]


def comfyui_can_import(name: str) -> bool:
    """Whether ComfyUI's interpreter has a library that ComfyUI itself does not require."""
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    return subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False).returncode == 0


def messages(entry: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The messages of one kind (execution_cached, execution_error, ...) in a history entry."""
    return [content for name, content in entry["status"]["messages"] if name == kind]


def table_of(server: ComfyServer) -> NodeTable:
    """The node table of a running ComfyUI, ours and core's nodes, for reading saved workflows."""
    return NodeTable({name: _stub(info) for name, info in server.get("/object_info").items()})


def _stub(info: dict[str, Any]) -> type:
    declared = {
        group: {name: tuple(entry) for name, entry in inputs.items()} for group, inputs in info["input"].items()
    }
    return type(
        info["name"],
        (),
        {"INPUT_TYPES": staticmethod(lambda: declared), "RETURN_TYPES": tuple(info["output"]), "FUNCTION": "run"},
    )
