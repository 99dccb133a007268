"""Names of recordings in the input folder: links, loops, and names saved on Windows."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch

from acestep_xl.host import use
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.load_audio import EXAMPLE, LoadAudio


class InputHost(HeadlessHost):
    """A host with an input folder of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__([], folder / "output", device="cpu")
        self._input = folder / "input"

    def input_directory(self) -> Path:
        return self._input


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.wav", "sub folder/x.wav"):
        path = tmp_path / "input" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, torch.rand(4800, 2).numpy(), 48000)
    return tmp_path


def choices(folder: Path) -> list[str]:
    with use(InputHost(folder)):
        return LoadAudio.INPUT_TYPES()["required"]["audio"][0]


def test_linked_folders_are_followed_once(folder: Path) -> None:
    recordings = folder / "elsewhere"
    recordings.mkdir()
    (recordings / "b.FLAC").touch()
    (recordings / "notes.txt").touch()
    (folder / "input" / "more").symlink_to(recordings, target_is_directory=True)
    for number in range(6):
        (recordings / f"back{number}").symlink_to(folder / "input", target_is_directory=True)
        (folder / "input" / f"loop{number}").symlink_to(folder, target_is_directory=True)
    assert choices(folder) == [EXAMPLE, "a.wav", "more/b.FLAC", "sub folder/x.wav"]


def test_a_missing_input_folder_has_the_example_alone(tmp_path: Path) -> None:
    assert choices(tmp_path) == [EXAMPLE]


@pytest.mark.parametrize("name", ["sub folder\\x.wav", "sub folder/x.wav", "a.wav"])
def test_names_saved_on_windows_are_loaded(name: str, folder: Path) -> None:
    with use(InputHost(folder)):
        assert LoadAudio.VALIDATE_INPUTS(name) is True
        assert LoadAudio.IS_CHANGED(name) == LoadAudio.IS_CHANGED(name.replace("\\", "/"))
        (audio,) = LoadAudio().load(name)
    assert audio["waveform"].shape == (1, 2, 4800)


@pytest.mark.parametrize(
    "name", ["gone.wav", "..\\a.wav", "sub folder\\..\\..\\x", "C:\\a.wav", "sub folder", "/etc/x.wav"]
)
def test_other_names_are_refused(name: str, folder: Path) -> None:
    with use(InputHost(folder)):
        assert "is not one of the choices: example, a.wav" in str(LoadAudio.VALIDATE_INPUTS(name))
        with pytest.raises(FileNotFoundError, match="in the input folder; choose or upload another"):
            LoadAudio().load(name)
