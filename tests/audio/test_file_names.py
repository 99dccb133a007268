"""Prefixes of file names that every system takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acestep_xl.audio.file_names import legal_text, prefix_problems, split_prefix
from acestep_xl.audio.files import numbered_stem


@pytest.mark.parametrize(
    ("prefix", "parts"),
    [
        ("song", ((), "song")),
        ("audio/2026/song", (("audio", "2026"), "song")),
        ("audio\\song", (("audio",), "song")),
        ("./audio//song", (("audio",), "song")),
        (".drafts/.song", ((".drafts",), ".song")),
        ("Lied für Elise 愛", ((), "Lied für Elise 愛")),
        ("console/auxiliary.song", (("console",), "auxiliary.song")),
        ("CON", ((), "CON")),  # the number makes it an ordinary name
        ("x" * 237, ((), "x" * 237)),
    ],
)
def test_prefixes_that_name_a_file(prefix, parts):
    assert split_prefix(prefix) == parts


@pytest.mark.parametrize(
    "prefix",
    [
        "../song",
        "a/../../song",
        "a\\..\\..\\song",
        "..",
        "/etc/song",
        "\\song",
        "C:song",
        "C:\\song",
        "//host/share/song",
    ],
)
def test_prefixes_that_leave_the_folder_are_rejected(prefix):
    with pytest.raises(ValueError, match=re.escape(repr(prefix)) + " leaves the output folder"):
        split_prefix(prefix)


@pytest.mark.parametrize("prefix", ["", ".", "audio/", "a\\", "  ", "audio/.", "audio/ "])
def test_prefixes_without_a_name_are_rejected(prefix):
    with pytest.raises(ValueError, match="no name"):
        split_prefix(prefix)


@pytest.mark.parametrize(
    "prefix", ["so:ng", "a\nb", "a\0b", "what?", 'the "song"', "a|b", "a\x7fb", "a\x85b", "a\u2028b", "half \ud83d"]
)
def test_characters_that_are_invalid_on_some_system_are_rejected(prefix):
    with pytest.raises(ValueError, match="not every system") as refusal:
        split_prefix(prefix)
    str(refusal.value).encode()


@pytest.mark.parametrize("prefix", ["aux/song", "audio/NUL/song", "nul.song", "com1 .x", "LPT³.y", "con/x"])
def test_names_of_devices_are_rejected(prefix):
    with pytest.raises(ValueError, match="device on Windows"):
        split_prefix(prefix)


@pytest.mark.parametrize("prefix", ["audio./song", "audio /song", "a/.../song", " /song"])
def test_folders_that_windows_would_rename_are_rejected(prefix):
    with pytest.raises(ValueError, match="ends in a space or dot"):
        split_prefix(prefix)


@pytest.mark.parametrize(("prefix", "size"), [("x" * 300, 300), ("愛" * 80, 240), ("f" * 256 + "/song", 256)])
def test_names_that_are_too_long_in_bytes_are_rejected(prefix, size):
    with pytest.raises(ValueError, match=f"takes {size} bytes in UTF-8"):
        split_prefix(prefix)


def test_all_problems_are_told_at_once():
    assert len(prefix_problems("../aux/so:ng" + "x" * 300)) == 4


def test_any_text_can_be_part_of_a_name():
    text = 'Take 1/2: "ha"\n\ud800\\?'
    assert legal_text(text) == "Take 1_2_ _ha_____"
    assert split_prefix(legal_text(text)) == ((), legal_text(text))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("ab./\\:C~ \0", max_size=12))
def test_no_prefix_ever_leaves_the_folder(tmp_path, prefix):
    try:
        with numbered_stem(tmp_path, prefix) as stem:
            assert stem.resolve().is_relative_to(tmp_path.resolve())
            assert ".." not in stem.parts
    except ValueError:
        return
