"""Request bodies are bounded while they arrive, in whatever pieces, and read as JSON says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_requests import JSON

from acestep_xl.service.http import json_scan
from acestep_xl.service.http.json_body import parse
from acestep_xl.service.http.json_scan import LONG_STRING, MAX_DEPTH, MAX_TEXT, MAX_VALUES, BodyError, JsonScanner

BLOCK = 2**16


def scan(*pieces: bytes) -> JsonScanner:
    scanner = JsonScanner()
    for piece in pieces:
        scanner.feed(piece)
    return scanner


@given(JSON, st.integers(1, 40), st.sampled_from([None, 1]))
def test_a_text_in_any_pieces_stays_the_same_json(value: Any, size: int, indent: int | None) -> None:
    text = json.dumps(value, indent=indent).encode("utf-8", "surrogatepass")
    scanner = scan(*(text[start : start + size] for start in range(0, len(text), size)))
    assert json.dumps(json.loads(scanner.text)) == json.dumps(value)


ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "empty lists": (b"[", b"[],"),
    "empty objects": (b"[", b"{},"),
    "numbers": (b"[", b"1,"),
    "short strings": (b"[", b'"a",'),
    "keys": (b"[{", b'"a":1,'),
    "depth": (b"", b"["),
    "depth of objects": (b"", b'{"a":'),
    "closing brackets": (b"[", b"]"),
    "one string": (b'["', b"a"),
    "escapes": (b'["', b"\\n"),
    "escaped characters": (b'["', b"\\u0041"),
    "one number": (b"[", b"1"),
    "a long value of another key": (b'[{"positivePrompt":"', b"a"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_body_is_refused_early_and_little_of_it_kept(name: str) -> None:
    head, block = ENDLESS[name]
    scanner, fed = scan(head), 0
    with pytest.raises(BodyError):
        while fed < 2**27:
            scanner.feed(block * (BLOCK // len(block)))
            fed += BLOCK
    assert fed <= MAX_TEXT + BLOCK and scanner.size <= MAX_TEXT + BLOCK


def test_blanks_take_no_memory_and_separate() -> None:
    scanner = scan(b"[1" + b" \n\t\r" * BLOCK, b" " * BLOCK, b", 2 ]")
    assert scanner.size < 20 and json.loads(scanner.text) == [1, 2]
    with pytest.raises(BodyError, match="not JSON"):
        parse(b"[1 2]")
    assert parse('["a  b", "  "]') == ["a  b", "  "], "those within a string stay"


def test_the_limits_of_depth_and_number_are_exact() -> None:
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None
    with pytest.raises(BodyError, match=f"deeper than {MAX_DEPTH}"):
        parse(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    assert len(parse(b"[" + b"1," * (MAX_VALUES - 1) + b"1]")) == MAX_VALUES
    with pytest.raises(BodyError, match="send fewer tasks") as refused:
        parse(b"[" + b"1," * MAX_VALUES + b"1]")
    assert refused.value.status == 413


@pytest.mark.parametrize("spelling", ['[{"media":"%s","x":1}]', '[ { "media" : "%s" , "x" : 1 } ]'])
@pytest.mark.parametrize("length", [1, LONG_STRING, LONG_STRING + 1, 10 * LONG_STRING])
def test_a_recording_may_be_long(spelling: str, length: int) -> None:
    media = ("data:audio/wav;base64," + "QUJD+/==" * length)[:length]
    assert parse(spelling % media) == [{"media": media, "x": 1}]
    assert parse(spelling % media.replace("/", "\\/")) == [{"media": media, "x": 1}], "as some encoders write it"
    scanner = scan((spelling % media).encode())
    assert (len(scanner.text) < 200) == (length > LONG_STRING or length == 1), "long ones are kept apart"


def test_a_recording_cut_within_an_escape() -> None:
    media = "ab\\/" * LONG_STRING
    text = (f'[{{"media":"{media}"}}]').encode()
    scanner = scan(*(text[start : start + 7] for start in range(0, len(text), 7)))
    (long,) = scanner.long_strings.values()
    assert long == "ab/" * LONG_STRING


@pytest.mark.parametrize("text", ["é" * LONG_STRING, "\\u0041" * LONG_STRING, "\n" * 2 * LONG_STRING])
def test_long_recordings_are_base64(text: str) -> None:
    with pytest.raises(BodyError, match=r"base64|not JSON"):
        parse(f'[{{"media":"{text}"}}]')


def test_the_names_of_long_strings_cannot_be_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    media = "a" * 2 * LONG_STRING
    names = {next(iter(scan(f'[{{"media":"{media}"}}]'.encode()).long_strings)) for _ in range(3)}
    assert len(names) == 3 and all(len(name) == 32 for name in names)
    monkeypatch.setattr(json_scan.secrets, "token_hex", lambda size: "known")
    assert parse(f'[{{"media":"{media}"}},{{"x":"known"}}]') == [{"media": media}, {"x": "known"}]


@pytest.mark.parametrize("text", [b'["', b'["a', b'["a\\', b'[{"media":"' + b"a" * 2 * LONG_STRING, b"[" + b'"\\"]'])
def test_a_text_that_ends_within_a_string_is_no_json(text: bytes) -> None:
    with pytest.raises(BodyError, match="not JSON"):
        parse(text)


def test_long_numbers_are_refused() -> None:
    with pytest.raises(BodyError, match="characters"):
        parse(b"[0." + b"1" * 1000 + b"]")
    with pytest.raises(BodyError, match="digits"):
        parse(b"[" + b"1" * 1000 + b"]")
