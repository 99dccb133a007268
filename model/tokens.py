"""The text encoder's tokenizer: found, loaded and, for the demo network, made."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .prompt import END

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

# Qwen3's added tokens in the order of their ids, which follow the vocabulary's without a gap.
SPECIAL_TOKENS = (
    f"{END} <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|> <|quad_start|> "
    "<|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|> <tool_call> </tool_call> "
    "<|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> <tool_response> "
    "</tool_response> <think> </think>"
).split()
# Where Qwen's byte-pair encoding may not merge across: a fact of the vocabulary, not a choice.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_WHOLE = "tokenizer.json"
_PARTS = ("vocab.json", "merges.txt")


def find_tokenizer(near: Path, bundles: Sequence[Path]) -> Path:
    """The folder to give to load_tokenizer() for a checkpoint.

    Args:
        near: the text encoder's file or folder. Searched are a folder named like the file, then the folder itself and
            its parent, each with the folders tokenizer and Qwen3-Embedding-0.6B inside.
        bundles: further folders, tried last.

    Raises:
        FileNotFoundError: nothing there; says which file to fetch and every place searched.
    """
    home = near if near.is_dir() else near.parent
    places = [] if near.is_dir() else [near.with_suffix("")]
    for folder in (home, home.parent):
        places += [folder / "tokenizer", folder / "Qwen3-Embedding-0.6B", folder]
    places += bundles
    for place in places:
        if _files(place):
            return place
    searched = "\n".join(f"  {place}" for place in places)
    raise FileNotFoundError(
        f"no tokenizer for {near}: run `acestep-xl download xl-sft`, or put {_WHOLE} of Qwen/Qwen3-Embedding-0.6B into "
        f"one of the folders searched:\n{searched}"
    )


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load tokenizer.json, or vocab.json and merges.txt, out of a folder. Never reaches for the network.

    Raises:
        FileNotFoundError: neither is there.
        ValueError: a file is damaged.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    files = _files(folder)
    if not files:
        raise FileNotFoundError(f"{folder} holds neither {_WHOLE} nor {' and '.join(_PARTS)}")
    try:
        if len(files) == 1:
            tokenizer = Tokenizer.from_file(str(files[0]))
        else:
            tokenizer = _byte_pair_tokenizer(BPE.from_file(str(files[0]), str(files[1])))
    except Exception as error:  # tokenizers raises nothing narrower
        names = " and ".join(path.name for path in files)
        raise ValueError(f"cannot read {names} in {folder}: {error}; the file is damaged, fetch it again") from error
    tokenizer.no_truncation()  # a saved limit would cut where nobody is told
    tokenizer.no_padding()
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json into a folder, which is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{_WHOLE}.{os.getpid()}.part"
    try:
        unfinished.write_text(tokenizer.to_str(), encoding="utf-8")
        unfinished.replace(folder / _WHOLE)
    finally:
        unfinished.unlink(missing_ok=True)


def demo_tokenizer() -> Tokenizer:
    """A tokenizer for any text whatever, with one token per byte: ids 0..255, then the special tokens."""
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())  # it comes in no fixed order
    return _byte_pair_tokenizer(BPE({letter: number for number, letter in enumerate(alphabet)}, []))


def _files(folder: Path) -> list[Path]:
    """The files to load from a folder; empty when it holds no tokenizer."""
    for names in ((_WHOLE,), _PARTS):
        if all((folder / name).is_file() for name in names):
            return [folder / name for name in names]
    return []


def _byte_pair_tokenizer(pairs: BPE) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers

    tokenizer = Tokenizer(pairs)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer
