"""The text encoder against transformers itself, and its tokens against the tokenizers people have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from acestep_xl.model import text, tokens
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.model.text import TextEncoder

LONG_SONG = "[Verse]\nNeon rain on midnight streets, ürümqi 東京 🎹\n\n[Chorus]\nStay a while\n" * 280


def prompt_of(caption: str = "soft piano", lyrics: str = "[Verse]\nla la", language: str = "en") -> Prompt:
    metadata = Metadata(bpm=90, time_signature="4", key_scale="C# minor", duration=120)
    return Prompt(caption, lyrics, language, metadata, instruction("text2music"))


PROMPTS = [
    prompt_of(),
    prompt_of("a", "[Instrumental]", "unknown"),
    prompt_of("", ""),
    prompt_of("long " * 60, LONG_SONG, "ja"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An official-layout folder written by transformers: a small Qwen3 with lively random weights."""
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "head_dim": 16}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300}
    values = {"rope_theta": 1e6, "rms_norm_eps": 1e-6, "max_position_embeddings": 4096}
    model = Qwen3Model(Qwen3Config.from_dict(shape | heads | values))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.5 if "norm" in name else 0.0, 0.3)
    path = tmp_path_factory.mktemp("text") / "Qwen3-Embedding-0.6B"
    model.save_pretrained(path)
    tokens.save_tokenizer(tokens.demo_tokenizer(), path)
    return path


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    from transformers import Qwen3Model

    return Qwen3Model.from_pretrained(folder).float().eval()


def load(tensors: dict[str, Tensor], config: dict[str, Any] | None, tokenizer: Path) -> TextEncoder:
    state = text.text_state(tensors)
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    model = text.build_text_model(text.qwen3_config(shapes, config))
    model.load_state_dict(state, strict=True, assign=True)
    return TextEncoder(model, tokens.load_tokenizer(tokenizer))


def layouts(folder: Path) -> dict[str, tuple[dict[str, Tensor], dict[str, Any] | None]]:
    own = load_file(folder / "model.safetensors")
    other = {"text_encoders.qwen3_2b.transformer.model.norm.weight": torch.zeros(7), "vae.x": torch.zeros(1)}
    return {
        "official": (own, json.loads((folder / "config.json").read_text())),
        "comfyui": ({f"model.{key}": value for key, value in own.items()}, None),
        "causal lm": (
            {f"model.{key}": value for key, value in own.items()} | {"lm_head.weight": own["embed_tokens.weight"]},
            None,
        ),
        "all in one": (
            {f"text_encoders.qwen3_06b.transformer.model.{key}": value for key, value in own.items()} | other,
            None,
        ),
    }


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TextEncoder:
    return load(*layouts(folder)["comfyui"], folder)


# --- states


@pytest.mark.parametrize("layout", ["official", "comfyui", "causal lm", "all in one"])
@torch.no_grad()
def test_states_equal_transformers(folder: Path, reference: Any, layout: str) -> None:
    encoder = load(*layouts(folder)[layout], folder)
    states = encoder.encode([PROMPTS[0]])
    ids = torch.tensor([encoder.caption_tokens(PROMPTS[0])[0]])
    assert torch.equal(states.caption, reference(input_ids=ids).last_hidden_state)
    ids = torch.tensor([encoder.lyric_tokens(PROMPTS[0])[0]])
    assert torch.equal(states.lyrics, reference.get_input_embeddings()(ids))


@torch.no_grad()
def test_states_equal_the_official_padded_batch(reference: Any, encoder: TextEncoder) -> None:
    """Official inference pads on the right with the end token and passes no attention mask."""
    rows = [encoder.caption_tokens(prompt)[0] for prompt in PROMPTS]
    longest = max(map(len, rows))
    padded = torch.tensor([row + [256] * (longest - len(row)) for row in rows])
    official = reference(input_ids=padded).last_hidden_state
    states = encoder.encode(PROMPTS)
    assert states.caption_mask.sum(1).tolist() == [len(row) for row in rows]
    assert (states.caption - official)[states.caption_mask].abs().max() < 1e-5


