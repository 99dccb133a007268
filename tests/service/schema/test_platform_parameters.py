"""The platform parameters of the API page: task, output, delivery; type, range, default and choices of each."""

from __future__ import annotations

import pytest
from parameter_checks import NOT_INTEGERS, NOT_OBJECTS, NOT_STRINGS, check_choices, check_numbers, rejection
from task_requests import accepted, errors_of, task, the_error


def test_task_type():
    assert accepted().task_type == "audioInference"
    for value in ("audioinference", "imageInference", "", 5, None, ["audioInference"], {}):
        (error,) = errors_of({**task(), "taskType": value})
        assert (error.code, error.parameter) == ("invalidTaskType", "taskType")
        assert error.allowed_values is not None and "audioInference" in error.allowed_values
    assert "did you mean audioInference?" in errors_of({**task(), "taskType": "audioinference"})[0].message
    (error,) = errors_of({key: value for key, value in task().items() if key != "taskType"})
    assert (error.code, error.parameter) == ("missingTaskType", "taskType")


@pytest.mark.parametrize(
    "value",
    [
        "a770f077-f413-47de-9dac-be0b26a35da6",
        "A770F077-F413-47DE-9DAC-BE0B26A35DA6",
        "00000000-0000-4000-8000-000000000000",
        "ffffffff-ffff-4fff-bfff-ffffffffffff",
    ],
)
def test_task_uuid(value):
    assert accepted({"taskUUID": value}).task_uuid == value  # unchanged, since clients look for it in responses


@pytest.mark.parametrize(
    "value",
    [
        "",
        "my-task",
        "a770f077-f413-17de-9dac-be0b26a35da6",  # version 1
        "a770f077-f413-77de-9dac-be0b26a35da6",  # version 7
        "a770f077-f413-47de-7dac-be0b26a35da6",  # another variant
        "a770f077f41347de9dacbe0b26a35da6",
        "{a770f077-f413-47de-9dac-be0b26a35da6}",
        "urn:uuid:a770f077-f413-47de-9dac-be0b26a35da6",
        "a770f077-f413-47de-9dac-be0b26a35da6\n",
        " a770f077-f413-47de-9dac-be0b26a35da6",
        "a770f077-f413-47de-9dac-be0b26a35dag",
        "٣770f077-f413-47de-9dac-be0b26a35da6",
        "00000000-0000-0000-0000-000000000000",
        *NOT_STRINGS,
    ],
)
def test_other_forms_of_a_task_uuid(value):
    error = rejection("taskUUID", value)
    assert error.code == "invalidTaskUUID" and "UUID of version 4" in error.message


def test_task_uuid_is_required():
    error = the_error({"taskUUID": ...})
    assert (error.code, error.parameter, error.task_uuid) == ("missingTaskUUID", "taskUUID", None)


def test_output_type():
    check_choices("outputType", ["URL", "base64Data", "dataURI"])
    assert accepted().value("outputType") == "URL"


def test_output_format():
    check_choices("outputFormat", ["MP3", "WAV", "FLAC", "OGG"])
    assert accepted().value("outputFormat") == "MP3"


def test_audio_settings():
    assert accepted({"audioSettings": {}}).value("audioSettings") == {}
    assert accepted().value("audioSettings") is None
    for value in NOT_OBJECTS:
        assert rejection("audioSettings", value).code == "invalidAudioSettings"


def test_bitrate():
    assert accepted({"audioSettings.bitrate": 320}).value("audioSettings.bitrate") == 320
    assert accepted().value("audioSettings.bitrate") is None
    eight = {"audioSettings.sampleRate": 8000}
    assert accepted({**eight, "audioSettings.bitrate": 8}).value("audioSettings.bitrate") == 8
    for value in (7, 0, -8, -(10**30)):
        assert "8 or more" in rejection("audioSettings.bitrate", value, eight).message
    for value in NOT_INTEGERS:
        rejection("audioSettings.bitrate", value)


def test_channels():
    for value in (1, 2, 2.0):
        assert accepted({"audioSettings.channels": value}).value("audioSettings.channels") == value
    for value in (0, 3, -1, 1.5, *NOT_INTEGERS):
        assert rejection("audioSettings.channels", value).allowed_values == (1, 2)
    assert accepted().value("audioSettings.channels") == 2


def test_sample_rate():
    rates = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000]
    for rate in rates:
        assert accepted({"audioSettings.sampleRate": rate}).value("audioSettings.sampleRate") == rate
    for value in (0, 7999, 8001, 22051, 44101, 96000, -48000, 48000.5, *NOT_INTEGERS):
        assert rejection("audioSettings.sampleRate", value).allowed_values == tuple(rates)
    assert accepted().value("audioSettings.sampleRate") is None


def check_url(name: str, capital: str) -> None:
    for value in (
        "https://example.com",
        "HTTPS://EXAMPLE.com/a/b?token=1&x=%20#here",
        "http://example.com:8080/hook",
        "https://my-bucket.s3.amazonaws.com/content.mp3?X-Amz-Signature=abc123&X-Amz-Expires=3600",
        "https://example.com/" + "x" * 7980,
    ):
        assert accepted({name: value}).value(name) == value
    for value in (
        "",
        "example.com/hook",
        "//example.com/hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://user:secret@example.com/",
        "https://example.com:99999/",
        "https://example.com/a b",
        "https://example.com/\n",
        "https://exa\ud800mple.com/",
        "https://example.com/" + "x" * 7981,
        *NOT_STRINGS,
    ):
        error = rejection(name, value)
        assert error.code == f"invalid{capital}"
        assert "secret" not in error.message
    assert accepted().value(name) is None


def test_webhook_url():
    check_url("webhookURL", "WebhookURL")


def test_upload_endpoint():
    check_url("uploadEndpoint", "UploadEndpoint")


def test_delivery_method():
    check_choices("deliveryMethod", ["sync", "async"])
    assert accepted().value("deliveryMethod") == "sync"


def test_ttl():
    # The page states no maximum; ours is 68 years.
    check_numbers("ttl", 60, 2**31 - 1, 1)
    assert accepted().value("ttl") is None


def test_include_cost():
    for value in (True, False):
        assert accepted({"includeCost": value}).value("includeCost") is value
    for value in ("true", "", 1, 0, 1.0, None, [], {}):
        assert "true or false" in rejection("includeCost", value).message
    assert accepted().value("includeCost") is False


def test_number_results():
    check_numbers("numberResults", 1, 4, 1)
    assert accepted().value("numberResults") == 1
