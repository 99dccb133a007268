"""The core parameters and inputs of the API page, and the table of all parameters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from parameter_checks import NOT_OBJECTS, NOT_STRINGS, check_numbers, check_text, rejection
from task_requests import MODEL, SOURCE, accepted, the_error

from acestep_xl.parameters import api

# Where the tests of the parameters are.
FILES = (
    "test_parameters.py",
    "test_platform_parameters.py",
    "test_settings_parameters.py",
    "test_modular_scheduler.py",
)


def test_inputs():
    assert accepted({"inputs": {}}).value("inputs") == {}
    assert accepted().value("inputs") is None
    for value in NOT_OBJECTS:
        assert rejection("inputs", value).code == "invalidInputs"


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
        error = rejection("inputs.audio", value)
        assert error.code == "invalidAudio" and "secret" not in error.message
    assert accepted().value("inputs.audio") is None


def test_model():
    assert accepted().value("model") == MODEL
    for value in ("", "runware:ace-step@v1.5-xl-base", MODEL.upper(), MODEL + " ", *NOT_STRINGS):
        error = rejection("model", value)
        assert error.code == "invalidModel" and error.allowed_values == (MODEL,)
    assert the_error({"model": ...}).code == "missingModel"


def test_positive_prompt():
    check_text("positivePrompt", 2, 3000)
    assert rejection("positivePrompt", "x").code == "invalidPositivePrompt"
    assert the_error({"positivePrompt": ...}).code == "missingPositivePrompt"


def test_negative_prompt():
    check_text("negativePrompt", 2, 3000)
    assert accepted().value("negativePrompt") is None


def test_duration():
    check_numbers("duration", 30, 300, 0.1)
    assert accepted({"duration": 59.96}).value("duration") == 59.96  # finer than the step of the page's slider
    assert rejection("duration", 300.1).code == rejection("duration", 29.9).code == "unsupportedDuration"
    assert rejection("duration", "60").code == "invalidDuration"
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


def test_every_parameter_has_its_test():
    sources = [(Path(__file__).parent / name).read_text("utf-8") for name in FILES]
    tests = {name for source in sources for name in re.findall(r"^def (test_\w+)\(", source, re.MULTILINE)}
    for name in api.of("audioInference"):
        words = re.sub("(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.rpartition(".")[2])
        assert f"test_{words.lower()}" in tests


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(KeyError, match=r"unknown parameter 'settings\.bmp' of audioInference; known: .*settings\.bpm"):
        api.get("settings.bmp")
    with pytest.raises(KeyError, match="unknown task type 'audio'; known: audioInference"):
        api.of("audio")
    with pytest.raises(KeyError, match="unknown parameter 'other'"):
        accepted().value("other")
