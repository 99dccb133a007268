"""The regions of an edit: the text a user writes, and the mask the sampler reads."""

from __future__ import annotations

from itertools import groupby

import torch
from torch import Tensor

from ..audio.region_text import parse_regions
from ..audio.timeline import EditTimeline

# Per song, or one for all of them: lengths of equal values in frames, 1 where music is made and 0 where it is kept.
# Plain numbers, so that an edit can be compared and written as JSON.
Mask = tuple[tuple[tuple[int, float], ...], ...]


def region_problem(regions: str | None) -> bool | str:
    """What VALIDATE_INPUTS returns for a region text. A connected text arrives as None and is checked when it runs."""
    try:
        parse_regions("0-1" if regions is None else regions)
    except ValueError as error:
        return str(error)
    return True


def frame_mask(timeline: EditTimeline) -> Tensor:
    """``[1 t 1]``, 1 in the frames that are made anew."""
    mask = torch.zeros(1, timeline.frames, 1)
    for start, end in timeline.frame_spans:
        mask[:, start:end] = 1
    return mask


def encode_mask(mask: Tensor) -> Mask:
    """A mask ``[b t 1]`` as lengths of equal values."""
    rows = mask[..., 0].tolist()
    return tuple(tuple((len(list(frames)), value) for value, frames in groupby(row)) for row in rows)


def decode_mask(mask: Mask) -> Tensor:
    """The mask ``[b t 1]`` in float32."""
    rows = [[value for length, value in row for _ in range(length)] for row in mask]
    return torch.tensor(rows)[..., None]
