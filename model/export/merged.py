"""Merges adapters into a checkpoint on disk, tensor by tensor."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ..adapters.attach import Applied, check_strengths
from ..adapters.fit import check_fit
from ..adapters.updates.update import Update, merge
from ..checkpoint import read_silence
from ..config import to_official
from ..fit import empty_network, fit_to, misfits
from ..formats import gguf_file
from ..formats.tensors import CheckpointError, Shape, Tensors, read_json
from ..layouts import GGUF_SILENCE, Layout
from . import gguf_writer
from .encoders import SAFETENSORS
from .safetensors_writer import write_safetensors

GGUF = "gguf-"
FORMS = (*SAFETENSORS, *(GGUF + name.lower() for name in gguf_writer.FORMATS))
# Fields of the official config.json that no weight shows and that all published checkpoints share.
_SHARED_FIELDS = {
    "architectures": ["AceStepConditionGenerationModel"],
    "in_channels": 192,
    "vocab_size": 64003,
    "hidden_act": "silu",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "use_sliding_window": True,
}
# Called with the tensors that are written, and with how many there are.
OnTensor = Callable[[int, int], None]


def suffix_of(form: str) -> str:
    """What the name of a file in one of `FORMS` ends in."""
    return ".gguf" if form.startswith(GGUF) else ".safetensors"


def merge_checkpoint(layout: Layout, stack: Sequence[Applied], output: Path, form: str, on_tensor: OnTensor) -> None:
    """Write a checkpoint's network with adapters merged in, in order, under official names.

    Every tensor is read, changed in float32 and rounded once, into one of `FORMS`; no more than one is in memory. The
    file appears under its name once it is complete. Raises AdapterError, CheckpointError and ValueError for adapters
    and a checkpoint that do not fit, before anything is written.
    """
    check_strengths(stack)
    check_fit([applied.adapter for applied in stack], layout.config, layout.path.name)
    network = empty_network(layout)
    tensors = fit_to(network, layout.network)
    if problem := misfits(network, tensors.shapes(), str(layout.path)):
        raise CheckpointError(problem)
    updates = _updates(stack)
    partial_file = output.with_name(f".{output.name}.{os.getpid()}.part")
    write = _write_gguf if form.startswith(GGUF) else _write_safetensors
    try:
        write(partial_file, layout, tensors, form, partial(_merged, tensors, updates, on_tensor), _history(stack))
        os.replace(partial_file, output)
    finally:
        partial_file.unlink(missing_ok=True)


def _updates(stack: Sequence[Applied]) -> dict[str, list[tuple[Update, float]]]:
    """What changes each parameter, in order, and how strongly."""
    updates: dict[str, list[tuple[Update, float]]] = {}
    for applied in stack:
        for entry in applied.adapter.entries:
            updates.setdefault(entry.parameter, []).append((entry.update, applied.strength_of(entry.group)))
    return updates


def _merged(
    tensors: Tensors, updates: Mapping[str, list[tuple[Update, float]]], on_tensor: OnTensor
) -> Iterator[tuple[str, Tensor]]:
    """Every tensor's name and merged values in float32."""
    for done, name in enumerate(tensors, 1):
        yield name, merge(tensors[name], updates.get(name, ()))
        on_tensor(done, len(tensors))


def _write_safetensors(
    path: Path,
    layout: Layout,
    tensors: Tensors,
    form: str,
    merged: Callable[[], Iterator[tuple[str, Tensor]]],
    history: str,
) -> None:
    encoder = SAFETENSORS[form]
    pieces = [piece for name, shape in tensors.shapes().items() for piece in encoder.pieces(name, shape)]
    values = (value for name, tensor in merged() for value in encoder.encode(name, tensor))
    with path.open("wb") as file:
        write_safetensors(file, pieces, values, {"merged": history, "merged_into": layout.path.name})


def _write_gguf(
    path: Path,
    layout: Layout,
    tensors: Tensors,
    form: str,
    merged: Callable[[], Iterator[tuple[str, Tensor]]],
    history: str,
) -> None:
    silence = read_silence(layout)
    shapes: dict[str, Shape] = dict(tensors.shapes())
    values = (tensor for _, tensor in merged())
    if len(silence):
        shapes = {GGUF_SILENCE: tuple(silence.shape), **shapes}
        values = _first(silence, values)
    config = {**_config(layout), "merged": json.loads(history)}
    gguf_writer.write_gguf(path, form.removeprefix(GGUF).upper(), shapes, values, config, layout.path.stem)


def _first(value: Tensor, rest: Iterator[Tensor]) -> Iterator[Tensor]:
    yield value
    yield from rest


def _config(layout: Layout) -> dict[str, Any]:
    """The official config.json of a checkpoint: its own where it has one, else by its weights."""
    file = (layout.path if layout.path.is_dir() else layout.path.parent) / "config.json"
    own = gguf_file.config_of(layout.network)
    if not own and layout.kind == "official folder" and file.is_file():
        own = read_json(file)
    width = layout.config.encoder.hidden
    shared = {**_SHARED_FIELDS, "timbre_hidden_dim": layout.config.latent_channels, "fsq_dim": width}
    shared["num_audio_decoder_hidden_layers"] = layout.config.pooler_layers
    training: dict[str, Any] = {"is_turbo": layout.training == "turbo"}
    if layout.training in ("sft", "base"):
        training["model_version"] = layout.training
    return {**shared, **to_official(layout.config), **own, **training}


def _history(stack: Sequence[Applied]) -> str:
    """The adapters and their strengths, for the file's header."""
    return json.dumps([{"adapter": applied.adapter.path.name, "strength": applied.strength} for applied in stack])
