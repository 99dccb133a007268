"""What a tensor is for, by the end of its name."""

from __future__ import annotations

import re
from typing import NamedTuple

# PEFT puts an adapter's name, "default" unless told otherwise, between its own names and `weight`.
_NAME = r"(?:\.(?!weight$|bias$)\w+)?"


class Part(NamedTuple):
    """module: what precedes the role in the key. suffix: as written, to tell producers apart."""

    module: str
    role: str
    suffix: str


def split(key: str) -> Part | None:
    """Split a key of an adapter file; None if it ends in no known way."""
    for role, pattern in _PATTERNS:
        match = pattern.search(key)
        if match and match.start() > 0:
            return Part(key[: match.start()], role, match.group())
    return None


def _exact(*names: str) -> str:
    return r"\.(?:" + "|".join(map(re.escape, names)) + ")$"


def _peft(name: str, optional_weight: bool = False) -> str:
    return rf"\.{name}{_NAME}" + (r"(?:\.weight)?$" if optional_weight else "$")


_SINGLE = (
    *(f"lokr_{factor}" for factor in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")),
    *(f"hada_{factor}" for factor in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")),
)
# Role, and what ends a key. A bias precedes the factor it belongs to, plain weights come last.
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (role, re.compile(pattern))
    for role, pattern in (
        ("up_bias", rf"\.lora_B{_NAME}\.bias$|\.lora_up\.bias$"),
        ("down", rf"\.lora_A{_NAME}(?:\.weight)?$|\.lora_down\.weight$|[._]lora(?:_linear_layer)?\.down\.weight$"),
        ("up", rf"\.lora_B{_NAME}(?:\.weight)?$|\.lora_up\.weight$|[._]lora(?:_linear_layer)?\.up\.weight$"),
        ("mid", r"\.lora_mid\.weight$"),
        ("magnitude", _peft("lora_magnitude_vector", optional_weight=True)),
        ("dora_scale", _exact("dora_scale")),
        *((name, _peft(name)) for name in _SINGLE),
        ("oft_R", _peft("oft_R", optional_weight=True)),
        ("oft_blocks", _exact("oft_blocks")),
        ("rescale", _exact("rescale")),
        *((name, _exact(f"{name}.weight")) for name in ("a1", "a2", "b1", "b2", "bm")),
        ("ia3_l", _peft("ia3_l")),
        ("on_input", _exact("on_input")),
        ("alpha", _exact("alpha")),
        ("scalar", _exact("scalar")),
        ("diff", _exact("diff", "w_norm")),
        ("bias_diff", _exact("diff_b", "b_norm")),
        ("set_weight", _exact("set_weight")),
        ("weight", _exact("weight")),
        ("bias", _exact("bias")),
    )
)
