"""The factor of an adapter's update: alpha over rank, wherever its trainer keeps alpha."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from .source import Source

TENSOR, CONFIG, HEADER, NOWHERE = (
    "alpha from the file",
    "alpha from adapter_config.json",
    "alpha from the file's header",
    "no alpha anywhere, so 1",
)


class Scale(NamedTuple):
    """value: the factor. origin: one of this file's constants, or what else decided."""

    value: float
    origin: str


def scale_of(source: Source, spellings: Sequence[str], rank: int | None, alpha: Tensor | None) -> Scale:
    """The factor of one module's update.

    spellings: the module's name as in the file, and as other producers write it, for patterns. rank: None for factors
    that have none. alpha: the module's own tensor. Raises ValueError if alpha is 0, NaN or infinite.
    """
    if alpha is not None:
        return Scale(_from_tensor(source, float(alpha.flatten()[0]), rank), TENSOR)
    for config, origin in ((source.config, CONFIG), (source.diffusers_config, HEADER)):
        if config and _alpha(config, spellings) is not None:
            return Scale(_from_peft(config, spellings, rank), origin)
    config = source.lycoris_config
    if rank is not None and "linear_alpha" in config:
        return Scale(_checked(float(config["linear_alpha"])) / rank, HEADER)
    return Scale(1.0, NOWHERE)


def _from_tensor(source: Source, alpha: float, rank: int | None) -> float:
    _checked(alpha)
    if rank is not None:
        return alpha / rank
    # Whole factors of LyCORIS store alpha = rank, except that rs_lora folds its factor into it.
    config = source.lycoris_config
    return alpha / float(config["linear_dim"]) if config.get("rs_lora") and config.get("linear_dim") else 1.0


def _from_peft(config: Mapping[str, Any], spellings: Sequence[str], rank: int | None) -> float:
    alpha = _checked(float(_alpha(config, spellings)))
    if rank is None:  # whole factors, for which PEFT's scale is that of its config
        rank = int(_pattern(config.get("rank_pattern"), spellings, config.get("r") or alpha))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _alpha(config: Mapping[str, Any], spellings: Sequence[str]) -> Any:
    return _pattern(config.get("alpha_pattern"), spellings, config.get("lora_alpha", config.get("alpha")))


def _pattern(patterns: Mapping[str, Any] | None, spellings: Sequence[str], default: Any) -> Any:
    """The value of the first pattern that matches the end of a name, as PEFT matches."""
    for pattern, value in (patterns or {}).items():
        if any(re.match(rf"(?:.*\.)?(?:{pattern})$", spelling) for spelling in spellings):
            return value
    return default


def _checked(alpha: float) -> float:
    if alpha == 0 or not math.isfinite(alpha):
        raise ValueError(f"has alpha {alpha:g}, which would switch the module off or spoil it: the file is damaged")
    return alpha
