"""How 8-bit weights, compiled layers and the step cache change the numbers, and what they cost or save.

python benchmarks/fidelity.py
python benchmarks/fidelity.py --no-times     without the timing of XL-shaped layers

Writes `fidelity.md`. The networks are small: the golden checkpoints (tests/golden) and the demo network.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
import reports
import solver_runs
import torch
from safetensors.torch import load_file
from torch import Tensor

from acestep_xl.model import context, demo, random_network
from acestep_xl.model.compiled import ON, compile_layers
from acestep_xl.model.condition import Condition
from acestep_xl.model.config import Config, StackWidth, from_official
from acestep_xl.model.linear.quantise import AS_LOADED, KINDS, convert, linear_layers, weight_bytes
from acestep_xl.model.network import AceStep, share
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.sampler.denoise import denoise
from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.schedule import build
from acestep_xl.sampler.solver import get_solver

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
STEPS, LEVEL, SEED = 30, 0.6, 7
THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
FRAMES = 250  # ten seconds
ROUNDS = 3
# As published. The steps do not run the encoders.
XL = Config(StackWidth(2560, 9728, 32, 8, 128), StackWidth(2048, 6144, 16, 8, 128), 32, 8, 4, 2, 1024)
XL_TWO_LAYERS = Config(XL.decoder, XL.encoder, 2, 1, 1, 1, 1024)


MEASURED = f"""Measured by `benchmarks/fidelity.py` in float32 on a CPU. A velocity is conditional and unconditional at
level {LEVEL}; a run has {STEPS} Euler steps, APG 7, ten seconds of music. Cosine, and largest difference over largest
value, against the same network without the setting. Reused: evaluations (of both velocities) that computed only the
first layer. The networks are small; the golden ones have random weights, the demo network is trained. The numbers
compare the settings with each other and say nothing about the sound of the published checkpoint, where a step cache
skips other steps. A single velocity is the first of a run, which a step cache never skips."""
COUNTED = """The complete published XL network in bf16 (with condition encoder and audio codes), counted rather than
measured. The last column is the share of the transformer's parameters that is quantised."""
TIMED = f"""Two velocities (conditional and unconditional) of an XL-shaped network with two layers, ten seconds of
music, float32, the best of {ROUNDS} rounds, in turns. A ratio above 1 is slower."""


@dataclass(frozen=True)
class Subject:
    """A network, a condition and a start noise ``[1 t c]``."""

    name: str
    network: AceStep
    condition: Condition
    noise: Tensor


@dataclass(frozen=True)
class Outcome:
    """A single velocity (conditional and unconditional concatenated), the final latent of a guided run, and its
    counts."""

    velocity: Tensor
    latent: Tensor
    evaluated: int
    reused: int


def golden_subject(folder: Path) -> Subject:
    """A golden checkpoint with the first of its prompts."""
    network = AceStep(from_official(json.loads((folder / "config.json").read_text())), "sft").eval()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    network.requires_grad_(False)
    network.silence = torch.load(folder / "silence_latent.pt", weights_only=True)[0].T.contiguous()
    inputs = {key: value[:1] for key, value in load_file(folder / "inputs.safetensors").items()}
    text_mask, lyric_mask = (inputs[f"{part}_mask"].bool() for part in ("text", "lyric"))
    condition = network.encoder(inputs["text"], text_mask, inputs["lyric"], lyric_mask, inputs["ref"], [0])
    noise = draw([SEED], FRAMES, network.config.latent_channels)
    return Subject(folder.name, network, Condition(condition.states, None), noise)


def demo_subject() -> Subject:
    """The demo network with the solver benchmark's prompt."""
    network, encoder, _ = demo.load()
    prompt = Prompt(solver_runs.CAPTION, "[Instrumental]", "en", Metadata(), instruction("text2music"))
    states = encoder.encode([prompt])
    condition = network.encoder(
        states.caption, states.caption_mask, states.lyrics, states.lyrics_mask, network.silent_reference(), [0]
    )
    return Subject("demo", network, condition, draw([SEED], FRAMES, network.config.latent_channels))


def run_subject(subject: Subject, network: AceStep) -> Outcome:
    """Compute a subject's velocity and run with another version of its network."""
    silent = context.text_to_music(network, FRAMES)
    single = Predictor(network, subject.condition, silent)(subject.noise, LEVEL, unconditional=True)
    predictor = Predictor(network, subject.condition, silent)
    sigmas = build("linear", STEPS, solver_runs.options())
    run = solver_runs.Run(False, "apg", 7.0, "linear", "euler", STEPS)
    guidance = solver_runs.guidance(run)
    latent = denoise(predictor, subject.noise, sigmas, guidance=guidance, solver=get_solver("euler"))
    counts = predictor.counts
    return Outcome(torch.cat([y for y in single if y is not None]), latent, counts.evaluated, counts.reused)


