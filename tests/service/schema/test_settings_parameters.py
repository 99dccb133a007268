"""The parameters under settings of the API page: type, range, default and choices of each."""

from __future__ import annotations

from parameter_checks import NOT_INTEGERS, NOT_OBJECTS, NOT_STRINGS, check_choices, check_numbers, check_text, rejection
from task_requests import SOURCE, accepted


def test_settings():
    assert accepted({"settings": {}}).value("settings") == {}
    assert accepted().value("settings") is None
    for value in NOT_OBJECTS:
        assert rejection("settings", value).code == "invalidSettings"


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
    rejection("settings.guidanceType", "adg")  # a choice of the nodes, not of the API
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
        assert rejection("settings.keyScale", value).code == "invalidKeyScale"
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
        assert rejection("settings.timeSignature", value).allowed_values == (2, 3, 4, 6)
    assert accepted().value("settings.timeSignature") is None


def test_vocal_language():
    languages = (
        "ar az bg bn ca cs da de el en es fa fi fr he hi hr ht hu id is it ja ko la lt ms ne nl no pa pl pt ro ru sa "
        "sk sr sv sw ta te th tl tr uk ur vi yue zh unknown"
    ).split()
    assert len(languages) == 51
    check_choices("settings.vocalLanguage", languages)
    assert accepted().value("settings.vocalLanguage") == "en"
