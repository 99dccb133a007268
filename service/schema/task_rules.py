"""Rules between the values of an audioInference task: what needs what, and what does not go together.

They check the request as it was sent, so that a broken rule is reported even where other values are invalid. A rule
that depends on an invalid value is skipped until that value is corrected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ... import parameters
from ...parameters import api
from .encoding_rules import LOSSLESS, LOSSY, ranges, schema
from .errors import ApiError


@dataclass(frozen=True)
class RawTask:
    """A task as it was sent, with a valid taskType. invalid: dotted names of values that are invalid by themselves."""

    values: Mapping[str, Any]
    invalid: frozenset[str]

    @property
    def task_type(self) -> str:
        return self.values["taskType"]

    def has(self, name: str) -> bool:
        """Whether the parameter was given, valid or not."""
        parent, _, key = name.rpartition(".")
        group = self.values.get(parent) if parent else self.values
        return isinstance(group, Mapping) and key in group

    def is_valid(self, *names: str) -> bool:
        """Whether none of these was given an invalid value."""
        return self.invalid.isdisjoint(names)

    def has_valid(self, name: str) -> bool:
        return self.has(name) and self.is_valid(name)

    def value(self, name: str) -> Any:
        """The value of a parameter that `is_valid`: as given, or the default."""
        if not self.has(name):
            return api.get(name, self.task_type).default
        parent, _, key = name.rpartition(".")
        return (self.values[parent] if parent else self.values)[key]


@dataclass(frozen=True)
class Rule:
    """description: the rule in Markdown. check: yields the errors of a task that breaks it. schema: the same in JSON
    Schema, where that can say it."""

    description: str
    check: Callable[[RawTask], Iterator[ApiError]]
    schema: Mapping[str, Any] | None = None


def check(task: RawTask) -> Iterator[ApiError]:
    """The errors of every rule that the valid values of a task break."""
    for rule in RULES:
        yield from rule.check(task)


def _incompatible(message: str, *names: str) -> ApiError:
    return ApiError("incompatibleParameters", message, names)


def _check_duration(task: RawTask) -> Iterator[ApiError]:
    if task.has("duration") and task.has("inputs.audio"):
        message = "duration cannot be given with inputs.audio, which sets the length of the result; leave duration out"
        yield _incompatible(message, "duration", "inputs.audio")


def _check_source(task: RawTask) -> Iterator[ApiError]:
    if task.has("inputs.audio") or not task.is_valid("inputs"):
        return
    for name in NEED_SOURCE:
        if task.has(name):
            yield _incompatible(f"{name} needs inputs.audio; add a source or leave it out", name, "inputs.audio")


def _check_interval(task: RawTask) -> Iterator[ApiError]:
    start, end = "settings.cfgIntervalStart", "settings.cfgIntervalEnd"
    if task.is_valid(start, end) and task.value(start) > task.value(end):
        message = f"{start} is {task.value(start)}, after {end} {task.value(end)}; it must not be larger"
        yield _incompatible(message, start, end)


def _check_region(task: RawTask) -> Iterator[ApiError]:
    start, end = "settings.repaintingStart", "settings.repaintingEnd"
    if not task.has(end) or not task.is_valid(start, end):
        return
    first = task.value(start) if task.has(start) else 0  # the start of the source
    if task.value(end) <= first:
        message = f"{end} is {task.value(end)}, not after {start} {first}; the region must end after its start"
        yield _incompatible(message, end, start)


def _check_ttl(task: RawTask) -> Iterator[ApiError]:
    if task.has("ttl") and task.is_valid("outputType") and task.value("outputType") != _OUTPUT_TYPE:
        message = f"ttl goes only with outputType {_OUTPUT_TYPE}, not {task.value('outputType')}; leave it out"
        yield _incompatible(message, "ttl", "outputType")


def _check_encoding(task: RawTask) -> Iterator[ApiError]:
    if not task.has("audioSettings") or not task.is_valid("outputFormat"):
        return
    name = task.value("outputFormat")
    if name in LOSSLESS:
        reason = f"audioSettings cannot be given with outputFormat {name}, which is lossless"
        message = f"{reason}; leave it out or choose {' or '.join(LOSSY)}"
        yield _incompatible(message, "audioSettings", "outputFormat")
    elif task.is_valid("audioSettings", "audioSettings.channels", "audioSettings.sampleRate"):
        yield from _check_bitrate(task, name)


def _check_bitrate(task: RawTask, output_format: str) -> Iterator[ApiError]:
    channels = int(task.value("audioSettings.channels"))
    rate = int(task.value("audioSettings.sampleRate") or parameters.SAMPLE_RATE)
    bitrates = ranges(output_format, channels) or {}
    if rate not in bitrates:
        message = f"audioSettings.sampleRate is {rate}; {output_format} has {', '.join(map(str, bitrates))} Hz"
        names = ("audioSettings.sampleRate", "outputFormat")
        yield ApiError("unsupportedSampleRate", message, names, allowed_values=tuple(bitrates))
    elif task.has_valid("audioSettings.bitrate"):
        low, high = bitrates[rate]
        bitrate = int(task.value("audioSettings.bitrate"))
        if not low <= bitrate <= high:
            encoding = f"{output_format} at {rate} Hz with {channels} channel{'s' * (channels > 1)}"
            message = f"audioSettings.bitrate is {bitrate}; {encoding} takes {low} to {high} kbps"
            yield ApiError("unsupportedBitrate", message, "audioSettings.bitrate")


def _needs(name: str) -> dict[str, Any]:
    """JSON Schema: the parameter only with inputs.audio."""
    source = {"properties": {"inputs": {"required": ["audio"]}}, "required": ["inputs"]}
    parent, _, key = name.rpartition(".")
    absent = {"properties": {parent: {"properties": {key: False}}}} if parent else {"properties": {key: False}}
    return {"anyOf": [source, absent]}


NEED_SOURCE = ("strength", "settings.repaintingStart", "settings.repaintingEnd")
_OUTPUT_TYPE = api.get("outputType").default

RULES: tuple[Rule, ...] = (
    Rule(
        "`duration` cannot be given with `inputs.audio`.",
        _check_duration,
        {"anyOf": [{"properties": {"duration": False}}, {"properties": {"inputs": {"properties": {"audio": False}}}}]},
    ),
    Rule(
        f"{', '.join(f'`{name}`' for name in NEED_SOURCE)} need `inputs.audio`.",
        _check_source,
        {"allOf": [_needs(name) for name in NEED_SOURCE]},
    ),
    Rule("`settings.cfgIntervalStart` must not be larger than `settings.cfgIntervalEnd`.", _check_interval),
    Rule(
        "`settings.repaintingEnd` must be larger than `settings.repaintingStart`, or than 0 without one.", _check_region
    ),
    Rule(
        f"`ttl` goes only with `outputType` {_OUTPUT_TYPE}.",
        _check_ttl,
        {"anyOf": [{"properties": {"ttl": False}}, {"properties": {"outputType": {"const": _OUTPUT_TYPE}}}]},
    ),
    Rule(
        f"`audioSettings` cannot be given with `outputFormat` {' or '.join(LOSSLESS)}; for the others, sample rate and "
        "bitrate must be in the tables below.",
        _check_encoding,
        schema(),
    ),
)
