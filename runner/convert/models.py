"""Replacements of ComfyUI's loaders and of its shift."""

from __future__ import annotations

from ... import parameters
from ...parameters import ids
from ..graph import Link
from . import effects
from .rewrite import OWN, Rewrite

CHECKPOINT, VAE, SHIFT = "CheckpointLoaderSimple", "VAELoader", "ModelSamplingAuraFlow"
CLIPS = ("CLIPLoader", "DualCLIPLoader")
OTHER_LEVELS = "ModelSampling"  # ComfyUI names all nodes so that set the noise levels of a MODEL
LORAS = ("LoraLoader", "LoraLoaderModelOnly")
DEFAULT_SHIFT = 3.0  # of a MODEL without ModelSamplingAuraFlow
ENCODER_MARK = "0.6b"  # in the name of every published text encoder; the others are planners


def replace_checkpoint(rewrite: Rewrite, node_id: str) -> str:
    """CheckpointLoaderSimple -> Loader, whose outputs are the same. Returns why it stays, or ""."""
    before = rewrite.graph[node_id]
    name = before.inputs.get("ckpt_name")
    if not isinstance(name, str):
        return "its file comes over a link"
    rewrite.replace(node_id, ids.LOADER, {"model": name})
    rewrite.record(node_id, before, (ids.LOADER,), effects.ENCODER_FOUND)
    return ""


def replace_unet(rewrite: Rewrite, node_id: str) -> str:
    """UNETLoader with the graph's one CLIP and one VAE loader -> Loader. Returns why it stays, or ""."""
    graph = rewrite.graph
    beside = sorted(rewrite.component(node_id))
    clips = [n for n in beside if graph[n].class_type in CLIPS]
    vaes = [n for n in beside if graph[n].class_type == VAE]
    if len(clips) != 1 or len(vaes) != 1:
        return (
            f"{ids.LOADER} loads network, text encoder and VAE at once, and the graph has {len(clips)} loaders of text "
            f"encoders and {len(vaes)} of VAEs; its MODEL fits as it is"
        )
    unet, clip, vae = graph[node_id], graph[clips[0]], graph[vaes[0]]
    files = [unet.inputs.get("unet_name"), vae.inputs.get("vae_name"), *_clip_names(clip.inputs)]
    if not all(isinstance(file, str) for file in files):
        return "a file of its loaders comes over a link"
    if clip.inputs.get("type") != "ace":
        return f"the text encoder is loaded with type {clip.inputs.get('type')}, and ACE-Step 1.5 needs type ace"
    encoder, planners = _encoder([str(name) for name in _clip_names(clip.inputs)])
    rewrite.redirect(Link(clips[0], 0), Link(node_id, 1))
    rewrite.redirect(Link(vaes[0], 0), Link(node_id, 2))
    rewrite.replace(node_id, ids.LOADER, {"model": files[0], "text_encoder": encoder, "vae": files[1]})
    rewrite.record(node_id, unet, (ids.LOADER,), effects.ENCODER_FOUND, _cast_effect(unet.inputs))
    for absorbed, before in ((clips[0], clip), (vaes[0], vae)):
        lost = [effects.NO_PLANNER.format(name=name) for name in planners] if before is clip else []
        rewrite.remove(absorbed)
        rewrite.record(absorbed, before, (ids.LOADER,), *(lost or [effects.ENCODER_FOUND]))
    return ""


def shift_of(rewrite: Rewrite, model: object) -> object:
    """The shift that a MODEL's samplers read: a number, or a link if that is what sets it.

    None if another of ComfyUI's nodes sets the noise levels.
    """
    visited: set[str] = set()
    while isinstance(model, Link) and model.node in rewrite.graph and model.node not in visited:
        visited.add(model.node)
        call = rewrite.graph[model.node]
        if call.class_type == SHIFT:
            return call.inputs.get("shift", DEFAULT_SHIFT)
        if call.class_type.startswith(OTHER_LEVELS):
            return None
        model = call.inputs.get("model")
    return DEFAULT_SHIFT


def drop_shifts(rewrite: Rewrite) -> None:
    """Remove the ModelSamplingAuraFlow nodes that nothing reads any more; the others are kept."""
    for node_id, call in list(rewrite.graph.items()):
        if call.class_type != SHIFT:
            continue
        model = call.inputs.get("model")
        if isinstance(model, Link) and not _is_read(rewrite, node_id, set()):
            rewrite.redirect(Link(node_id, 0), model)
            rewrite.remove(node_id)
            rewrite.record(node_id, call, (ids.SCHEDULE,), effects.SHIFT)


def _is_read(rewrite: Rewrite, node_id: str, visited: set[str]) -> bool:
    """Whether a node that reads the shift of a MODEL gets that of this node."""
    visited.add(node_id)
    for reader, _ in rewrite.readers(node_id, 0):
        kind = rewrite.graph[reader].class_type
        if kind in (*LORAS, SHIFT):
            if reader not in visited and _is_read(rewrite, reader, visited):
                return True
        elif not kind.startswith(OWN):
            return True
    return False


def _cast_effect(inputs: dict[str, object]) -> str:
    dtype = inputs.get("weight_dtype", "default")
    return "" if dtype == "default" else effects.STORED_WEIGHTS.format(dtype=dtype)


def _clip_names(inputs: dict[str, object]) -> list[object]:
    return [inputs[name] for name in ("clip_name", "clip_name1", "clip_name2") if name in inputs]


def _encoder(names: list[str]) -> tuple[str, list[str]]:
    """The text encoder among the files of a CLIP, and the planners beside it."""
    names = list(dict.fromkeys(names))
    encoders = [name for name in names if ENCODER_MARK in name.lower()] or names
    if len(encoders) > 1:
        return parameters.AUTO, []
    return encoders[0], [name for name in names if name != encoders[0]]
