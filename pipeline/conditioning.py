"""CONDITIONING sockets: between ComfyUI's list of ``[tensor, dict]`` and what the network's encoder reads.

The keys are the ones ComfyUI's own ACE-Step 1.5 nodes write, so its text encode node and ours are interchangeable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model import context
from ..model.condition import Condition
from ..model.network import AceStep
from ..model.text import TextStates

LYRICS = "conditioning_lyrics"
LYRICS_MASK = "conditioning_lyrics_mask"
CAPTION_MASK = "attention_mask"
REFERENCES = "reference_audio_timbre_latents"
CODES = "audio_codes"
# Keys of our own, which other packs' nodes pass on and ignore.
CAPTION = "acestep_xl_caption"
TASK = "acestep_xl_task"
SECONDS = "acestep_xl_seconds"
RELEASED, RELEASED_MASK = "acestep_xl_released", "acestep_xl_released_mask"

Conditioning = list[list[Any]]


@dataclass(frozen=True)
class PromptConditioning:
    """One CONDITIONING, checked. text: ``[b n d]``, lyrics: ``[b m d]`` with bool masks; references: ``[1 c t]`` each;
    codes: 5 Hz audio codes per item, as ComfyUI's language model writes them. released: the caption states, with their
    mask, for the part of a run after the source is let go. task: what it was encoded for, None from other nodes.
    seconds: the length that the prompt tells, 0 for none, None from other nodes. empty: per item, whether it says
    nothing, which as a negative prompt means the null condition."""

    text: Tensor
    text_mask: Tensor
    lyrics: Tensor
    lyrics_mask: Tensor
    references: tuple[Tensor, ...]
    codes: tuple[tuple[int, ...], ...]
    released: tuple[Tensor, Tensor]
    task: str | None
    seconds: float | None
    empty: tuple[bool, ...]

    @property
    def batch(self) -> int:
        return len(self.text)


def write(
    states: TextStates, task: str, said: Sequence[str], released: TextStates | None = None, seconds: float | None = None
) -> Conditioning:
    """A CONDITIONING from encoded prompts, on the CPU. Masks are written only where something is padded.

    said: their captions. released: the same prompts encoded as text to music, for tasks that let their source go
    part-way. seconds: the length they tell, 0 for none.
    """
    extra: dict[str, Any] = {"pooled_output": None, LYRICS: states.lyrics.cpu(), TASK: task}
    extra |= {CAPTION: tuple(said), SECONDS: seconds}
    if released is not None:
        extra |= {RELEASED: released.caption.cpu(), RELEASED_MASK: released.caption_mask.cpu()}
    if not bool(states.caption_mask.all()):
        extra[CAPTION_MASK] = states.caption_mask.cpu()
    if not bool(states.lyrics_mask.all()):
        extra[LYRICS_MASK] = states.lyrics_mask.cpu()
    return [[states.caption.cpu(), extra]]


def join(first: Conditioning, second: Conditioning) -> Conditioning:
    """Two CONDITIONINGs as one batch, the shorter padded and masked. What belongs to a whole run must be equal."""
    (text_a, a), (text_b, b) = first[0], second[0]
    one, two = read(first, "first"), read(second, "second")
    tasks = {one.task, two.task} - {None}  # core's text encode node does not tell its task
    if len(tasks) > 1 or bool(one.codes) != bool(two.codes):
        raise ValueError("prompts of one batch need the same task, and audio codes in both or in neither")
    same = len(one.references) == len(two.references) and all(map(torch.equal, one.references, two.references))
    if not same:
        raise ValueError("prompts of one batch need the same timbre references; add them after the batch node")
    text, text_mask = _stack(text_a, one.text_mask, text_b, two.text_mask)
    lyrics, lyrics_mask = _stack(one.lyrics, one.lyrics_mask, two.lyrics, two.lyrics_mask)
    released, released_mask = _stack(*one.released, *two.released)
    extra = {**a, **b, LYRICS: lyrics, LYRICS_MASK: lyrics_mask, CAPTION_MASK: text_mask}
    extra |= {RELEASED: released, RELEASED_MASK: released_mask, CAPTION: (*captions(a, text_a), *captions(b, text_b))}
    if one.codes:
        extra[CODES] = [*map(list, one.codes), *map(list, two.codes)]
    if one.references:
        extra[REFERENCES] = list(a[REFERENCES])
    return [[text, extra]]


def read(conditioning: Conditioning, name: str) -> PromptConditioning:
    """Check a CONDITIONING that may come from any node; ``name`` is the socket's, for messages."""
    if len(conditioning) != 1:
        raise ValueError(
            f"{name} has {len(conditioning)} entries, expected 1: ACE-Step has one prompt per song, so combined or "
            "scheduled conditionings do not apply; connect one text encode node"
        )
    text, extra = conditioning[0]
    lyrics = extra.get(LYRICS)
    if lyrics is None:
        raise ValueError(f"{name} has no lyrics ({LYRICS}): it was not made by an ACE-Step 1.5 text encode node")
    text_mask, released = _mask(extra.get(CAPTION_MASK), text), extra.get(RELEASED)
    said = captions(extra, text)
    return PromptConditioning(
        text,
        text_mask,
        lyrics,
        _mask(extra.get(LYRICS_MASK), lyrics),
        tuple(extra.get(REFERENCES) or ()),
        tuple(tuple(item) for item in extra.get(CODES) or ()),
        (text, text_mask) if released is None else (released, _mask(extra.get(RELEASED_MASK), released)),
        extra.get(TASK),
        extra.get(SECONDS),
        # Core zeroes a conditioning to mean the null condition.
        tuple(not bool(item.any()) or not caption.strip() for item, caption in zip(text, said, strict=True)),
    )