def difference(near: Tensor, exact: Tensor) -> tuple[str, str]:
    """Cosine, and the largest difference over the largest value."""
    near, exact = near.double(), exact.double()
    cosine = torch.cosine_similarity(near.flatten(), exact.flatten(), dim=0).item()
    return f"{cosine:.6f}", f"{((near - exact).abs().max() / exact.abs().max()).item():.1e}"


def fidelity(subject: Subject, settings: dict[str, Callable[[], AceStep]]) -> Iterator[tuple[str, ...]]:
    """A row for each setting."""
    exact, before = run_subject(subject, subject.network), weight_bytes(subject.network)
    for name, make in settings.items():
        network = make()
        near = run_subject(subject, network)
        skipped = f"{near.reused} of {near.evaluated}" if near.evaluated else ""
        size = weight_bytes(network)
        weights = f"{before:,} to {size:,}" if size != before else ""
        yield (
            subject.name,
            name,
            *difference(near.velocity, exact.velocity),
            *difference(near.latent, exact.latent),
            skipped,
            weights,
        )
        print(subject.name, name, flush=True)


def settings_of(network: AceStep, compiled: bool) -> dict[str, Callable[[], AceStep]]:
    """Every opt-in setting, and how to apply it to a copy of the network."""
    settings: dict[str, Callable[[], AceStep]] = {
        f"weights {kind}": lambda kind=kind: convert(network, kind) for kind in KINDS
    }
    if compiled:
        settings["compile on"] = lambda: with_layers_compiled(share(network))
    for threshold in THRESHOLDS:
        settings[f"step cache {threshold}"] = lambda threshold=threshold: with_cache(share(network), threshold)
    return settings


def with_layers_compiled(network: AceStep) -> AceStep:
    compile_layers(network, ON)
    return network


def with_cache(network: AceStep, threshold: float) -> AceStep:
    network.step_cache = threshold
    return network


def sizes() -> Iterator[tuple[str, ...]]:
    """Bytes of the XL network's weights, counted without allocating any."""
    with torch.device("meta"):
        network = AceStep(XL).bfloat16()
    quantised = sum(layer.weight.numel() for _, layer in linear_layers(network))
    fraction = quantised / sum(value.numel() for value in network.decoder.parameters())
    for kind in (AS_LOADED, *KINDS):
        size = weight_bytes(convert(network, kind))
        yield kind, f"{size:,}", f"{size / 2**30:.2f}", f"{100 * fraction:.1f}%"


def times() -> tuple[list[tuple[str, ...]], str]:
    """Time of two velocities of XL-shaped layers, in turns, and a sentence on the time to compile."""
    network = random_network.fill(AceStep(XL_TWO_LAYERS)).eval()
    device, source = torch.device("cpu"), torch.randn(1, FRAMES, 128)
    condition = Condition(torch.randn(1, 300, XL.encoder.hidden), None)
    x = torch.randn(1, FRAMES, 64)
    makes = {"as loaded": lambda: share(network), "compile on": lambda: with_layers_compiled(share(network))}
    makes |= {kind: lambda kind=kind: convert(network, kind) for kind in ("int8", "int8 dynamic")}
    predictors = {name: Predictor(make(), condition, source) for name, make in makes.items()}
    work = {name: lambda p=p: p(x, LEVEL, unconditional=True) for name, p in predictors.items()}
    first = machine.seconds(work["compile on"], device)
    best = machine.in_turn(work, ROUNDS, device)
    rows = [(name, f"{best[name]:.3f}", f"{best[name] / best['as loaded']:.2f}") for name in best]
    return rows, f"The first velocity of compiled layers took {first:.0f} s."


def page(day: str, rows: list[tuple[str, ...]], timed: tuple[list[tuple[str, ...]], str] | None) -> str:
    """The report in Markdown."""
    seconds, first = timed or ([], "")
    speed = "Not measured in this run."
    if timed is not None:
        speed = f"{TIMED} {first}\n\n" + reports.table(("setting", "s", "ratio"), seconds)
    head = ("network", "setting", "velocity cosine", "worst", "latent cosine", "worst", "reused", "bytes of weights")
    counted = reports.table(("weights", "bytes", "GiB", "share"), list(sizes()))
    parts = [f"# Fidelity of the faster and smaller settings, {day}", MEASURED, reports.table(head, rows)]
    parts += ["## Memory", COUNTED, counted, "## Time", speed, machine.describe()]
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    reports.add_option(parser)
    parser.add_argument("--no-times", action="store_true", help="skip compiling and the XL-shaped layers")
    options: Any = parser.parse_args(arguments)
    rows: list[tuple[str, ...]] = []
    with torch.no_grad():
        for subject in (
            golden_subject(GOLDEN / "xl_sft_tiny"),
            golden_subject(GOLDEN / "sft_2b_tiny"),
            demo_subject(),
        ):
            compiled = not options.no_times and subject.name == "demo"
            rows += fidelity(subject, settings_of(subject.network, compiled))
        timed = None if options.no_times else times()
    day = datetime.date.today().isoformat()
    reports.write(options.report, "fidelity", page(day, rows, timed))


if __name__ == "__main__":
    main()
