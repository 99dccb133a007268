"""Training of the demo checkpoint: examples, pretraining, the loss, and runs that repeat and resume."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import training_package  # noqa: F401 - makes the folder training importable
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_xl.model.layouts import recognise
from acestep_xl.model.network import AceStep
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.model.text import TextEncoder
from acestep_xl.model.transformer_layer import Layer
from acestep_xl.model.vae.config import VAEConfig
from training import (
    composer,
    dataset,
    initial_weights,
    objective,
    pack,
    pretrain_codes,
    pretrain_text,
    train_text,
    train_transformer,
    train_vae,
)

FAST = settings(max_examples=15, deadline=None)
SEEDS = st.integers(0, 2**40)


def test_prompts_are_wrong_only_late_in_training(
    responses: dataset.ImpulseResponses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The music stays the same."""
    tokenizer = train_text.make_tokenizer(samples=300)
    settings = replace(small(), steps=8, correct_until=0.5, batch_seconds=60)
    batches = [objective.make_batch(step, settings, responses, tokenizer) for step in range(9)]
    rates = [objective.mistake_rates(step, settings) for step in range(9)]
    assert rates == [{}] * 4 + [objective.MISTAKES] * 4 + [objective.FINISH_MISTAKES]
    monkeypatch.setattr(objective, "mistake_rates", lambda step, settings: {})
    for step, batch in enumerate(batches):
        correct = objective.make_batch(step, settings, responses, tokenizer)
        ids, correct_ids = batch.captions[0], correct.captions[0]
        is_same = ids.shape == correct_ids.shape and torch.equal(ids, correct_ids)
        assert torch.equal(batch.latents, correct.latents) and is_same == (step < 4)


@FAST
@given(SEEDS, st.integers(100, 400))
def test_regions_are_one_span_and_leave_a_rest(seed: int, frames: int) -> None:
    mask = dataset.draw_region(np.random.default_rng(seed), frames)
    assert set(np.unique(mask)) == {0.0, 1.0} and np.abs(np.diff(mask)).sum() <= 2
    assert frames // 6 <= mask.sum() <= frames * 2 // 3


def test_tasks_have_their_shares(responses: dataset.ImpulseResponses) -> None:
    tasks = [dataset.make_example(seed, 6, responses) for seed in range(200)]
    for name, share in dataset.TASKS:
        examples = [e for e in tasks if e.task == name]
        assert abs(len(examples) / len(tasks) - share) < 0.12
        assert all(e.caption.startswith(f"# Instruction\n{instruction(name)}") for e in examples)
        assert all(bool(e.mask.all()) == (name != "repaint") for e in examples)


def test_a_part_of_a_song_comes_from_the_song(responses: dataset.ImpulseResponses) -> None:
    """With its latents and clock, starting where a token begins."""
    positions = set()
    for seed in range(30):
        song, part = (dataset.make_example(seed, 8, responses, crop) for crop in (None, 64))
        assert part.latents.shape == part.silence.shape == (64, 64) and part.caption == song.caption
        starts = [i for i in range(0, 137, 2) if np.array_equal(song.silence[i : i + 64], part.silence)]
        assert any(np.array_equal(song.latents[i : i + 64], part.latents) for i in starts)
        positions.update(starts)
    assert len(positions) > 10


