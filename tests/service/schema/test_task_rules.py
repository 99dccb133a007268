"""Rules between the values of a task, and all errors of a task at once."""

from __future__ import annotations

from typing import Any

import pytest
from encoded_audio import ROWS
from task_requests import SOURCE, accepted, refused, the_error

from acestep_xl.service.schema.errors import ApiError
from acestep_xl.service.schema.task_rules import RULES

UUID = "a770f077-f413-47de-9dac-be0b26a35da6"


def broken(changes: dict[str, Any], *parameters: str) -> ApiError:
    """The error of the one rule that these values break, with the parameters it names."""
    error = the_error(changes)
    assert error.code == "incompatibleParameters"
    assert error.parameter == parameters
    return error


# Between values


def test_duration_excludes_a_source():
    broken({**SOURCE, "duration": 60}, "duration", "inputs.audio")
    accepted(SOURCE)
    accepted({"inputs": {}, "duration": 60})


@pytest.mark.parametrize(
    ("name", "value"), [("strength", 0.5), ("settings.repaintingStart", 5), ("settings.repaintingEnd", 5)]
)
def test_parameters_that_need_a_source(name, value):
    assert "needs inputs.audio" in broken({name: value}, name, "inputs.audio").message
    broken({name: value, "inputs": {}}, name, "inputs.audio")
    accepted({name: value, **SOURCE})
    accepted({name: value, "inputs.audio": UUID})


def test_every_parameter_without_its_source_is_reported():
    errors = refused({"strength": 1, "settings.repaintingStart": 1, "settings.repaintingEnd": 2})
    assert [error.parameter for error in errors] == [
        ("strength", "inputs.audio"),
        ("settings.repaintingStart", "inputs.audio"),
        ("settings.repaintingEnd", "inputs.audio"),
    ]


def test_the_guidance_interval_does_not_end_before_it_starts():
    start, end = "settings.cfgIntervalStart", "settings.cfgIntervalEnd"
    for first, last in ((0, 0), (0, 1), (0.5, 0.5), (1, 1)):
        accepted({start: first, end: last})
    accepted({start: 1})
    accepted({end: 0})
    for first, last in ((0.51, 0.5), (1, 0), (1e-9, 0)):
        broken({start: first, end: last}, start, end)


def test_a_repaint_ends_after_it_starts():
    start, end = "settings.repaintingStart", "settings.repaintingEnd"
    for first, last in ((0, 0.1), (-300, 300), (-8, 0), (20, 35), (299.9, 300)):
        accepted({**SOURCE, start: first, end: last})
    for first, last in ((5, 5), (35, 20), (0, 0), (300, 0)):
        broken({**SOURCE, start: first, end: last}, end, start)
    accepted({**SOURCE, start: 300})  # to the end of the source, whose length is not known yet
    accepted({**SOURCE, end: 0.1})
    broken({**SOURCE, end: 0}, end, start)  # from the start of the source


def test_ttl_needs_output_type_url():
    accepted({"ttl": 60})
    accepted({"ttl": 60, "outputType": "URL"})
    for kind in ("base64Data", "dataURI"):
        broken({"ttl": 60, "outputType": kind}, "ttl", "outputType")


def test_a_negative_prompt_without_guidance_is_accepted():
    # The API page: it has no effect while guidance is off.
    accepted({"negativePrompt": "noise", "CFGScale": 1})


@pytest.mark.parametrize("output_format", ["WAV", "FLAC"])
@pytest.mark.parametrize("given", [{}, {"bitrate": 128}, {"channels": 2}, {"sampleRate": 48000}])
def test_lossless_formats_refuse_audio_settings(output_format, given):
    broken({"outputFormat": output_format, "audioSettings": given}, "audioSettings", "outputFormat")
    accepted({"outputFormat": output_format})


TABLES = [(name.upper(), *limits) for name, *limits in ROWS]


@pytest.mark.parametrize(("output_format", "channels", "rate", "low", "high"), TABLES)
def test_bitrates(output_format, channels, rate, low, high):
    def settings(bitrate: int) -> dict[str, Any]:
        encoding = {"bitrate": bitrate, "channels": channels, "sampleRate": rate}
        return {"outputFormat": output_format, "audioSettings": encoding}

    for bitrate in (low, high):
        accepted(settings(bitrate))
        if channels == 2:  # the default
            del (given := settings(bitrate))["audioSettings"]["channels"]
            accepted(given)
        if rate == 48000:
            del (given := settings(bitrate))["audioSettings"]["sampleRate"]
            accepted(given)
    for bitrate in (low - 1, high + 1, 10**9):
        error = the_error(settings(bitrate))
        assert error.parameter == "audioSettings.bitrate"
        if bitrate >= 8:  # a lower one is out of the parameter's own range
            assert error.code == "unsupportedBitrate" and f"{low} to {high} kbps" in error.message


