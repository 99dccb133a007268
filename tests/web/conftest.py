"""A headless Chromium with a real ComfyUI, in each of its frontends and node renderers, or with a page of our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile
from bare_page import bare_page
from browser import chromium
from comfy_server import FRONTEND, ComfyServer
from comfyui_page import RENDERERS, reload

SECONDS = 10
PLAIN = {"Comfy.TutorialCompleted": True, "Comfy.Locale": "en", "Comfy.Workflow.Persist": False}


FRONTENDS = [None, FRONTEND] if FRONTEND else [None]


@pytest.fixture(scope="module", params=FRONTENDS, ids=["installed", "other"][: len(FRONTENDS)])
def comfy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A running ComfyUI with a recording in a subfolder of its inputs."""
    with ComfyServer(tmp_path_factory.mktemp("comfyui"), frontend=request.param) as server:
        time = np.arange(SECONDS * 48000) / 48000
        (server.folder / "input" / "albums").mkdir()
        soundfile.write(server.folder / "input" / "albums" / "tune.wav", 0.5 * np.sin(2000 * time) * (time % 1), 48000)
        yield server


@pytest.fixture(scope="module")
def driver(comfy: ComfyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module", params=RENDERERS)
def ui(request: pytest.FixtureRequest, comfy: ComfyServer, driver: Any) -> Any:
    """The driver, with ComfyUI open in one of its renderers."""
    comfy.post("/settings", PLAIN | {"Comfy.VueNodes.Enabled": request.param == "vue"})
    driver.renderer, driver.frontend = request.param, comfy.frontend
    driver.get_log("browser")
    reload(driver, comfy)
    return driver


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page with the widgets alone, without ComfyUI."""
    with bare_page(tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("profile")) as driver:
        yield driver
