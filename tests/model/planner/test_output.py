"""What the planner wrote, read as the official reader does, but for quotes, headers and codes among the lyrics."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_xl.model.planner.output import read_output

BETTER_LYRICS = ("# Lyrics\nx", "# Languages\nen\n\n# Lyric\nhello")


def is_quoted(value: object) -> bool:
    return isinstance(value, str) and value.startswith("'")


def test_the_fields_and_codes_of_golden_outputs(parse: dict[str, Any]) -> None:
    for case in parse["parse"]:
        output = read_output(case["text"])
        for name, value in case["metadata"].items():
            assert output.values[name] == value or is_quoted(value)
        assert output.values.keys() == case["metadata"].keys()
        assert "".join(f"<|audio_code_{code}|>" for code in output.codes) == case["audio_codes"]


def test_the_lyrics_of_golden_outputs(parse: dict[str, Any]) -> None:
    for case in parse["parse"]:
        if case["lyrics"] not in BETTER_LYRICS:
            expected = "" if case["lyrics"].startswith("<|audio_code") else case["lyrics"]
            assert read_output(case["text"]).lyrics == expected


def test_quotes_come_off() -> None:
    text = "<think>\ncaption: 'Mood: dark, ''gothic'''\nlanguage: 'no'\n</think>"
    assert read_output(text).values == {"caption": "Mood: dark, 'gothic'", "language": "no"}


@pytest.mark.parametrize("header", ["# Lyric\n", "# Lyrics\n", "# Languages\nen\n\n# Lyric\n", "#lyric \n", ""])
def test_headers_before_the_lyrics_go(header: str) -> None:
    assert read_output(f"<think>\nbpm: 90\n</think>\n\n{header}[Verse]\nla<|im_end|>").lyrics == "[Verse]\nla"


def test_a_header_far_into_the_lyrics_stays() -> None:
    lyrics = "la la la\n" * 20 + "# Lyric\nla"
    assert read_output(f"<think>\n</think>\n{lyrics}").lyrics == lyrics


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["<think>", "</think>", "bpm:", "9" * 5000, "'", "\n", " ", "# Lyric", "<|im_end|>"])))
def test_any_output_can_be_read(pieces: list[str]) -> None:
    output = read_output("".join(pieces))
    assert all(output.values.keys()) or not output.values
