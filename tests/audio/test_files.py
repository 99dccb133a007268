"""Writing files complete or not at all, under names that nobody else has."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from audio_files import noise, write
from folders import file_names

from acestep_xl.audio import encoding, files, formats
from acestep_xl.audio.decoding import read
from acestep_xl.audio.files import numbered_stem, write_new

PROCESSES, FILES = 2, 30
# Saves FILES files named by the process's number, once all processes are ready.
SAVER = f"""
import sys, time
from pathlib import Path
from acestep_xl.audio.files import numbered_stem, write_new
folder, number = Path(sys.argv[1]), sys.argv[2]
(folder / f"ready{{number}}").touch()
while len(list(folder.glob("ready*"))) < {PROCESSES}:
    time.sleep(0.001)
for index in range({FILES}):
    with numbered_stem(folder / "songs", "song") as stem:
        write_new(stem.with_name(stem.name + ".json"), b"sidecar of " + number.encode())
        write_new(stem.with_name(f"{{stem.name}}.{{['wav', 'mp3'][index % 2]}}"), f"{{number}} {{index}}".encode())
"""


@pytest.fixture(params=["hard links", "no hard links"])
def file_system(request, monkeypatch):
    """What the file system offers: FAT, exFAT and many network folders have no hard links."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("[Errno 1] Operation not permitted")

    if request.param == "no hard links":
        monkeypatch.setattr(files.os, "link", refuse)


def test_folders_are_created(tmp_path):
    path = tmp_path / "a" / "b" / "song.wav"
    assert write(path, torch.ones(1, 20), 48000, format="wav", bit_depth=16) == path
    assert read(path)[0].shape == (1, 1, 20)
    assert file_names(path.parent) == ["song.wav"]


@pytest.mark.usefixtures("file_system")
def test_nothing_is_ever_replaced(tmp_path):
    write_new(tmp_path / "song.wav", b"first")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "song.wav", b"second")
    assert file_names(tmp_path) == ["song.wav"] and (tmp_path / "song.wav").read_bytes() == b"first"
    (tmp_path / "link.wav").symlink_to(tmp_path / "missing.wav")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "link.wav", b"third")


def test_two_processes_that_save_under_one_prefix_keep_every_file(tmp_path):
    savers = [
        subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path), str(number)]) for number in range(PROCESSES)
    ]
    assert [saver.wait(timeout=300) for saver in savers] == [0] * PROCESSES
    songs = [path for path in (tmp_path / "songs").iterdir() if path.suffix != ".json"]
    contents = {path.read_text() for path in songs}
    assert contents == {f"{number} {index}" for number in range(PROCESSES) for index in range(FILES)}
    assert len(songs) == PROCESSES * FILES
    for path in songs:
        assert path.with_suffix(".json").read_text() == f"sidecar of {path.read_text().split()[0]}"


@pytest.mark.usefixtures("file_system")
def test_threads_that_save_under_one_prefix_keep_every_file(tmp_path):
    barrier = threading.Barrier(4)

    def save(number: int) -> None:
        barrier.wait()
        for index in range(10):
            with numbered_stem(tmp_path, "song") as stem:
                write_new(f"{stem}.wav", f"{number} {index}".encode())

    threads = [threading.Thread(target=save, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path.read_text() for path in tmp_path.iterdir()}) == 40 == len(file_names(tmp_path))


def test_a_marker_that_a_killed_process_left_costs_its_number_only(tmp_path):
    (tmp_path / ".song_00001_").touch()
    with numbered_stem(tmp_path, "song") as stem:
        assert stem.name == "song_00002_"
        assert file_names(tmp_path) == [".song_00001_", ".song_00002_"]
    assert file_names(tmp_path) == [".song_00001_"]


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
@pytest.mark.parametrize("function", ["_frames", "os.link"])
def test_an_interruption_leaves_nothing(tmp_path, monkeypatch, error, function):
    frames = encoding._frames

    def first_frame_only(*arguments):
        yield next(frames(*arguments))
        raise error

    def interrupted_link(*_):
        assert [name for name in file_names(tmp_path) if name.endswith(".part")]
        raise error

    if function == "_frames":
        monkeypatch.setattr(encoding, "_frames", first_frame_only)
    else:
        monkeypatch.setattr(files.os, "link", interrupted_link)
    with pytest.raises(type(error)):
        write(tmp_path / "song.flac", torch.from_numpy(noise(2, 200_000)), 48000, format="flac", bit_depth=24)
    assert file_names(tmp_path) == []


def test_the_file_appears_under_its_name_only_when_complete(tmp_path, monkeypatch):
    shapes = []
    link = files.os.link
    monkeypatch.setattr(files.os, "link", lambda old, new: (shapes.append(read(old)[0].shape), link(old, new)))
    write(tmp_path / "song.flac", torch.zeros(2, 5000), 48000, format="flac", bit_depth=24)
    assert shapes == [(1, 2, 5000)]


def next_stem(folder: Path, prefix: str) -> Path:
    with numbered_stem(folder, prefix) as stem:
        return stem


def test_numbers_start_at_one_and_follow_the_highest(tmp_path):
    assert next_stem(tmp_path, "audio/song") == tmp_path / "audio" / "song_00001_"
    for taken in ("song_00003_.mp3", "song_00007_.wav", "song_x_.flac", "songs_00050_.flac", "song_00060.flac"):
        (tmp_path / "audio" / taken).touch()
    assert next_stem(tmp_path, "audio/song") == tmp_path / "audio" / "song_00008_"
    assert next_stem(tmp_path, "audio\\song") == tmp_path / "audio" / "song_00008_"
    (tmp_path / "audio" / "song_123456_.flac").touch()
    assert next_stem(tmp_path, "audio/song").name == "song_123457_"


def test_names_that_differ_in_case_share_their_numbers(tmp_path):
    (tmp_path / "Song_00004_.flac").touch()
    assert next_stem(tmp_path, "song").name == "song_00005_"


def test_special_characters_of_patterns_are_literal_in_names(tmp_path):
    (tmp_path / "a+(b)_00004_.flac").touch()
    (tmp_path / "aab_00009_.flac").touch()
    assert next_stem(tmp_path, "a+(b)").name == "a+(b)_00005_"


def test_the_longest_name_fits(tmp_path):
    stem = next_stem(tmp_path, "x" * 237)
    assert write_new(f"{stem}.flac", b"song").is_file()
