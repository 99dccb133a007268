"""CONDITIONING sockets: between ComfyUI's list of ``[tensor, dict]`` and what the network's encoder reads.

The keys are those of ComfyUI's own ACE-Step 1.5 nodes, so its text encode node and ours are interchangeable.
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
from ..model.prompt import Prompt
from ..model.text import TextStates

LYRICS = "conditioning_lyrics"
LYRICS_MASK = "conditioning_lyrics_mask"
CAPTION_MASK = "attention_mask"
REFERENCES = "reference_audio_timbre_latents"
CODES = "audio_codes"
CODE_RATE = 5  # codes per second
# Keys of our own, which other packs' nodes pass on and ignore.
PROMPTS = "acestep_xl_prompts"
TASK = "acestep_xl_task"
AFTER_SWITCH, AFTER_SWITCH_MASK = "acestep_xl_after_switch", "acestep_xl_after_switch_mask"

Conditioning = list[list[Any]]


@dataclass(frozen=True)
class PromptConditioning:
    """A validated CONDITIONING.

    text: ``[b n d]`` and lyrics: ``[b m d]``, with bool masks. references: timbre latents, ``[1 c t]`` each. codes:
    5 Hz audio codes per item, as ComfyUI's language model writes them. after_switch: caption states and mask for the
    steps after the source has been dropped. prompts: per item, None where another pack's node wrote it. task: what it
    was encoded for, None from other packs. empty: per item, whether the prompt is empty, which as a negative prompt
    means the null condition.
    """

    text: Tensor
    text_mask: Tensor
    lyrics: Tensor
    lyrics_mask: Tensor
    references: tuple[Tensor, ...]
    codes: tuple[tuple[int, ...], ...]
    after_switch: tuple[Tensor, Tensor]
    prompts: tuple[Prompt | None, ...]
    task: str | None
    empty: tuple[bool, ...]

    @property
    def batch(self) -> int:
        return len(self.text)


def write(
    states: TextStates, task: str, prompts: Sequence[Prompt], after_switch: TextStates | None = None
) -> Conditioning:
    """A CONDITIONING of encoded prompts, on the CPU. Masks are written only where something is padded.

    prompts: what was encoded, one per item. after_switch: the same prompts encoded as text to music, for tasks that
    drop their source part-way.
    """
    extra: dict[str, Any] = {"pooled_output": None, LYRICS: states.lyrics.cpu(), TASK: task, PROMPTS: tuple(prompts)}
    if after_switch is not None:
        extra |= {AFTER_SWITCH: after_switch.caption.cpu(), AFTER_SWITCH_MASK: after_switch.caption_mask.cpu()}
    if not bool(states.caption_mask.all()):
        extra[CAPTION_MASK] = states.caption_mask.cpu()
    if not bool(states.lyrics_mask.all()):
        extra[LYRICS_MASK] = states.lyrics_mask.cpu()
    return [[states.caption.cpu(), extra]]


def join(first: Conditioning, second: Conditioning) -> Conditioning:
    """Two CONDITIONINGs as one batch, the shorter one padded and masked.

    Raises ValueError where they differ in what belongs to a whole run: the task, audio codes, timbre references.
    """
    one, two = read(first, "first"), read(second, "second")
    (_, first_extra), (_, second_extra) = first[0], second[0]
    tasks = {one.task, two.task} - {None}  # core's text encode node does not store its task
    if len(tasks) > 1 or bool(one.codes) != bool(two.codes):
        raise ValueError("prompts of one batch need the same task, and audio codes in both or in neither")
    same = len(one.references) == len(two.references) and all(map(torch.equal, one.references, two.references))
    if not same:
        raise ValueError("prompts of one batch need the same timbre references; add them after the batch node")
    text, text_mask = _stack(one.text, one.text_mask, two.text, two.text_mask)
    lyrics, lyrics_mask = _stack(one.lyrics, one.lyrics_mask, two.lyrics, two.lyrics_mask)
    after_switch, after_switch_mask = _stack(*one.after_switch, *two.after_switch)
    extra = {**first_extra, **second_extra, LYRICS: lyrics, LYRICS_MASK: lyrics_mask, CAPTION_MASK: text_mask}
    extra |= {AFTER_SWITCH: after_switch, AFTER_SWITCH_MASK: after_switch_mask, PROMPTS: (*one.prompts, *two.prompts)}
    if one.codes:
        extra[CODES] = [*map(list, one.codes), *map(list, two.codes)]
    if one.references:
        extra[REFERENCES] = list(first_extra[REFERENCES])
    return [[text, extra]]


def read(conditioning: Conditioning, name: str) -> PromptConditioning:
    """Validate a CONDITIONING that may come from any node; ``name`` is the socket's, for messages."""
    if len(conditioning) != 1:
        raise ValueError(
            f"{name} has {len(conditioning)} entries, expected 1: ACE-Step has one prompt per song, so combined or "
            "scheduled conditionings do not apply; connect one text encode node"
        )
    text, extra = conditioning[0]
    lyrics = extra.get(LYRICS)
    if lyrics is None:
        raise ValueError(f"{name} has no lyrics ({LYRICS}): it was not made by an ACE-Step 1.5 text encode node")
    text_mask = _mask(extra.get(CAPTION_MASK), text)
    after_switch = text, text_mask
    if (states := extra.get(AFTER_SWITCH)) is not None:
        after_switch = states, _mask(extra.get(AFTER_SWITCH_MASK), states)
    prompts = tuple(extra.get(PROMPTS) or (None,) * len(text))
    return PromptConditioning(
        text,
        text_mask,
        lyrics,
        _mask(extra.get(LYRICS_MASK), lyrics),
        tuple(extra.get(REFERENCES) or ()),
        tuple(tuple(item) for item in extra.get(CODES) or ()),
        after_switch,
        prompts,
        extra.get(TASK),
        tuple(_is_empty(item, prompt) for item, prompt in zip(text, prompts, strict=True)),
    )


