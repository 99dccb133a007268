"""Which encodings the output formats of the API have: the tables of the audio folder, as rules for a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import parameters
from ...audio import formats
from ...parameters import api

Ranges = Mapping[int, tuple[int, int]]  # Hz -> lowest and highest kbps


def ranges(output_format: str, channels: int) -> Ranges | None:
    """The bitrates of a format by sample rate; None if it is lossless and has none."""
    table = formats.get(output_format.lower()).bitrates
    return None if table is None else table[channels]


def schema() -> dict[str, Any]:
    """JSON Schema of which audioSettings go with which outputFormat."""
    default = api.get("outputFormat").default
    lossless = {
        "properties": {"outputFormat": {"enum": list(LOSSLESS)}, "audioSettings": False},
        "required": ["outputFormat"],
    }
    variants = [lossless]
    for name in LOSSY:
        fits = {"properties": {"outputFormat": {"const": name}, "audioSettings": {"anyOf": _encodings(name)}}}
        variants.append(fits if name == default else fits | {"required": ["outputFormat"]})
    return {"anyOf": variants}


def _encodings(output_format: str) -> list[dict[str, Any]]:
    """One schema for each number of channels and range of bitrates."""
    found = []
    for channels in api.get("audioSettings.channels").choices:
        grouped: dict[tuple[int, int], list[int]] = {}
        for rate, limits in (ranges(output_format, int(channels)) or {}).items():
            grouped.setdefault(limits, []).append(rate)
        for (low, high), rates in grouped.items():
            properties = {
                "channels": {"const": channels},
                "sampleRate": {"enum": rates},
                "bitrate": {"minimum": low, "maximum": high},
            }
            needed = ["channels"] * (channels != api.get("audioSettings.channels").default)
            needed += ["sampleRate"] * (parameters.SAMPLE_RATE not in rates)
            found.append({"properties": properties} | ({"required": needed} if needed else {}))
    return found


_NAMES = tuple(str(name) for name in api.get("outputFormat").choices)
LOSSLESS = tuple(name for name in _NAMES if formats.get(name.lower()).bitrates is None)
LOSSY = tuple(name for name in _NAMES if name not in LOSSLESS)
