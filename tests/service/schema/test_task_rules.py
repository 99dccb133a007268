"""Rules between the values of a task, and how a request tells what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from task_requests import MODEL, SOURCE, accepted, errors_of, refused, task, the_error

from acestep_xl.parameters import api
from acestep_xl.service.schema.errors import ApiError, RequestError, http_status
from acestep_xl.service.schema.request import read_tasks
from acestep_xl.service.schema.task import Task
from acestep_xl.service.schema.task_rules import RULES
from acestep_xl.transfer.policy import Policy

UUID = "a770f077-f413-47de-9dac-be0b26a35da6"


def broken(changes: dict[str, Any], *parameters: str) -> ApiError:
    """The one rule that the values break, which blames these parameters."""
    error = the_error(changes)
    assert error.code == "incompatibleParameters"
    assert error.parameter == parameters
    return error


# Between values


def test_duration_goes_without_a_source():
    broken({**SOURCE, "duration": 60}, "duration", "inputs.audio")
    accepted(SOURCE)
    accepted({"inputs": {}, "duration": 60})


@pytest.mark.parametrize(
    ("name", "value"), [("strength", 0.5), ("settings.repaintingStart", 5), ("settings.repaintingEnd", 5)]
)
def test_what_needs_a_source(name, value):
    assert "needs inputs.audio" in broken({name: value}, name, "inputs.audio").message
    broken({name: value, "inputs": {}}, name, "inputs.audio")
    accepted({name: value, **SOURCE})
    accepted({name: value, "inputs.audio": UUID})


def test_all_that_needs_a_source_is_told():
    found = refused({"strength": 1, "settings.repaintingStart": 1, "settings.repaintingEnd": 2})
    assert [error.parameter for error in found] == [
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


def test_ttl_goes_with_an_address():
    accepted({"ttl": 60})
    accepted({"ttl": 60, "outputType": "URL"})
    for kind in ("base64Data", "dataURI"):
        broken({"ttl": 60, "outputType": kind}, "ttl", "outputType")


def test_a_negative_prompt_without_guidance_is_accepted():
    # The page: ignored where guidance is off.
    accepted({"negativePrompt": "noise", "CFGScale": 1})


@pytest.mark.parametrize("output_format", ["WAV", "FLAC"])
@pytest.mark.parametrize("given", [{}, {"bitrate": 128}, {"channels": 2}, {"sampleRate": 48000}])
def test_lossless_formats_refuse_audio_settings(output_format, given):
    broken({"outputFormat": output_format, "audioSettings": given}, "audioSettings", "outputFormat")
    accepted({"outputFormat": output_format})


# The page's tables, row by row: format, channels, sample rate, lowest and highest bitrate.
TABLES = [
    *[("MP3", channels, rate, 8, 64) for channels in (1, 2) for rate in (8000, 11025, 12000)],
    *[("MP3", channels, rate, 8, 160) for channels in (1, 2) for rate in (16000, 22050, 24000)],
    *[("MP3", channels, rate, 32, 320) for channels in (1, 2) for rate in (32000, 44100, 48000)],
    ("OGG", 1, 8000, 8, 40),
    ("OGG", 1, 12000, 16, 48),
    ("OGG", 1, 16000, 16, 96),
    ("OGG", 1, 24000, 16, 80),
    ("OGG", 1, 48000, 32, 224),
    ("OGG", 2, 8000, 16, 80),
    ("OGG", 2, 12000, 16, 96),
    ("OGG", 2, 16000, 24, 192),
    ("OGG", 2, 24000, 32, 160),
    ("OGG", 2, 48000, 48, 256),
]


@pytest.mark.parametrize(("output_format", "channels", "rate", "low", "high"), TABLES)
def test_bitrates(output_format, channels, rate, low, high):
    def settings(bitrate: int) -> dict[str, Any]:
        encoding = {"bitrate": bitrate, "channels": channels, "sampleRate": rate}
        return {"outputFormat": output_format, "audioSettings": encoding}

    for bitrate in (low, high):
        accepted(settings(bitrate))
        if channels == 2:  # what is absent has its default
            del (given := settings(bitrate))["audioSettings"]["channels"]
            accepted(given)
        if rate == 48000:
            del (given := settings(bitrate))["audioSettings"]["sampleRate"]
            accepted(given)
    for bitrate in (low - 1, high + 1, 10**9):
        error = the_error(settings(bitrate))
        assert error.parameter == "audioSettings.bitrate"
        if bitrate >= 8:  # below, it is out of the range of the parameter itself
            assert error.code == "unsupportedBitrate" and f"{low} to {high} kbps" in error.message


@pytest.mark.parametrize("rate", [11025, 22050, 32000, 44100])
def test_ogg_has_fewer_sample_rates(rate):
    error = the_error({"outputFormat": "OGG", "audioSettings": {"sampleRate": rate}})
    assert (error.code, error.parameter) == ("unsupportedSampleRate", ("audioSettings.sampleRate", "outputFormat"))
    assert error.allowed_values == (8000, 12000, 16000, 24000, 48000)
    accepted({"outputFormat": "MP3", "audioSettings": {"sampleRate": rate}})


def test_a_whole_number_may_be_written_with_a_fraction_of_zero():
    encoding = {"bitrate": 64.0, "channels": 1.0, "sampleRate": 8000.0}
    accepted({"audioSettings": encoding})
    assert the_error({"audioSettings": {**encoding, "bitrate": 65.0}}).code == "unsupportedBitrate"


# All at once


def test_all_errors_of_a_task_at_once():
    found = refused(
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
    assert sorted((error.code, error.parameter) for error in found if isinstance(error.parameter, str)) == [
        ("invalidCFGScale", "CFGScale"),
        ("invalidChannels", "audioSettings.channels"),
        ("invalidModularScheduler", "advancedFeatures.modularScheduler.solver.eta"),
        ("invalidSeed", "seed"),
        ("invalidTimeSignature", "settings.timeSignature"),
        ("invalidWebhookURL", "webhookURL"),
        ("missingPositivePrompt", "positivePrompt"),
        ("unsupportedParameter", "bmp"),
    ]
    assert [error.parameter for error in found if isinstance(error.parameter, tuple)] == [
        ("settings.repaintingStart", "inputs.audio"),
        ("settings.cfgIntervalStart", "settings.cfgIntervalEnd"),
        ("ttl", "outputType"),
    ]


@pytest.mark.parametrize(
    ("changes", "blamed"),
    [
        ({"inputs": "song", "strength": 1}, ["inputs"]),
        ({"settings.cfgIntervalStart": "1", "settings.cfgIntervalEnd": 0}, ["settings.cfgIntervalStart"]),
        ({"outputFormat": "wav", "audioSettings": {"bitrate": 9}}, ["outputFormat"]),
        ({"outputType": 5, "ttl": 60}, ["outputType"]),
        ({"audioSettings": {"sampleRate": "8000", "bitrate": 320}}, ["audioSettings.sampleRate"]),
        ({**SOURCE, "settings": {"repaintingStart": 301, "repaintingEnd": 5}}, ["settings.repaintingStart"]),
    ],
)
def test_a_rule_that_hangs_on_a_wrong_value_is_not_told(changes, blamed):
    assert [error.parameter for error in refused(changes)] == blamed


def test_a_rule_is_told_where_the_wrong_value_does_not_matter():
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


def test_one_bad_task_does_not_touch_its_neighbours():
    good, bad = task(), task({"steps": 0})
    reads = read_tasks([good, bad, "nothing", {"taskType": "ping", "ping": True}, good | {"taskUUID": UUID}])
    assert [isinstance(read, tuple) for read in reads] == [False, True, True, False, False]
    assert reads[0] == read_tasks([good])[0] and reads[1] == errors_of(bad)
    assert reads[3] == Task("ping", {"taskType": "ping", "ping": True})


# The same UUID twice


def test_a_uuid_is_given_once():
    first, second, third = task({"taskUUID": UUID}), task({"taskUUID": UUID, "steps": 0}), task()
    reads = read_tasks([first, second, third, task({"taskUUID": UUID.upper()})])
    assert [isinstance(read, tuple) for read in reads] == [False, True, False, True]
    assert [(error.code, error.parameter) for error in reads[1]] == [
        ("invalidSteps", "steps"),
        ("conflictTaskUUID", "taskUUID"),
    ]
    assert [error.code for error in reads[3]] == ["conflictTaskUUID"]
    reads = read_tasks([task({"taskUUID": UUID.upper()}), task({"taskUUID": UUID})])
    assert [isinstance(read, tuple) for read in reads] == [False, True]


def test_a_refused_task_has_its_uuid_too():
    # Answers are told apart by the UUID alone.
    reads = read_tasks([task({"taskUUID": UUID, "steps": 0}), task({"taskUUID": UUID})])
    assert [[error.code for error in read] for read in reads] == [["invalidSteps"], ["conflictTaskUUID"]]


def test_asking_about_a_task_is_no_conflict():
    asking = [{"taskType": kind, "taskUUID": UUID} for kind in ("getResponse", "getResponse", "cancelTask")]
    assert not any(isinstance(read, tuple) for read in read_tasks([task({"taskUUID": UUID}), *asking]))


# Names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("settings.bmp", "settings.bpm"),
        ("settings.Lyrics", "settings.lyrics"),
        ("positive_prompt", "positivePrompt"),
        ("cfgScale", "CFGScale"),
        ("webhookUrl", "webhookURL"),
        ("lyrics", "settings.lyrics"),
        ("audio", "inputs.audio"),
        ("settings.steps", "steps"),
        ("modularScheduler", "advancedFeatures.modularScheduler"),
        ("audioSettings.sampleRates", "audioSettings.sampleRate"),
    ],
)
def test_an_unknown_key_names_the_one_that_was_meant(name, meant):
    error = the_error({name: 1})
    assert (error.code, error.parameter) == ("unsupportedParameter", name)
    assert f"did you mean {meant}?" in error.message


def test_an_unknown_key_lists_the_known():
    error = the_error({"inputs.referenceImages": []})
    assert error.allowed_values == ("audio",) and "allowed here: audio" in error.message
    error = the_error({"zzz": []})
    assert error.allowed_values is not None and {"taskUUID", "settings", "CFGScale"} <= set(error.allowed_values)
    assert "bpm" not in error.allowed_values


def test_a_word_that_is_close_is_named():
    assert the_error({"settings.vocalLanguage": "EN"}).message.endswith("did you mean en?")
    assert the_error({"outputType": "base64"}).message.endswith("did you mean base64Data?")
    assert "did you mean" not in the_error({"outputType": "picture"}).message


# Addresses


def test_private_addresses_are_refused_under_a_policy():
    private = {"webhookURL": "http://127.0.0.1:9000/hook", "uploadEndpoint": "http://[::1]:9000/", "inputs.audio": UUID}
    accepted(private)
    (read,) = read_tasks([task(private)], Policy(allow_private=True))
    assert not isinstance(read, tuple)
    (read,) = read_tasks([task({**private, "inputs.audio": "http://10.0.0.1/a.mp3"})], Policy())
    assert isinstance(read, tuple)
    assert [error.parameter for error in read] == ["webhookURL", "uploadEndpoint", "inputs.audio"]
    assert "loopback" in read[0].message


def test_secrets_are_not_repeated():
    token = "s3cr3t"
    found = (
        *refused({"webhookURL": f"ftp://example.com/?token={token}", "uploadEndpoint": f"https://a b/?X-Sig={token}"}),
        *refused({"inputs.audio": token, "duration": 5}),
        *errors_of({"taskType": "authentication", "apiKey": [token]}),
        *errors_of({"taskType": "authentication", "apiKey": token, "connectionSessionUUID": 5}),
    )
    assert len(found) >= 5
    assert token not in json.dumps([error.to_json() for error in found])


# Other tasks


@pytest.mark.parametrize("kind", ["getResponse", "cancelTask", "getTaskDetails"])
def test_tasks_about_a_task(kind):
    (read,) = read_tasks([{"taskType": kind, "taskUUID": UUID}])
    assert not isinstance(read, tuple) and read.to_json() == {"taskType": kind, "taskUUID": UUID}
    assert [error.code for error in errors_of({"taskType": kind})] == ["missingTaskUUID"]
    assert [error.code for error in errors_of({"taskType": kind, "taskUUID": "x"})] == ["invalidTaskUUID"]
    assert [error.code for error in errors_of({"taskType": kind, "taskUUID": UUID, "x": 1})] == ["unsupportedParameter"]


def test_media_storage():
    def upload(media: Any) -> dict[str, Any]:
        return {"taskType": "mediaStorage", "taskUUID": UUID, "operation": "upload", "media": media}

    for media in ("https://example.com/a.wav", "data:audio/wav;base64,UklGRg==", "UklGRg==", "A" * 10_000_000):
        (read,) = read_tasks([upload(media)])
        assert not isinstance(read, tuple) and read.to_json() == upload(media)
        assert media not in repr(read)
    for media in ("", 5, None, ["UklGRg=="], "ftp://example.com/a.wav", "https://user:secret@example.com/a.wav"):
        (error,) = errors_of(upload(media))
        assert (error.code, error.parameter) == ("invalidMedia", "media")
    (error,) = errors_of(upload("UklGRg==") | {"operation": "delete"})
    assert (error.code, error.allowed_values) == ("invalidOperation", ("upload",))
    found = errors_of({"taskType": "mediaStorage"})
    assert [error.code for error in found] == ["missingTaskUUID", "missingOperation", "missingMedia"]


def test_authentication():
    (read,) = read_tasks([{"taskType": "authentication", "apiKey": "key", "connectionSessionUUID": UUID}])
    assert not isinstance(read, tuple) and "'key'" not in repr(read)
    assert read.to_json() == {"taskType": "authentication", "apiKey": "key", "connectionSessionUUID": UUID}
    (error,) = errors_of({"taskType": "authentication"})
    assert (error.code, error.status) == ("missingApiKey", 401)


def test_ping():
    for ping in ({"taskType": "ping", "ping": True}, {"taskType": "ping"}):
        assert read_tasks([ping]) == [Task("ping", ping)]
    assert [error.code for error in errors_of({"taskType": "ping", "ping": 1})] == ["invalidPing"]


# The request itself, and the shape of errors


@pytest.mark.parametrize("body", [None, {}, {"taskType": "ping"}, "[]", 5, True, [], [task()] * 101])
def test_a_body_without_tasks(body):
    with pytest.raises(RequestError) as caught:
        read_tasks(body)
    (error,) = caught.value.errors
    assert error.code == "invalidRequest" and error.status == 400 and str(caught.value) == error.message


def test_a_request_of_many_tasks():
    assert len(read_tasks([task() for _ in range(100)])) == 100


def test_the_shape_of_an_error():
    given = task({"settings.keyScale": "X", "taskUUID": UUID, "ttl": 60, "outputType": "dataURI", "model": "other"})
    errors = errors_of(given)
    wrong_model, wrong_scale, incompatible = (error.to_json() for error in errors)
    assert wrong_scale == {
        "code": "invalidKeyScale",
        "message": 'settings.keyScale is "X"; it must be a note from A to G, with #, b, ♯ or ♭ or without, a space, '
        "and major or minor",
        "parameter": "settings.keyScale",
        "taskType": "audioInference",
        "taskUUID": UUID,
        "documentation": "docs/task-api.md#request-settings-keyscale",
    }
    assert wrong_model["allowedValues"] == [MODEL]
    assert incompatible["parameter"] == ["ttl", "outputType"]
    assert [ApiError.from_json(json.loads(json.dumps(error.to_json()))) for error in errors] == list(errors)


def test_every_error_leads_to_a_place_in_the_page():
    page = (Path(__file__).parents[3] / "docs" / "task-api.md").read_text("utf-8")
    names = {name for table in api.TASKS.values() for name in table}
    places = {name: ApiError("code", "words", name).documentation for name in names}
    places |= {name: ApiError("code", "words", name).documentation for name in ("settings.bmp", "bmp", "a.b.c")}
    assert places["settings.bmp"].endswith("#request-settings") and places["bmp"].endswith("#errors")
    for place in places.values():
        path, _, anchor = place.partition("#")
        assert path == "docs/task-api.md"
        assert f'id="{anchor}"' in page or f"## {anchor.capitalize()}\n" in page


def test_the_http_status_of_errors():
    lost, full, wrong = ApiError("taskNotFound", ""), ApiError("queueFull", ""), ApiError("invalidBpm", "")
    failed = ApiError("inferenceFailed", "")
    assert http_status([lost, lost]) == 404 and http_status([full]) == 429
    assert http_status([failed, failed]) == 200  # the request was carried out
    assert http_status([lost, full]) == http_status([wrong, wrong]) == 400
