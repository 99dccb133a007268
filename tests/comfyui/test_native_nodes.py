"""ComfyUI's own classes and those that carry them out without it: the same declarations, numbers and files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mutagen
import pytest
import torch
from comfy_process import run
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
        "9": node("SaveAudioMP3", audio=["7", 0], filename_prefix="b", quality="V0"),
        "10": node("SaveAudioMP3", audio=["7", 0], filename_prefix="b", quality="128k"),
        "11": node("SaveAudioOpus", audio=["7", 0], filename_prefix="c", quality="64k"),
        "12": node("PreviewAudio", audio=["7", 0]),
        "13": node("SaveAudioOpus", audio=["2", 0], filename_prefix="d", quality="320k"),
    }


def test_a_graph_gives_the_same_files(
    server: ComfyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = song_graph()
    theirs = {path.relative_to(server.folder / path.relative_to(server.folder).parts[0]): path
              for path in server.files(server.run(graph))}  # fmt: skip
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
    exact = ours.suffix == ".flac"
    torch.testing.assert_close(a, b, atol=1.01 / 2**15 if exact else 5e-3, rtol=0)
    mine, other = mutagen.File(ours), mutagen.File(theirs)
    assert mine is not None and other is not None
    assert type(mine.info) is type(other.info)
    if ours.suffix == ".mp3":
        assert mine.info.bitrate_mode == other.info.bitrate_mode
        assert mine.info.bitrate == pytest.approx(other.info.bitrate, rel=0.02)


AUDIO_TOOLS = """
import random
import torch
from comfy_extras import nodes_ace, nodes_audio, nodes_mask, nodes_post_processing, nodes_latent
import nodes
from acestep_xl.nodes.native.table import NATIVE_CLASS_MAPPINGS as OURS
from acestep_xl.parameters import native

def core_class(name):
    if name in nodes.NODE_CLASS_MAPPINGS:
        return nodes.NODE_CLASS_MAPPINGS[name]
    classes = [value for module in (nodes_audio, nodes_ace, nodes_latent, nodes_mask)
               for value in vars(module).values() if hasattr(value, "GET_SCHEMA")]
    return next(value for value in classes if value.GET_SCHEMA().node_id == name)

def outcome(call):
    try:
        return call(), ""
    except Exception as error:
        return None, str(error) or type(error).__name__

def compare(name, **inputs):
    \"\"\"Both refuse, or both give the same.\"\"\"
    theirs_class, ours_class = core_class(name), OURS[name]
    def core():
        if hasattr(theirs_class, "execute"):
            return theirs_class.execute(**inputs).result
        return getattr(theirs_class(), theirs_class.FUNCTION)(**inputs)
    theirs, refusal = outcome(core)
    ours, reason = outcome(lambda: getattr(ours_class(), ours_class.FUNCTION)(**inputs))
    assert (theirs is None) == (ours is None), (name, inputs.keys(), refusal, reason)
    if theirs is not None:
        equal(ours, theirs, name)
    return ours is not None

def equal(ours, theirs, name):
    if isinstance(theirs, torch.Tensor):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, (name, ours.shape, theirs.shape)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5, msg=lambda text: f"{name}: {text}")
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), (name, ours.keys(), theirs.keys())
        for key in theirs:
            equal(ours[key], theirs[key], f"{name} {key}")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), name
        for a, b in zip(ours, theirs):
            equal(a, b, name)
    else:
        assert ours == theirs, (name, ours, theirs)

def pick(name):
    \"\"\"A value of each widget of a class.\"\"\"
    values = {}
    for key, (kind, options) in native.INPUTS[name].items():
        low, high = options.get("min"), options.get("max")
        if kind == "COMBO":
            values[key] = random.choice(options["options"])
        elif kind == "INT":
            values[key] = random.randint(low, min(high, low + 60 if low >= 0 else high))
        elif kind == "FLOAT":
            values[key] = random.uniform(low, high)
    return values

random.seed(1)
torch.manual_seed(1)
"""


def test_audio_tools_give_the_same_numbers() -> None:
    run(
        AUDIO_TOOLS
        + """
def sound(channels=None, songs=None):
    shape = (songs or random.choice((1, 1, 2)), channels or random.choice((1, 2)), random.randint(2000, 9000))
    return {"waveform": torch.randn(shape) * random.choice((0.05, 0.6)),
            "sample_rate": random.choice((48000, 48000, 44100, 22050, 16000))}

done = 0
with torch.inference_mode():
    for _ in range(60):
        a, b = sound(), sound()
        done += compare("AudioConcat", audio1=a, audio2=b, **pick("AudioConcat"))
        done += compare("AudioMerge", audio1=a, audio2=b, **pick("AudioMerge"))
        done += compare("AudioAdjustVolume", audio=a, volume=random.randint(-40, 40))
        compare("SplitAudioChannels", audio=a)
        done += compare("JoinAudioChannels", audio_left=sound(1, 1), audio_right=sound(1, 1))
        compare("JoinAudioChannels", audio_left=a, audio_right=b)
        done += compare("AudioEqualizer3Band", audio=sound(), **pick("AudioEqualizer3Band"))
        seconds = a["waveform"].shape[-1] / a["sample_rate"]
        compare("TrimAudioDuration", audio=a, start_index=random.uniform(-1.5, 1.5) * seconds,
                duration=random.choice((0.0, random.uniform(0, 1.5 * seconds))))
        done += compare("EmptyAudio", duration=random.uniform(0, 2), sample_rate=random.randint(8000, 96000),
                        channels=random.choice((1, 2)))
    # Beyond 2^22 samples, where a length in float32 loses its fraction.
    for samples in (5704211, 3821463):
        long, short = ({"waveform": torch.zeros(1, 2, n), "sample_rate": rate} for n, rate in
                       ((samples, 44100), (48000, 48000)))
        compare("AudioConcat", audio1=long, audio2=short, direction="after")
