"""The regions of an edit: the text a user writes, and the mask the sampler reads."""

from __future__ import annotations

import torch
from torch import Tensor

from ..audio.timeline import EditTimeline, parse_regions


def region_problem(regions: str | None) -> bool | str:
    """What is wrong with a region text, or True. A connected text arrives as None and is checked when it runs."""
    try:
        parse_regions("0-1" if regions is None else regions)
    except ValueError as error:
        return str(error)
    return True


def frame_mask(plan: EditTimeline) -> Tensor:
    """``[1 t 1]``, 1 in the frames that are made anew."""
    mask = torch.zeros(1, plan.frames, 1)
    for start, end in plan.frame_spans:
        mask[:, start:end] = 1
    return mask