def test_template_lines_are_one_token_and_any_text_is_readable() -> None:
    tokenizer = train_text.make_tokenizer(samples=300)
    for line in ("- bpm: 137\n", "- keyscale: Bb minor\n", "- duration: 60 seconds\n", "- timesignature: N/A\n"):
        assert len(tokenizer.encode(line).ids) == 1
    for text in ("Größe 漢字 \U0001f600\tacid jazz 2031", "quiet, dark song"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.to_str() == train_text.make_tokenizer(samples=300).to_str()
    torch.manual_seed(0)
    model = train_text.make_model(tokenizer)
    prompt = Prompt("loud song", "[Verse]\nla", "en", Metadata(bpm=100, duration=10), instruction("text2music"))
    states = TextEncoder(model, tokenizer).encode([prompt])
    assert states.caption.shape[-1] == train_text.TEXT_DIM and not states.warnings
    ids = train_text.token_rows(tokenizer, prompt.caption_text)
    assert ids == TextEncoder(model, tokenizer).caption_tokens(prompt)[0]


def small() -> objective.Settings:
    return objective.Settings(
        seed=3,
        steps=4,
        finish_steps=1,
        batch_seconds=12,
        lengths=(6,),
        full_after=0,
        full_lengths=(6,),
        save_every=2,
        warmup=2,
        text_steps=2,
        code_steps=2,
    )


def test_codes_in_training_equal_the_networks(responses: dataset.ImpulseResponses) -> None:
    network = train_transformer.initialise(2, 0, 0, responses).network
    latents = torch.randn(2, 20, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(pretrain_codes.round_trip_codes(network, latents), network.round_trip_codes(latents))


def test_codes_learn_what_songs_sound_like(responses: dataset.ImpulseResponses) -> None:
    """Silence would lose all of a song's power, and the initial weights lose more."""
    networks = [train_transformer.initialise(2, 0, steps, responses).network for steps in (0, 60)]
    songs = pretrain_codes.draw_songs(123_456, responses)
    assert songs.shape == (pretrain_codes.SONGS, pretrain_codes.FRAMES, 64)
    assert torch.equal(songs, pretrain_codes.draw_songs(123_456, responses))
    initial, trained = (float(pretrain_codes.power_lost(network, songs).detach()) for network in networks)
    assert trained < 0.95 < 1 < initial


def test_velocity_is_noise_minus_data_under_the_context(responses: dataset.ImpulseResponses) -> None:
    """A network that knows the answer has no loss; its inputs are those of inference."""
    models = train_transformer.initialise(1, 0, 0, responses)
    batch = objective.make_batch(0, replace(small(), batch_seconds=60), responses, models.tokenizer)
    inputs: list[torch.Tensor] = []

    class Oracle(torch.nn.Module):
        norm_out = torch.nn.Identity()

        def project_kv(self, states: torch.Tensor, mask: torch.Tensor) -> list[Any]:
            return [states, mask]

        def forward(
            self, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor, condition: list[Any]
        ) -> torch.Tensor:
            inputs.extend([t, context])
            return (x - batch.latents) / t[:, None, None]

    models.network.decoder = Oracle()  # type: ignore[assignment] - stands in for the transformer
    _, parts = objective.compute_loss(models, batch, torch.Generator().manual_seed(0))
    assert parts["flow"] < 1e-6
    (t, context), mask = inputs, batch.mask
    assert bool(((t > 0) & (t < 1)).all())
    assert torch.equal(context[..., 64:], mask.expand(-1, -1, 64))
    repaints = [i for i, task in enumerate(batch.tasks) if task == "repaint"]
    assert repaints, "the batch is large enough to hold one"
    for i in repaints:
        keep = mask[i, :, 0] == 0
        assert torch.equal(context[i, keep, :64], batch.latents[i, keep])
        assert torch.equal(context[i, ~keep, :64], models.network.silent(150)[~keep])


@pytest.mark.slow
def test_an_interrupted_run_resumes_exactly(tmp_path: Path, scale: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    uninterrupted, interrupted = (tmp_path / name / "state.pt" for name in ("uninterrupted", "interrupted"))
    save = train_transformer.Run.save

    def save_twice(run: train_transformer.Run, path: Path) -> None:
        save(run, path)
        if run.step == 2:
            save(run, interrupted)

    monkeypatch.setattr(train_transformer.Run, "save", save_twice)
    train_transformer.train(uninterrupted.parent, scale, small())
    assert torch.load(interrupted, weights_only=True)["step"] == 2
    train_transformer.train(interrupted.parent, scale, small())
    one, two = (torch.load(path, weights_only=True) for path in (uninterrupted, interrupted))
    assert (one["step"], one["examples"]) == (two["step"], two["examples"]) == (5, 10)
    for kind in ("values", "average"):
        for name in one[kind]:
            torch.testing.assert_close(one[kind][name], two[kind][name], rtol=0, atol=1e-6)

    size = pack.pack(interrupted, scale, tmp_path / "sft", "# A card\n")
    assert size < 16e6 and (tmp_path / "sft" / "README.md").read_text("utf-8") == "# A card\n"
    layout = recognise(tmp_path / "sft")
    assert layout.kind == "official folder" and layout.training == "sft" and layout.config == objective.CONFIG
    assert layout.vae is not None and VAEConfig.from_state(layout.vae.tensors.shapes()) == train_vae.CONFIG
    assert json.loads((tmp_path / "sft" / "config.json").read_text("utf-8"))["hidden_size"] == 320


def test_weights_beyond_fp16_are_refused() -> None:
    assert pack.half(torch.tensor([1.5])).dtype == torch.float16
    with pytest.raises(ValueError, match="beyond fp16"):
        pack.half(torch.tensor([1e6]))


def test_rates_rise_stay_and_fall() -> None:
    settings = replace(small(), steps=1000, finish_steps=200, warmup=100)
    rates = [train_transformer.rate_at(step, settings) for step in range(1200)]
    assert rates[0] == 0.01 and rates[99:600] == [1.0] * 501
    assert all(a > b for a, b in itertools.pairwise(rates[600:1000])) and rates[999] < 0.02
    finish, peak = rates[1000:], train_transformer.FINISH_RATE
    assert finish[0] == pytest.approx(0.01 * peak) and 0.5 * peak < finish[99] < peak and finish[-1] < 0.02 * peak
    assert all(a > b for a, b in itertools.pairwise(finish[99:]))


def test_the_timbre_encoder_and_the_codes_are_frozen(responses: dataset.ImpulseResponses) -> None:
    models = train_transformer.initialise(1, 0, 0, responses)
    assert isinstance(models.network, AceStep)
    names = {name for name, value in models.parameters() if not value.requires_grad}
    frozen = ("encoder.timbre_encoder.", "tokenizer.", "detokenizer.")
    assert {part for part in frozen if any(name.startswith(f"network.{part}") for name in names)} == set(frozen)
    assert all(name.startswith(tuple(f"network.{part}" for part in frozen)) for name in names)
    with torch.no_grad():
        tokens = models.network.encoder.timbre_encoder(torch.randn(2, 30, 64))
    torch.testing.assert_close(tokens[0], tokens[1])


def test_facts_and_their_slices() -> None:
    plan = composer.draw_plan(4, 8)
    targets, slices = pretrain_text.fact_targets(plan), pretrain_text.fact_slices()
    assert len(targets) == pretrain_text.FACT_COUNT
    assert sum(value == 1 for value in targets) == len(pretrain_text.FACTS)
    assert composer.BEATS[int(np.argmax(targets[slices["beat"]]))] == plan.beat
    assert int(np.argmax(targets[slices["tonic"]])) == plan.tonic


@pytest.fixture(scope="module")
def pretrained() -> tuple[objective.Models, torch.Tensor]:
    """Networks with a briefly pretrained text encoder, and its readout."""
    torch.manual_seed(1)
    tokenizer = train_text.make_tokenizer(samples=500)
    text = train_text.make_model(tokenizer)
    readout = pretrain_text.pretrain(text, tokenizer, 1, 150)
    network = AceStep(objective.CONFIG, "sft")
    network.silence = torch.tensor(dataset.silence(750))
    initial_weights.fill(network, readout)
    return objective.Models(network, text, tokenizer), readout


@pytest.mark.slow
def test_the_text_encoder_learns_what_prompts_say(pretrained: tuple[objective.Models, torch.Tensor]) -> None:
    models, readout = pretrained
    ids, mask, totals, targets = pretrain_text.examples(77, models.tokenizer)
    with torch.no_grad():
        states = models.text(input_ids=ids, use_cache=False).last_hidden_state * mask[..., None]
    accuracy = pretrain_text.accuracy(states.sum(1) / totals[:, None] @ readout.T, targets)
    assert min(accuracy["level"], accuracy["drums"], accuracy["metre"]) > 0.75 and accuracy["beat"] > 0.3


@pytest.mark.slow
def test_initial_weights_hear_the_prompt_and_the_beat_and_estimate_velocities(
    pretrained: tuple[objective.Models, torch.Tensor], responses: dataset.ImpulseResponses
) -> None:
    models, readout = pretrained
    network, decoder = models.network, models.network.decoder
    batch = objective.make_batch(5, replace(small(), batch_seconds=48), responses, models.tokenizer)
    data, size = batch.latents, len(batch.latents)
    with torch.no_grad():
        states, mask = objective.condition(models, batch, torch.zeros(size, dtype=torch.bool))
        condition = decoder.project_kv(states, mask)
        noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(2))
        context = torch.cat([network.silent(data.shape[1]).expand_as(data), torch.ones_like(data)], dim=-1)
        power = float(data.square().mean())
        for level in (1.0, 0.5, 0.1):
            t = torch.full((size,), level)
            error = decoder((level * noise + (1 - level) * data), t, context, condition) - (noise - data)
            # Pure noise contains nothing of the data; the best multiple of a mixture estimates much of it.
            limit = 1.02 * power if level == 1 else 0.75 * (1 + power)
            assert error.square().mean() < limit, level
        x = decoder.embed_context(context).tokens + decoder._patches(noise, slice(-64, None))
        facts = cast(Layer, decoder.layers[0])._cross_attend(x, condition[0])[
            ..., initial_weights.FACTS_AT : initial_weights.CLOCK_AT
        ]
    caption_states = models.text(input_ids=batch.captions[0], use_cache=False).last_hidden_state.detach()
    expected = (caption_states * batch.captions[1][..., None]).sum(1) / mask.sum(1)[:, None] @ readout.T
    assert torch.corrcoef(torch.stack([facts.mean(1).flatten(), expected.flatten()]))[0, 1] > 0.9
