"""ComfyUI's rules of prompts, conditions and parts of a run, on values that can be worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from acestep_xl.model import random_network
from acestep_xl.model.network import FILLER_CODE
from acestep_xl.model.prompt import END, Metadata
from acestep_xl.model.silence import lengthen, published_silence
from acestep_xl.pipeline.native import text
from acestep_xl.pipeline.native.conditions import CODED_FRAMES, network_inputs
from acestep_xl.pipeline.native.sampling import part_of

CPU = torch.device("cpu")
LEVELS = torch.tensor([1.0, 0.8, 0.6, 0.4, 0.2, 0.0])


@pytest.mark.parametrize(
    ("first", "end", "finishes", "expected"),
    [
        (0, 10000, True, [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]),
        (2, 10000, True, [0.6, 0.4, 0.2, 0.0]),
        (0, 3, False, [1.0, 0.8, 0.6, 0.4]),
        (0, 3, True, [1.0, 0.8, 0.6, 0.0]),
        (1, 3, False, [0.8, 0.6, 0.4]),
        (3, 3, True, []),
        (5, 10000, True, []),
    ],
)
def test_the_steps_of_a_part_of_a_run(first: int, end: int, finishes: bool, expected: list[float]) -> None:
    assert part_of(LEVELS, first, end, finishes).tolist() == torch.tensor(expected).tolist()
    assert LEVELS[3] == torch.tensor(0.4), "the levels of others stay"


def test_the_texts_round_the_length_up_and_end_twice() -> None:
    caption, lyrics = text.native_texts("  slow waltz \n", "la", "en", Metadata(20, "3", "A minor", 6.3))
    assert "# Caption\nslow waltz\n" in caption and "- bpm: 20\n" in caption and "- duration: 7 seconds" in caption
    assert caption.endswith(f"{END}\n{END}") and lyrics.endswith(f"la{END}{END}")


def conditioning(**extra: Any) -> list[list[Any]]:
    generator = torch.Generator().manual_seed(0)
    states, lyrics = (torch.randn(1, n, 8, generator=generator) for n in (5, 3))
    return [[states, {"conditioning_lyrics": lyrics, **extra}]]


def inputs(frames: int = 20, songs: int = 1, **extra: Any) -> dict[str, Any]:
    return network_inputs(conditioning(**extra), "positive", songs, frames, CPU)


def silence(frames: int) -> Tensor:
    return lengthen(published_silence(), frames).T[None]


def test_without_reference_silence_is_the_source_and_the_timbre() -> None:
    read = inputs(songs=2)
    assert torch.equal(read["refer_audio"], silence(20).expand(2, -1, -1))
    assert read["is_covers"] is False and "audio_codes" not in read and read["context"].shape == (2, 5, 8)
    assert not read["replace_with_null_embeds"]
    assert network_inputs(text.zeroed(conditioning()), "negative", 1, 20, CPU)["replace_with_null_embeds"]


def test_the_last_reference_is_cut_or_filled_with_silence() -> None:
    first, last = torch.ones(1, 64, 12), torch.full((1, 64, 30), 2.0)
    added = text.with_reference(text.with_reference(conditioning(), {"samples": first}), {"samples": last})
    read = network_inputs(added, "positive", 1, 20, CPU)
    assert torch.equal(read["refer_audio"], last[:, :, :20]) and read["is_covers"] is True
    read = network_inputs(text.with_reference(conditioning(), {"samples": first}), "positive", 1, 20, CPU)
    assert torch.equal(read["refer_audio"], torch.cat([first, silence(20)[:, :, 12:]], 2))


def test_audio_codes_are_the_source_beside_a_short_reference() -> None:
    read = inputs(frames=CODED_FRAMES + 50, audio_codes=[[1, 2, 3]])
    assert read["audio_codes"].tolist() == [[1, 2, 3]] and read["is_covers"] is None
    assert read["refer_audio"].shape[2] == CODED_FRAMES + 50


def test_a_batch_of_another_size_is_refused() -> None:
    entries = [[torch.ones(2, 5, 8), {"conditioning_lyrics": torch.ones(2, 3, 8)}]]
    with pytest.raises(ValueError, match="negative holds 2 prompts for 3 songs; give 1 or 3"):
        network_inputs(entries, "negative", 3, 20, CPU)


def test_missing_codes_are_filled_as_comfyui_fills_them() -> None:
    network, _, _ = random_network.load()
    generator = torch.Generator().manual_seed(3)
    config = network.config
    caption, lyrics = (torch.randn(1, n, config.text_dim, generator=generator) for n in (5, 3))
    x, reference = (torch.randn(1, 64, 23, generator=generator) for _ in range(2))
    arguments = x, torch.tensor([0.6]), caption, lyrics, reference
    filled = network(*arguments, audio_codes=torch.tensor([[7, 9, FILLER_CODE, FILLER_CODE, FILLER_CODE]]))
    assert torch.equal(network(*arguments, audio_codes=torch.tensor([[7, 9]])), filled)
    assert FILLER_CODE == 35847
    assert not torch.allclose(network(*arguments, audio_codes=torch.tensor([[7, 9, 0, 0, 0]])), filled, atol=1e-4)


def test_songs_of_one_batch_may_be_at_different_levels() -> None:
    network, _, _ = random_network.load()
    generator = torch.Generator().manual_seed(4)
    dim = network.config.text_dim
    caption, lyrics = (torch.randn(2, n, dim, generator=generator) for n in (5, 3))
    x, reference = (torch.randn(2, 64, 20, generator=generator) for _ in range(2))
    levels = torch.tensor([0.9, 0.3])
    both = network(x, levels, caption, lyrics, reference, is_covers=False)
    for item in range(2):
        one = slice(item, item + 1)
        alone = network(x[one], levels[one], caption[one], lyrics[one], reference[one], is_covers=False)
        torch.testing.assert_close(both[one], alone, rtol=1e-4, atol=1e-5)
