"""How the tests share the cores; the golden checkpoints and their tensors; which network `demo` is."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from demo_network import random_demo
from hypothesis import HealthCheck, settings
from safetensors.torch import load_file
from torch import Tensor

from acestep_xl.model.config import from_official
from acestep_xl.model.network import AceStep

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_NAMES = ("xl_sft_tiny", "sft_2b_tiny")
MOST_WORKERS = 4  # a worker takes up to 3 GB, and keeps fixtures of its own


def pytest_addoption(parser: pytest.Parser) -> None:
    """The golden adapters and quantised files may lie elsewhere; their tests take every file that is there."""
    parser.addoption("--golden", type=Path, default=GOLDEN, metavar="DIR", help="folder with adapters/ and quantised/")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """The whole suite runs in one process per core, a part of it in this one; `-n` decides otherwise.

    Each worker starts for half a minute. Files stay together, since their fixtures take long.
    """
    is_whole = [Path(argument).resolve() for argument in config.args] == [GOLDEN.parent]
    option = config.option
    if is_whole and not hasattr(config, "workerinput") and getattr(option, "numprocesses", 0) is None:
        option.numprocesses, option.maxprocesses = "auto", option.maxprocesses or MOST_WORKERS
        option.dist, option.loadscopereorder = "loadfile", False


def pytest_configure() -> None:
    """One thread per process, as they run side by side, and in those that tests start; examples may take any time."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("unhurried")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers take the files with the most slow tests first, so that none is left alone with one at the end."""
    if hasattr(config, "workerinput"):
        slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: -slow[item.path])


@dataclass(frozen=True)
class Golden:
    """One golden folder: the network with its weights, what went in and what the official code computed."""

    folder: Path
    network: AceStep
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


@pytest.fixture(scope="session", params=GOLDEN_NAMES)
def golden(request: pytest.FixtureRequest) -> Golden:
    folder = GOLDEN / request.param
    network = AceStep(from_official(json.loads((folder / "config.json").read_text())), "sft")
    network.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    inputs = load_file(folder / "inputs.safetensors")
    network.silence = torch.load(folder / "silence_latent.pt", weights_only=True)[0].T.contiguous()
    network.eval()
    return Golden(folder, network, inputs, load_file(folder / "outputs.safetensors"))


@pytest.fixture(scope="session", autouse=True)
def quick_demo() -> Iterator[None]:
    """Tests that ask about the shipped demo network use `demo_network.shipped_demo`; processes of their own have it."""
    with random_demo():
        yield
