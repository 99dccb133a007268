"""Every parameter of the API page: type, range, default and choices, as the page states them."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from task_requests import MODEL, SOURCE, accepted, errors_of, refused, task, the_error

from acestep_xl.parameters import api
from acestep_xl.service.schema.errors import ApiError

NOT_NUMBERS = ["5", "", True, False, None, [60], {}, {"value": 60}, math.nan, math.inf, -math.inf]
NOT_INTEGERS = [*NOT_NUMBERS, 60.5, 1e-9]
NOT_STRINGS = [5, 60.0, True, None, ["text"], {"text": "text"}]
NOT_OBJECTS = ["text", "{}", 5, True, None, [], [{}]]


def blamed(name: str, value: Any, context: dict[str, Any] | None = None) -> ApiError:
    """The only error of a task with this value, which names the parameter."""
    error = the_error({**(context or {}), name: value})
    assert error.parameter == name
    assert error.message.startswith(f"{name} ")
    return error


def check_numbers(name: str, low: float, high: float, beyond: float, context: dict[str, Any] | None = None) -> None:
    """A parameter accepts numbers from low to high and refuses those `beyond` and every other type."""
    context = context or {}
    for value in (low, high, (low + high) / 2 if beyond < 1 else (int(low) + int(high)) // 2):
        assert accepted({**context, name: value}).value(name) == value
    for value in (low - beyond, high + beyond, -(10**30), 10**30, 1e300, -1e300):
        error = blamed(name, value, context)
        assert f"{low:.12g}" in error.message and f"{high:.12g}" in error.message
    integer = beyond == 1
    for value in NOT_INTEGERS if integer else NOT_NUMBERS:
        blamed(name, value, context)
    # In JSON Schema, and so in this API, 60.0 is an integer.
    assert type(accepted({**context, name: float(high)}).value(name)) is (int if integer else float)


def check_text(name: str, low: int, high: int) -> None:
    for length in (low, high):
        assert accepted({name: "x" * length}).value(name) == "x" * length
        assert accepted({name: "😀" * length}).value(name) == "😀" * length  # characters, not bytes or UTF-16
    for length in (0, low - 1, high + 1, 1_000_000):
        assert f"{low} to {high} characters" in blamed(name, "x" * length).message
    for value in NOT_STRINGS:
        blamed(name, value)
    assert "U+0000" in blamed(name, "x" * low + "\0").message
    assert "surrogate" in blamed(name, "x" * low + "\ud800").message
    assert accepted({name: " \n\t" * low}).value(name) == " \n\t" * low


def check_choices(name: str, choices: list[Any], context: dict[str, Any] | None = None) -> None:
    """A parameter accepts exactly these values."""
    context = context or {}
    for value in choices:
        assert accepted({**context, name: value}).value(name) == value
    others = ["", "other", None, True, [], {}, [choices[0]], 1e30, math.nan]
    for value in others + [value.swapcase() for value in choices if isinstance(value, str) and value != "de"]:
        error = blamed(name, value, context)
        assert error.allowed_values == tuple(choices)
        assert error.code.startswith("invalid")


# Platform options


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
    assert accepted({"taskUUID": value}).task_uuid == value  # unchanged: clients look for it in answers


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
    error = blamed("taskUUID", value)
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
        assert blamed("audioSettings", value).code == "invalidAudioSettings"


def test_bitrate():
    assert accepted({"audioSettings.bitrate": 320}).value("audioSettings.bitrate") == 320
    assert accepted().value("audioSettings.bitrate") is None
    eight = {"audioSettings.sampleRate": 8000}
    assert accepted({**eight, "audioSettings.bitrate": 8}).value("audioSettings.bitrate") == 8
    for value in (7, 0, -8, -(10**30)):
        assert "8 or more" in blamed("audioSettings.bitrate", value, eight).message
    for value in NOT_INTEGERS:
        blamed("audioSettings.bitrate", value)


def test_channels():
    for value in (1, 2, 2.0):
        assert accepted({"audioSettings.channels": value}).value("audioSettings.channels") == value
    for value in (0, 3, -1, 1.5, *NOT_INTEGERS):
        assert blamed("audioSettings.channels", value).allowed_values == (1, 2)
    assert accepted().value("audioSettings.channels") == 2


def test_sample_rate():
    rates = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000]
    for rate in rates:
        assert accepted({"audioSettings.sampleRate": rate}).value("audioSettings.sampleRate") == rate
    for value in (0, 7999, 8001, 22051, 44101, 96000, -48000, 48000.5, *NOT_INTEGERS):
        assert blamed("audioSettings.sampleRate", value).allowed_values == tuple(rates)
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
        error = blamed(name, value)
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
        assert "true or false" in blamed("includeCost", value).message
    assert accepted().value("includeCost") is False


def test_number_results():
    check_numbers("numberResults", 1, 4, 1)
    assert accepted().value("numberResults") == 1


# Inputs and core parameters


def test_inputs():
    assert accepted({"inputs": {}}).value("inputs") == {}
    assert accepted().value("inputs") is None
    for value in NOT_OBJECTS:
        assert blamed("inputs", value).code == "invalidInputs"


def test_audio():
    for value in (
        "a770f077-f413-47de-9dac-be0b26a35da6",
        "A770F077-F413-17DE-9DAC-BE0B26A35DA6",
        "https://example.com/song.mp3",
        "http://example.com/song.wav?x=1",
    ):
        assert accepted({"inputs.audio": value}).value("inputs.audio") == value
    for value in (
        "",
        "song.mp3",
        "../../song.mp3",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://example.com/song.mp3",
        "data:audio/wav;base64,UklGRg==",
        "UklGRg==",
        "a770f077-f413-47de-9dac-be0b26a35da6\n",
        "a770f077-f413-47de-9dac-be0b26a35da6/..",
        "https://user:secret@example.com/song.mp3",
        "https://example.com/" + "x" * 8000,
        *NOT_STRINGS,
    ):
        error = blamed("inputs.audio", value)
        assert error.code == "invalidAudio" and "secret" not in error.message
    assert accepted().value("inputs.audio") is None


def test_model():
    assert accepted().value("model") == MODEL
    for value in ("", "runware:ace-step@v1.5-xl-base", MODEL.upper(), MODEL + " ", *NOT_STRINGS):
        error = blamed("model", value)
        assert error.code == "invalidModel" and error.allowed_values == (MODEL,)
    assert the_error({"model": ...}).code == "missingModel"


def test_positive_prompt():
    check_text("positivePrompt", 2, 3000)
    assert blamed("positivePrompt", "x").code == "invalidPositivePrompt"
    assert the_error({"positivePrompt": ...}).code == "missingPositivePrompt"


def test_negative_prompt():
    check_text("negativePrompt", 2, 3000)
    assert accepted().value("negativePrompt") is None


def test_duration():
    check_numbers("duration", 30, 300, 0.1)
    assert accepted({"duration": 59.96}).value("duration") == 59.96  # finer than the step of the page's slider
    assert blamed("duration", 300.1).code == blamed("duration", 29.9).code == "unsupportedDuration"
    assert blamed("duration", "60").code == "invalidDuration"
    assert accepted().value("duration") == 60


def test_seed():
    check_numbers("seed", 0, 2147483647, 1)
    assert accepted().value("seed") is None


def test_steps():
    check_numbers("steps", 1, 300, 1)
    assert accepted().value("steps") == 100


def test_cfg_scale():
    check_numbers("CFGScale", 1, 30, 0.01)
    assert accepted().value("CFGScale") == 10


def test_strength():
    check_numbers("strength", 0, 1, 0.01, SOURCE)
    assert accepted(SOURCE).value("strength") == 0.5


# Settings


def test_settings():
    assert accepted({"settings": {}}).value("settings") == {}
    assert accepted().value("settings") is None
    for value in NOT_OBJECTS:
        assert blamed("settings", value).code == "invalidSettings"


def test_bpm():
    check_numbers("settings.bpm", 30, 300, 1)
    assert accepted().value("settings.bpm") is None


def test_cfg_interval_end():
    check_numbers("settings.cfgIntervalEnd", 0, 1, 0.01)
    assert accepted().value("settings.cfgIntervalEnd") == 1


def test_cfg_interval_start():
    check_numbers("settings.cfgIntervalStart", 0, 1, 0.01)
    assert accepted().value("settings.cfgIntervalStart") == 0


def test_guidance_type():
    check_choices("settings.guidanceType", ["apg", "cfg"])
    blamed("settings.guidanceType", "adg")  # a choice of the nodes, not of the API
    assert accepted().value("settings.guidanceType") == "apg"


def test_key_scale():
    scales = [f"{note}{sign} {mode}" for note in "ABCDEFG" for sign in ("", *"#b♯♭") for mode in ("major", "minor")]
    assert len(scales) == 70
    for value in scales:
        assert accepted({"settings.keyScale": value}).value("settings.keyScale") == value
    for value in (
        "",
        "C",
        "major",
        "Cmajor",
        "C  major",
        "c major",
        "C Major",
        "H major",
        "Bb minor ",
        " C major",
        "C major\n",
        "C## major",
        "C#b major",
        "C dorian",
        "C majorminor",
        *NOT_STRINGS,
    ):
        assert blamed("settings.keyScale", value).code == "invalidKeyScale"
    assert accepted().value("settings.keyScale") is None


def test_lyrics():
    check_text("settings.lyrics", 10, 3000)
    assert accepted().value("settings.lyrics") is None


def test_repainting_end():
    check_numbers("settings.repaintingEnd", 0, 300, 0.1, {**SOURCE, "settings.repaintingStart": -300})
    assert accepted().value("settings.repaintingEnd") is None


def test_repainting_start():
    check_numbers("settings.repaintingStart", -300, 300, 0.1, SOURCE)
    assert accepted().value("settings.repaintingStart") is None


def test_time_signature():
    for value in (2, 3, 4, 6, 4.0):
        assert accepted({"settings.timeSignature": value}).value("settings.timeSignature") == value
    for value in (0, 1, 5, 7, 8, -2, 2.5, "4/4", *NOT_INTEGERS):
        assert blamed("settings.timeSignature", value).allowed_values == (2, 3, 4, 6)
    assert accepted().value("settings.timeSignature") is None


def test_vocal_language():
    languages = (
        "ar az bg bn ca cs da de el en es fa fi fr he hi hr ht hu id is it ja ko la lt ms ne nl no pa pl pt ro ru sa "
        "sk sr sv sw ta te th tl tr uk ur vi yue zh unknown"
    ).split()
    assert len(languages) == 51
    check_choices("settings.vocalLanguage", languages)
    assert accepted().value("settings.vocalLanguage") == "en"


# Features


def test_advanced_features():
    assert accepted({"advancedFeatures": {}}).value("advancedFeatures") == {}
    for value in NOT_OBJECTS:
        assert blamed("advancedFeatures", value).code == "invalidAdvancedFeatures"


def test_modular_scheduler():
    name = "advancedFeatures.modularScheduler"
    recipe = {"schedule": {"type": "beta", "steps": 40}, "solver": {"type": "dpmpp_2m"}, "modifiers": []}
    for value in ({}, recipe, {"schedule": {"type": "custom", "sigmas": [1, 0.5, 0]}}, "DPM++ 2M Karras"):
        assert accepted({name: value}).value(name) == value
    for value in (5, True, None, [], [{}], math.nan):
        assert blamed(name, value).code == "invalidModularScheduler"
    for value in ("", "Euler Turbo", "{}", "x" * 100_000):
        assert the_error({name: value}).parameter == name
    assert accepted().value(name) is None


def test_modular_scheduler_reports_all_its_problems():
    name = "advancedFeatures.modularScheduler"
    wrong = {
        "schedule": {"type": "linear", "steps": 301, "shift": "3"},
        "solver": {"type": "heun", "eta": 0.5},
        "modifiers": [{"type": "norm_clamp", "threshold": 99}, {"type": "other"}],
        "unknown": 1,
    }
    errors = {error.parameter: error for error in refused({name: wrong, "steps": 0})}
    assert set(errors) == {
        "steps",
        f"{name}.schedule.steps",
        f"{name}.schedule.shift",
        f"{name}.solver.eta",
        f"{name}.modifiers[0].threshold",
        f"{name}.modifiers[1].type",
        f"{name}.unknown",
    }
    for parameter, error in errors.items():
        assert error.message.startswith(str(parameter))
        assert error.code == ("invalidSteps" if parameter == "steps" else "invalidModularScheduler")


def test_modular_scheduler_is_bounded():
    name = "advancedFeatures.modularScheduler"
    levels = [1 - i / 301 for i in range(301)] + [0.0]
    assert accepted({f"{name}": {"schedule": {"type": "custom", "sigmas": [*levels[:300], 0.0]}}})
    error = the_error({name: {"schedule": {"type": "custom", "sigmas": levels}}})
    assert error.parameter == f"{name}.schedule.sigmas" and "302" in error.message
    for value in ({"modifiers": [0] * 100_000}, {f"key{i}": 0 for i in range(100_000)}):
        assert "the limit is 1000" in the_error({name: value}).message


# The whole table


def test_every_parameter_has_its_test():
    for name in api.of("audioInference"):
        words = re.sub("(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.rpartition(".")[2])
        assert f"test_{words.lower()}" in globals()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(KeyError, match=r"unknown parameter 'settings\.bmp' of audioInference; known: .*settings\.bpm"):
        api.get("settings.bmp")
    with pytest.raises(KeyError, match="unknown task type 'audio'; known: audioInference"):
        api.of("audio")
    with pytest.raises(KeyError, match="unknown parameter 'other'"):
        accepted().value("other")
