"""CONDITIONING: batches of prompts, what other nodes write, audio codes and timbre references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from guiders import make_guider
from measure import batch_tolerance

from acestep_xl import host as hosts
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.model import random_network
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.nodes.sampler import Sampler
from acestep_xl.pipeline import conditioning

LOUD = "loud distorted guitars, double bass drum, a choir of a hundred voices"
PROMPTS = [
    Prompt(caption, lyrics, language, Metadata(duration=6.0), instruction("text2music"))
    for caption, lyrics, language in (
        ("a", "[Instrumental]", "unknown"),
        (LOUD, "[Verse]\n" + "oh my darling\n" * 60, "en"),
        ("chill beats", "[Chorus]\nhey", "en"),
    )
]


@pytest.mark.parametrize("guidance", ["apg", "cfg", "adg"])
def test_a_batch_of_different_prompts_is_its_single_runs(guidance: str) -> None:
    """Whatever the lengths of captions and lyrics: padding is never attended to."""

    def sample(prompts: Sequence[Prompt], seed: int) -> torch.Tensor:
        guider = make_guider(prompts, guidance, scale=5.0)
        latent = {"samples": torch.zeros(len(prompts), 64, 150)}
        with hosts.use(HeadlessHost([], Path("unused"), device="cpu")):
            return Sampler().sample(guider, torch.linspace(1, 0, 7), latent, seed)[0]["samples"]

    batch = sample(PROMPTS, 11)
    for i, prompt in enumerate(PROMPTS):
        single = sample([prompt], 11 + i)
        torch.testing.assert_close(batch[i : i + 1], single, rtol=0, atol=batch_tolerance(single))
    assert (batch[0] - batch[1]).abs().max() > 0.1


def test_conditioning_of_other_nodes() -> None:
    network, encoder, _ = random_network.load()
    prompt = Prompt("a", "b", "en", Metadata(), instruction("cover"))
    encoded = conditioning.write(encoder.encode([prompt]), "cover", [prompt])
    with pytest.raises(ValueError, match="positive has 2 entries"):
        conditioning.read(encoded * 2, "positive")
    with pytest.raises(ValueError, match="positive has no lyrics"):
        conditioning.read([[encoded[0][0], {}]], "positive")
    wide = conditioning.read([[torch.zeros(1, 4, 1024), {"conditioning_lyrics": torch.zeros(1, 4, 1024)}]], "positive")
    with pytest.raises(ValueError, match="1024 channels, this network reads 32"):
        conditioning.encode(network, wide, torch.device("cpu"))

    coded = conditioning.read([[encoded[0][0], {**encoded[0][1], "audio_codes": [[5, 63999, 0]]}]], "positive")
    context = conditioning.source_context(network, coded, 20)
    expected = network.detokenizer(network.tokenizer.quantizer.lookup(torch.tensor([[[5], [63999], [0]]])))
    assert torch.equal(context[0, :15, :64], expected[0])
    assert torch.equal(context[0, 15:, :64], network.silent(5))
    with pytest.raises(ValueError, match="audio codes must be 0 to 63999, got 64000"):
        conditioning.source_context(network, replace(coded, codes=((64000,),)), 20)


@pytest.mark.parametrize("length", [3, 750, 751, 5000])
def test_a_timbre_reference_is_repeated_or_cut_to_the_trained_length(length: int) -> None:
    network = random_network.network()
    ramp = torch.arange(length, dtype=torch.float32).expand(1, 64, -1)
    frames = conditioning.reference(network, ramp)[0, :, 0].tolist()
    assert len(frames) == 750
    if length <= 750:
        assert frames == [float(i % length) for i in range(750)]
    else:
        assert frames[:250] == list(range(250))
        assert frames[-250:] == list(range(length - 250, length))
        assert frames[250:500] == list(range((length - 250) // 2, (length - 250) // 2 + 250))
