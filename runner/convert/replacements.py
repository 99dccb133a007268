"""The nodes of ComfyUI that this pack replaces, and a graph with them replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...parameters import ids
from ..graph import Graph, NodeCall
from ..node_table import NodeTable
from . import effects, models, prompts, sampling, sound
from .levels import replace_basic_scheduler
from .rewrite import OWN, Kept, Rewrite

GUIDANCE = ("cfg", "official")
FITS = "it connects to this pack's nodes as it is"
UNKNOWN = "it is unknown here and stays as it is"
# Only these say that a graph makes songs with ACE-Step 1.5; samplers and loaders are those of every model.
MARKS = ("TextEncodeAceStepAudio1.5", "EmptyAceStep1.5LatentAudio")

# Replaces a node in place and returns "", or returns why it stays.
Replacement = Callable[[Rewrite, str], str]


def convert(graph: Graph, table: NodeTable, guidance: str, controls: Mapping[str, str]) -> Rewrite:
    """Replace what has an equal, in place, and list what was done. guidance: one of `GUIDANCE`.

    controls: by node, what ComfyUI does with its seed after a run. Nodes are those of the graph alone that work on
    ACE-Step 1.5 songs. Without a change the result lists none.
    """
    rewrite = Rewrite(graph, table, guidance, controls)
    songs = {n for n in graph if any(_is_mark(graph[other]) for other in rewrite.component(n))}
    reasons: dict[str, str] = {}
    for class_type, replace in REPLACEMENTS.items():
        for node_id in [n for n, call in graph.items() if call.class_type == class_type and n in songs]:
            reasons[node_id] = _missing(rewrite, node_id) or replace(rewrite, node_id)
    models.drop_shifts(rewrite)
    _drop_absorbed(rewrite, songs)
    for node_id, call in graph.items():
        if not call.class_type.startswith(OWN) and node_id not in rewrite.places:
            reason = reasons.get(node_id) or (FITS if call.class_type in table.classes else UNKNOWN)
            rewrite.kept.append(Kept(node_id, call.class_type, call.title, reason))
    return rewrite


def _missing(rewrite: Rewrite, node_id: str) -> str:
    """Which of its required inputs a node lacks, as the reason why it stays, or ""."""
    call = rewrite.graph[node_id]
    spec = rewrite.table.spec(call.class_type)
    entries = [] if spec is None else spec.inputs.values()
    names = [entry.name for entry in entries if entry.required and entry.name not in call.inputs]
    return f"not connected or without a value: {', '.join(names)}" if names else ""


def _is_mark(call: NodeCall) -> bool:
    return call.class_type in MARKS or call.class_type.startswith(OWN)


def _drop_absorbed(rewrite: Rewrite, songs: set[str]) -> None:
    """Remove the nodes that only fed replaced ones, in a way that those do without."""
    for node_id in sorted(songs & rewrite.graph.keys()):
        call = rewrite.graph[node_id]
        if call.class_type not in ABSORBED or any(True for _ in rewrite.readers(node_id)):
            continue
        by, effect = ABSORBED[call.class_type]
        rewrite.remove(node_id)
        rewrite.record(node_id, call, (by,), effect)


# In the order in which they are applied: samplers read the schedule and the shift of nodes that go afterwards.
REPLACEMENTS: dict[str, Replacement] = {
    "CFGGuider": sampling.replace_guider,
    "BasicGuider": sampling.replace_guider,
    "BasicScheduler": replace_basic_scheduler,
    "KSampler": sampling.replace_ksampler,
    "SamplerCustom": sampling.replace_sampler_custom,
    "SamplerCustomAdvanced": sampling.replace_sampler_advanced,
    "TextEncodeAceStepAudio1.5": prompts.replace_text_encode,
    "ReferenceTimbreAudio": prompts.replace_reference,
    "EmptyAceStep1.5LatentAudio": prompts.replace_empty_latent,
    "VAEDecodeAudio": sound.replace_decode,
    "VAEDecodeAudioTiled": sound.replace_decode,
    "LoadAudio": sound.replace_load_audio,
    "SaveAudio": sound.replace_save,
    "SaveAudioMP3": sound.replace_save,
    "SaveAudioOpus": sound.replace_save,
    "PreviewAudio": sound.replace_preview,
    "CheckpointLoaderSimple": models.replace_checkpoint,
    "UNETLoader": models.replace_unet,
}
# What goes once nothing reads it: what does its work, and what that does to the sound.
ABSORBED = {
    sampling.NULL_CONDITION: (ids.GUIDER, effects.NULL_CONDITION),
    sampling.SELECT: (ids.SAMPLER, effects.NOTHING),
}
