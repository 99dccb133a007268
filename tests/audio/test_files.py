"""Writing audio files complete or not at all, and naming them."""

from __future__ import annotations

import re
import sys

import pytest
import torch
from audio_files import noise, write
from folders import file_names
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acestep_xl.audio import encoding, files, formats
from acestep_xl.audio.decoding import read
from acestep_xl.audio.files import numbered_path


def test_folders_are_created_and_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "a" / "b" / "song.wav"
    write(path, torch.zeros(1, 10), 48000, format="wav", bit_depth=16)
    assert write(path, torch.ones(1, 20), 48000, format="wav", bit_depth=16) == path
    assert read(path)[0].shape == (1, 1, 20)
    assert file_names(path.parent) == ["song.wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="resource is POSIX")
@pytest.mark.parametrize("format", list(formats.FORMATS))
def test_a_full_disk_leaves_no_file_and_keeps_the_old_one(tmp_path, format):
    import resource

    path = tmp_path / "song"
    path.write_bytes(b"the old song")
    samples = torch.from_numpy(noise(2, 480_000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write(path, samples, 48000, format=format, bit_depth=16)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file_names(tmp_path) == ["song"]
    assert path.read_bytes() == b"the old song"


@pytest.mark.parametrize("error", [RuntimeError("encoder died"), KeyboardInterrupt()])
@pytest.mark.parametrize("function", ["_frames", "os.replace"])
def test_an_interruption_leaves_nothing(tmp_path, monkeypatch, error, function):
    frames = encoding._frames

    def first_frame_only(*arguments):
        yield next(frames(*arguments))
        raise error

    def interrupted_replace(*_):
        assert [name for name in file_names(tmp_path) if name.endswith(".part")]
        raise error

    if function == "_frames":
        monkeypatch.setattr(encoding, "_frames", first_frame_only)
    else:
        monkeypatch.setattr(files.os, "replace", interrupted_replace)
    with pytest.raises(type(error)):
        write(tmp_path / "song.flac", torch.from_numpy(noise(2, 200_000)), 48000, format="flac", bit_depth=24)
    assert file_names(tmp_path) == []


def test_the_file_appears_under_its_name_only_when_complete(tmp_path, monkeypatch):
    shapes = []
    replace = files.os.replace
    monkeypatch.setattr(files.os, "replace", lambda old, new: (shapes.append(read(old)[0].shape), replace(old, new)))
    write(tmp_path / "song.flac", torch.zeros(2, 5000), 48000, format="flac", bit_depth=24)
    assert shapes == [(1, 2, 5000)]


def test_numbers_start_at_one_and_follow_the_highest(tmp_path):
    assert numbered_path(tmp_path, "audio/song", "flac") == tmp_path / "audio" / "song_00001_.flac"
    (tmp_path / "audio").mkdir()
    for taken in ("song_00003_.mp3", "song_00007_.wav", "song_x_.flac", "songs_00050_.flac", "song_00060.flac"):
        (tmp_path / "audio" / taken).touch()
    assert numbered_path(tmp_path, "audio/song", "flac") == tmp_path / "audio" / "song_00008_.flac"
    assert numbered_path(tmp_path, "audio\\song", "flac") == tmp_path / "audio" / "song_00008_.flac"
    (tmp_path / "audio" / "song_123456_.flac").touch()
    assert numbered_path(tmp_path, "audio/song", "flac").name == "song_123457_.flac"


def test_special_characters_of_patterns_are_literal_in_names(tmp_path):
    (tmp_path / "a+(b)_00004_.flac").touch()
    (tmp_path / "aab_00009_.flac").touch()
    assert numbered_path(tmp_path, "a+(b)", "flac").name == "a+(b)_00005_.flac"


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
def test_prefixes_that_leave_the_folder_are_rejected(tmp_path, prefix):
    with pytest.raises(ValueError, match=re.escape(repr(prefix)) + " leaves the output folder"):
        numbered_path(tmp_path, prefix, "flac")


@pytest.mark.parametrize(
    ("prefix", "message"), [("", "no name"), (".", "no name"), ("audio/", "no name"), ("a\\", "no name")]
)
def test_prefixes_without_a_name_are_rejected(tmp_path, prefix, message):
    with pytest.raises(ValueError, match=message):
        numbered_path(tmp_path, prefix, "flac")


@pytest.mark.parametrize("prefix", ["so:ng", "a\nb", "a\0b", "what?", "%date:yyyy%"])
def test_prefixes_that_are_invalid_on_some_system_are_rejected(tmp_path, prefix):
    with pytest.raises(ValueError, match="not every system"):
        numbered_path(tmp_path, prefix, "flac")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("ab./\\:C~ \0", max_size=12))
def test_no_prefix_ever_leaves_the_folder(tmp_path, prefix):
    try:
        path = numbered_path(tmp_path, prefix, "flac")
    except ValueError:
        return
    assert path.resolve().is_relative_to(tmp_path.resolve())
    assert ".." not in path.parts
