"""Values that a node would refuse in the run are refused before it, in ComfyUI as on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS
from acestep_xl.parameters import ids

PROMPT: dict[str, Any] = {"language": "en", "key_scale": "auto", "time_signature": "auto", "task": "text2music"}
SCHEDULE: dict[str, Any] = {"steps": 50, "shift": 3.0, "custom_sigmas": ""}
RECIPE = "DPM++ 2M Karras"

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    *((ids.ENCODE, PROMPT | {"bpm": bpm}, f"bpm {bpm} must be a whole number from 30 to 300") for bpm in (1, 20, 29)),
    (ids.ENCODE, PROMPT | {"bpm": 301}, "bpm 301"),
    (ids.ENCODE, PROMPT | {"bpm": -1}, "bpm -1"),
    (ids.ENCODE, PROMPT | {"duration": 0.5}, "duration 0.5 must be 1 to 600 seconds"),
    (ids.ENCODE, PROMPT | {"duration": 601.0}, "duration 601.0"),
    (
        ids.ENCODE,
        PROMPT | {"caption": "half \ud83d"},
        "caption contains half a surrogate pair, '\\ud83d', at character 5",
    ),
    (ids.ENCODE, PROMPT | {"lyrics": "\udc00"}, "lyrics contains half a surrogate pair"),
    (ids.ENCODE, PROMPT | {"tracks": "\udfff"}, "tracks contains half a surrogate pair"),
    (ids.ENCODE, PROMPT | {"task": "lego", "tracks": "kazoo"}, "unknown track 'kazoo'; known: woodwinds"),
    (ids.ENCODE, PROMPT | {"task": "lego", "tracks": "bass, drums"}, "takes one track"),
    (ids.ENCODE, PROMPT | {"tracks": "bass"}, "takes no tracks"),
    (ids.ENCODE, PROMPT | {"task": "sing", "tracks": ""}, "unknown task 'sing'"),
    (ids.SCHEDULE, SCHEDULE | {"steps": 0}, "steps is 0"),
    (ids.SCHEDULE, SCHEDULE | {"shift": -3.0}, "shift is -3.0"),
    (ids.SCHEDULE, SCHEDULE | {"schedule": "karas"}, "unknown schedule 'karas'"),
    (ids.SCHEDULE, SCHEDULE | {"custom_sigmas": "1, 0.5"}, "the last level must be 0"),
    (ids.SCHEDULE, SCHEDULE | {"custom_sigmas": "1, 0", "schedule": "karras"}, "choose custom or clear the list"),
    (ids.SCHEDULE, SCHEDULE | {"schedule": "custom"}, "at least 2 are needed"),
    (ids.SCHEDULE, SCHEDULE | {"start": 0.5, "denoise": 0.5}, "leave one at 1"),
    (ids.SCHEDULE, SCHEDULE | {"schedule": "karras", "start": 0.01, "terminal": 0.02}, "terminal is 0.02"),
    (ids.GUIDER, {"start": 0.8, "end": 0.2}, "start 0.8 lies after end 0.2: swap them"),
    (ids.GUIDER, {"start": -0.1, "end": 1.0}, "start is -0.1, allowed 0 to 1"),
    (ids.RECIPE, {"recipe": RECIPE, "steps": 0, "shift": 3.0}, "steps is 0"),
    (ids.TRACKS, {"regions": "1-2", "task": "extract", "latent": None}, "only lego works on a part"),
    (ids.TRACKS, {"regions": "", "task": "sing", "latent": None}, "task is 'sing', known: "),
    (ids.TRACKS, {"regions": "", "task": "lego"}, "no source: connect audio"),
    (ids.REPAINT, {"regions": "1-2"}, "no source: connect audio"),
    (ids.REPAINT, {"regions": "1-2", "audio": None}, "needs the VAE"),
    (ids.COVER, {}, "no source: connect audio"),
    (ids.COVER, {"audio": None}, "needs the VAE"),
    (ids.TIMBRE, {}, "connect one of audio and latent"),
    (ids.TIMBRE, {"audio": None, "latent": None, "vae": None}, "connect one of audio and latent"),
    (ids.TIMBRE, {"audio": None}, "needs the VAE"),
    (ids.SPEED, {"weights": "int3", "compile": "off"}, "weights is 'int3', known: "),
    (ids.SAVE, {"format": "flac", "bit_depth": "24", "title": "\ud800"}, "title contains half a surrogate pair"),
    (ids.SAVE, {"format": "flac", "bit_depth": "24", "filename_prefix": "../x"}, "leaves the output folder"),
    (ids.SAVE_ENCODED, {"filename_prefix": "audio/"}, "no name after its folders"),
    (ids.PLOT, {"filename_prefix": "%height%"}, "means nothing for audio"),
]

ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    (ids.ENCODE, PROMPT | {"bpm": 0, "duration": 0.0, "caption": "👍", "lyrics": "", "tracks": ""}),
    (ids.ENCODE, PROMPT | {"bpm": 30, "duration": 1.0, "task": "complete", "tracks": "Bass, drums"}),
    (ids.ENCODE, dict.fromkeys((*PROMPT, "bpm", "duration", "caption", "lyrics", "tracks"))),
    (ids.SCHEDULE, SCHEDULE),
    (ids.SCHEDULE, SCHEDULE | {"custom_sigmas": "1, 0.5, 0"}),
    (ids.SCHEDULE, SCHEDULE | {"schedule": "custom", "custom_sigmas": None}),
    (ids.SCHEDULE, dict.fromkeys((*SCHEDULE, "schedule", "rho", "alpha", "beta", "threshold", "terminal", "start"))),
    (ids.GUIDER, {"start": 0.3, "end": 0.3}),
    (ids.GUIDER, {"start": None, "end": 0.2}),
    (ids.RECIPE, {"recipe": RECIPE, "steps": None, "shift": None}),
    (ids.RECIPE, {"recipe": None, "steps": 8, "shift": 3.0}),
    (ids.TRACKS, {"regions": None, "task": "extract", "latent": None}),
    (ids.REPAINT, {"regions": "1-2", "audio": None, "vae": None}),
    (ids.COVER, {"latent": None}),
    (ids.TIMBRE, {"latent": None}),
    (ids.SPEED, {"weights": None, "compile": "off"}),
    (ids.SAVE, {"format": "flac", "bit_depth": "24", "filename_prefix": None, "title": None}),
    (ids.SAVE, {"format": "flac", "bit_depth": "24", "filename_prefix": ".drafts/%date:yyyy-MM-dd%/%Any node.seed%"}),
]


@pytest.mark.parametrize(("node", "values", "message"), REFUSED)
def test_refused_before_the_run(node: str, values: dict[str, Any], message: str) -> None:
    answer = NODE_CLASS_MAPPINGS[node].VALIDATE_INPUTS(**values)  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(answer, str) and message in answer
    answer.encode()


@pytest.mark.parametrize(("node", "values"), ACCEPTED)
def test_what_may_work_is_accepted(node: str, values: dict[str, Any]) -> None:
    """A linked value arrives as None, an unconnected socket not at all."""
    assert NODE_CLASS_MAPPINGS[node].VALIDATE_INPUTS(**values) is True  # pyright: ignore[reportAttributeAccessIssue]
