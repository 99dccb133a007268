"""The node table. Ids, input names and input order are append-only."""

from __future__ import annotations

from . import decode, guider, latent, loader, sampler, save, schedule, text

NODE_CLASS_MAPPINGS: dict[str, type] = {
    "AceStepXLLoader": loader.Loader,
    "AceStepXLEncode": text.Encode,
    "AceStepXLEmptyLatent": latent.EmptyLatent,
    "AceStepXLSchedule": schedule.Schedule,
    "AceStepXLGuider": guider.GuiderNode,
    "AceStepXLSampler": sampler.Sampler,
    "AceStepXLDecode": decode.Decode,
    "AceStepXLSave": save.Save,
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
}
