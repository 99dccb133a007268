"""Tokenizer files: finding, loading and saving them, and the real vocabulary against transformers and ComfyUI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_qwen3 import LONG_SONG, PROMPTS

from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.model.tokenizer import SPECIAL_TOKENS, demo_tokenizer, find_tokenizer, load_tokenizer, save_tokenizer


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_demo_tokenizer_reads_anything(string: str) -> None:
    ids = demo_tokenizer().encode(string, add_special_tokens=False).ids
    assert all(number < 256 for number in ids) or "<" in string
    decoded = demo_tokenizer().decode(ids, skip_special_tokens=False)
    assert decoded == unicodedata.normalize("NFC", string)


def test_demo_tokenizer_is_always_the_same() -> None:
    tokenizer = demo_tokenizer()
    assert tokenizer.get_vocab_size() == 282
    assert tokenizer.encode("!~<|endoftext|>\n</think>", add_special_tokens=False).ids == [0, 93, 256, 198, 281]
    assert tokenizer.to_str() == demo_tokenizer().to_str()


# --- tokenizer files


def write_vocabulary_files(folder: Path) -> None:
    """The demo vocabulary with one merge, as vocab.json and merges.txt."""
    vocabulary = json.loads(demo_tokenizer().to_str())["model"]["vocab"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary | {"la": 256}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\nl a\n", encoding="utf-8")


def test_save_and_load(tmp_path: Path) -> None:
    save_tokenizer(demo_tokenizer(), tmp_path / "a" / "b")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["tokenizer.json"]
    loaded = load_tokenizer(tmp_path / "a" / "b")
    assert loaded.encode(LONG_SONG).ids == demo_tokenizer().encode(LONG_SONG).ids


def test_vocabulary_and_merges(tmp_path: Path) -> None:
    write_vocabulary_files(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode("la<|endoftext|>l<|im_end|>", add_special_tokens=False).ids == [256, 257, 75, 259]


def test_tokenizer_json_comes_first(tmp_path: Path) -> None:
    write_vocabulary_files(tmp_path)
    save_tokenizer(demo_tokenizer(), tmp_path)
    assert load_tokenizer(tmp_path).get_vocab_size() == 282


def test_damaged_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(demo_tokenizer().to_str()[:500])
    with pytest.raises(ValueError, match=r"cannot read tokenizer\.json in .*fetch it again"):
        load_tokenizer(tmp_path)


def test_empty_folder_has_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json nor vocab\.json and merges\.txt"):
        load_tokenizer(tmp_path)


FOLDERS = ["t.e/x", "t.e/tokenizer", "t.e/Qwen3-Embedding-0.6B", "t.e", "tokenizer", "Qwen3-Embedding-0.6B", "."]


@pytest.mark.parametrize("start", range(len(FOLDERS)))
def test_find_tokenizer_in_order_of_nearness(tmp_path: Path, start: int) -> None:
    file = tmp_path / "t.e" / "x.safetensors"
    file.parent.mkdir()
    file.touch()
    bundle = tmp_path / "bundle"
    write_vocabulary_files(bundle)
    for name in FOLDERS[start:]:
        write_vocabulary_files(tmp_path / name)
    assert find_tokenizer(file, [bundle]) == tmp_path / FOLDERS[start]


@pytest.mark.parametrize("name", ["model/tokenizer", "model/Qwen3-Embedding-0.6B", "model", "tokenizer"])
def test_find_tokenizer_near_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "model").mkdir()
    write_vocabulary_files(tmp_path / name)
    assert find_tokenizer(tmp_path / "model", []) == tmp_path / name


def test_find_tokenizer_in_a_bundle(tmp_path: Path) -> None:
    write_vocabulary_files(tmp_path / "two")
    (tmp_path / "models").mkdir()
    near = tmp_path / "models" / "text_encoders" / "x.safetensors"
    assert find_tokenizer(near, [tmp_path / "one", tmp_path / "two"]) == tmp_path / "two"


def test_no_tokenizer_says_what_to_fetch_and_where_it_looked(tmp_path: Path) -> None:
    near = tmp_path / "text_encoders" / "qwen_0.6b_ace15.safetensors"
    with pytest.raises(FileNotFoundError) as error:
        find_tokenizer(near, [tmp_path / "bundle"])
    message = str(error.value)
    assert "tokenizer.json of Qwen/Qwen3-Embedding-0.6B" in message and "acestep-xl download" in message
    for folder in ("text_encoders/qwen_0.6b_ace15", "text_encoders/tokenizer", "text_encoders", "tokenizer", "bundle"):
        assert f"  {tmp_path / folder}\n" in message + "\n"


# --- the real vocabulary, from a ComfyUI checkout

SAMPLES = [
    "I'LL don't—naïve cafe\u0301 12345  \t\n\n  \r\nend  ",
    "東京の夜に 새벽 مرحبا 🎹🎶 <|im_start|>x<think></think><|fim_pad|><|endoftext|>\n",
    *(prompt.caption_text for prompt in PROMPTS),
    *(prompt.lyric_text for prompt in PROMPTS),
]


@pytest.fixture(scope="module")
def comfyui() -> Path:
    if not os.environ.get("COMFYUI_PATH"):
        pytest.skip("COMFYUI_PATH does not name a ComfyUI checkout, whose tokenizer this test reads")
    return Path(os.environ["COMFYUI_PATH"])


@pytest.fixture(scope="module")
def bundle(comfyui: Path) -> Path:
    return comfyui / "comfy" / "text_encoders" / "qwen25_tokenizer"


def test_bundle_equals_transformers(bundle: Path) -> None:
    from transformers import AutoTokenizer

    ours, theirs = load_tokenizer(bundle), AutoTokenizer.from_pretrained(bundle, local_files_only=True)
    assert type(theirs).__name__ in ("Qwen2Tokenizer", "Qwen2TokenizerFast")  # transformers 5, transformers 4
    assert ours.token_to_id("<|endoftext|>") == 151643 and ours.get_vocab_size() == 151669
    for sample in SAMPLES:
        assert ours.encode(sample, add_special_tokens=False).ids == theirs(sample)["input_ids"]
    declared = json.loads((bundle / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    assert {number: token["content"] for number, token in declared.items()} == {
        str(ours.token_to_id(token)): token for token in SPECIAL_TOKENS
    }


def test_bundle_saved_as_one_file(bundle: Path, tmp_path: Path) -> None:
    ours = load_tokenizer(bundle)
    save_tokenizer(ours, tmp_path)
    again = load_tokenizer(tmp_path)
    assert all(again.encode(sample).ids == ours.encode(sample).ids for sample in SAMPLES)


COMFY_TOKENS = """
import json, sys
sys.path.insert(0, sys.argv.pop(1))
fields = json.loads(sys.argv.pop(1))
sys.argv.append("--cpu")
import comfy.options
comfy.options.enable_args_parsing()
from comfy.text_encoders.ace15 import ACE15Tokenizer
tokens = ACE15Tokenizer().tokenize_with_weights(**fields)
print(json.dumps([[token[0] for token in tokens[name][0]] for name in ("qwen3_06b", "lyrics")]))
"""


def test_prompt_equals_comfyui(comfyui: Path, bundle: Path) -> None:
    """ComfyUI always uses the cover instruction and writes the end mark twice itself."""
    lyrics = "[Verse]\nNeon rain\n\nünder 東京\n"
    fields = {"text": "warm lo-fi, soft piano", "lyrics": lyrics, "language": "de", "generate_audio_codes": False}
    fields |= {"bpm": 97, "timesignature": "3", "keyscale": "Eb minor", "duration": 95.0}
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    command = [python, "-c", COMFY_TOKENS, str(comfyui), json.dumps(fields)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in process.stderr:
        pytest.skip("ComfyUI's own packages are not installed; COMFYUI_PYTHON names an interpreter that has them")
    assert process.returncode == 0, process.stderr
    theirs = json.loads(process.stdout.splitlines()[-1])

    metadata = Metadata(bpm=97, time_signature="3", key_scale="Eb minor", duration=95.0)
    prompt = Prompt("warm lo-fi, soft piano", lyrics, "de", metadata, instruction("cover"))
    tokenizer = load_tokenizer(bundle)
    ours = [[*tokenizer.encode(string).ids, 151643] for string in (prompt.caption_text, prompt.lyric_text)]
    assert ours == theirs