assert done > 300, done
"""
    )


def test_latent_tools_give_the_same_numbers() -> None:
    run(
        AUDIO_TOOLS
        + """
def latent(like=None):
    shape = like or (random.randint(1, 3), 64, random.randint(3, 30))
    made = {"samples": torch.randn(shape)}
    if random.random() < 0.5:
        made["type"] = "audio"
    if random.random() < 0.4:
        made["noise_mask"] = torch.rand(random.randint(1, shape[0]), 1, 1, shape[-1])
    if random.random() < 0.4:
        made["batch_index"] = [random.randint(0, 9) for _ in range(shape[0])]
    return made

done = 0
for _ in range(80):
    a = latent()
    b = latent(tuple(a["samples"].shape)) if random.random() < 0.8 else latent()
    same = a["samples"].shape == b["samples"].shape
    for name in ("LatentFromBatch", "RepeatLatentBatch", "LatentBatchSeedBehavior", "LatentMultiply", "LatentCut"):
        values = pick(name)
        if name == "LatentCut":
            values |= {"index": random.randint(-40, 40)}
        if name == "RepeatLatentBatch":
            values["amount"] = random.randint(1, 4)
        done += compare(name, samples=a, **values)
    if same:
        for name in ("LatentBatch", "LatentConcat", "LatentAdd", "LatentSubtract", "LatentBlend"):
            done += compare(name, samples1=a, samples2=b, **pick(name))
    done += compare("EmptyAceStep1.5LatentAudio", seconds=random.uniform(1, 30), batch_size=random.randint(1, 3))
    mask = torch.rand(random.choice(((20,), (1, 20), (2, 3, 20))) if random.random() < 2 else ())
    compare("SetLatentNoiseMask", samples=a, mask=mask if mask.ndim > 1 else mask[None])
    compare("SolidMask", value=random.random(), width=random.randint(1, 90), height=random.randint(1, 5))
assert done > 700, done
"""
    )


VAE = """
import sys
sys.path.insert(0, arguments[0])
import tiny
import comfy.sd
from acestep_xl.model import random_network
from acestep_xl.model.vae.config import VAEConfig
from acestep_xl.model.vae.oobleck import Oobleck
from acestep_xl.pipeline.vae_socket import AudioVAE

oobleck = random_network.fill(Oobleck(VAEConfig()), random_network.VAE_GAIN).eval()
state = {}
for name, tensor in oobleck.state_dict().items():
    if name.endswith(".weight"):
        stem = name.removesuffix(".weight")
        state[f"{stem}.weight_g"] = tensor.flatten(1).norm(dim=1).view(-1, 1, 1)
        state[f"{stem}.weight_v"] = tensor
    else:
        state[name] = tensor
core, ours = comfy.sd.VAE(sd=tiny.stable_audio_names(state), dtype=torch.float32), AudioVAE(oobleck)
core.first_stage_model.bottleneck.encode = lambda x: x.chunk(2, dim=1)[0]  # the mean: core adds noise of no seed
"""
SUPPORT = str(Path(__file__).parents[1] / "support")


def test_the_vae_nodes_give_the_same_numbers() -> None:
    run(
        AUDIO_TOOLS
        + VAE
        + """
def both(name, **inputs):
    ours_class = OURS[name]
    theirs = core_class(name).execute(vae=core, **inputs).result[0]
    mine, = getattr(ours_class(), ours_class.FUNCTION)(vae=ours, **inputs)
    return mine, theirs

with torch.inference_mode():
    for scale in (0.1, 30.0):
        samples = {"samples": scale * torch.randn(2, 64, 5), "type": "audio"}
        mine, theirs = both("VAEDecodeAudio", samples=samples)
        equal(mine, theirs, f"decode at {scale}")
        deviation = ours.decode(samples["samples"]).std(dim=(1, 2))
        assert (5 * deviation > 1).all() == (scale > 1), deviation
    for channels, rate, samples in ((1, 48000, 5760), (2, 48000, 6761), (2, 44100, 7000), (6, 22050, 4000)):
        audio = {"waveform": 0.3 * torch.randn(2, channels, samples), "sample_rate": rate}
        mine, theirs = both("VAEEncodeAudio", audio=audio)
        assert mine["samples"].shape == theirs["samples"].shape and mine.keys() == theirs.keys()
        torch.testing.assert_close(mine["samples"], theirs["samples"], atol=1e-4, rtol=1e-4)
""",
        SUPPORT,
    )
