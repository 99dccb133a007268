"""Warnings about runs whose settings are unusual for the checkpoint, or differ from what the prompt says."""

from __future__ import annotations

from collections.abc import Sequence

from ...sampler.presets import PRESETS
from ..run import TEXT_TO_MUSIC, Run

# What official inference writes into a prompt without a duration.
DEFAULT_PROMPT_SECONDS = 30
# Multiples of a checkpoint's usual steps, and shifts, beyond which nobody has reported good songs.
FEWEST, MOST = 0.4, 3.0
SHIFTS = (1.0, 6.0)
CODE_TOLERANCE = 0.4  # seconds: codes last 0.2 s, and a length in seconds need not be a whole number of them


def steps(run: Run) -> str | None:
    """Far fewer or more steps than the checkpoint was made for."""
    usual = PRESETS.get(run.training)
    count = len(run.sigmas) - 1
    if usual is None or not _is_complete(run) or FEWEST * usual.steps <= count <= MOST * usual.steps:
        return None
    effect = "songs sound unfinished" if count < usual.steps else "more add nothing"
    return f"{count} steps on {run.model}: {effect}; {usual.steps} are usual"


def shift(run: Run) -> str | None:
    """A shift that the checkpoint was never run with."""
    value = shift_of(run.sigmas) if run.training in PRESETS and _is_complete(run) else None
    if value is None or SHIFTS[0] - 0.01 <= value <= SHIFTS[1] + 0.01:
        return None
    usual = PRESETS[run.training].shift
    return f"shift {value:.2g} on {run.model}: {usual:g} is usual, and 1 to {SHIFTS[1]:g} work"


def length(run: Run) -> str | None:
    """A prompt that states another length than the song has."""
    if run.prompt_seconds is None:
        return None
    stated = run.prompt_seconds or DEFAULT_PROMPT_SECONDS
    if abs(stated - run.seconds) <= max(2.0, 0.1 * run.seconds):
        return None
    statement = f"says {stated:g} seconds" if run.prompt_seconds else f"states no length, read as {stated} seconds,"
    return (
        f"the prompt {statement} and the song has {run.seconds:g}: connect the latent node's seconds to the encode "
        "node's duration"
    )


def task(run: Run) -> str | None:
    """A prompt that was encoded for another task."""
    # Audio codes in the prompt are a cover without a source of its own.
    if run.prompt_task in (None, run.task) or (run.prompt_size.codes and run.prompt_task == "cover"):
        return None
    if run.task == TEXT_TO_MUSIC:
        return (
            f"the prompt was encoded for {run.prompt_task} and no source is set up; set the encode node's task to "
            f"{TEXT_TO_MUSIC}"
        )
    return (
        f"the prompt was encoded for {run.prompt_task} and the source is set up for {run.task}; set the encode node's "
        f"task to {run.task}"
    )


def codes(run: Run) -> str | None:
    """Audio codes for another length than the song's."""
    coded = run.prompt_size.code_seconds
    if not coded or abs(coded - run.seconds) <= CODE_TOLERANCE:
        return None
    effect = "the rest is silence to the network" if coded < run.seconds else "the rest is cut off"
    return (
        f"the audio codes last {coded:g} seconds and the song {run.seconds:g}: {effect}. Set both nodes to one length"
    )


def shift_of(sigmas: Sequence[float]) -> float | None:
    """The shift of a linear schedule, sigma = s u / (1 + (s - 1) u); None for any other schedule."""
    count = len(sigmas) - 1
    if count < 3:
        return None
    middle = count // 2
    u, sigma = 1 - middle / count, sigmas[middle]
    if not 0 < sigma < 1:
        return None
    shift = sigma * (1 - u) / (u * (1 - sigma))
    linear = [shift * v / (1 + (shift - 1) * v) for v in (1 - i / count for i in range(count + 1))]
    return shift if all(abs(a - b) < 1e-3 for a, b in zip(sigmas, linear, strict=True)) else None


def _is_complete(run: Run) -> bool:
    """Whether the schedule goes from noise to a clean latent; a part of one has fewer steps for good reason."""
    return bool(run.sigmas) and run.sigmas[0] > 0.99 and run.sigmas[-1] == 0
