"""Whether files can be written, found out before there are any."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from acestep_xl.host import output_folder
from acestep_xl.host.output_folder import folder_problem

NAME = "song_00001_.flac"


def test_a_folder_that_can_be_written_to_is_left_as_it_was(tmp_path: Path) -> None:
    assert folder_problem(tmp_path, NAME, 1000) is None
    assert folder_problem(tmp_path / "new" / "deeper", NAME, 1000) is None
    assert list(tmp_path.iterdir()) == []


def test_files_and_links_to_nowhere_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert f"{tmp_path / 'file'} is a file" in str(folder_problem(folder, NAME, 0))
    assert "is a link to nowhere" in str(folder_problem(tmp_path / "link" / "below", NAME, 0))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no files, whatever its permissions")
def test_folders_that_take_no_files_are_found_out(tmp_path: Path) -> None:
    assert "/proc/x cannot be written to" in str(folder_problem(Path("/proc/x"), NAME, 0))
    assert "is a file" in str(folder_problem(Path("/dev/full/x"), NAME, 0))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_found_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    problem = folder_problem(tmp_path / "audio", NAME, 0)
    tmp_path.chmod(0o755)
    assert "Permission denied" in str(problem)


def test_too_little_room_is_told_with_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = output_folder.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(output_folder.shutil, "disk_usage", lambda folder: usage._replace(free=2 * 2**20))
    assert "may take 3.0 MiB, 2.0 MiB are free" in str(folder_problem(tmp_path, NAME, 3 * 2**20))
    assert folder_problem(tmp_path, NAME, 2**20) is None


@pytest.mark.skipif(not hasattr(os, "pathconf"), reason="the limit is not known here")
def test_names_and_paths_that_are_too_long_are_found_out(tmp_path: Path) -> None:
    assert "too long" in str(folder_problem(tmp_path, "x" * 256, 0))
    assert "allowed:" in str(folder_problem(tmp_path.joinpath(*["x" * 200] * 30), NAME, 0))
    assert list(tmp_path.iterdir()) == []
