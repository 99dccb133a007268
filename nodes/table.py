"""The node table. Ids, input names and input order are append-only."""

from __future__ import annotations

from ..parameters import ids
from ..pipeline.adapters import tools
from ..pipeline.memory import forecast, plan
from ..pipeline.sampler_chain import Nodes
from . import (
    batch_prompts,
    cover,
    decode,
    empty_latent,
    encode_prompt,
    guidance,
    load_adapter,
    load_audio,
    load_model,
    modifiers,
    plot,
    preview_audio,
    recipe,
    repaint,
    retake,
    sampler,
    save_audio,
    schedule,
    solver,
    speed,
    splice,
    timbre,
    tracks,
)
from .delivery import audio_text, encode_audio, notify_webhook, save_encoded, upload_audio

# Id -> the node's class and the name ComfyUI shows.
NODES: dict[str, tuple[type, str]] = {
    ids.LOADER: (load_model.Loader, "Load ACE-Step 1.5"),
    ids.ENCODE: (encode_prompt.Encode, "Encode Caption and Lyrics (ACE-Step)"),
    ids.EMPTY_LATENT: (empty_latent.EmptyLatent, "Empty Latent (ACE-Step)"),
    ids.SCHEDULE: (schedule.Schedule, "Schedule (ACE-Step)"),
    ids.GUIDER: (guidance.GuiderNode, "Guidance (ACE-Step)"),
    ids.SAMPLER: (sampler.Sampler, "Sampler (ACE-Step)"),
    ids.DECODE: (decode.Decode, "Decode Audio (ACE-Step)"),
    ids.SAVE: (save_audio.Save, "Save Audio (ACE-Step)"),
    ids.PREVIEW: (preview_audio.Preview, "Preview Audio (ACE-Step)"),
    ids.LOAD_AUDIO: (load_audio.LoadAudio, "Load Audio (ACE-Step)"),
    ids.REPAINT: (repaint.Repaint, "Repaint and Extend (ACE-Step)"),
    ids.SPLICE: (splice.SpliceNode, "Splice into Source (ACE-Step)"),
    ids.COVER: (cover.Cover, "Cover (ACE-Step)"),
    ids.TIMBRE: (timbre.Timbre, "Timbre Reference (ACE-Step)"),
    ids.RETAKE: (retake.Retake, "Retake Noise (ACE-Step)"),
    ids.BATCH_PROMPTS: (batch_prompts.BatchPrompts, "Batch Prompts (ACE-Step)"),
    ids.TRACKS: (tracks.Tracks, "Lego, Extract, Complete (ACE-Step)"),
    ids.SOLVER: (solver.SolverNode, "Solver (ACE-Step)"),
    ids.GUIDANCE_CURVE: (modifiers.GuidanceCurveNode, "Guidance Curve (ACE-Step)"),
    ids.NORM_CLAMP: (modifiers.NormClampNode, "Velocity Norm Clamp (ACE-Step)"),
    ids.VELOCITY_EMA: (modifiers.VelocityEmaNode, "Velocity EMA (ACE-Step)"),
    ids.GUIDANCE_RESCALE: (modifiers.GuidanceRescaleNode, "Guidance Rescale (ACE-Step)"),
    ids.WAVELET: (modifiers.WaveletNode, "Wavelet Correction (ACE-Step)"),
    ids.RECIPE: (recipe.Recipe, "Scheduler Recipe (ACE-Step)"),
    ids.PLOT: (plot.Plot, "Plot Schedule and Run (ACE-Step)"),
    ids.ENCODE_AUDIO: (encode_audio.EncodeAudio, "Encode Audio (ACE-Step)"),
    ids.SAVE_ENCODED: (save_encoded.SaveEncoded, "Save Encoded Audio (ACE-Step)"),
    ids.AUDIO_TEXT: (audio_text.AudioText, "Audio as Text (ACE-Step)"),
    ids.UPLOAD: (upload_audio.Upload, "Upload Audio (ACE-Step)"),
    ids.WEBHOOK: (notify_webhook.Webhook, "Notify Webhook (ACE-Step)"),
    ids.SPEED: (speed.Speed, "Speed and Memory (ACE-Step)"),
    ids.ADAPTER: (load_adapter.LoadAdapter, "Load Adapter (ACE-Step)"),
}

# ComfyUI's names for the two halves of the table.
NODE_CLASS_MAPPINGS: dict[str, type] = {node_id: node_class for node_id, (node_class, _) in NODES.items()}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {node_id: name for node_id, (_, name) in NODES.items()}


class MemoryPlanner:
    """The memory plan of a graph of these nodes in ComfyUI's API format, for whoever runs it."""

    @staticmethod
    def forecast(graph: Nodes, seconds: float | None, gib: float | None) -> list[forecast.Forecast]:
        """See `forecast.forecast`. gib: the size of an empty card; None for the host's device."""
        return forecast.forecast(graph, seconds, None if gib is None else plan.empty_card(gib))

    summary = staticmethod(plan.summary)
    table = staticmethod(plan.table)


class AdapterTools:
    """Adapters as files, for the command line."""

    FORMS = tools.FORMS
    describe = staticmethod(tools.describe)
    merge = staticmethod(tools.merge)
    suffix_of = staticmethod(tools.suffix_of)
