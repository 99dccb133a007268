"""Runs of a guider: guided steps, noise, interruption and wrong inputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import graphs
import pytest
import torch
from guiders import make_guider
from recorded_calls import record_calls

from acestep_xl import host as hosts
from acestep_xl.host.headless import HeadlessHost, Interrupted
from acestep_xl.host.headless_sockets import HeadlessSockets
from acestep_xl.model.predictor import Predictor
from acestep_xl.nodes.sampler import Sampler
from acestep_xl.pipeline.solver_sampler import SolverSampler
from acestep_xl.sampler.noise import draw


@pytest.fixture
def headless_host(tmp_path: Path) -> Iterator[HeadlessHost]:
    host = HeadlessHost([], tmp_path, device="cpu")
    with hosts.use(host):
        yield host


def test_unconditional_predictions_run_only_in_the_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = record_calls(monkeypatch, Predictor, "__call__")
    graphs.run(tmp_path, {"schedule.steps": 4, "schedule.shift": 1.0, "guider.start": 0.25, "guider.end": 0.5})
    assert [step["unconditional"] for step in steps] == [False, True, True, False]


class InterruptingBar:
    """A progress bar that interrupts the run at its second step."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.host: HeadlessHost | None = None

    def update(self, value: int, preview: object = None) -> None:
        self.steps.append(value)
        if value == 2:
            assert self.host is not None
            self.host.interrupt()

    def close(self) -> None: ...

    def __enter__(self) -> InterruptingBar:
        return self

    def __exit__(self, *_: object) -> None: ...


def test_a_run_stops_within_one_step(tmp_path: Path) -> None:
    bar = InterruptingBar()
    bar.host = HeadlessHost([], tmp_path, lambda total: bar, device="cpu")
    with pytest.raises(Interrupted):
        graphs.run(tmp_path, {"schedule.steps": 50}, host=bar.host)
    assert bar.steps == [1, 2]
    assert not list(tmp_path.rglob("*.wav"))


@pytest.mark.usefixtures("headless_host")
def test_noise_of_another_node() -> None:
    class Noise:
        seed = 5

        def generate_noise(self, latent: dict[str, Any]) -> torch.Tensor:
            return torch.ones_like(latent["samples"])

    latent, sigmas = {"samples": torch.zeros(1, 64, 200)}, torch.tensor([1.0, 0.5])
    one, two = (Sampler().sample(make_guider(), sigmas, latent, seed, Noise())[0]["samples"] for seed in (1, 2))
    assert torch.equal(one, two)


@pytest.mark.usefixtures("headless_host")
def test_the_batch_index_of_a_latent_selects_the_song() -> None:
    latent, sigmas = {"samples": torch.zeros(1, 64, 200), "other": "unchanged"}, torch.tensor([1.0, 0.0])
    third = Sampler().sample(make_guider(), sigmas, {**latent, "batch_index": [2]}, 5)[0]
    seed_seven = Sampler().sample(make_guider(), sigmas, latent, 7)[0]
    assert torch.equal(third["samples"], seed_seven["samples"])
    assert third["other"] == "unchanged"


class CONST:
    """ComfyUI's mark of a flow model."""


@pytest.mark.parametrize("frames", [50, 124, 130])
def test_core_sampler_nodes_cut_a_short_song_from_one_of_the_minimum_too(
    frames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patcher = SimpleNamespace(model=SimpleNamespace(model_sampling=CONST()))
    monkeypatch.setattr(HeadlessSockets, "sampling_patcher", lambda self, model: patcher)
    latents, sigmas, shown = torch.zeros(1, 64, frames), torch.tensor([1.0, 0.6, 0.0]), []
    noise = draw([3], frames, 64).transpose(1, 2)
    with hosts.use(HeadlessHost([], tmp_path, device="cpu")):
        guider = make_guider()
        result = guider.sample(
            noise, latents, SolverSampler("euler", 0.0), sigmas, callback=lambda *step: shown.append(step), seed=3
        )
        ours = Sampler().sample(guider, sigmas, {"samples": latents}, 3)[0]["samples"]
    assert result.shape == latents.shape and torch.allclose(result, ours, atol=1e-4)
    assert [tuple(x0.shape) for _, x0, _, _ in shown] == [tuple(latents.shape)] * 2


def test_latents_and_guiders_of_other_packs_are_refused() -> None:
    foreign = {"samples": torch.zeros(1, 8, 16, 100)}
    with pytest.raises(ValueError, match=r"latent has shape \[1, 8, 16, 100\], expected \[songs 64 frames\]"):
        Sampler().sample(make_guider(), torch.tensor([1.0, 0.0]), foreign, 0)
    with pytest.raises(ValueError, match="guider is a dict"):
        Sampler().sample({}, torch.tensor([1.0, 0.0]), {"samples": torch.zeros(1, 64, 9)}, 0)  # type: ignore[arg-type]