def without_source(prompt: PromptConditioning) -> PromptConditioning:
    """The prompt as it reads once the source has been dropped."""
    return replace(prompt, text=prompt.after_switch[0], text_mask=prompt.after_switch[1], codes=())


def encode(network: AceStep, prompt: PromptConditioning, device: torch.device) -> Condition:
    """The packed condition of a CONDITIONING; without a reference the timbre is that of silence."""
    if prompt.text.shape[-1] != network.config.text_dim:
        raise ValueError(
            f"the text encoder gives {prompt.text.shape[-1]} channels, this network reads {network.config.text_dim}: "
            "they are from different models; load the text encoder that belongs to the checkpoint"
        )
    references = [reference(network, latents) for latents in prompt.references] or [network.silent_reference()]
    owners = [item for item in range(prompt.batch) for _ in references]
    with torch.no_grad():
        return network.encoder(
            prompt.text.to(device),
            prompt.text_mask.to(device),
            prompt.lyrics.to(device),
            prompt.lyrics_mask.to(device),
            torch.cat(references * prompt.batch).to(device),
            owners,
        )


def source_context(network: AceStep, prompt: PromptConditioning, frames: int) -> Tensor:
    """The context of a run without source audio: silence, or the prompt's audio codes decoded. ``[b t 2c]``."""
    if not prompt.codes:
        return context.text_to_music(network, frames)
    return torch.cat([context.from_codes(network, codes, frames) for codes in prompt.codes])


def reference(network: AceStep, latents: Tensor) -> Tensor:
    """A timbre reference ``[1 c t]`` at the length the encoder was trained on, ``[1 t c]``."""
    return excerpts(latents, network.config.timbre_frames).transpose(1, 2)


def excerpts(x: Tensor, length: int) -> Tensor:
    """``length`` steps of the last axis: thirds from the start, the middle and the end of a longer signal, repeats of a
    shorter one. Official inference draws the excerpts at random; fixed ones keep a seed's song the same."""
    available = x.shape[-1]
    if available <= length:
        return x.repeat(*(1 for _ in x.shape[:-1]), -(-length // available))[..., :length]
    third = length // 3
    last = length - 2 * third
    parts = ((0, third), ((available - third) // 2, third), (available - last, last))
    return torch.cat([x[..., start : start + size] for start, size in parts], dim=-1)


def _is_empty(states: Tensor, prompt: Prompt | None) -> bool:
    """Core zeroes a conditioning to mean the null condition."""
    return not bool(states.any()) or (prompt is not None and not prompt.caption.strip())


def _stack(a: Tensor, a_mask: Tensor, b: Tensor, b_mask: Tensor) -> tuple[Tensor, Tensor]:
    """``[n s d]`` and ``[m u d]`` as one batch, padded on the right."""
    length = max(a.shape[1], b.shape[1])
    states = torch.cat([F.pad(x, (0, 0, 0, length - x.shape[1])) for x in (a, b)])
    return states, torch.cat([F.pad(mask, (0, length - mask.shape[1])) for mask in (a_mask, b_mask)])


def _mask(mask: Tensor | None, states: Tensor) -> Tensor:
    if mask is None:
        return torch.ones(states.shape[:2], dtype=torch.bool)
    return mask.bool().expand(states.shape[:2])
