"""Reads an adapter of any layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from .adapter import Adapter, AdapterError, Entry
from .describe import hints_of, layout_of, sizes_of, trained_on
from .foreign import describe_foreign
from .parts import Module, Parts, sort_tensors
from .scales import NOWHERE, scale_of
from .sizes import parameter_shapes, published_sizes
from .source import CONFIG, Source, open_source
from .updates.kinds import Settings, build
from .updates.whole import Difference, Replacement

PEFT_TYPES = ("LORA", "LOHA", "LOKR", "OFT", "IA3")
SHOWN = 5


def read(path: Path) -> Adapter:
    """Read an adapter: a file, or a folder as trainers save it.

    Names and tensors are checked against ACE-Step 1.5 in general; whether it fits one network is `fit.check_fit`'s
    question. Raises AdapterError that lists everything wrong with it, CheckpointError for damaged files.
    """
    source = open_source(path)
    parts = sort_tensors(source.tensors)
    if not any(part.role not in ("weight", "bias", "alpha") for part in parts.parts):
        raise AdapterError(f"{source.path} is no adapter: {describe_foreign(source.tensors)}")
    if not parts.modules:
        raise AdapterError(
            f"{source.path}: none of its {len(parts.unmatched) or len(parts.unknown)} modules is one of ACE-Step 1.5 "
            f"({_first(parts.unmatched or parts.unknown)}): {describe_foreign(source.tensors)}"
        )
    problems = [*_config_problems(source), *_name_problems(parts), *_value_problems(source)]
    entries, origins = _read_modules(source, parts, problems)
    if entries and all(entry.update.is_zero for entry in entries):
        problems.append("every update is zero, so it changes nothing: it was saved untrained or in part")
    if problems:
        raise AdapterError(f"{source.path} can't be used:\n" + "\n".join(f"- {problem}" for problem in problems))
    alpha = " and ".join(dict.fromkeys(origins)) or "none needed"
    return Adapter(
        source.path,
        tuple(entries),
        layout_of(source, parts),
        alpha,
        sizes_of(entries),
        trained_on(source),
        hints_of(source, parts, entries, NOWHERE in origins),
    )


def _read_modules(source: Source, parts: Parts, problems: list[str]) -> tuple[list[Entry], list[str]]:
    """The entries of all modules, and where each scale came from; what is wrong is added to ``problems``."""
    entries: list[Entry] = []
    origins: list[str] = []
    failures: dict[str, list[str]] = {}
    for module in parts.modules.values():
        try:
            entries += _read_module(source, module, origins)
        except ValueError as error:
            failures.setdefault(str(error), []).append(module.written)
    problems += [f"{_count(modules)} {failure}" for failure, modules in failures.items()]
    return entries, origins


def _read_module(source: Source, module: Module, origins: list[str]) -> Iterator[Entry]:
    """The updates of a module's weight and of its bias. Raises ValueError that says what is wrong with it."""
    factor = 1.0

    def scale(rank: int | None) -> float:
        nonlocal factor
        value, origin = scale_of(source, module.spellings, rank, module.roles.get("alpha"))
        if rank is not None or value != 1:
            origins.append(origin)
        factor = value * float(module.roles.get("scalar", torch.ones(())))
        return factor

    config = source.config or {}
    terms = int(config.get("num_cayley_neumann_terms") or 5) if config.get("use_cayley_neumann") else None
    settings = Settings(scale, terms, bool(config.get("block_share")))
    update = build({role: tensor for role, tensor in module.roles.items() if role != "diff"}, settings)
    if update is not None:
        yield Entry(_parameter(module, "weight"), update, factor)
    if "diff" in module.roles:
        yield Entry(_parameter(module, "weight"), Difference(module.roles["diff"]))
    for role, make in _BIAS_UPDATES.items():
        if role in module.roles:
            yield Entry(_parameter(module, "bias"), make(module.roles[role], factor))


_BIAS_UPDATES = {
    "up_bias": Difference,
    "bias_diff": lambda tensor, _: Difference(tensor),
    "bias": lambda tensor, _: Replacement(tensor),
}


def _parameter(module: Module, name: str) -> str:
    """The parameter of a module. Raises ValueError if it has none of that name."""
    shapes = parameter_shapes(published_sizes()["XL"])
    parameter = module.name if module.name in shapes and name == "weight" else f"{module.name}.{name}"
    if parameter not in shapes:
        raise ValueError(f"has a {name}, which the network's module lacks")
    return parameter


def _config_problems(source: Source) -> Iterator[str]:
    config = source.config or {}
    kind = str(config.get("peft_type") or "LORA").upper()
    if kind not in PEFT_TYPES:
        yield f"{CONFIG} says peft_type = {kind}; supported: {', '.join(PEFT_TYPES)}"
    if config.get("fan_in_fan_out"):
        yield f"{CONFIG} says fan_in_fan_out, which no layer of ACE-Step is"
    wholes = [key for key, value in source.tensors.items() if "lokr_w2" in key and value.ndim == 3]
    if source.config and kind == "LOKR" and wholes:
        yield (
            f"PEFT multiplies whole factors of one-dimensional convolutions along other axes than LoKr's: "
            f"{_first(wholes)}; train without that module"
        )
    magnitudes = any("magnitude" in key or key.endswith(".dora_scale") for key in source.tensors)
    if config.get("use_dora") and not magnitudes:
        yield f"{CONFIG} says use_dora, and the file holds no magnitudes: it was saved in part"


def _name_problems(parts: Parts) -> Iterator[str]:
    total = len(parts.modules) + len(parts.unmatched)
    if parts.unmatched:
        yield (
            f"{len(parts.unmatched)} of {total} modules are not in ACE-Step 1.5: {_first(parts.unmatched)}; export the "
            "adapter again for the diffusion model alone"
        )
    if parts.unknown:
        yield (
            f"{len(parts.unknown)} keys end in no way known here: {_first(parts.unknown)}; if this is another kind of "
            "adapter (DyLoRA, T-LoRA, VeRA ...), merge it into the model with its own tool"
        )
    if parts.repeated:
        yield f"{len(parts.repeated)} tensors are there twice, under two names: {_first(parts.repeated)}"


def _value_problems(source: Source) -> Iterator[str]:
    floats = {key: value for key, value in source.tensors.items() if value.is_floating_point()}
    damaged = [key for key, value in floats.items() if not torch.isfinite(value.float()).all()]
    damaged = [key for key in damaged if not key.endswith(".alpha")]
    if damaged:
        yield f"{len(damaged)} tensors hold NaN or infinity: {_first(damaged)}; fetch or export the file again"


def _count(modules: list[str]) -> str:
    return modules[0] if len(modules) == 1 else f"{len(modules)} modules ({_first(modules)}): each"


def _first(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
