"""What can be said about an adapter beside its numbers: who wrote it, what it fits, what its user should know."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from ..config import Training, training_of
from .adapter import Entry
from .names import prefix_of
from .parts import Parts
from .sizes import Shape, parameter_shapes, published_sizes
from .source import CONFIG, DIFFUSERS_HEADER, Source

# Where trainers say what they trained on; the last word is the file's own name.
_BASE_ENTRIES = ("ss_base_model_version", "ss_sd_model_name", "modelspec.title", "run_metadata")
_CONFIG_ENTRIES = ("base_model_name_or_path",)


def layout_of(source: Source, parts: Parts) -> str:
    """Who writes files like this one."""
    part = parts.parts[0]
    prefix = prefix_of(part.module)
    if DIFFUSERS_HEADER in source.header or prefix.startswith("transformer."):
        return "diffusers"
    if prefix.startswith(("lora_unet_", "lora_transformer_")):
        return "kohya or musubi-tuner"
    if prefix.startswith("lycoris_"):
        return "LyCORIS"
    if "base_model.model." in prefix:
        exported = any(part.role == "alpha" for part in parts.parts)
        return "ComfyUI export of PEFT" if exported else "PEFT"
    return "ComfyUI or ai-toolkit" if prefix else "bare names"


def sizes_of(entries: Iterable[Entry]) -> tuple[str, ...]:
    """The published networks whose shapes agree with all entries."""
    entries = list(entries)
    return tuple(
        name for name, config in published_sizes().items() if not mismatches(entries, parameter_shapes(config))
    )


def mismatches(entries: Iterable[Entry], shapes: Mapping[str, Shape]) -> list[str]:
    """For every entry that does not fit a network: its parameter, with both shapes."""
    return [problem for entry in entries if (problem := _mismatch(entry, shapes))]


def _mismatch(entry: Entry, shapes: Mapping[str, Shape]) -> str:
    shape = shapes.get(entry.parameter)
    if shape is None:
        return f"{entry.parameter}: the model has no such layer"
    rows, columns = entry.update.sides
    inputs = math.prod(shape[1:])
    # A gain for each input channel of a convolution serves all of its kernel.
    fits_columns = columns in (None, inputs) or (entry.update.kind == "IA3" and columns == shape[1])
    if rows in (None, shape[0]) and fits_columns:
        return ""
    return f"{entry.parameter}: made for [{rows or 'any'} {columns or 'any'}], the model has [{shape[0]} {inputs}]"


def trained_on(source: Source) -> Training:
    """The kind of checkpoint an adapter was trained on, where its file, config or name says it."""
    config = source.config or {}
    words = [str(config.get(name) or "") for name in _CONFIG_ENTRIES]
    words += [source.header.get(name, "") for name in _BASE_ENTRIES]
    name = source.path.parent.name if source.path.stem.startswith(("adapter_model", "pytorch_lora")) else ""
    for word in (*words, source.path.stem, name):
        training = training_of({}, word)
        if training != "unknown":
            return training
    return "unknown"


def hints_of(source: Source, parts: Parts, entries: Sequence[Entry], without_alpha: bool) -> tuple[str, ...]:
    """What the adapter's user should know, though it can be used."""
    hints = []
    is_peft = any("lora_A" in part.suffix for part in parts.parts) and "base_model.model." in parts.parts[0].module
    if without_alpha and is_peft and source.config is None:
        hints.append(
            f"There is no {CONFIG} beside the file and no alpha in it, so scale 1 is assumed; most trainers use 2, "
            f"which makes the adapter twice as strong. Put {CONFIG} beside it, or set the strength accordingly."
        )
    zeros = [entry.parameter for entry in entries if entry.update.is_zero]
    if zeros:
        hints.append(f"{len(zeros)} of {len(entries)} updates are zero, the first that of {zeros[0]}.")
    replaced = [entry.parameter for entry in entries if entry.update.kind == "set weight"]
    if replaced:
        hints.append(f"It replaces {len(replaced)} parameters whole, at any strength but 0: {', '.join(replaced[:3])}.")
    return tuple(hints)
