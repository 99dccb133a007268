"""A file that is something else than its name says is told from its first bytes, with the remedy."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
import torch
from safetensors.torch import save_file

from acestep_xl.model.checkpoint import load_network
from acestep_xl.model.formats.file_kinds import identify
from acestep_xl.model.formats.files import open_file
from acestep_xl.model.formats.tensors import CheckpointError, read_json
from acestep_xl.model.layouts import recognise
from acestep_xl.model.tokenizer import load_tokenizer

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9974456320\n"
PAGE = b"\n<!DOCTYPE html><html><head><title>Sign in to continue</title></head></html>"


def saved(save: object, *values: object) -> bytes:
    buffer = io.BytesIO()
    save(*values, buffer) if save is torch.save else save(buffer, *values)  # type: ignore[operator]
    return buffer.getvalue()


def wav() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((100, 2)), 48000, format="WAV")
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/readme.txt", "hello")
    return buffer.getvalue()


FILES = {
    "gguf": (b"GGUF\x03\0\0\0" + bytes(100), "a GGUF file; give it a name that ends in .gguf"),
    "ggml": (b"tjgg\x03\0\0\0" + bytes(100), "a GGML file"),
    "pointer": (POINTER, r"a Git LFS pointer; .*9,974,456,320 bytes: run `git lfs pull`"),
    "page": (PAGE, r"a web page; .*'Sign in to continue'.*signed in"),
    "torch": (saved(torch.save, {"a": torch.ones(3)}), "a PyTorch file; .*convert"),
    "pickle": (pickle.dumps([1, 2]), "a pickle; .*convert"),
    "archive": (gzip.compress(b"x" * 500), "an archive; unpack it"),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:", "an ONNX model"),
    "numpy": (saved(np.save, np.ones(4)), "a NumPy array"),
    "audio": (wav(), "an audio or video file; recordings belong in the input folder"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(30), "a picture"),
    "zeros": (bytes(5000), "reserved space that was never filled"),
    "empty": (b"", "an empty file; fetch the file again"),
    "json": (b'{"error": "Repository not found"}', "a JSON text; .*Repository not found"),
    "text": (b"Invalid username or password.", "a text; .*Invalid username or password"),
    "unknown": (b"\x01\x02\xff\xfe" * 40, "no known format starts with .*fetch the file again"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_model_file_of_another_kind_is_told_by_name(kind: str, tmp_path: Path) -> None:
    content, message = FILES[kind]
    path = tmp_path / "acestep_v1.5_xl_sft_bf16.safetensors"
    path.write_bytes(content)
    assert identify(path) == kind
    with pytest.raises(CheckpointError, match=rf"sft_bf16.safetensors .*is not a safetensors file: .*{message}"):
        recognise(path)
    with pytest.raises(CheckpointError, match=message):
        open_file(path)


@pytest.mark.parametrize("content", [zipped(), b"Rar!\x1a\x07\x00" + bytes(10)], ids=["zip", "rar"])
def test_archives(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    assert identify(tmp_path / "x.safetensors") == "archive"


def test_a_truncated_file_says_how_much_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(1000)}, path)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(
        CheckpointError, match=rf"complete.*1,500 of the {size:,} bytes .*missing.*fetch the file again"
    ):
        open_file(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CheckpointError, match="not a complete safetensors file"):
        open_file(path)


@pytest.mark.parametrize("content", [POINTER, PAGE, b"", b"GGUF\x03\0\0\0", b"Entry not found", wav()])
def test_a_silence_latent_of_another_kind_is_told_without_advice_to_unpickle(content: bytes, tmp_path: Path) -> None:
    name = tiny.write("split", tmp_path)
    silence = tmp_path / "diffusion_models" / "silence_latent.pt"
    silence.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"silence_latent.pt can't be read: it is an? .*; ") as error:
        load_network(recognise(tmp_path / "diffusion_models" / name), torch.float32, torch.device("cpu"))
    assert "weights_only" not in str(error.value) and "issue" not in str(error.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("content", [pickle.dumps({"a": print}), saved(torch.save, {"a": print})])
def test_a_pickle_of_objects_as_silence_latent_never_shows_how_to_run_it(content: bytes, tmp_path: Path) -> None:
    name = tiny.write("split", tmp_path)
    (tmp_path / "diffusion_models" / "silence_latent.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"can't be read: it .*(than a tensor|convert)") as error:
        load_network(recognise(tmp_path / "diffusion_models" / name), torch.float32, torch.device("cpu"))
    assert "weights_only" not in str(error.value)


def test_a_silence_latent_saved_by_an_old_torch_is_read(tmp_path: Path) -> None:
    name = tiny.write("split", tmp_path)
    silence = tiny.silence()
    path = tmp_path / "diffusion_models" / "silence_latent.pt"
    torch.save(silence, path, _use_new_zipfile_serialization=False)
    network = load_network(recognise(tmp_path / "diffusion_models" / name), torch.float32, torch.device("cpu"))
    assert torch.equal(network.silence, silence[0].T)


def test_tokenizers_and_configs_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(POINTER)
    with pytest.raises(ValueError, match=r"tokenizer.json .*is not part of a tokenizer: it is a Git LFS pointer"):
        load_tokenizer(tmp_path)
    config = tmp_path / "config.json"
    config.write_bytes(PAGE)
    with pytest.raises(CheckpointError, match=r"config.json .*is not a JSON text: it is a web page"):
        read_json(config)
    config.write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": 1}).encode())
    assert read_json(config) == {"a": 1}
