"""Whether a checkpoint's files fit their networks, by their headers alone, before any weight is read."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from .formats.tensors import CheckpointError, Shape, Tensors
from .layouts import Component, Layout
from .linear.packed import pack_layers
from .network import AceStep
from .precision import network_dtypes
from .qwen3 import build_text_model, qwen3_config, text_state
from .vae.config import VAEConfig
from .vae.keys import vae_state
from .vae.oobleck import Oobleck

Shapes = dict[str, Shape]
SHOWN_KEYS = 5


class Networks(NamedTuple):
    """The three networks of a checkpoint."""

    network: AceStep
    text: nn.Module
    vae: Oobleck


def check_fit(layout: Layout, text: Component, vae: Component) -> None:
    """Raise CheckpointError if a file does not fit its network; names every such file."""
    network = empty_network(layout)
    problems = [misfits(network, fit_to(network, layout.network).shapes(), str(layout.path))]
    try:
        encoder, tensors = empty_text_encoder(text)
        problems.append(misfits(encoder, fit_to(encoder, tensors).shapes(), str(text.path)))
    except CheckpointError as error:
        problems.append(str(error))
    try:
        oobleck, shapes = empty_vae(vae)
        problems.append(misfits(oobleck, shapes, str(vae.path)))
    except CheckpointError as error:
        problems.append(str(error))
    if any(problems):
        raise CheckpointError("\n".join(problem for problem in problems if problem))


def build_on_meta(layout: Layout, text: Component, vae: Component, dtypes: tuple[torch.dtype, torch.dtype]) -> Networks:
    """The networks of a checkpoint on the meta device: shapes and dtypes from the headers of its files, no weights.

    dtypes: of the network, and of text encoder and VAE.
    """
    network_dtype, text_vae_dtype = dtypes
    network, dtype_of = empty_network(layout), network_dtypes(network_dtype)
    for name, parameter in network.named_parameters():
        parameter.data = parameter.data.to(dtype_of(name))
    (encoder, tensors), (oobleck, _) = empty_text_encoder(text), empty_vae(vae)
    encoder, meta = encoder.to(text_vae_dtype), torch.device("meta")
    pack_layers(network, fit_to(network, layout.network), dtype_of, meta)
    pack_layers(encoder, fit_to(encoder, tensors), lambda _: text_vae_dtype, meta)
    return Networks(network, encoder, oobleck.to(text_vae_dtype))


def empty_network(layout: Layout) -> AceStep:
    """The network of a checkpoint on the meta device."""
    with torch.device("meta"):
        return AceStep(layout.config, layout.training)


def empty_text_encoder(component: Component) -> tuple[nn.Module, Tensors]:
    """The text encoder on the meta device, and its file's tensors under its names. Raises CheckpointError."""
    shapes, tensors = component.tensors.shapes(), component.tensors
    try:
        config = qwen3_config(shapes, dict(component.config) if component.config else None)
        entries = text_state(tensors.entries())
        return build_text_model(config), Tensors(entries, tensors.files, tensors.metadata)
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(f"{component.path} is not the text encoder Qwen3-Embedding: {error}") from error


def empty_vae(component: Component) -> tuple[Oobleck, Shapes]:
    """The VAE on the meta device, and the shapes that its file has for it. Raises CheckpointError."""
    shapes = component.tensors.shapes()
    try:
        with torch.device("meta"):
            vae = Oobleck(_vae_config(component))
            state = vae_state({name: torch.empty(shape) for name, shape in shapes.items()})
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{component.path} is not ACE-Step's VAE: {error}") from error
    return vae, {name: tuple(value.shape) for name, value in state.items()}


def fit_to(module: nn.Module, tensors: Tensors) -> Tensors:
    """A file's tensors in a module's shapes, where they differ only in how the file stores them."""
    return tensors.fit({name: tuple(value.shape) for name, value in module.state_dict().items()})


def misfits(module: nn.Module, shapes: dict[str, Shape], source: str) -> str:
    """Every missing, unknown and misshapen tensor of a file for a module, as a sentence; empty if it fits."""
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    wrong = [f"{name} {shapes[name]}, expected {s}" for name, s in expected.items() if shapes.get(name, s) != s]
    problems = [
        _summarise("missing", [name for name in expected if name not in shapes]),
        _summarise("unknown", [name for name in shapes if name not in expected]),
        _summarise("misshapen", wrong),
    ]
    if not any(problems):
        return ""
    return f"{source} does not fit the network: {'; '.join(problem for problem in problems if problem)}"


def _summarise(problem: str, keys: list[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return f"{len(keys)} {problem}: {', '.join(keys[:SHOWN_KEYS])}{more}"


def _vae_config(component: Component) -> VAEConfig:
    if component.config is None:
        return VAEConfig.from_state(component.tensors.shapes())
    return VAEConfig.from_diffusers(dict(component.config))
