"""The node table. Ids, input names and input order are append-only."""

from __future__ import annotations

from . import (
    cover,
    data_uri,
    decode,
    encode,
    guider,
    latent,
    load_audio,
    loader,
    modifiers,
    outline,
    plan,
    plot,
    prompts,
    recipe,
    repaint,
    retake,
    sampler,
    save,
    schedule,
    solver,
    speed,
    splice,
    text,
    timbre,
    upload,
    webhook,
)

NODE_CLASS_MAPPINGS: dict[str, type] = {
    "AceStepXLLoader": loader.Loader,
    "AceStepXLEncode": text.Encode,
    "AceStepXLEmptyLatent": latent.EmptyLatent,
    "AceStepXLSchedule": schedule.Schedule,
    "AceStepXLGuider": guider.GuiderNode,
    "AceStepXLSampler": sampler.Sampler,
    "AceStepXLDecode": decode.Decode,
    "AceStepXLSave": save.Save,
    "AceStepXLLoadAudio": load_audio.LoadAudio,
    "AceStepXLRepaint": repaint.Repaint,
    "AceStepXLSplice": splice.SpliceNode,
    "AceStepXLCover": cover.Cover,
    "AceStepXLTimbre": timbre.Timbre,
    "AceStepXLRetake": retake.Retake,
    "AceStepXLBatchPrompts": prompts.BatchPrompts,
    "AceStepXLTracks": cover.Tracks,
    "AceStepXLSolver": solver.SolverNode,
    "AceStepXLGuidanceCurve": modifiers.Curve,
    "AceStepXLNormClamp": modifiers.NormClampNode,
    "AceStepXLVelocityEma": modifiers.EmaNode,
    "AceStepXLGuidanceRescale": modifiers.RescaleNode,
    "AceStepXLWavelet": modifiers.WaveletNode,
    "AceStepXLRecipe": recipe.Recipe,
    "AceStepXLPlot": plot.Plot,
    "AceStepXLEncodeAudio": encode.EncodeAudio,
    "AceStepXLSaveEncoded": save.SaveEncoded,
    "AceStepXLAudioText": data_uri.AudioText,
    "AceStepXLUpload": upload.Upload,
    "AceStepXLWebhook": webhook.Webhook,
    "AceStepXLSpeed": speed.Speed,
}

NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "AceStepXLLoader": "Load ACE-Step 1.5",
    "AceStepXLEncode": "Encode Caption and Lyrics (ACE-Step)",
    "AceStepXLEmptyLatent": "Empty Latent (ACE-Step)",
    "AceStepXLSchedule": "Schedule (ACE-Step)",
    "AceStepXLGuider": "Guidance (ACE-Step)",
    "AceStepXLSampler": "Sampler (ACE-Step)",
    "AceStepXLDecode": "Decode Audio (ACE-Step)",
    "AceStepXLSave": "Save Audio (ACE-Step)",
    "AceStepXLLoadAudio": "Load Audio (ACE-Step)",
    "AceStepXLRepaint": "Repaint and Extend (ACE-Step)",
    "AceStepXLSplice": "Splice into Source (ACE-Step)",
    "AceStepXLCover": "Cover (ACE-Step)",
    "AceStepXLTimbre": "Timbre Reference (ACE-Step)",
    "AceStepXLRetake": "Retake Noise (ACE-Step)",
    "AceStepXLBatchPrompts": "Batch Prompts (ACE-Step)",
    "AceStepXLTracks": "Lego, Extract, Complete (ACE-Step)",
    "AceStepXLSolver": "Solver (ACE-Step)",
    "AceStepXLGuidanceCurve": "Guidance Curve (ACE-Step)",
    "AceStepXLNormClamp": "Velocity Norm Clamp (ACE-Step)",
    "AceStepXLVelocityEma": "Velocity EMA (ACE-Step)",
    "AceStepXLGuidanceRescale": "Guidance Rescale (ACE-Step)",
    "AceStepXLWavelet": "Wavelet Correction (ACE-Step)",
    "AceStepXLRecipe": "Scheduler Recipe (ACE-Step)",
    "AceStepXLPlot": "Plot Schedule and Run (ACE-Step)",
    "AceStepXLEncodeAudio": "Encode Audio (ACE-Step)",
    "AceStepXLSaveEncoded": "Save Encoded Audio (ACE-Step)",
    "AceStepXLAudioText": "Audio as Text (ACE-Step)",
    "AceStepXLUpload": "Upload Audio (ACE-Step)",
    "AceStepXLWebhook": "Notify Webhook (ACE-Step)",
    "AceStepXLSpeed": "Speed and Memory (ACE-Step)",
}


class Planner:
    """The plan of memory for a graph of these nodes in ComfyUI's API format, for whoever runs it."""

    @staticmethod
    def forecast(graph: outline.Nodes, seconds: float | None, gib: float | None) -> list[outline.Forecast]:
        """See `outline.forecast`. gib: the size of an empty graphics card; None for the host's device."""
        return outline.forecast(graph, seconds, None if gib is None else plan.imagined(gib))

    summary = staticmethod(plan.summary)
    table = staticmethod(plan.table)