def test_batch_equals_singles(encoder: TextEncoder) -> None:
    batch = encoder.encode(PROMPTS)
    assert batch.caption.shape[:2] == batch.caption_mask.shape and batch.lyrics.shape[:2] == batch.lyrics_mask.shape
    assert batch.caption_mask.dtype == batch.lyrics_mask.dtype == torch.bool
    assert batch.caption_mask.any(0).all() and batch.lyrics_mask.any(0).all()  # no longer than the longest
    for row, prompt in enumerate(PROMPTS):
        single = encoder.encode([prompt])
        assert single.caption_mask.all() and single.lyrics_mask.all()
        assert torch.equal(batch.caption[row][batch.caption_mask[row]], single.caption[0])
        assert torch.equal(batch.lyrics[row][batch.lyrics_mask[row]], single.lyrics[0])
    assert not batch.caption[~batch.caption_mask].any() and not batch.lyrics[~batch.lyrics_mask].any()


def test_states_depend_on_order_and_position(encoder: TextEncoder) -> None:
    one, other = (encoder.encode([prompt_of(caption)]).caption for caption in ("ab", "ba"))
    assert (one - other)[0, -1].abs().max() > 1e-2


@torch.no_grad()
def test_a_cast_does_not_round_positions(folder: Path, reference: Any) -> None:
    """bf16 angles would be off by whole turns at the end of a prompt."""
    encoder = load(*layouts(folder)["official"], folder)
    encoder.model.to(torch.bfloat16)
    assert encoder.dtype == encoder.encode(PROMPTS[:1]).caption.dtype == torch.bfloat16
    encoder.model.to(torch.float32)
    rounded = {key: value.bfloat16().float() for key, value in encoder.model.state_dict().items()}
    original = {key: value.clone() for key, value in reference.state_dict().items()}
    reference.load_state_dict(rounded)
    ids = torch.tensor([encoder.caption_tokens(PROMPTS[3])[0]])
    expected = reference(input_ids=ids).last_hidden_state
    reference.load_state_dict(original)
    assert torch.equal(encoder.encode([PROMPTS[3]]).caption, expected)


def test_nothing_stays_on_the_meta_device(folder: Path) -> None:
    tensors, config = layouts(folder)["official"]
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    model = text.build_text_model(text.qwen3_config(shapes, config))
    assert all(parameter.is_meta for parameter in model.parameters())
    model.load_state_dict(tensors, strict=True, assign=True)
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())


def test_encoder_tells_device_and_dtype(encoder: TextEncoder) -> None:
    assert encoder.device == torch.device("cpu") and encoder.dtype == torch.float32


def test_no_prompts(encoder: TextEncoder) -> None:
    with pytest.raises(ValueError, match="at least one"):
        encoder.encode([])


def test_importing_is_light() -> None:
    code = "import sys, acestep_xl.model.text; sys.exit(bool({'transformers', 'tokenizers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- configuration and keys


def test_inferred_config_equals_the_file(folder: Path) -> None:
    ours, written = (text.qwen3_config(*shapes_of(layouts(folder)[name])) for name in ("comfyui", "official"))
    names = (
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim"
    )
    for name in [*names.split(), "rms_norm_eps"]:
        assert getattr(ours, name) == getattr(written, name), name


def shapes_of(
    layout: tuple[dict[str, Tensor], dict[str, Any] | None],
) -> tuple[dict[str, tuple[int, ...]], dict[str, Any] | None]:
    return {key: tuple(value.shape) for key, value in layout[0].items()}, layout[1]


def test_official_size() -> None:
    """Qwen3-Embedding-0.6B: 595,776,512 parameters, 1,191,588,248 bytes in bf16 with the file's header."""
    shapes = {
        "model.embed_tokens.weight": (151669, 1024),
        "model.layers.0.self_attn.q_norm.weight": (128,),
        "model.layers.0.self_attn.q_proj.weight": (2048, 1024),
        "model.layers.0.self_attn.k_proj.weight": (1024, 1024),
        "model.layers.0.mlp.gate_proj.weight": (3072, 1024),
    } | {f"model.layers.{layer}.input_layernorm.weight": (1024,) for layer in range(28)}
    model = text.build_text_model(text.qwen3_config(shapes, None))
    assert sum(parameter.numel() for parameter in model.parameters()) == 595_776_512
    assert len(model.state_dict()) == 310


