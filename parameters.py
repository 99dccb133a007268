"""Every user-facing value of the pack: name, kind, range, default and words, in one place.

Nodes, the command line, the service and the docs read this table; nothing else states a range. The names and ranges
follow the hosted model's API page where it has the parameter, and the official inference code where it is wider.
A leaf: any folder may import it, it imports only the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

LANGUAGES: tuple[str, ...] = tuple(
    "ar az bg bn ca cs da de el en es fa fi fr he hi hr ht hu id is it ja ko la lt ms ne nl no pa pl pt ro ru sa sk sr "
    "sv sw ta te th tl tr uk ur vi yue zh unknown".split()
)
KEY_SCALES: tuple[str, ...] = tuple(
    f"{note}{accidental} {mode}" for note in "CDEFGAB" for accidental in ("", "#", "b") for mode in ("major", "minor")
)
AUTO = "auto"

SAMPLE_RATE = 48000
FRAME_SAMPLES = 1920  # one latent frame
FRAME_RATE = SAMPLE_RATE // FRAME_SAMPLES
LATENT_CHANNELS = 64
MINIMUM_FRAMES = 128  # the network is never run on fewer; see docs of the sampler node

Kind = Literal["INT", "FLOAT", "STRING", "BOOLEAN", "CHOICE"]


@dataclass(frozen=True)
class Parameter:
    """One value a user can set."""

    name: str
    kind: Kind
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    multiline: bool = False
    advanced: bool = False
    seed: bool = False

    def widget(self) -> tuple[Any, dict[str, Any]]:
        """ComfyUI's INPUT_TYPES entry for this parameter."""
        options: dict[str, Any] = {"default": self.default, "tooltip": self.help}
        if self.advanced:
            options["advanced"] = True
        if self.kind == "CHOICE":
            return list(self.choices), options
        if self.kind in ("INT", "FLOAT"):
            options |= {"min": self.minimum, "max": self.maximum, "step": self.step}
        if self.kind == "STRING":
            options |= {"multiline": self.multiline}
            if self.multiline:
                options["dynamicPrompts"] = True
        if self.seed:
            options["control_after_generate"] = True
        return self.kind, options


def _table(*parameters: Parameter) -> dict[str, Parameter]:
    return {p.name: p for p in parameters}


def widget(name: str) -> tuple[Any, dict[str, Any]]:
    """ComfyUI's INPUT_TYPES entry for the named parameter."""
    return get(name).widget()


def get(name: str) -> Parameter:
    """Look up a parameter by name; an unknown name is a KeyError that lists the known ones."""
    if name not in PARAMETERS:
        raise KeyError(f"unknown parameter {name!r}; known: {', '.join(PARAMETERS)}")
    return PARAMETERS[name]


