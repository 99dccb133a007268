"""Every edit through the nodes, against a second derivation of the official procedure.

The derivation is support/derivation.py; the first test compares it with the official runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import derivation
import pytest
import torch
from derivation import GoldenModel, Guide, Hold, Side, hold
from torch import Tensor

from acestep_xl import host as hosts
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.host.headless_sockets import HeadlessModel
from acestep_xl.nodes.cover import Cover
from acestep_xl.nodes.guidance import GuiderNode
from acestep_xl.nodes.repaint import Repaint
from acestep_xl.nodes.retake import Retake
from acestep_xl.nodes.sampler import Sampler
from acestep_xl.nodes.schedule import Schedule
from acestep_xl.nodes.tracks import Tracks
from acestep_xl.pipeline import conditioning

STEPS, SEED = 10, 5
FRAMES = 141  # odd, and not a multiple of the tokenizer's five
LEVELS = derivation.levels(STEPS, 3.0)
REGION, SPANS = "1.2-2.4", [(30, 60)]
Latent = dict[str, Any]


@pytest.fixture
def model(golden, tmp_path: Path) -> Iterator[GoldenModel]:
    with hosts.use(HeadlessHost([], tmp_path, device="cpu")):
        yield GoldenModel(golden.network, golden.inputs)


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


def derive(
    model: GoldenModel, sides: Side | list[Side], *, seed: int = SEED, frames: int = FRAMES, **options: Any
) -> Tensor:
    """One side is used for every step."""
    sides = [sides] * STEPS if isinstance(sides, Side) else sides
    return derivation.generate(model.network, derivation.draw(seed, frames), LEVELS, sides, **options)


def song(
    model: GoldenModel, latent: Latent, positive, negative=None, *, seed: int = SEED, noise=None, **options: Any
) -> Tensor:
    """The sampled latents ``[b t c]``, through the nodes."""
    settings = {"type": "apg", "scale": 7.0, "start": 0.0, "end": 1.0, "negative_weight": 1.0} | options
    apg = {"momentum": -0.75, "norm_threshold": 2.5, "eta": 0.0, "angle_clip": 0.5, "adg_variant": "standard"}
    (guider,) = GuiderNode().make(HeadlessModel(model.network), positive, negative=negative, **apg, **settings)
    (sigmas,) = Schedule().make(STEPS, 3.0, "")
    return Sampler().sample(guider, sigmas, latent, seed, noise)[0]["samples"].transpose(1, 2)


def as_latent(samples: Tensor) -> Latent:
    return {"samples": samples.transpose(1, 2)}


def cover(src: Tensor, codes: bool = False, strength: float = 1.0, start: float = 0.0) -> Latent:
    return Cover().make(codes, strength, start, 1, latent=as_latent(src))[0]


def repaint(src: Tensor, regions: str = REGION, strength: float = 0.5, mode: str = "balanced") -> Latent:
    return Repaint().make(regions, strength, 0.05, 1, mode, latent=as_latent(src))[0]


def test_the_derivation_matches_the_official_runs(model, golden):
    inputs, outputs = golden.inputs, golden.outputs
    noise, src, levels = inputs["noise.seed7"], inputs["src"][:1], derivation.levels(12, 3.0)
    condition = model.condition(0, references=[0])
    with torch.no_grad():  # item 1's caption with its padding: the official transformer attends to it
        after_switch = torch.cat([condition[:, :61], model.network.encoder.text_projector(inputs["text"][1:2])], dim=1)

    def run(sides: list[Side], **options: Any) -> Tensor:
        return derivation.generate(model.network, noise, levels, sides, **options)

    close(run([Side(condition, derivation.context(model.silence(101)))] * 12), outputs["gen.apg7"])
    with_source = Side(condition, derivation.context(model.round_trip_codes(src)))
    close(run(model.drop_source(6, with_source, after_switch, 12)), outputs["gen.cover"])
    side = Side(condition, model.repaint(src, SPANS))
    close(run([side] * 12, holding=hold(src, SPANS, 0.5, 10)), outputs["gen.repaint"])


@pytest.mark.parametrize("codes", [True, False])
@pytest.mark.parametrize(("strength", "source_steps"), [(0.0, 0), (0.3, 3), (0.5, 5), (0.99, 9), (1.0, 10)])
def test_cover(model, codes, strength, source_steps):
    src = model.source(FRAMES)
    with_source = Side(model.condition(0), derivation.context(model.round_trip_codes(src) if codes else src))
    expected = derive(model, model.drop_source(source_steps, with_source, model.condition(0, caption=1), STEPS))
    close(song(model, cover(src, codes, strength), model.prompt(0, after_switch=1)), expected)


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize(("source_start", "first"), [(0.2, 4), (0.5, 7), (0.9, 9)])
def test_cover_from_a_noised_source(model, source_start, first, strength):
    # Levels: 1 .96 .92 .88 .82 .75 .67 .56 .43 .25 0; a run never starts from the last.
    src, noise, levels = model.source(FRAMES), derivation.draw(SEED, FRAMES), LEVELS[first:]
    remaining, start = STEPS - first, levels[0] * noise + (1 - levels[0]) * src
    with_source = Side(model.condition(0), derivation.context(model.round_trip_codes(src)))
    sides = model.drop_source(int(remaining * strength), with_source, model.condition(0, caption=1), remaining)
    expected = derivation.generate(model.network, noise, levels, sides, start=start)
    close(song(model, cover(src, True, strength, source_start), model.prompt(0, after_switch=1)), expected)


def check_repaint(model, regions, spans, mode="balanced", strength=0.5, injection=0.5, width=12) -> None:
    src = model.source(FRAMES)
    side = Side(model.condition(1), model.repaint(src, spans))
    expected = derive(model, side, holding=hold(src, spans, injection, width))
    close(song(model, repaint(src, regions, strength, mode), model.prompt(1, after_switch=0)), expected)


# Without a blend the official code keeps the generated frames outside; here they are the source in every mode.
@pytest.mark.parametrize(
    ("mode", "strength", "injection", "width"),
    [
        *[("balanced", s, s, width) for s, width in ((0.0, 0), (0.25, 6), (0.5, 12), (0.87, 22), (1.0, 25))],
        ("conservative", 0.3, 1.0, 25),
        ("aggressive", 0.3, 0.0, 0),
    ],
)
def test_repaint_strengths_and_modes(model, mode, strength, injection, width):
    check_repaint(model, REGION, SPANS, mode, strength, injection, width)


@pytest.mark.parametrize(
    ("regions", "spans"),
    [
        ("1.2-2, 2.8-3.2, 4-4.8", [(30, 50), (70, 80), (100, 120)]),
        ("0-1.2, 4-end", [(0, 30), (100, FRAMES)]),
        ("start-end", [(0, FRAMES)]),
    ],
)
def test_repaint_regions(model, regions, spans):
    check_repaint(model, regions, spans)


def test_the_fade_is_limited_by_the_start_and_the_end(model):
    check_repaint(model, "0.2-1, 4.8-5.2", [(5, 25), (120, 130)])


def test_repaint_before_the_start_and_after_the_end(model):
    src, spans, frames = model.source(FRAMES), [(0, 35), (156, 191)], 191  # 25 frames before the source, 25 after it
    extended = torch.cat([torch.zeros(1, 25, 64), src, torch.zeros(1, 25, 64)], dim=1)
    side = Side(model.condition(0), model.repaint(extended, spans))
    expected = derive(model, side, frames=frames, holding=hold(extended, spans, 0.5, 12))
    close(song(model, repaint(src, "-1-0.4, 5.24-6.64"), model.prompt(0)), expected)


def test_noise_mask_of_another_node(model):
    """1 is generated, 0 reset to the source after every step, and values between are mixed in that proportion."""
    src, mask = model.source(FRAMES), torch.zeros(1, FRAMES, 1)
    mask[:, 40:80], mask[:, 80:100] = 1, 0.5
    side = Side(model.condition(0), derivation.context(torch.where(mask > 0, model.silence(FRAMES), src), mask))
    expected = derive(model, side, holding=Hold(src, mask, 1.0, None))
    close(song(model, {**as_latent(src), "noise_mask": mask.transpose(1, 2)}, model.prompt(0)), expected)


def test_noise_masks_of_a_batch(model):
    latent = as_latent(torch.cat([model.source(FRAMES, 0), model.source(FRAMES, 1)]))
    latent["noise_mask"] = torch.zeros(2, 1, FRAMES)
    latent["noise_mask"][0, :, 20:50], latent["noise_mask"][1, :, 60:90] = 1, 1
    both = song(model, latent, model.prompt(0))
    for i in range(2):
        alone = {key: value[i : i + 1] for key, value in latent.items()}
        close(both[i : i + 1], song(model, alone, model.prompt(0), seed=SEED + i), 1e-5)


@pytest.mark.parametrize("seeds", [(5, 6), (77, 1234567)])
@pytest.mark.parametrize("variance", [0.0, 0.3, 1.0])
def test_retake(model, variance, seeds):
    src, (one, other) = model.source(FRAMES), (derivation.draw(seed, FRAMES) for seed in seeds)
    noise = math.cos(variance * math.pi / 2) * one + math.sin(variance * math.pi / 2) * other
    sides = [Side(model.condition(0), model.repaint(src, SPANS))] * STEPS
    expected = derivation.generate(model.network, noise, LEVELS, sides, holding=hold(src, SPANS, 0.5, 12))
    (retake,) = Retake().make(*seeds, variance)
    close(song(model, repaint(src), model.prompt(0), seed=99, noise=retake), expected)


@pytest.mark.parametrize("weight", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("kind", ["apg", "cfg"])
def test_negative_prompt(model, kind, weight):
    src = model.source(FRAMES)
    side = Side(model.condition(0), model.repaint(src, SPANS), model.condition(1))
    expected = derive(model, side, guide=Guide(kind, 4.0, weight=weight), holding=hold(src, SPANS, 0.5, 12))
    settings = {"type": kind, "scale": 4.0, "negative_weight": weight}
    close(song(model, repaint(src), model.prompt(0), model.prompt(1), **settings), expected)


def test_a_negative_prompt_drops_the_source_too(model):
    """Positive and negative prompt switch to the instruction of text to music together."""
    src = model.source(FRAMES)
    before = Side(model.condition(0), derivation.context(src), model.condition(1))
    after = Side(model.condition(0, 1), derivation.context(model.silence(FRAMES)), model.condition(1, 0))
    expected = derive(model, [before] * 5 + [after] * 5)
    edit = cover(src, strength=0.5)
    close(song(model, edit, model.prompt(0, after_switch=1), model.prompt(1, after_switch=0)), expected)


@pytest.mark.parametrize("kind", ["apg", "cfg"])
def test_guidance_interval(model, kind):
    """Progress 0.2 to 0.6 is t from 0.8 down to 0.4; APG remembers guided steps only."""
    src = model.source(FRAMES)
    sides = model.drop_source(
        6, Side(model.condition(0), derivation.context(src)), model.condition(0, caption=1), STEPS
    )
    expected = derive(model, sides, guide=Guide(kind, 3.0, low=0.4, high=0.8))
    settings = {"type": kind, "scale": 3.0, "start": 0.2, "end": 0.6}
    close(song(model, cover(src, strength=0.6), model.prompt(0, after_switch=1), **settings), expected)


@pytest.mark.parametrize("make", [lambda src: cover(src, True, 0.5, 0.2), repaint], ids=["cover", "repaint"])
def test_batch_of_different_prompts_is_its_single_runs(model, make):
    sources = torch.cat([model.source(FRAMES, 0), model.source(FRAMES, 1)])
    prompts = [model.prompt(0, after_switch=1), model.prompt(1, after_switch=0)]
    both = song(model, make(sources), conditioning.join(*prompts), model.prompt(1))
    for i in range(2):
        alone = song(model, make(sources[i : i + 1]), prompts[i], model.prompt(1), seed=SEED + i)
        close(both[i : i + 1], alone, 1e-5)


def test_prompts_of_one_batch_need_the_same_references(model):
    with pytest.raises(ValueError, match="reference"):
        conditioning.join(model.prompt(0, references=[0]), model.prompt(1, references=[1]))


@pytest.mark.parametrize("references", [[1], [0, 1], [1, 0, 1]])
def test_each_timbre_reference_is_one_token(model, references):
    src, after = model.source(FRAMES), model.condition(0, caption=1, references=references)
    before = Side(model.condition(0, references=references), derivation.context(src))
    expected = derive(model, model.drop_source(5, before, after, STEPS))
    positive = model.prompt(0, after_switch=1, references=references)
    packed = conditioning.encode(model.network, conditioning.read(positive, "positive"), torch.device("cpu"))
    close(packed.states, before.condition)
    close(song(model, cover(src, strength=0.5), positive), expected)


@pytest.mark.parametrize("task", ["text2music", "cover", "cover-nofsq", "repaint"])
def test_short_song_is_padded_with_silence_to_128_frames(model, task):
    """The padding of a source is silence from its beginning; without a source all 128 frames are one silence."""
    src = model.inputs["src"][:1]
    padded = torch.cat([src, model.silence(27)], dim=1)
    latent, context = {
        "text2music": lambda: (as_latent(torch.zeros(1, 101, 64)), derivation.context(model.silence(128))),
        "cover": lambda: (cover(src, True), derivation.context(model.round_trip_codes(padded))),
        "cover-nofsq": lambda: (cover(src), derivation.context(padded)),
        "repaint": lambda: (repaint(src), model.repaint(padded, SPANS)),
    }[task]()
    holding = hold(padded, SPANS, 0.5, 12) if task == "repaint" else None
    expected = derive(model, Side(model.condition(0), context), frames=128, holding=holding)[:, :101]
    close(song(model, latent, model.prompt(0)), expected)


@pytest.mark.parametrize(("task", "regions"), [("lego", REGION), ("lego", ""), ("extract", ""), ("complete", "")])
def test_tracks_see_the_entire_source(model, monkeypatch, task, regions):
    monkeypatch.setattr(model.network, "training_kind", "base")
    src, mask = model.source(FRAMES), derivation.inside(SPANS if regions else [(0, FRAMES)], FRAMES)
    expected = derive(model, Side(model.condition(0), derivation.context(src, mask)))
    edit, _ = Tracks().make(task, regions, 1, latent=as_latent(src))
    close(song(model, edit, model.prompt(0)), expected)


@pytest.mark.parametrize("task", ["lego", "extract", "complete"])
@pytest.mark.parametrize("kind", ["sft", "turbo"])
def test_tracks_need_a_base_checkpoint(model, monkeypatch, task, kind):
    monkeypatch.setattr(model.network, "training_kind", kind)
    edit, _ = Tracks().make(task, "", 1, latent=as_latent(model.source(FRAMES)))
    with pytest.raises(ValueError, match=rf"{task} needs a base checkpoint.* {kind}.*Load"):
        song(model, edit, model.prompt(0))
