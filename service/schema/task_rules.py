"""Rules between the values of an audioInference task: what needs what, and what does not go together.

They look at the request as it came, so that a rule is told also where other values are wrong; a rule that hangs on a
wrong value is left for the next attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ... import parameters
from ...parameters import api
from .encoding_rules import LOSSLESS, LOSSY, ranges, schema
from .validation import Fault

INCOMPATIBLE = "incompatibleParameters"
Found = tuple[tuple[str, ...], Fault]  # the parameters to blame, and why; the words begin the message


@dataclass(frozen=True)
class Given:
    """A task as it came. wrong: the dotted names of values that are refused already."""

    task: Mapping[str, Any]
    wrong: frozenset[str]

    def has(self, name: str) -> bool:
        """Whether the parameter was given, be its value right or wrong."""
        parent, _, key = name.rpartition(".")
        place = self.task.get(parent) if parent else self.task
        return isinstance(place, Mapping) and key in place

    def known(self, *names: str) -> bool:
        """Whether none of these was given a wrong value."""
        return self.wrong.isdisjoint(names)

    def value(self, name: str) -> Any:
        """The value of a parameter that is ``known``: as given, or the page's default."""
        if not self.has(name):
            return api.get(name).default
        parent, _, key = name.rpartition(".")
        return (self.task[parent] if parent else self.task)[key]


@dataclass(frozen=True)
class Rule:
    """words: the rule for people. check: what breaks it. schema: the same in JSON Schema, where that can say it."""

    words: str
    check: Callable[[Given], Iterator[Found]]
    schema: Mapping[str, Any] | None = None


def check(given: Given) -> Iterator[Found]:
    """Every rule that the task breaks, as far as its right values tell."""
    for rule in RULES:
        yield from rule.check(given)


def _duration(given: Given) -> Iterator[Found]:
    if given.has("duration") and given.has("inputs.audio"):
        words = "duration cannot be given with inputs.audio, whose length the result has; leave duration out"
        yield ("duration", "inputs.audio"), Fault(INCOMPATIBLE, words)


def _source_needed(given: Given) -> Iterator[Found]:
    if given.has("inputs.audio") or not given.known("inputs"):
        return
    for name in NEED_SOURCE:
        if given.has(name):
            yield (
                (name, "inputs.audio"),
                Fault(INCOMPATIBLE, f"{name} needs inputs.audio; add a source or leave it out"),
            )


def _interval(given: Given) -> Iterator[Found]:
    start, end = "settings.cfgIntervalStart", "settings.cfgIntervalEnd"
    if given.known(start, end) and given.value(start) > given.value(end):
        words = f"{start} is {given.value(start)}, after {end} {given.value(end)}; it must not be larger"
        yield (start, end), Fault(INCOMPATIBLE, words)


def _repaint(given: Given) -> Iterator[Found]:
    start, end = "settings.repaintingStart", "settings.repaintingEnd"
    if not given.has(end) or not given.known(start, end):
        return
    first = given.value(start) if given.has(start) else 0  # the start of the source
    if given.value(end) <= first:
        words = f"{end} is {given.value(end)}, not after {start} {first}; the new part must end after its start"
        yield (end, start), Fault(INCOMPATIBLE, words)


def _ttl(given: Given) -> Iterator[Found]:
    wanted = api.get("outputType").default
    if given.has("ttl") and given.known("outputType") and given.value("outputType") != wanted:
        words = f"ttl goes only with outputType {wanted}, not {given.value('outputType')}; leave it out"
        yield ("ttl", "outputType"), Fault(INCOMPATIBLE, words)


def _encoding(given: Given) -> Iterator[Found]:
    if not given.has("audioSettings") or not given.known("outputFormat"):
        return
    name = given.value("outputFormat")
    if name in LOSSLESS:
        words = f"audioSettings cannot be given with outputFormat {name}, which is lossless; leave it out or take "
        yield ("audioSettings", "outputFormat"), Fault(INCOMPATIBLE, words + " or ".join(LOSSY))
    elif given.known("audioSettings", "audioSettings.channels", "audioSettings.sampleRate"):
        yield from _lossy(given, name)


def _lossy(given: Given, name: str) -> Iterator[Found]:
    channels = int(given.value("audioSettings.channels"))
    rate = int(given.value("audioSettings.sampleRate") or parameters.SAMPLE_RATE)
    held = ranges(name, channels) or {}
    if rate not in held:
        words = f"audioSettings.sampleRate is {rate}; {name} has {', '.join(map(str, held))} Hz"
        yield ("audioSettings.sampleRate", "outputFormat"), Fault("unsupportedSampleRate", words, tuple(held))
    elif given.has("audioSettings.bitrate") and given.known("audioSettings.bitrate"):
        low, high = held[rate]
        bitrate = int(given.value("audioSettings.bitrate"))
        if not low <= bitrate <= high:
            spoken = f"{name} at {rate} Hz with {channels} channel{'s' * (channels > 1)}"
            words = f"audioSettings.bitrate is {bitrate}; {spoken} takes {low} to {high} kbps"
            yield ("audioSettings.bitrate",), Fault("unsupportedBitrate", words)


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
        _duration,
        {"anyOf": [{"properties": {"duration": False}}, {"properties": {"inputs": {"properties": {"audio": False}}}}]},
    ),
    Rule(
        f"{', '.join(f'`{name}`' for name in NEED_SOURCE)} need `inputs.audio`.",
        _source_needed,
        {"allOf": [_needs(name) for name in NEED_SOURCE]},
    ),
    Rule("`settings.cfgIntervalStart` must not be larger than `settings.cfgIntervalEnd`.", _interval),
    Rule("`settings.repaintingEnd` must be larger than `settings.repaintingStart`, or than 0 without one.", _repaint),
    Rule(
        f"`ttl` goes only with `outputType` {_OUTPUT_TYPE}.",
        _ttl,
        {"anyOf": [{"properties": {"ttl": False}}, {"properties": {"outputType": {"const": _OUTPUT_TYPE}}}]},
    ),
    Rule(
        f"`audioSettings` cannot be given with `outputFormat` {' or '.join(LOSSLESS)}; for the others, sample rate and "
        "bitrate must be in the tables below.",
        _encoding,
        schema(),
    ),
)
