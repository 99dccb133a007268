"""Files under free names, and files that cannot be where they should."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from acestep_xl import host as hosts
from acestep_xl.audio import files as audio_files
from acestep_xl.host import output_folder
from acestep_xl.host.headless import HeadlessHost, Interrupted
from acestep_xl.pipeline.file_saving import NotSaved, OutputFile, save_files

SONG = OutputFile(b"song", "wav", lambda name: f"beside {name}".encode())


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The output folder; files are rescued to the folders home and temp beside it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(output_folder, "data_directory", lambda: tmp_path / "home")
    monkeypatch.setattr(output_folder.tempfile, "gettempdir", lambda: str(tmp_path / "temp"))
    with hosts.use(HeadlessHost([], tmp_path / "output")):
        yield tmp_path / "output"


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Folders whose disk is full."""
    folders: set[Path] = set()
    write_bytes = Path.write_bytes

    def write(path: Path, data: bytes) -> int:
        if any(path.is_relative_to(folder) for folder in folders):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write_bytes(path, data)

    monkeypatch.setattr(audio_files.Path, "write_bytes", write)
    return folders


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_and_their_sidecars_share_a_number(output: Path) -> None:
    references = save_files([SONG, SONG], "a/song%batch_num%", None)
    assert references[1] == {"filename": "song1_00001_.wav", "subfolder": "a", "type": "output"}
    assert tree(output) == {
        "a/song0_00001_.wav": b"song",
        "a/song0_00001_.json": b"beside song0_00001_.wav",
        "a/song1_00001_.wav": b"song",
        "a/song1_00001_.json": b"beside song1_00001_.wav",
    }


@pytest.mark.parametrize("prefix", [".drafts/song", "..hidden/song", ".song", "a/.b/.song"])
def test_dots_at_the_start_of_names_are_kept(output: Path, prefix: str) -> None:
    (reference,) = save_files([OutputFile(b"song", "wav")], prefix, None)
    folder, _, name = prefix.rpartition("/")
    assert (reference["subfolder"], reference["filename"]) == (folder, f"{name}_00001_.wav")
    assert (output / reference["subfolder"] / reference["filename"]).is_file()


def test_a_name_that_another_program_takes_meanwhile_is_left_to_it(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def link_late(source: Path, target: Path) -> None:
        if target.name == "song_00001_.wav":
            target.write_bytes(b"theirs")
        link(source, target)

    monkeypatch.setattr(audio_files.os, "link", link_late)
    save_files([SONG], "song", None)
    assert tree(output) == {
        "song_00001_.wav": b"theirs",
        "song_00002_.wav": b"song",
        "song_00002_.json": b"beside song_00002_.wav",
    }


def test_on_a_full_disk_every_song_is_kept_in_another_place(tmp_path: Path, output: Path, full: set[Path]) -> None:
    full.add(output)
    with pytest.raises(NotSaved) as failure:
        save_files([SONG, OutputFile(b"second", "wav")], "audio/song", None)
    message = str(failure.value)
    assert failure.value.errno == errno.ENOSPC and "No space left on device" in message and "[Errno" not in message
    kept = tmp_path / "home" / "rescued"
    assert tree(kept) == {
        "rescued_00001_.wav": b"song",
        "rescued_00001_.json": b"beside rescued_00001_.wav",
        "rescued_00002_.wav": b"second",
    }
    assert all(str(kept / name) in message for name in ("rescued_00001_.wav", "rescued_00002_.wav"))
    assert "2 of 2 files" in message and tree(output) == {}


def test_songs_that_can_be_saved_are(tmp_path: Path, output: Path, full: set[Path]) -> None:
    def songs() -> Iterator[OutputFile]:
        yield SONG
        full.update((output, tmp_path / "home"))
        yield OutputFile(b"second", "wav")
        full.clear()
        yield OutputFile(b"third", "wav")

    with pytest.raises(NotSaved, match=r"1 of 3 files") as failure:
        save_files(songs(), "song", None)
    assert {"song_00001_.wav", "song_00001_.json", "song_00002_.wav"} == tree(output).keys()
    assert tree(tmp_path / "temp") == {"acestep-xl-rescued/rescued_00001_.wav": b"second"}
    assert str(tmp_path / "temp" / "acestep-xl-rescued" / "rescued_00001_.wav") in str(failure.value)


def test_a_prefix_that_is_known_to_be_wrong_too_late_costs_no_song(output: Path) -> None:
    """A linked prefix is known only in the run."""
    with pytest.raises(NotSaved, match=r"leaves the output folder.*rescued_00001_\.wav"):
        save_files([SONG], "../song", None)
    assert tree(output)["rescued_00001_.wav"] == b"song"


def test_a_song_that_nothing_takes_is_said_to_be_lost(tmp_path: Path, output: Path, full: set[Path]) -> None:
    full.add(tmp_path)
    with pytest.raises(NotSaved, match="1 could not be kept anywhere"):
        save_files([SONG], "song", None)


def test_an_interrupt_after_a_failure_still_says_where_the_song_is(
    output: Path, full: set[Path], caplog: pytest.LogCaptureFixture
) -> None:
    def songs() -> Iterator[OutputFile]:
        full.add(output)
        yield SONG
        raise Interrupted("stop")

    with pytest.raises(Interrupted):
        save_files(songs(), "song", None)
    assert "rescued_00001_.wav" in caplog.text
