"""GGUF's block formats give the numbers that the package gguf gives, bit for bit, whatever the bytes are."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acestep_xl.model.formats import packed
from acestep_xl.model.formats.ggml_codecs import BLOCK_FORMATS, codec_of
from acestep_xl.model.formats.gguf_file import PLAIN
from acestep_xl.model.formats.packed import Packed, unpacking_bytes


def packed_bytes(name: str, rows: int, blocks: int, seed: int) -> Packed:
    block_format = BLOCK_FORMATS[name]
    draw = torch.Generator().manual_seed(seed)
    data = torch.randint(0, 256, (rows, blocks * block_format.bytes), dtype=torch.uint8, generator=draw)
    return Packed(codec_of(name), data, block_format.tables(name), (rows, blocks * block_format.numbers))


def by_gguf(name: str, data: Tensor) -> Tensor:
    with np.errstate(all="ignore"):
        values = gguf.quants.dequantize(data.numpy(), gguf.GGMLQuantizationType[name])
    return torch.from_numpy(np.array(values))


def same_bits(a: Tensor, b: Tensor) -> bool:
    return bool(((a == b) | (a.isnan() & b.isnan())).all())


def test_every_format_that_gguf_unpacks_is_known() -> None:
    for kind, (numbers, size) in gguf.GGML_QUANT_SIZES.items():
        data = np.zeros((1, size), dtype=np.uint8)
        try:
            gguf.quants.dequantize(data, kind)
        except NotImplementedError:
            continue
        if kind.name not in PLAIN:
            assert BLOCK_FORMATS[kind.name][:2] == (size, numbers)
        assert kind.name in PLAIN or kind.name in BLOCK_FORMATS


@pytest.mark.parametrize("name", BLOCK_FORMATS)
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 10**6))
def test_any_bytes_give_the_same_bits(name: str, rows: int, blocks: int, seed: int) -> None:
    stored = packed_bytes(name, rows, blocks, seed)
    ours = stored.unpack()
    assert ours.dtype == torch.float32 and ours.shape == stored.shape
    assert same_bits(ours, by_gguf(name, stored.weight))


@pytest.mark.parametrize("name", ["Q8_0", "Q6_K", "IQ2_XS", "NVFP4"])
def test_few_rows_at_a_time_give_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = packed_bytes(name, 7, 3, 1)
    whole = stored.unpack(torch.bfloat16)
    monkeypatch.setattr(packed, "CPU_SLAB", 2 * stored.shape[1])
    assert same_bits(stored.unpack(torch.bfloat16), whole)
    assert whole.dtype == torch.bfloat16 and same_bits(whole, stored.unpack().bfloat16())


@pytest.mark.parametrize("name", BLOCK_FORMATS)
def test_sizes_are_known_without_the_bytes(name: str) -> None:
    stored = packed_bytes(name, 4, 2, 0).to(torch.device("meta"))
    assert stored.unpack(torch.float16).shape == stored.shape and stored.weight.is_meta
    assert unpacking_bytes(stored.shape, torch.float16) >= 2 * stored.shape[0] * stored.shape[1]


def test_an_unknown_format_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="GGUF format Q8_K can't be unpacked; known: Q4_0, "):
        codec_of("Q8_K")
