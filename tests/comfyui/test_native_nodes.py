"""ComfyUI's own classes and those that carry them out without it: the same declarations and files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mutagen
import pytest
import torch
from comfy_server import ComfyServer, needs_comfyui

from acestep_xl.audio.decoding import read
from acestep_xl.audio.encoding import encode
from acestep_xl.nodes.native.table import NATIVE_CLASS_MAPPINGS, NATIVE_DISPLAY_NAME_MAPPINGS
from acestep_xl.parameters import native
from acestep_xl.runner.cli import main
from acestep_xl.runner.node_table import InputSpec, NodeTable

pytestmark = [needs_comfyui, pytest.mark.slow]

# Options that change what a value may be, or where the editor stores it.
OPTIONS = ("default", "min", "max", "step", "multiline", "control_after_generate", "dynamicPrompts", "forceInput")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    folder = tmp_path_factory.mktemp("comfyui")
    with ComfyServer(folder, pack=False) as running:
        generator = torch.Generator().manual_seed(5)
        for name, rate, channels in (("stereo.flac", 44100, 2), ("mono.wav", 22050, 1)):
            samples = (0.3 * torch.randn(channels, rate, generator=generator)).clamp(-1, 1)
            song = encode(samples, rate, format=name.split(".")[1], bit_depth=16)
            (folder / "input" / name).write_bytes(song.data)
        yield running


def declared(specs: dict[str, InputSpec], class_id: str) -> dict[str, tuple[Any, ...]]:
    """What can be compared of inputs, by name."""
    files = {name for name, entry in native.INPUTS[class_id].items() if entry == native.FILES}
    return {
        name: (
            spec.type,
            spec.required,
            () if name in files else spec.choices,
            {option: spec.options.get(option) or None for option in OPTIONS},
        )
        for name, spec in specs.items()
    }


def test_every_class_declares_what_comfyui_declares(server: ComfyServer) -> None:
    info = server.get("/object_info")
    ours = NodeTable(NATIVE_CLASS_MAPPINGS)
    core = NodeTable({name: _core_class(info[name]) for name in NATIVE_CLASS_MAPPINGS})
    for name in NATIVE_CLASS_MAPPINGS:
        mine, theirs = ours.spec(name), core.spec(name)
        assert mine is not None and theirs is not None
        assert list(mine.inputs) == list(theirs.inputs), name
        assert declared(mine.inputs, name) == declared(theirs.inputs, name), name
        assert (mine.returns, mine.is_output) == (theirs.returns, theirs.is_output), name
        assert NATIVE_DISPLAY_NAME_MAPPINGS[name] == (info[name]["display_name"] or name)


def _core_class(info: dict[str, Any]) -> type:
    types = {group: {name: tuple(entry) for name, entry in inputs.items()} for group, inputs in info["input"].items()}
    return type(
        "Core",
        (),
        {
            "INPUT_TYPES": staticmethod(lambda: types),
            "RETURN_TYPES": tuple(info["output"]),
            "OUTPUT_NODE": info["output_node"],
        },
    )


def song_graph() -> dict[str, Any]:
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}  # noqa: E731
    return {
        "1": node("LoadAudio", audio="stereo.flac"),
        "2": node("LoadAudio", audio="mono.wav [input]"),
        "3": node("TrimAudioDuration", audio=["1", 0], start_index=0.1, duration=0.7),
        "4": node("AudioConcat", audio1=["3", 0], audio2=["2", 0], direction="before"),
        "5": node("AudioMerge", audio1=["4", 0], audio2=["1", 0], merge_method="mean"),
        "6": node("PrimitiveInt", value=-2),
        "7": node("AudioAdjustVolume", audio=["5", 0], volume=["6", 0]),
        "8": node("SaveAudio", audio=["7", 0], filename_prefix="songs/%year%/a"),
        "9": node("SaveAudioMP3", audio=["7", 0], filename_prefix="v", quality="V0"),
        "10": node("SaveAudioMP3", audio=["7", 0], filename_prefix="b", quality="128k"),
        "11": node("SaveAudioOpus", audio=["7", 0], filename_prefix="c", quality="64k"),
        "12": node("PreviewAudio", audio=["7", 0]),
        "13": node("SaveAudioOpus", audio=["2", 0], filename_prefix="d", quality="128k"),
    }


def test_a_graph_gives_the_same_files(
    server: ComfyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = song_graph()
    names = {path: path.relative_to(server.folder) for path in server.files(server.run(graph))}
    theirs = {Path(*name.parts[1:]): path for path, name in names.items()}  # without output or temp
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    monkeypatch.chdir(server.folder)
    assert main(["run", str(tmp_path / "graph.json"), "--output", str(tmp_path / "out"), "--device", "cpu"]) == 0
    ours = {Path(line) for line in capsys.readouterr().out.splitlines()}
    saved = {path.relative_to(tmp_path / "out") for path in ours if path.is_relative_to(tmp_path / "out")}
    assert saved == {path for path in theirs if "temp" not in path.name} and len(ours) == len(theirs)
    for name in saved:
        _compare_files(tmp_path / "out" / name, theirs[name])


def _compare_files(ours: Path, theirs: Path) -> None:
    (a, rate), (b, their_rate) = read(ours), read(theirs)
    assert (a.shape, rate) == (b.shape, their_rate), ours.name
    # Where CPUs round differently, a sample becomes its neighbour, and a lossy codec decides otherwise.
    torch.testing.assert_close(a, b, atol=1.01 / 2**15 if ours.suffix == ".flac" else 0.05, rtol=0)
    mine, other = mutagen.File(ours), mutagen.File(theirs)
    assert mine is not None and other is not None
    assert type(mine.info) is type(other.info)
    if ours.suffix == ".mp3":
        assert mine.info.bitrate_mode == other.info.bitrate_mode
        assert mine.info.bitrate == pytest.approx(other.info.bitrate, rel=0.02)
