"""What a run does with a source."""

from __future__ import annotations

from .kind import Parameter

EDITING = (
    Parameter(
        "regions",
        "STRING",
        "10-20",
        "What is made anew, in seconds: 12.5-18, 40-44. Minutes work (1:05-1:20), end is the source's end. A start "
        "below 0 puts new music before the source, an end beyond it puts new music after it.",
    ),
    Parameter(
        "repaint_mode",
        "CHOICE",
        "balanced",
        "balanced: strength decides. conservative: the source holds the new part closely (strength 1). aggressive: the "
        "source is seen but not put back before the end (strength 0).",
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
        "On: the cover follows the source's audio codes, melody and structure. Off: it follows the source itself, "
        "closer to how it sounds.",
    ),
    Parameter(
        "cover_strength",
        "FLOAT",
        1.0,
        "Fraction of the steps after which the source is let go and the prompt alone goes on. 1 keeps it to the end.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
    ),
    Parameter(
        "source_start",
        "FLOAT",
        0.0,
        "Start from the source with noise on it instead of from pure noise: 0 is pure noise, 0.9 nearly the source.",
        minimum=0.0,
        maximum=0.99,
        step=0.01,
    ),
    Parameter(
        "track_task",
        "CHOICE",
        "lego",
        "lego adds a track, extract takes one out, complete adds what is missing. Base checkpoints only.",
        choices=("lego", "extract", "complete"),
    ),
    Parameter(
        "track_regions",
        "STRING",
        "",
        "lego only: where the track is added, in seconds, such as 10-20. Empty is everywhere.",
    ),
)
