"""The sample rates and bitrates of each output format, from the tables of `audio.formats`, as rules for a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import parameters
from ...audio import formats
from ...parameters import api

Ranges = Mapping[int, tuple[int, int]]  # Hz -> lowest and highest kbit/s


def ranges(output_format: str, channels: int) -> Ranges | None:
    """The bitrates of a format by sample rate; None if it is lossless."""
    table = formats.get(output_format.lower()).bitrates
    return None if table is None else table[channels]


def schema() -> dict[str, Any]:
    """JSON Schema: which audioSettings go with which outputFormat."""
    default = api.get("outputFormat").default
    lossless = {
        "properties": {"outputFormat": {"enum": list(LOSSLESS)}, "audioSettings": False},
        "required": ["outputFormat"],
    }
    variants = [lossless]
    for name in LOSSY:
        lossy = {"properties": {"outputFormat": {"const": name}, "audioSettings": {"anyOf": _encodings(name)}}}
        variants.append(lossy if name == default else lossy | {"required": ["outputFormat"]})
    return {"anyOf": variants}


def _encodings(output_format: str) -> list[dict[str, Any]]:
    """One schema for each number of channels and range of bitrates."""
    schemas = []
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
            required = ["channels"] * (channels != api.get("audioSettings.channels").default)
            required += ["sampleRate"] * (parameters.SAMPLE_RATE not in rates)
            schemas.append({"properties": properties} | ({"required": required} if required else {}))
    return schemas


_NAMES = tuple(str(name) for name in api.get("outputFormat").choices)
LOSSLESS = tuple(name for name in _NAMES if formats.get(name.lower()).bitrates is None)
LOSSY = tuple(name for name in _NAMES if name not in LOSSLESS)
