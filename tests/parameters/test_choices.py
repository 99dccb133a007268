"""Keys, time signatures and languages in the spellings that people use."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_xl import parameters

OFFICIAL_KEYS = [f"{note}{sign} {mode}" for note in "ABCDEFG" for sign in ("", "#", "b", "♯", "♭") for mode in
                 ("major", "minor")]  # fmt: skip


def refusal(name: str, value: Any) -> str:
    with pytest.raises(ValueError) as error:
        parameters.read_choice(name, value)
    assert parameters.choice_problems({name: value}) == [str(error.value)]
    return str(error.value)


def test_the_official_keys_are_accepted() -> None:
    assert len(OFFICIAL_KEYS) == 70
    read = {parameters.read_choice("key_scale", key) for key in OFFICIAL_KEYS}
    assert read == set(parameters.KEY_SCALES)
    assert parameters.choice_problems({"key_scale": "C♯ minor", "language": None}) == []


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("a minor", "A minor"),
        ("Am", "A minor"),
        ("C", "C major or C minor"),
        ("Bbm", "Bb minor"),
        ("bb Minor", "Bb minor"),
        ("F sharp minor", "F# minor"),
        ("E-flat major", "Eb major"),
        ("c♯ minor", "C# minor"),
        ("Gmaj", "G major"),
        ("GM", "G major"),
        ("A Moll", "A minor"),
        (" D  minor ", "D minor"),
    ],
)
def test_a_misspelt_key_suggests_the_right_one(value: str, meant: str) -> None:
    message = refusal("key_scale", value)
    assert repr(value) in message and message.endswith(f"; did you mean {meant}?")
    assert "a note from A to G" in message and "auto" in message


@pytest.mark.parametrize("value", ["H major", "C dorian", "4", "", "\ud800", "x" * 10_000])
def test_what_is_no_key_gets_no_suggestion(value: str) -> None:
    message = refusal("key_scale", value)
    assert "did you mean" not in message and len(message) < 300


@pytest.mark.parametrize("value", ["2", 3, 4.0, "6", "auto"])
def test_time_signatures_are_text_or_numbers(value: Any) -> None:
    assert parameters.read_choice("time_signature", value) in ("2", "3", "4", "6", "auto")


@pytest.mark.parametrize("value", ["4/4", "6/8", "12/8", "5", 5, True, 4.5])
def test_another_time_signature_is_told_what_the_numbers_mean(value: Any) -> None:
    message = refusal("time_signature", value)
    assert "4 means 4/4" in message and "6 means 6/8" in message
    assert message.endswith("did you mean 6 (6/8)?") == (value == "6/8")


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("jp", "ja (Japanese)"),
        ("kr", "ko (Korean)"),
        ("cn", "zh (Chinese)"),
        ("zh-CN", "zh (Chinese)"),
        ("pt_BR", "pt (Portuguese)"),
        ("EN", "en (English)"),
        ("English", "en (English)"),
        ("japanise", "ja (Japanese)"),
        ("日本語", "ja (Japanese)"),
        ("deu", "de (German)"),
        ("none", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_language_suggests_its_code(value: str, meant: str) -> None:
    message = refusal("language", value)
    assert message.endswith(f"; did you mean {meant}?")
    assert all(code in message for code in parameters.LANGUAGES), "the list is complete"


@given(
    name=st.sampled_from(("key_scale", "time_signature", "language", "schedule_type")),
    value=st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.lists(st.text()), st.none()),
)
def test_any_value_is_a_choice_or_refused(name: str, value: Any) -> None:
    try:
        assert parameters.read_choice(name, value) in parameters.get(name).choices
    except ValueError as error:
        assert name in str(error)
