"""The node table. Ids, input names and input order are append-only."""

from __future__ import annotations

from . import (
    cover,
    decode,
    guider,
    latent,
    load_audio,
    loader,
    prompts,
    repaint,
    retake,
    sampler,
    save,
    schedule,
    splice,
    text,
    timbre,
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
}
