"""The demo's text encoder: a small tokenizer trained on captions, and a Qwen3 of two layers.

Each line of the prompt's template is one token (for every tempo, key, metre and duration), so a prompt has about thirty
tokens. Everything else is byte-level BPE, which reads any text. The weights are trained together with the transformer;
the embeddings of numbers start as sinusoids of their value, so that neighbouring numbers start alike.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import nn

from acestep_xl import parameters
from acestep_xl.model.prompt import END, INSTRUCTIONS
from acestep_xl.model.qwen3 import build_text_model, qwen3_config
from acestep_xl.model.tokenizer import SPECIAL_TOKENS

from . import captions, composer

TEXT_DIM = 64
CONFIG = {
    "model_type": "qwen3",
    "hidden_size": TEXT_DIM,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
}
WORDS = 420  # tokens of plain text in addition to the 256 bytes
_SPLIT = r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+"


def template_lines() -> list[str]:
    """Lines of the template that are one token each."""
    lines = ["# Instruction\n", "\n\n# Caption\n", "\n\n# Metas\n", "# Languages\n", "\n\n# Lyric\n"]
    lines += list(dict.fromkeys(f"{entry.plain}" for entry in INSTRUCTIONS.values()))
    lines += [f"- bpm: {bpm}\n" for bpm in ("N/A", *range(30, 301))]
    lines += [f"- timesignature: {beats}\n" for beats in ("N/A", "2", "3", "4", "6")]
    lines += [f"- keyscale: {key}\n" for key in ("N/A", *parameters.KEY_SCALES)]
    lines += [f"- duration: {seconds} seconds\n" for seconds in range(1, 601)]
    return lines


def make_tokenizer(seed: int = 5, samples: int = 4000) -> Tokenizer:
    """Train a byte-level BPE on captions and lyrics, and add Qwen's special tokens and the template's lines."""
    rng = np.random.default_rng(seed)
    text = []
    for number in range(samples):
        plan = composer.draw_plan(seed * 7919 + number, 10)
        text += [captions.caption(plan, rng), captions.lyrics(plan)]
    text += [" ".join(parameters.LANGUAGES)] * 20
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=256 + WORDS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(text, trainer)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.add_tokens([AddedToken(line, normalized=False) for line in template_lines()])
    return tokenizer


def make_model(tokenizer: Tokenizer) -> nn.Module:
    """The encoder with initial weights from torch's generator."""
    rows = tokenizer.get_vocab_size()
    model = build_text_model(
        qwen3_config({"embed_tokens.weight": (rows, TEXT_DIM)}, {**CONFIG, "vocab_size": rows})
    ).to_empty(device="cpu")
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim == 1:
                value.fill_(1)
            elif name == "embed_tokens.weight":
                value.normal_()
            else:
                value.normal_(std=0.5 * value.shape[1] ** -0.5)
        _set_number_embeddings(model.get_parameter("embed_tokens.weight"), tokenizer)
    return model.requires_grad_(True)


def _set_number_embeddings(table: nn.Parameter, tokenizer: Tokenizer) -> None:
    name_size = 8  # dimensions that identify the field
    for head, tail, values in (("- bpm: ", "\n", range(30, 301)), ("- duration: ", " seconds\n", range(1, 601))):
        name = torch.randn(name_size)
        for value in values:
            position = math.log2(value / 30) / math.log2(10)
            waves = [
                f(math.pi * k * position)
                for k in range(1, (TEXT_DIM - name_size) // 2 + 1)
                for f in (math.sin, math.cos)
            ]
            token = tokenizer.token_to_id(f"{head}{value}{tail}")
            table[token] = torch.cat([name, 1.4 * torch.tensor(waves)])


def token_rows(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids as `TextEncoder` gives them, with another end mark at the end."""
    end = tokenizer.token_to_id(END)
    assert end is not None
    return [*tokenizer.encode(text, add_special_tokens=False).ids, end]
