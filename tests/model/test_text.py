"""The text encoder against transformers itself: its states, its tokens, and its warnings about what is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_qwen3 import LONG_SONG, PROMPTS, layouts, load, prompt_of

from acestep_xl.model.prompt import Prompt
from acestep_xl.model.text import TextEncoder
from acestep_xl.model.tokenizer import demo_tokenizer, save_tokenizer


@pytest.fixture(scope="module")
def reference(qwen3_folder: Path) -> Any:
    from transformers import Qwen3Model

    return Qwen3Model.from_pretrained(qwen3_folder).float().eval()


@pytest.fixture(scope="module")
def encoder(qwen3_folder: Path) -> TextEncoder:
    return load(layouts(qwen3_folder)["comfyui"], qwen3_folder)


# --- states


@pytest.mark.parametrize("layout", ["official", "comfyui", "causal lm", "all in one"])
@torch.no_grad()
def test_states_equal_transformers(qwen3_folder: Path, reference: Any, layout: str) -> None:
    encoder = load(layouts(qwen3_folder)[layout], qwen3_folder)
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
def test_a_cast_does_not_round_positions(qwen3_folder: Path, reference: Any) -> None:
    """bf16 angles would be off by whole turns at the end of a prompt."""
    encoder = load(layouts(qwen3_folder)["official"], qwen3_folder)
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


def test_device_and_dtype(encoder: TextEncoder) -> None:
    assert encoder.device == torch.device("cpu") and encoder.dtype == torch.float32


def test_no_prompts(encoder: TextEncoder) -> None:
    with pytest.raises(ValueError, match="at least one"):
        encoder.encode([])


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


def test_saved_post_processor_and_limits_are_not_applied(qwen3_folder: Path, tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = demo_tokenizer()
    post = TemplateProcessing(single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 256)])
    tokenizer.post_processor = post  # pyright: ignore[reportAttributeAccessIssue] -- the stubs know only the getter
    tokenizer.enable_truncation(9)
    tokenizer.enable_padding(length=999)
    save_tokenizer(tokenizer, tmp_path)
    ids, _ = load(layouts(qwen3_folder)["official"], tmp_path).lyric_tokens(PROMPTS[0])
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
    assert "278 tokens exceed the limit of 256; no longer read by the model: duration; " in warning
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
    assert warning.startswith("prompt 1: lyrics: ") and "limit of 2048" in warning


def test_tokenizer_of_another_model(encoder: TextEncoder) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    with pytest.raises(ValueError, match=r"no <\|endoftext\|>"):
        TextEncoder(encoder.model, Tokenizer(BPE()))
    larger = demo_tokenizer()
    larger.add_tokens([f"<{number}>" for number in range(50)])
    with pytest.raises(ValueError, match="332 tokens and the text encoder embeds 300"):
        TextEncoder(encoder.model, larger)
