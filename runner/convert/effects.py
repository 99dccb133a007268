"""What a replacement does to the sound, in sentences for the user."""

from __future__ import annotations

PROMPT = (
    "the prompt is the official one: the instruction of the task, no end marks that ComfyUI adds, and metadata left "
    "open would be N/A"
)
NO_CODES = (
    "ComfyUI's planner made audio codes for this song, which this pack doesn't make yet: the song follows the caption "
    "and lyrics more freely; keep TextEncodeAceStepAudio1.5 in ComfyUI if you need them"
)
LOW_TEMPO = "a tempo below 30 is none that the model was trained on; it is left to the model"
NETWORK = (
    "every other layer of the lyric and timbre encoders sees 128 tokens to each side, as officially, where ComfyUI's "
    "see everything: a song of more than 5 seconds or some 130 tokens of lyrics differs a little; on XL checkpoints "
    "the timbre is read from its class token, which ComfyUI's network leaves out, so that an XL song sounds different"
)
SAME_GUIDANCE = "guidance is plain CFG at the same scale; --guidance official takes APG instead"
OFFICIAL_GUIDANCE = "guidance is the official APG at the same scale, instead of plain CFG: less harsh at high scales"
NO_GUIDANCE = "guidance is off, as before"
NULL_CONDITION = "nothing: without a negative prompt, guidance uses the same null condition"
SAME_NOISE = (
    "the noise is ComfyUI's, from the same seed, drawn for the whole batch; disconnect it and the sampler draws each "
    "song's from its own seed, so that song i of a batch is the song of seed + i"
)
PENULTIMATE = (
    "KSampler drops the noise level before the last for this sampler, the schedule doesn't: the end of the run differs "
    "a little"
)
ROUNDED_LEVELS = "noise levels are exact; ComfyUI rounds them down to thousandths before the shift"
QUANTILE_LEVELS = "noise levels are exact; ComfyUI rounds them to a table, up to 0.0015 away"
SAME_LEVELS = "nothing: the noise levels are the same"
KEPT_LEVELS = "the noise levels are the same: they come from ComfyUI's BasicScheduler, since no schedule here has them"
PARTIAL = (
    "the run starts from the latent with noise added, by the denoise of the schedule: the same share as before; an "
    "empty latent is silence here, not zeros"
)
SILENT_START = "a run below full noise from an empty latent starts from silence, not from zeros"
REFERENCE = (
    "without a timbre reference the timbre is that of 30 seconds of silence, as officially; ComfyUI takes silence as "
    "long as the song"
)
LEVEL = (
    "only the loudness differs: the peak is set to -1 dBFS, where ComfyUI divides a loud song by five standard "
    "deviations; with normalize off, only what is above full scale is lowered"
)
TILES = "the sizes of tiles go: decoding takes chunks that fit into memory and joins them without seams"
ENCODER_FOUND = "nothing: the same files"
NO_PLANNER = "the planner {name} is not loaded, since no node here uses it"
STORED_WEIGHTS = (
    "weights were cast to {dtype} while loading; they are now loaded as the file has them: to save memory, add "
    "AceStepXLSpeed with weights fp8"
)
WHOLE_FRAMES = "the length is rounded down to whole latent frames of 0.04 s; ComfyUI rounds to the nearest"
SHORT = "a song of less than five seconds is cut from one that long, as the network was trained on no shorter ones"
SHIFT = "nothing: the shift is now that of the schedule"
TIMBRE = (
    "the reference gives its timbre only; ComfyUI also takes it as the source of the song, which AceStepXLCover does "
    "here"
)
NOTHING = "nothing"
MP3_RATE = "MP3 at a constant 320 kbps instead of LAME's variable V0: larger, no worse"
OPUS = "OGG Vorbis at its highest bitrate instead of Opus, which this pack doesn't write"