def test_unknown_keys_are_left_for_the_strict_load() -> None:
    state = text.text_state({"model.norm.weight": 1, "lm_head.weight": 2, "visual.x": 3})
    assert state == {"norm.weight": 1, "visual.x": 3}


def test_doubled_keys_are_refused() -> None:
    with pytest.raises(ValueError, match=r"norm\.weight twice"):
        text.text_state({"model.norm.weight": 1, "norm.weight": 2})


@pytest.mark.parametrize(
    ("shapes", "config", "said"),
    [
        ({"embed_tokens.weight": (217204, 1024)}, None, "5 Hz language model"),
        ({"decoder.x": (3, 4)}, None, r"needs embed_tokens\.weight.*decoder\.x \(3, 4\)"),
        ({"model.embed_tokens.weight": (300, 32)}, None, r"needs layers\.0\.self_attn\.q_norm\.weight"),
        ({"embed_tokens.weight": (300, 32)}, {"model_type": "bert"}, "'bert'.*'qwen3'"),
    ],
)
def test_other_models_are_refused(shapes: dict[str, tuple[int, ...]], config: dict[str, Any] | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        text.qwen3_config(shapes, config)


def test_scaled_positions_are_refused() -> None:
    config = {"model_type": "qwen3", "rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "rope_theta": 1e6}
    with pytest.raises(ValueError, match="yarn"):
        text.build_text_model(text.qwen3_config({"embed_tokens.weight": (300, 32)}, config))


# --- tokens


def official_ids(tokenizer: Any, string: str, limit: int) -> list[int]:
    """What transformers makes of a string with the published post-processor and official truncation."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    copy = Tokenizer.from_str(tokenizer.to_str())
    end = copy.token_to_id("<|endoftext|>")
    post = TemplateProcessing(single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", end)])
    copy.post_processor = post  # pyright: ignore[reportAttributeAccessIssue] -- the stubs know only the getter
    return PreTrainedTokenizerFast(tokenizer_object=copy)(string, truncation=True, max_length=limit)["input_ids"]


@pytest.mark.parametrize("prompt", PROMPTS, ids=["plain", "short", "empty", "long"])
def test_tokens_equal_transformers(encoder: TextEncoder, prompt: Prompt) -> None:
    assert encoder.caption_tokens(prompt)[0] == official_ids(encoder.tokenizer, prompt.caption_text, 256)
    assert encoder.lyric_tokens(prompt)[0] == official_ids(encoder.tokenizer, prompt.lyric_text, 2048)


def test_saved_post_processor_and_limits_are_not_applied(folder: Path, tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = tokens.demo_tokenizer()
    post = TemplateProcessing(single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 256)])
    tokenizer.post_processor = post  # pyright: ignore[reportAttributeAccessIssue] -- the stubs know only the getter
    tokenizer.enable_truncation(9)
    tokenizer.enable_padding(length=999)
    tokens.save_tokenizer(tokenizer, tmp_path)
    ids, _ = load(*layouts(folder)["official"], tmp_path).lyric_tokens(PROMPTS[0])
    assert ids[-3:] == [ids[-3], 256, 256] and ids[-3] != 256
    assert len(ids) == len(PROMPTS[0].lyric_text) - len("<|endoftext|>") + 2


@pytest.mark.parametrize("length", range(83, 87))
def test_warning_begins_where_tokens_are_cut(encoder: TextEncoder, length: int) -> None:
    """The demo tokenizer reads a byte a token, so that the limit of 256 is met exactly by a caption of 84 letters."""
    prompt = prompt_of("x" * length)
    ids, warning = encoder.caption_tokens(prompt)
    full = len(prompt.caption_text) - len("<|endoftext|>") + 2
    assert full == 172 + length
    assert len(ids) == min(full, 256) and ids[-1] == 256
    assert bool(warning) == (full > 256)


def test_caption_warning(encoder: TextEncoder) -> None:
    states = encoder.encode([prompt_of("x" * 68 + " slow harp and falling rain over water")])
    assert states.caption.shape[1] == 256
    (warning,) = states.warnings
    assert "278 tokens, 256 is the limit; no longer read by the model: duration; " in warning
    assert warning.endswith("shorten the caption by about 4 words (22 characters)")


def test_lyric_warning_counts_characters_not_bytes(encoder: TextEncoder) -> None:
    head = "# Languages\nen\n\n# Lyric\n"
    lyrics = "é" * 1000 + " " * (2047 - len(head) - 2000) + "日本 lost words here"
    (warning,) = encoder.encode([prompt_of("", lyrics)]).warnings
    assert "the lyrics from '日本 lost words here' on; shorten the lyrics by about 4 words" in warning


def test_twenty_thousand_characters_of_lyrics(encoder: TextEncoder) -> None:
    assert len(LONG_SONG) > 20_000
    states = encoder.encode([prompt_of("a", LONG_SONG), prompt_of("a")])
    assert states.lyrics.shape[1] == 2048 and states.lyrics_mask.sum(1)[0] == 2048
    (warning,) = states.warnings
    assert warning.startswith("prompt 1: lyrics: ") and "2048 is the limit" in warning


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_demo_tokenizer_reads_anything(string: str) -> None:
    ids = tokens.demo_tokenizer().encode(string, add_special_tokens=False).ids
    assert all(number < 256 for number in ids) or "<" in string
    decoded = tokens.demo_tokenizer().decode(ids, skip_special_tokens=False)
    assert decoded == unicodedata.normalize("NFC", string)


def test_demo_tokenizer_is_always_the_same() -> None:
    tokenizer = tokens.demo_tokenizer()
    assert tokenizer.get_vocab_size() == 282
    assert tokenizer.encode("!~<|endoftext|>\n</think>", add_special_tokens=False).ids == [0, 93, 256, 198, 281]
    assert tokenizer.to_str() == tokens.demo_tokenizer().to_str()


def test_tokenizer_of_another_model(encoder: TextEncoder) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    with pytest.raises(ValueError, match=r"no <\|endoftext\|>"):
        TextEncoder(encoder.model, Tokenizer(BPE()))
    larger = tokens.demo_tokenizer()
    larger.add_tokens([f"<{number}>" for number in range(50)])
    with pytest.raises(ValueError, match="332 tokens and the text encoder embeds 300"):
        TextEncoder(encoder.model, larger)


# --- tokenizer files


def write_parts(folder: Path) -> None:
    """The demo vocabulary with one merge, as vocab.json and merges.txt."""
    vocabulary = json.loads(tokens.demo_tokenizer().to_str())["model"]["vocab"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary | {"la": 256}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\nl a\n", encoding="utf-8")


def test_save_and_load(tmp_path: Path) -> None:
    tokens.save_tokenizer(tokens.demo_tokenizer(), tmp_path / "a" / "b")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["tokenizer.json"]
    loaded = tokens.load_tokenizer(tmp_path / "a" / "b")
    assert loaded.encode(LONG_SONG).ids == tokens.demo_tokenizer().encode(LONG_SONG).ids


def test_vocabulary_and_merges(tmp_path: Path) -> None:
    write_parts(tmp_path)
    tokenizer = tokens.load_tokenizer(tmp_path)
    assert tokenizer.encode("la<|endoftext|>l<|im_end|>", add_special_tokens=False).ids == [256, 257, 75, 259]


def test_tokenizer_json_comes_first(tmp_path: Path) -> None:
    write_parts(tmp_path)
    tokens.save_tokenizer(tokens.demo_tokenizer(), tmp_path)
    assert tokens.load_tokenizer(tmp_path).get_vocab_size() == 282


def test_damaged_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(tokens.demo_tokenizer().to_str()[:500])
    with pytest.raises(ValueError, match=r"cannot read tokenizer\.json in .*fetch it again"):
        tokens.load_tokenizer(tmp_path)


def test_empty_folder_has_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json nor vocab\.json and merges\.txt"):
        tokens.load_tokenizer(tmp_path)


PLACES = ["t.e/x", "t.e/tokenizer", "t.e/Qwen3-Embedding-0.6B", "t.e", "tokenizer", "Qwen3-Embedding-0.6B", "."]


@pytest.mark.parametrize("start", range(len(PLACES)))
def test_find_tokenizer_in_order_of_nearness(tmp_path: Path, start: int) -> None:
    file = tmp_path / "t.e" / "x.safetensors"
    file.parent.mkdir()
    file.touch()
    bundle = tmp_path / "bundle"
    write_parts(bundle)
    for place in PLACES[start:]:
        write_parts(tmp_path / place)
    assert tokens.find_tokenizer(file, [bundle]) == tmp_path / PLACES[start]


@pytest.mark.parametrize("place", ["model/tokenizer", "model/Qwen3-Embedding-0.6B", "model", "tokenizer"])
def test_find_tokenizer_near_a_folder(tmp_path: Path, place: str) -> None:
    (tmp_path / "model").mkdir()
    write_parts(tmp_path / place)
    assert tokens.find_tokenizer(tmp_path / "model", []) == tmp_path / place


def test_find_tokenizer_in_a_bundle(tmp_path: Path) -> None:
    write_parts(tmp_path / "two")
    (tmp_path / "models").mkdir()
    near = tmp_path / "models" / "text_encoders" / "x.safetensors"
    assert tokens.find_tokenizer(near, [tmp_path / "one", tmp_path / "two"]) == tmp_path / "two"


def test_no_tokenizer_says_what_to_fetch_and_where_it_looked(tmp_path: Path) -> None:
    near = tmp_path / "text_encoders" / "qwen_0.6b_ace15.safetensors"
    with pytest.raises(FileNotFoundError) as error:
        tokens.find_tokenizer(near, [tmp_path / "bundle"])
    said = str(error.value)
    assert "tokenizer.json of Qwen/Qwen3-Embedding-0.6B" in said and "acestep-xl download" in said
    for place in ("text_encoders/qwen_0.6b_ace15", "text_encoders/tokenizer", "text_encoders", "tokenizer", "bundle"):
        assert f"  {tmp_path / place}\n" in said + "\n"


# --- the real vocabulary, out of a ComfyUI checkout

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

    ours, theirs = tokens.load_tokenizer(bundle), AutoTokenizer.from_pretrained(bundle, local_files_only=True)
    assert type(theirs).__name__ in ("Qwen2Tokenizer", "Qwen2TokenizerFast")  # transformers 5, transformers 4
    assert ours.token_to_id("<|endoftext|>") == 151643 and ours.get_vocab_size() == 151669
    for sample in SAMPLES:
        assert ours.encode(sample, add_special_tokens=False).ids == theirs(sample)["input_ids"]
    declared = json.loads((bundle / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    assert {number: token["content"] for number, token in declared.items()} == {
        str(ours.token_to_id(token)): token for token in tokens.SPECIAL_TOKENS
    }


def test_bundle_saved_as_one_file(bundle: Path, tmp_path: Path) -> None:
    ours = tokens.load_tokenizer(bundle)
    tokens.save_tokenizer(ours, tmp_path)
    again = tokens.load_tokenizer(tmp_path)
    assert all(again.encode(sample).ids == ours.encode(sample).ids for sample in SAMPLES)


COMFY_TOKENS = """
import json, sys
sys.path.insert(0, sys.argv.pop(1))
asked = json.loads(sys.argv.pop(1))
sys.argv.append("--cpu")
import comfy.options
comfy.options.enable_args_parsing()
from comfy.text_encoders.ace15 import ACE15Tokenizer
tokens = ACE15Tokenizer().tokenize_with_weights(**asked)
print(json.dumps([[token[0] for token in tokens[name][0]] for name in ("qwen3_06b", "lyrics")]))
"""


def test_prompt_equals_comfyui(comfyui: Path, bundle: Path) -> None:
    """ComfyUI always uses the cover instruction and writes the end mark twice itself."""
    lyrics = "[Verse]\nNeon rain\n\nünder 東京\n"
    asked = {"text": "warm lo-fi, soft piano", "lyrics": lyrics, "language": "de", "generate_audio_codes": False}
    asked |= {"bpm": 97, "timesignature": "3", "keyscale": "Eb minor", "duration": 95.0}
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    command = [python, "-c", COMFY_TOKENS, str(comfyui), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip("ComfyUI's own packages are not installed; COMFYUI_PYTHON names an interpreter that has them")
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout.splitlines()[-1])

    metadata = Metadata(bpm=97, time_signature="3", key_scale="Eb minor", duration=95.0)
    prompt = Prompt("warm lo-fi, soft piano", lyrics, "de", metadata, instruction("cover"))
    tokenizer = tokens.load_tokenizer(bundle)
    ours = [[*tokenizer.encode(string).ids, 151643] for string in (prompt.caption_text, prompt.lyric_text)]
    assert ours == theirs