def captions(extra: dict[str, Any], text: Tensor) -> tuple[str, ...]:
    """The captions of a CONDITIONING's items; other packs' nodes do not tell theirs."""
    return tuple(extra.get(CAPTION) or ("unknown",) * len(text))


def without_source(prompted: PromptConditioning) -> PromptConditioning:
    """The same prompt as it reads once the source is let go."""
    return replace(prompted, text=prompted.released[0], text_mask=prompted.released[1], codes=())


def encode(network: AceStep, prompted: PromptConditioning, device: torch.device) -> Condition:
    """The packed condition of a checked CONDITIONING; without a reference the timbre is that of silence."""
    if prompted.text.shape[-1] != network.config.text_dim:
        raise ValueError(
            f"the text encoder gives {prompted.text.shape[-1]} channels, this network reads {network.config.text_dim}: "
            "they are from different models; load the text encoder that belongs to the checkpoint"
        )
    references = (
        [network.silent_reference()]
        if not prompted.references
        else [reference(network, latents) for latents in prompted.references]
    )
    owners = [item for item in range(prompted.batch) for _ in references]
    with torch.no_grad():
        return network.encoder(
            prompted.text.to(device),
            prompted.text_mask.to(device),
            prompted.lyrics.to(device),
            prompted.lyrics_mask.to(device),
            torch.cat(references * prompted.batch).to(device),
            owners,
        )


def source_context(network: AceStep, prompted: PromptConditioning, frames: int) -> Tensor:
    """The context of a run without source audio: silence, or what the prompt's audio codes tell. ``[b t 2c]``."""
    if not prompted.codes:
        return context.text_to_music(network, frames)
    return torch.cat([context.from_codes(network, item, frames) for item in prompted.codes])


def reference(network: AceStep, latents: Tensor) -> Tensor:
    """A timbre reference ``[1 c t]`` at the length the encoder was trained on, ``[1 t c]``."""
    return excerpts(latents, network.config.timbre_frames).transpose(1, 2)


def excerpts(x: Tensor, wanted: int) -> Tensor:
    """``wanted`` steps of the last axis: thirds from the start, the middle and the end of a longer signal, repeats of a
    shorter one. Official inference draws the excerpts at random; fixed ones keep a seed's song the same."""
    length = x.shape[-1]
    if length <= wanted:
        return x.repeat(*(1 for _ in x.shape[:-1]), -(-wanted // length))[..., :wanted]
    third = wanted // 3
    last = wanted - 2 * third
    starts = ((0, third), ((length - third) // 2, third), (length - last, last))
    return torch.cat([x[..., start : start + size] for start, size in starts], dim=-1)


def _stack(a: Tensor, a_mask: Tensor, b: Tensor, b_mask: Tensor) -> tuple[Tensor, Tensor]:
    """``[n s d]`` and ``[m u d]`` as one batch, padded on the right."""
    length = max(a.shape[1], b.shape[1])
    states = torch.cat([F.pad(x, (0, 0, 0, length - x.shape[1])) for x in (a, b)])
    return states, torch.cat([F.pad(mask, (0, length - mask.shape[1])) for mask in (a_mask, b_mask)])


def _mask(mask: Tensor | None, states: Tensor) -> Tensor:
    if mask is None:
        return torch.ones(states.shape[:2], dtype=torch.bool)
    return mask.bool().expand(states.shape[:2])
