"""How a run uses a source."""

from __future__ import annotations

from .kind import Parameter

EDITING = (
    Parameter(
        "trim_start",
        "FLOAT",
        0.0,
        "Where the part to use starts, in seconds. Drag the handles on the waveform to set it.",
        minimum=0.0,
        maximum=86400.0,
        step=0.01,
    ),
    Parameter(
        "trim_end",
        "FLOAT",
        0.0,
        "Where the part to use ends, in seconds. 0: at the end of the recording.",
        minimum=0.0,
        maximum=86400.0,
        step=0.01,
    ),
    Parameter(
        "regions",
        "STRING",
        "10-20",
        "What to regenerate, in seconds: 12.5-18, 40-44. Minutes (1:05-1:20) and end (the end of the source) work "
        "too. A start below 0 adds music before the source, an end beyond it adds music after it.",
    ),
    Parameter(
        "repaint_mode",
        "CHOICE",
        "balanced",
        "balanced: uses strength. conservative: the new part stays close to the source (strength 1). aggressive: "
        "the network sees the source, but it is not put back until the end (strength 0).",
        choices=("balanced", "conservative", "aggressive"),
    ),
    Parameter(
        "strength",
        "FLOAT",
        0.5,
        "Fraction of the steps that use the source.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
    ),
    Parameter(
        "crossfade",
        "FLOAT",
        0.05,
        "Length of the crossfade outside each region, in seconds.",
        minimum=0.0,
        maximum=5.0,
        step=0.01,
    ),
    Parameter(
        "cover_codes",
        "BOOLEAN",
        True,
        "On: the cover follows the source's audio codes, that is, its melody and structure. Off: it follows the "
        "source itself and stays closer to its sound.",
    ),
    Parameter(
        "cover_strength",
        "FLOAT",
        1.0,
        "Fraction of the steps that use the source; the rest follow the prompt alone. 1 uses it to the end.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
    ),
    Parameter(
        "source_start",
        "FLOAT",
        0.0,
        "Starts from the source with noise added instead of from pure noise: 0 is pure noise, 0.9 is close to the "
        "source.",
        minimum=0.0,
        maximum=0.99,
        step=0.01,
    ),
    Parameter(
        "track_task",
        "CHOICE",
        "lego",
        "lego adds a track, extract isolates one, complete adds what is missing. Base checkpoints only.",
        choices=("lego", "extract", "complete"),
    ),
    Parameter(
        "track_regions",
        "STRING",
        "",
        "lego only: where to add the track, in seconds, such as 10-20. Empty: everywhere.",
    ),
)
