"""The kinds of updates: which tensors tell each, and how they become one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .decomposed import Decomposed
from .glora import GLoRA
from .hadamard import Hadamard
from .ia3 import IA3
from .kronecker import Factor, Kronecker
from .low_rank import LowRank
from .rotation import BOFT, DiagonalOFT, InputOFT
from .update import Update
from .whole import Difference, Replacement

Roles = Mapping[str, Tensor]


@dataclass(frozen=True)
class Settings:
    """What an update needs beside its tensors.

    scale: of factors with a rank, None for factors without one. terms: see `InputOFT`; shared: one block for all.
    """

    scale: Callable[[int | None], float]
    terms: int | None = None
    shared: bool = False


class Kind(NamedTuple):
    """markers: roles of which any one tells the kind. needs: in each group at least one role has to be there.

    build: raises ValueError for tensors that don't belong together.
    """

    markers: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...]
    build: Callable[[Roles, Settings], Update]


def build(roles: Roles, settings: Settings) -> Update | None:
    """The update of a weight from its tensors by role; None if no kind claims any. Raises ValueError that says why."""
    kind = next((kind for kind in KINDS.values() if any(marker in roles for marker in kind.markers)), None)
    if kind is None:
        return None
    missing = [" or ".join(group) for group in kind.needs if not any(role in roles for role in group)]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)} (it has {', '.join(sorted(roles))}): the file was saved in part")
    update = kind.build(roles, settings)
    # PEFT's are of rows whatever their shape, [out] or for convolutions [1 out 1].
    magnitude = roles.get("dora_scale", roles["magnitude"].flatten() if "magnitude" in roles else None)
    if magnitude is None:
        return update
    if not update.is_additive:
        raise ValueError(f"has magnitudes beside a {update.kind}, which no known trainer writes")
    # LyCORIS adds the epsilon of the format it computes in, PEFT nothing.
    epsilon = torch.finfo(torch.float32).eps if "dora_scale" in roles else 0.0
    return _decomposed(update, magnitude, epsilon)


def _decomposed(update: Update, magnitude: Tensor, epsilon: float) -> Update:
    rows, count = update.sides.rows, magnitude.numel()
    by_columns = magnitude.ndim > 1 and magnitude.shape[0] == 1
    if not by_columns and count != rows:
        raise ValueError(f"has {count} magnitudes for {rows} rows")
    return Decomposed(update, magnitude, epsilon)


def _low_rank(roles: Roles, settings: Settings) -> Update:
    return _factors(roles["down"], roles["up"], roles.get("mid"), settings)


def _factors(down: Tensor, up: Tensor, mid: Tensor | None, settings: Settings) -> LowRank:
    rank = down.shape[0]
    inner = up[0].numel() if up.ndim > 1 else 0
    if inner != rank:
        raise ValueError(f"has factors of ranks {rank} and {inner} (shapes {_shape(down)} and {_shape(up)})")
    if mid is not None and tuple(mid.shape[:2]) != (rank, rank):
        raise ValueError(f"has a core {_shape(mid)} between factors of rank {rank}")
    return LowRank(down, up, settings.scale(rank), mid)


def _kronecker(roles: Roles, settings: Settings) -> Update:
    w1, w2 = _factor(roles, "lokr_w1"), _factor(roles, "lokr_w2", "lokr_t2")
    return Kronecker(w1, w2, settings.scale(w2.rank or w1.rank))


def _hadamard(roles: Roles, settings: Settings) -> Update:
    w1, w2 = _factor(roles, "hada_w1", "hada_t1"), _factor(roles, "hada_w2", "hada_t2")
    if (w1.rows, w1.columns) != (w2.rows, w2.columns):
        raise ValueError(f"has products [{w1.rows} {w1.columns}] and [{w2.rows} {w2.columns}] that don't match")
    return Hadamard(w1, w2, settings.scale(w1.rank))


def _factor(roles: Roles, name: str, core: str = "") -> Factor:
    a, b = roles.get(f"{name}_a"), roles.get(f"{name}_b")
    if name in roles:
        return Factor(whole=roles[name])
    if a is None or b is None:
        raise ValueError(f"lacks {name}{'_b' if b is None else '_a'}: the file was saved in part")
    ranks = (a.shape[0] if core in roles else a.shape[-1], b.shape[0])
    if ranks[0] != ranks[1] or (core in roles and tuple(roles[core].shape[:2]) != ranks):
        raise ValueError(f"has factors {name}_a {_shape(a)} and {name}_b {_shape(b)} of different ranks")
    return Factor(a=a, b=b, core=roles.get(core))


def _glora(roles: Roles, settings: Settings) -> Update:
    # The names differ from LoRA's order: a1 and b1 are multiplied on the left.
    inner = _factors(roles["a2"], roles["a1"], None, settings)
    return GLoRA(inner, _factors(roles["b2"], roles["b1"], roles.get("bm"), settings))


def _ia3(roles: Roles, settings: Settings) -> Update:
    if "ia3_l" in roles:  # PEFT's are whole factors, [out 1] or [1 in]
        factor = roles["ia3_l"]
        return IA3(factor.float() - 1, on_input=factor.ndim > 1 and factor.shape[0] == 1 and factor.numel() > 1)
    if "weight" not in roles:
        raise ValueError("lacks weight: the file was saved in part")
    return IA3(roles["weight"], on_input="on_input" in roles and bool(roles["on_input"].any()))


def _rotation(roles: Roles, settings: Settings) -> Update:
    blocks = roles["oft_blocks"]
    if blocks.ndim not in (3, 4) or blocks.shape[-1] != blocks.shape[-2]:
        raise ValueError(f"has oft_blocks {_shape(blocks)}; allowed: [n b b] and [m n b b]")
    constraint = float(roles["alpha"]) if "alpha" in roles else 0.0
    kind = DiagonalOFT if blocks.ndim == 3 else BOFT
    return kind(blocks, roles.get("rescale"), constraint)


def _input_rotation(roles: Roles, settings: Settings) -> Update:
    triangles = roles["oft_R"]
    numbers = triangles.shape[-1]
    size = (1 + math.isqrt(1 + 8 * numbers)) // 2
    if triangles.ndim != 2 or size * (size - 1) // 2 != numbers:
        raise ValueError(
            f"has oft_R {_shape(triangles)}; expected [blocks b(b-1)/2] as PEFT writes it since 0.16: save it again "
            "with that"
        )
    return InputOFT(triangles, size, settings.terms, settings.shared)


def _difference(roles: Roles, settings: Settings) -> Update:
    return Difference(roles["diff"])


def _replacement(roles: Roles, settings: Settings) -> Update:
    return Replacement(roles["set_weight"] if "set_weight" in roles else roles["weight"])


def _shape(tensor: Tensor) -> str:
    return f"[{' '.join(map(str, tensor.shape))}]"


# The first match wins: IA3 and replaced weights both come as `weight`.
KINDS: dict[str, Kind] = {
    "LoKr": Kind(
        ("lokr_w1", "lokr_w1_a", "lokr_w2", "lokr_w2_a", "lokr_t2"),
        (("lokr_w1", "lokr_w1_a"), ("lokr_w2", "lokr_w2_a")),
        _kronecker,
    ),
    "LoHa": Kind(("hada_w1_a", "hada_w2_a", "hada_t1"), (("hada_w1_a",), ("hada_w2_a",)), _hadamard),
    "OFT": Kind(("oft_blocks", "rescale"), (("oft_blocks",),), _rotation),
    "PEFT OFT": Kind(("oft_R",), (("oft_R",),), _input_rotation),
    "GLoRA": Kind(("a1", "a2", "b1", "b2"), (("a1",), ("a2",), ("b1",), ("b2",)), _glora),
    "LoRA": Kind(("down", "up", "mid", "magnitude", "dora_scale"), (("down",), ("up",)), _low_rank),
    "IA3": Kind(("on_input", "ia3_l"), (("weight", "ia3_l"),), _ia3),
    "full": Kind(("diff",), (("diff",),), _difference),
    "set": Kind(("set_weight", "weight"), (("set_weight", "weight"),), _replacement),
}
