"""The text encoder's tokenizer: finding, loading and saving it, and the demo network's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .formats.file_kinds import identify, mismatch
from .formats.gguf_file import TOKEN_KEYS, open_gguf
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
# The boundaries that Qwen's byte-pair merges do not cross; part of the vocabulary, not a choice.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SINGLE_FILE = "tokenizer.json"
_VOCABULARY_FILES = ("vocab.json", "merges.txt")


def find_tokenizer(near: Path, bundles: Sequence[Path]) -> Path:
    """The folder or file to give to load_tokenizer() for a checkpoint.

    Args:
        near: the text encoder's file or folder. A GGUF file may hold the tokenizer itself; otherwise the search covers
            a folder named like the file, then the folder itself and its parent, each after its subfolders tokenizer
            and Qwen3-Embedding-0.6B.
        bundles: more folders, searched last.

    Raises:
        FileNotFoundError: none of them has a tokenizer; names the file to fetch and every folder searched.
    """
    if _is_gguf(near) and all(key in open_gguf(near).metadata for key in TOKEN_KEYS):
        return near
    folder = near if near.is_dir() else near.parent
    candidates = [] if near.is_dir() else [near.with_suffix("")]
    for parent in (folder, folder.parent):
        candidates += [parent / "tokenizer", parent / "Qwen3-Embedding-0.6B", parent]
    candidates += bundles
    for candidate in candidates:
        if _files(candidate):
            return candidate
    searched = "\n".join(f"  {candidate}" for candidate in candidates)
    raise FileNotFoundError(
        f"no tokenizer for {near}: run `acestep-xl download xl-sft`, or put the {_SINGLE_FILE} of "
        f"Qwen/Qwen3-Embedding-0.6B into one of the folders searched:\n{searched}"
    )


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load tokenizer.json, or vocab.json and merges.txt, out of a folder, or out of a GGUF file.

    Never reaches for the network.

    Raises:
        FileNotFoundError: the folder holds neither.
        ValueError: a file is damaged.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    if _is_gguf(folder):
        return _gguf_tokenizer(folder)
    files = _files(folder)
    if not files:
        raise FileNotFoundError(f"{folder} holds neither {_SINGLE_FILE} nor {' and '.join(_VOCABULARY_FILES)}")
    try:
        if len(files) == 1:
            tokenizer = Tokenizer.from_file(str(files[0]))
        else:
            tokenizer = _byte_pair_tokenizer(BPE.from_file(str(files[0]), str(files[1])))
    except Exception as error:  # tokenizers raises nothing narrower
        names = " and ".join(path.name for path in files)
        for path in files:
            if identify(path) not in ("json", "text", "unknown"):
                raise ValueError(mismatch(path, "part of a tokenizer")) from error
        raise ValueError(f"cannot read {names} in {folder}: {error}; the file is damaged, fetch it again") from error
    tokenizer.no_truncation()  # a saved limit would cut without a warning
    tokenizer.no_padding()
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json into a folder, creating the folder if necessary."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{_SINGLE_FILE}.{os.getpid()}.part"
    try:
        part.write_text(tokenizer.to_str(), encoding="utf-8")
        part.replace(folder / _SINGLE_FILE)
    finally:
        part.unlink(missing_ok=True)


def demo_tokenizer() -> Tokenizer:
    """A tokenizer for any text, with one token per byte: ids 0..255, then the special tokens."""
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())  # its order varies
    return _byte_pair_tokenizer(BPE({letter: index for index, letter in enumerate(alphabet)}, []))


def _files(folder: Path) -> list[Path]:
    """The files to load from a folder; empty if it holds no tokenizer."""
    for names in ((_SINGLE_FILE,), _VOCABULARY_FILES):
        if all((folder / name).is_file() for name in names):
            return [folder / name for name in names]
    return []


def _is_gguf(path: Path) -> bool:
    return path.is_file() and identify(path) == "gguf"


def _gguf_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a GGUF file: what follows the vocabulary, special tokens and padding, is known."""
    from tokenizers.models import BPE

    tokens, merges = (open_gguf(path).metadata[key] for key in TOKEN_KEYS)
    if END in tokens:
        tokens = tokens[: tokens.index(END)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    pairs = [(first, second) for first, _, second in (merge.partition(" ") for merge in merges)]
    try:
        return _byte_pair_tokenizer(BPE(vocabulary, pairs))
    except Exception as error:  # tokenizers raises nothing narrower
        raise ValueError(
            f"cannot read the tokenizer in {path}: {error}; the file is damaged, fetch it again"
        ) from error


def _byte_pair_tokenizer(model: BPE) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers

    tokenizer = Tokenizer(model)
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