@pytest.mark.parametrize("rate", [11025, 22050, 32000, 44100])
def test_ogg_has_fewer_sample_rates(rate):
    error = the_error({"outputFormat": "OGG", "audioSettings": {"sampleRate": rate}})
    assert (error.code, error.parameter) == ("unsupportedSampleRate", ("audioSettings.sampleRate", "outputFormat"))
    assert error.allowed_values == (8000, 12000, 16000, 24000, 48000)
    accepted({"outputFormat": "MP3", "audioSettings": {"sampleRate": rate}})


def test_integers_may_be_written_as_floats():
    encoding = {"bitrate": 64.0, "channels": 1.0, "sampleRate": 8000.0}
    accepted({"audioSettings": encoding})
    assert the_error({"audioSettings": {**encoding, "bitrate": 65.0}}).code == "unsupportedBitrate"


# All errors at once


def test_all_errors_of_a_task_at_once():
    errors = refused(
        {
            "seed": "5",
            "CFGScale": 31,
            "bmp": 3,
            "positivePrompt": ...,
            "settings": {"cfgIntervalStart": 0.9, "cfgIntervalEnd": 0.1, "repaintingStart": 4, "timeSignature": 5},
            "outputType": "dataURI",
            "ttl": 60,
            "outputFormat": "OGG",
            "audioSettings": {"sampleRate": 44100, "channels": 3},
            "webhookURL": "https://user:pass@example.com",
            "advancedFeatures": {"modularScheduler": {"solver": {"type": "heun", "eta": 1}}},
        }
    )
    assert sorted((error.code, error.parameter) for error in errors if isinstance(error.parameter, str)) == [
        ("invalidCFGScale", "CFGScale"),
        ("invalidChannels", "audioSettings.channels"),
        ("invalidModularScheduler", "advancedFeatures.modularScheduler.solver.eta"),
        ("invalidSeed", "seed"),
        ("invalidTimeSignature", "settings.timeSignature"),
        ("invalidWebhookURL", "webhookURL"),
        ("missingPositivePrompt", "positivePrompt"),
        ("unsupportedParameter", "bmp"),
    ]
    assert [error.parameter for error in errors if isinstance(error.parameter, tuple)] == [
        ("settings.repaintingStart", "inputs.audio"),
        ("settings.cfgIntervalStart", "settings.cfgIntervalEnd"),
        ("ttl", "outputType"),
    ]


@pytest.mark.parametrize(
    ("changes", "parameters"),
    [
        ({"inputs": "song", "strength": 1}, ["inputs"]),
        ({"settings.cfgIntervalStart": "1", "settings.cfgIntervalEnd": 0}, ["settings.cfgIntervalStart"]),
        ({"outputFormat": "wav", "audioSettings": {"bitrate": 9}}, ["outputFormat"]),
        ({"outputType": 5, "ttl": 60}, ["outputType"]),
        ({"audioSettings": {"sampleRate": "8000", "bitrate": 320}}, ["audioSettings.sampleRate"]),
        ({**SOURCE, "settings": {"repaintingStart": 301, "repaintingEnd": 5}}, ["settings.repaintingStart"]),
    ],
)
def test_a_rule_that_depends_on_an_invalid_value_is_skipped(changes, parameters):
    assert [error.parameter for error in refused(changes)] == parameters


def test_a_rule_applies_where_the_invalid_value_does_not_matter():
    assert [error.parameter for error in refused({"inputs.audio": 5, "duration": 60})] == [
        "inputs.audio",
        ("duration", "inputs.audio"),
    ]


def test_every_rule_has_a_case():
    cases: list[dict[str, Any]] = [
        {**SOURCE, "duration": 60},
        {"strength": 1},
        {"settings.cfgIntervalStart": 1, "settings.cfgIntervalEnd": 0},
        {**SOURCE, "settings.repaintingEnd": 0},
        {"ttl": 60, "outputType": "dataURI"},
        {"outputFormat": "WAV", "audioSettings": {}},
    ]
    assert len(cases) == len(RULES)
    for case in cases:
        assert the_error(case)
