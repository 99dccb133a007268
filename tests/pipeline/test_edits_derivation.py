"""Cover, repaint and all the other edits through the nodes, against a second derivation of the official procedure.

The derivation is support/derivation.py; it first has to give the official runs themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import derivation
import pytest
import torch
from derivation import Facts, Guide, Hold, Side, hold
from torch import Tensor

from acestep_xl import host as hosts
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.cover import Cover
from acestep_xl.nodes.guidance import GuiderNode
from acestep_xl.nodes.repaint import Repaint
from acestep_xl.nodes.retake import Retake
from acestep_xl.nodes.sampler import Sampler
from acestep_xl.nodes.schedule import Schedule
from acestep_xl.nodes.tracks import Tracks
from acestep_xl.pipeline import conditioning

STEPS, SEED = 10, 5
FRAMES = 141  # odd, and no multiple of the tokenizer's five
LEVELS = derivation.levels(STEPS, 3.0)
REGION, SPANS = "1.2-2.4", [(30, 60)]
Latent = dict[str, Any]


@pytest.fixture
def facts(golden, tmp_path: Path) -> Iterator[Facts]:
    with hosts.use(HeadlessHost([], tmp_path, device="cpu")):
        yield Facts(golden.network, golden.inputs)


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


def derive(facts: Facts, sides: Side | list[Side], *, seed: int = SEED, frames: int = FRAMES, **more: Any) -> Tensor:
    """One side is the same for every step."""
    sides = [sides] * STEPS if isinstance(sides, Side) else sides
    return derivation.generate(facts.network, derivation.draw(seed, frames), LEVELS, sides, **more)


def song(facts: Facts, latent: Latent, positive, negative=None, *, seed: int = SEED, noise=None, **more: Any) -> Tensor:
    """Through the nodes, ``[b t c]``."""
    settings = {"type": "apg", "scale": 7.0, "start": 0.0, "end": 1.0, "negative_weight": 1.0} | more
    apg = {"momentum": -0.75, "norm_threshold": 2.5, "eta": 0.0, "angle_clip": 0.5, "adg_variant": "standard"}
    (guider,) = GuiderNode().make(facts.network, positive, negative=negative, **apg, **settings)
    (sigmas,) = Schedule().make(STEPS, 3.0, "")
    return Sampler().sample(guider, sigmas, latent, seed, noise)[0]["samples"].transpose(1, 2)


def as_latent(samples: Tensor) -> Latent:
    return {"samples": samples.transpose(1, 2)}


def cover(src: Tensor, codes: bool = False, strength: float = 1.0, start: float = 0.0) -> Latent:
    return Cover().make(codes, strength, start, 1, latent=as_latent(src))[0]


def repaint(src: Tensor, regions: str = REGION, strength: float = 0.5, mode: str = "balanced") -> Latent:
    return Repaint().make(regions, strength, 0.05, 1, mode, latent=as_latent(src))[0]


def test_the_derivation_gives_the_official_runs(facts, golden):
    inputs, outputs = golden.inputs, golden.outputs
    noise, src, levels = inputs["noise.seed7"], inputs["src"][:1], derivation.levels(12, 3.0)
    own = facts.condition(0, references=[0])
    with torch.no_grad():  # item 1's caption with its padding, which the official transformer attends to
        released = torch.cat([own[:, :61], facts.network.encoder.text_projector(inputs["text"][1:2])], dim=1)

    def run(sides: list[Side], **more: Any) -> Tensor:
        return derivation.generate(facts.network, noise, levels, sides, **more)

    close(run([Side(own, derivation.context(facts.silence(101)))] * 12), outputs["gen.apg7"])
    told = Side(own, derivation.context(facts.round_trip_codes(src)))
    close(run(facts.without_source(6, told, released, 12)), outputs["gen.cover"])
    part = Side(own, facts.repaint(src, SPANS))
    close(run([part] * 12, holding=hold(src, SPANS, 0.5, 10)), outputs["gen.repaint"])


@pytest.mark.parametrize("codes", [True, False])
@pytest.mark.parametrize(("strength", "kept"), [(0.0, 0), (0.3, 3), (0.5, 5), (0.99, 9), (1.0, 10)])
def test_cover(facts, codes, strength, kept):
    src = facts.source(FRAMES)
    told = Side(facts.condition(0), derivation.context(facts.round_trip_codes(src) if codes else src))
    expected = derive(facts, facts.without_source(kept, told, facts.condition(0, caption=1), STEPS))
    close(song(facts, cover(src, codes, strength), facts.prompt(0, released=1)), expected)


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize(("share", "first"), [(0.2, 4), (0.5, 7), (0.9, 9)])
def test_cover_from_a_noised_source(facts, share, first, strength):
    # Levels: 1 .96 .92 .88 .82 .75 .67 .56 .43 .25 and 0, which is never started from.
    src, noise, levels = facts.source(FRAMES), derivation.draw(SEED, FRAMES), LEVELS[first:]
    left, start = STEPS - first, levels[0] * noise + (1 - levels[0]) * src
    told = Side(facts.condition(0), derivation.context(facts.round_trip_codes(src)))
    sides = facts.without_source(int(left * strength), told, facts.condition(0, caption=1), left)
    expected = derivation.generate(facts.network, noise, levels, sides, start=start)
    close(song(facts, cover(src, True, strength, share), facts.prompt(0, released=1)), expected)


def check_repaint(facts, regions, spans, mode="balanced", strength=0.5, injection=0.5, width=12) -> None:
    src = facts.source(FRAMES)
    part = Side(facts.condition(1), facts.repaint(src, spans))
    expected = derive(facts, part, holding=hold(src, spans, injection, width))
    close(song(facts, repaint(src, regions, strength, mode), facts.prompt(1, released=0)), expected)


# Without a width the official code leaves the rest as it was made; here it is the source whatever the mode.
@pytest.mark.parametrize(
    ("mode", "strength", "injection", "width"),
    [
        *[("balanced", s, s, width) for s, width in ((0.0, 0), (0.25, 6), (0.5, 12), (0.87, 22), (1.0, 25))],
        ("conservative", 0.3, 1.0, 25),
        ("aggressive", 0.3, 0.0, 0),
    ],
)
def test_repaint_strengths_and_modes(facts, mode, strength, injection, width):
    check_repaint(facts, REGION, SPANS, mode, strength, injection, width)


@pytest.mark.parametrize(
    ("regions", "spans"),
    [
        ("1.2-2, 2.8-3.2, 4-4.8", [(30, 50), (70, 80), (100, 120)]),
        ("0-1.2, 4-end", [(0, 30), (100, FRAMES)]),
        ("start-end", [(0, FRAMES)]),
    ],
)
def test_repaint_regions(facts, regions, spans):
    check_repaint(facts, regions, spans)


def test_fade_is_as_long_as_the_room_before_the_start_and_the_end(facts):
    check_repaint(facts, "0.2-1, 4.8-5.2", [(5, 25), (120, 130)])


def test_repaint_before_the_start_and_after_the_end(facts):
    src, spans, frames = facts.source(FRAMES), [(0, 35), (156, 191)], 191  # 25 frames before the source, 25 after it
    placed = torch.cat([torch.zeros(1, 25, 64), src, torch.zeros(1, 25, 64)], dim=1)
    part = Side(facts.condition(0), facts.repaint(placed, spans))
    expected = derive(facts, part, frames=frames, holding=hold(placed, spans, 0.5, 12))
    close(song(facts, repaint(src, "-1-0.4, 5.24-6.64"), facts.prompt(0)), expected)


def test_noise_mask_of_another_node(facts):
    """1 is made anew, 0 held at every step; between, that share is mixed in after every step."""
    src, mask = facts.source(FRAMES), torch.zeros(1, FRAMES, 1)
    mask[:, 40:80], mask[:, 80:100] = 1, 0.5
    part = Side(facts.condition(0), derivation.context(torch.where(mask > 0, facts.silence(FRAMES), src), mask))
    expected = derive(facts, part, holding=Hold(src, mask, 1.0, None))
    close(song(facts, {**as_latent(src), "noise_mask": mask.transpose(1, 2)}, facts.prompt(0)), expected)


def test_noise_masks_of_a_batch(facts):
    latent = as_latent(torch.cat([facts.source(FRAMES, 0), facts.source(FRAMES, 1)]))
    latent["noise_mask"] = torch.zeros(2, 1, FRAMES)
    latent["noise_mask"][0, :, 20:50], latent["noise_mask"][1, :, 60:90] = 1, 1
    both = song(facts, latent, facts.prompt(0))
    for i in range(2):
        alone = {key: value[i : i + 1] for key, value in latent.items()}
        close(both[i : i + 1], song(facts, alone, facts.prompt(0), seed=SEED + i), 1e-5)


@pytest.mark.parametrize("seeds", [(5, 6), (77, 1234567)])
@pytest.mark.parametrize("variance", [0.0, 0.3, 1.0])
def test_retake(facts, variance, seeds):
    src, (one, other) = facts.source(FRAMES), (derivation.draw(seed, FRAMES) for seed in seeds)
    noise = math.cos(variance * math.pi / 2) * one + math.sin(variance * math.pi / 2) * other
    sides = [Side(facts.condition(0), facts.repaint(src, SPANS))] * STEPS
    expected = derivation.generate(facts.network, noise, LEVELS, sides, holding=hold(src, SPANS, 0.5, 12))
    (retake,) = Retake().make(*seeds, variance)
    close(song(facts, repaint(src), facts.prompt(0), seed=99, noise=retake), expected)


@pytest.mark.parametrize("weight", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("kind", ["apg", "cfg"])
def test_negative_prompt(facts, kind, weight):
    src = facts.source(FRAMES)
    part = Side(facts.condition(0), facts.repaint(src, SPANS), facts.condition(1))
    expected = derive(facts, part, guide=Guide(kind, 4.0, weight=weight), holding=hold(src, SPANS, 0.5, 12))
    settings = {"type": kind, "scale": 4.0, "negative_weight": weight}
    close(song(facts, repaint(src), facts.prompt(0), facts.prompt(1), **settings), expected)


def test_negative_prompt_lets_go_of_the_source_too(facts):
    """A negative prompt differs from the positive in its caption only, so its instruction changes with it."""
    src = facts.source(FRAMES)
    before = Side(facts.condition(0), derivation.context(src), facts.condition(1))
    after = Side(facts.condition(0, 1), derivation.context(facts.silence(FRAMES)), facts.condition(1, 0))
    expected = derive(facts, [before] * 5 + [after] * 5)
    edit = cover(src, strength=0.5)
    close(song(facts, edit, facts.prompt(0, released=1), facts.prompt(1, released=0)), expected)


@pytest.mark.parametrize("kind", ["apg", "cfg"])
def test_guidance_interval(facts, kind):
    """Progress 0.2 to 0.6 is t from 0.8 down to 0.4; APG remembers guided steps only."""
    src = facts.source(FRAMES)
    sides = facts.without_source(
        6, Side(facts.condition(0), derivation.context(src)), facts.condition(0, caption=1), STEPS
    )
    expected = derive(facts, sides, guide=Guide(kind, 3.0, low=0.4, high=0.8))
    settings = {"type": kind, "scale": 3.0, "start": 0.2, "end": 0.6}
    close(song(facts, cover(src, strength=0.6), facts.prompt(0, released=1), **settings), expected)


@pytest.mark.parametrize("make", [lambda src: cover(src, True, 0.5, 0.2), repaint], ids=["cover", "repaint"])
def test_batch_of_different_prompts_is_its_single_runs(facts, make):
    sources = torch.cat([facts.source(FRAMES, 0), facts.source(FRAMES, 1)])
    prompts = [facts.prompt(0, released=1), facts.prompt(1, released=0)]
    both = song(facts, make(sources), conditioning.join(*prompts), facts.prompt(1))
    for i in range(2):
        alone = song(facts, make(sources[i : i + 1]), prompts[i], facts.prompt(1), seed=SEED + i)
        close(both[i : i + 1], alone, 1e-5)


def test_prompts_of_one_batch_need_the_same_references(facts):
    with pytest.raises(ValueError, match="reference"):
        conditioning.join(facts.prompt(0, references=[0]), facts.prompt(1, references=[1]))


@pytest.mark.parametrize("references", [[1], [0, 1], [1, 0, 1]])
def test_timbre_references_are_a_token_each(facts, references):
    src, after = facts.source(FRAMES), facts.condition(0, caption=1, references=references)
    before = Side(facts.condition(0, references=references), derivation.context(src))
    expected = derive(facts, facts.without_source(5, before, after, STEPS))
    positive = facts.prompt(0, released=1, references=references)
    packed = conditioning.encode(facts.network, conditioning.read(positive, "positive"), torch.device("cpu"))
    close(packed.states, before.condition)
    close(song(facts, cover(src, strength=0.5), positive), expected)


@pytest.mark.parametrize("task", ["text2music", "cover", "cover-nofsq", "repaint"])
def test_short_song_is_padded_with_silence_to_128_frames(facts, task):
    """The silence after a source starts anew; what is silence all over is one silence of 128 frames."""
    src = facts.inputs["src"][:1]
    whole = torch.cat([src, facts.silence(27)], dim=1)
    latent, seen = {
        "text2music": lambda: (as_latent(torch.zeros(1, 101, 64)), derivation.context(facts.silence(128))),
        "cover": lambda: (cover(src, True), derivation.context(facts.round_trip_codes(whole))),
        "cover-nofsq": lambda: (cover(src), derivation.context(whole)),
        "repaint": lambda: (repaint(src), facts.repaint(whole, SPANS)),
    }[task]()
    holding = hold(whole, SPANS, 0.5, 12) if task == "repaint" else None
    expected = derive(facts, Side(facts.condition(0), seen), frames=128, holding=holding)[:, :101]
    close(song(facts, latent, facts.prompt(0)), expected)


@pytest.mark.parametrize(("task", "regions"), [("lego", REGION), ("lego", ""), ("extract", ""), ("complete", "")])
def test_tracks_see_the_whole_source(facts, monkeypatch, task, regions):
    monkeypatch.setattr(facts.network, "training_kind", "base")
    src, mask = facts.source(FRAMES), derivation.inside(SPANS if regions else [(0, FRAMES)], FRAMES)
    expected = derive(facts, Side(facts.condition(0), derivation.context(src, mask)))
    edit, _ = Tracks().make(task, regions, 1, latent=as_latent(src))
    close(song(facts, edit, facts.prompt(0)), expected)


@pytest.mark.parametrize("task", ["lego", "extract", "complete"])
@pytest.mark.parametrize("kind", ["sft", "turbo"])
def test_tracks_need_a_base_checkpoint(facts, monkeypatch, task, kind):
    monkeypatch.setattr(facts.network, "training_kind", kind)
    edit, _ = Tracks().make(task, "", 1, latent=as_latent(facts.source(FRAMES)))
    with pytest.raises(ValueError, match=rf"{task} needs a base checkpoint.* {kind}.*Load"):
        song(facts, edit, facts.prompt(0))