PARAMETERS: dict[str, Parameter] = _table(
    Parameter(
        "precision",
        "CHOICE",
        "auto",
        "Number format of the network. auto: bf16 where the device has it, float32 elsewhere. fp16 keeps the parts "
        "that overflow in float32.",
        choices=("auto", "bf16", "fp16", "fp32"),
    ),
    Parameter(
        "caption",
        "STRING",
        "",
        "What the music is: genre, instruments, mood, voice. About 200 tokens fit beside the metadata.",
        multiline=True,
    ),
    Parameter(
        "lyrics",
        "STRING",
        "[Instrumental]",
        "Lyrics with section tags such as [Verse] and [Chorus]; [Instrumental] for music without a voice. 2048 tokens.",
        multiline=True,
    ),
    Parameter(
        "bpm",
        "INT",
        0,
        "Beats per minute, 30 to 300. 0 leaves the tempo to the model.",
        minimum=0,
        maximum=300,
        step=1,
    ),
    Parameter(
        "key_scale",
        "CHOICE",
        AUTO,
        "Musical key and mode. auto leaves it to the model.",
        choices=(AUTO, *KEY_SCALES),
    ),
    Parameter(
        "time_signature",
        "CHOICE",
        AUTO,
        "Beats per measure (2 = 2/4, 3 = 3/4, 4 = 4/4, 6 = 6/8). auto leaves it to the model.",
        choices=(AUTO, "2", "3", "4", "6"),
    ),
    Parameter(
        "language",
        "CHOICE",
        "en",
        "Language of the voice; unknown for instrumental music or to let the model decide.",
        choices=LANGUAGES,
    ),
    Parameter(
        "prompt_duration",
        "FLOAT",
        0.0,
        "Length in seconds that the prompt tells the model; connect it to the latent's seconds. 0 leaves it to the "
        "model, which then reads the official default of 30 seconds.",
        minimum=0.0,
        maximum=600.0,
        step=0.1,
    ),
    Parameter(
        "task",
        "CHOICE",
        "text2music",
        "What the model is told to do, in the words it was trained with.",
        choices=("text2music", "cover", "cover-nofsq", "repaint"),
    ),
    Parameter(
        "duration",
        "FLOAT",
        60.0,
        "Length of the song in seconds, in steps of one latent frame (0.04 s).",
        minimum=1.0,
        maximum=600.0,
        step=0.1,
    ),
    Parameter(
        "batch_size",
        "INT",
        1,
        "Songs made in one run. Song i uses seed + i and equals the single run with that seed.",
        minimum=1,
        maximum=64,
        step=1,
    ),
    Parameter(
        "steps",
        "INT",
        50,
        "Denoising steps. 50 for SFT and base checkpoints, 8 for turbo.",
        minimum=1,
        maximum=300,
        step=1,
    ),
    Parameter(
        "shift",
        "FLOAT",
        3.0,
        "Moves steps towards the noisy end: larger gives more to structure, smaller more to detail. 1 spaces them "
        "evenly.",
        minimum=0.1,
        maximum=10.0,
        step=0.1,
    ),
    Parameter(
        "custom_sigmas",
        "STRING",
        "",
        "Noise levels separated by commas or spaces, from 1 down to 0. When given, they replace steps and shift.",
        advanced=True,
    ),
    Parameter(
        "guidance_type",
        "CHOICE",
        "apg",
        "apg: adaptive projected guidance, the official default. cfg: classifier-free guidance. adg: angle domain "
        "guidance.",
        choices=("apg", "cfg", "adg"),
    ),
    Parameter(
        "guidance_scale",
        "FLOAT",
        7.0,
        "How closely the music follows the prompt. 1 turns guidance off and halves the work.",
        minimum=1.0,
        maximum=30.0,
        step=0.01,
    ),
    Parameter(
        "guidance_start",
        "FLOAT",
        0.0,
        "Where guidance begins, as progress: 0 is the first step, 1 the last.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
    ),
    Parameter(
        "guidance_end",
        "FLOAT",
        1.0,
        "Where guidance ends, as progress: 0 is the first step, 1 the last. Outside the interval a step costs half.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
    ),
    Parameter(
        "apg_momentum",
        "FLOAT",
        -0.75,
        "APG: how much of the previous steps' guidance is added; negative pushes away from it.",
        minimum=-1.0,
        maximum=1.0,
        step=0.01,
        advanced=True,
    ),
    Parameter(
        "apg_norm_threshold",
        "FLOAT",
        2.5,
        "APG: longest guidance vector over time, per latent channel. 0 removes the limit.",
        minimum=0.0,
        maximum=100.0,
        step=0.01,
        advanced=True,
    ),
    Parameter(
        "apg_eta",
        "FLOAT",
        0.0,
        "APG: how much of the part parallel to the prediction is kept. 0 keeps none, 1 keeps all.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
        advanced=True,
    ),
    Parameter(
        "adg_angle_clip",
        "FLOAT",
        0.5233,
        "ADG: largest rotation in radians away from the conditional prediction.",
        minimum=0.01,
        maximum=3.14,
        step=0.0001,
        advanced=True,
    ),
    Parameter(
        "adg_variant",
        "CHOICE",
        "standard",
        "ADG: standard limits the angle; normalised also keeps the length of the prediction; unclipped does neither.",
        choices=("standard", "normalised", "unclipped"),
        advanced=True,
    ),
    Parameter(
        "seed",
        "INT",
        0,
        "Noise seed. The same seed gives the same song on every machine.",
        minimum=0,
        maximum=0xFFFFFFFFFFFFFFFF,
        step=1,
        seed=True,
    ),
    Parameter(
        "peak_db",
        "FLOAT",
        -1.0,
        "Peak level of the result in dBFS, for quiet and loud songs alike.",
        minimum=-30.0,
        maximum=0.0,
        step=0.1,
    ),
    Parameter(
        "normalize",
        "BOOLEAN",
        True,
        "Bring the peak to peak_db. Off: only peaks above full scale are lowered.",
    ),
    Parameter(
        "fade_in",
        "FLOAT",
        0.0,
        "Linear fade at the start, in seconds.",
        minimum=0.0,
        maximum=60.0,
        step=0.1,
    ),
    Parameter(
        "fade_out",
        "FLOAT",
        0.0,
        "Linear fade at the end, in seconds.",
        minimum=0.0,
        maximum=60.0,
        step=0.1,
    ),
    Parameter(
        "filename_prefix",
        "STRING",
        "audio/acestep",
        "Start of the file name, inside the output folder; may contain folders.",
    ),
    Parameter(
        "audio_format",
        "CHOICE",
        "flac",
        "flac and wav are lossless, mp3 is small.",
        choices=("flac", "wav", "mp3"),
    ),
    Parameter(
        "bit_depth",
        "CHOICE",
        "24",
        "Bits per sample. 32 is floating point and WAV only; MP3 has none and ignores it.",
        choices=("16", "24", "32"),
    ),
)
