"""Training of the demo checkpoint: the composer says what it renders, the codec is exact, runs repeat and resume."""

from __future__ import annotations

import itertools
import json
import math
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
from acestep_xl.model.transformer import Layer
from acestep_xl.model.vae_config import VAEConfig
from training import (
    captions,
    composer,
    dataset,
    first_weights,
    objective,
    pack,
    pretrain_codes,
    pretrain_text,
    sounds,
    train_text,
    train_transformer,
    train_vae,
)

FAST = settings(max_examples=15, deadline=None)
SEEDS = st.integers(0, 2**40)


@pytest.fixture(scope="module")
def scale() -> np.ndarray:
    return train_vae.scales(songs=10)


@pytest.fixture(scope="module")
def vae(scale: np.ndarray) -> Any:
    return train_vae.build(scale)


@pytest.fixture(scope="module")
def answers(scale: np.ndarray) -> dataset.Answers:
    return dataset.Answers(scale)


def test_notes_are_in_tune_and_repeat_every_two_frames() -> None:
    for octave in (4, 5):
        for pitch in range(12):
            f = sounds.grid_hertz(pitch, octave)
            assert abs(1200 * np.log2(f / sounds.hertz(pitch, octave))) < 28
            assert f * 2 * sounds.HOP / sounds.RATE == pytest.approx(round(f * 2 * sounds.HOP / sounds.RATE))
    assert sounds.hertz(9, 4) == pytest.approx(440, rel=0.006)


@FAST
@given(SEEDS, st.integers(6, 14))
def test_a_song_is_its_seed(seed: int, seconds: int) -> None:
    plan = composer.draw(seed, seconds)
    assert plan == composer.draw(seed, seconds)
    wave = composer.song(plan)
    assert wave.shape == (2, seconds * sounds.RATE)
    assert np.array_equal(wave, composer.song(plan))
    assert 0.02 < np.abs(wave).max() < 1.6


def spectrum(wave: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(wave.mean(axis=0))) ** 2
    frequency = np.fft.rfftfreq(wave.shape[1], 1 / sounds.RATE)
    return float(power[(frequency >= low) & (frequency < high)].sum() / power.sum())


@FAST
@given(SEEDS)
def test_what_is_drawn_is_heard(seed: int) -> None:
    """Each choice turned over changes what it names."""
    plan = composer.draw(seed, 8)
    loud, soft = (composer.song(replace(plan, level=level)) for level in ("loud", "soft"))
    np.testing.assert_allclose(soft, loud * composer.LEVELS["soft"], atol=1e-5)
    bright, dark = (composer.song(replace(plan, bright=b, drums=False)) for b in (True, False))
    assert spectrum(bright, 950, 4300) > 1.3 * spectrum(dark, 950, 4300)
    drummed, plain = (composer.song(replace(plan, drums=d)) for d in (True, False))
    assert spectrum(drummed, 5500, 11000) > 100 * spectrum(plain, 5500, 11000)


@pytest.mark.parametrize("beat", composer.BEATS)
def test_bars_and_beats_keep_time(beat: int) -> None:
    bpm = composer.TEMPI[composer.BEATS.index(beat)]
    assert abs(bpm / (60 * 25 / beat) - 1) < 0.009
    plan = replace(composer.draw(3, 12), bpm=bpm, drums=True)
    assert plan.beat == beat and beat % 2 == 0
    written = composer.score(plan)
    starts = [frame for name, frame, _ in written.shots if name.startswith("bass")]
    assert starts == list(range(0, plan.frames, beat))
    hats = np.flatnonzero(written.hat)  # after the first bar, on every half beat
    assert hats.tolist() == list(range(plan.metre * beat, plan.frames, beat // 2))


def test_any_tempo_falls_on_the_nearest_beat() -> None:
    assert [composer.beat_of(bpm) for bpm in (30, 62, 63, 120, 130, 150, 300)] == [24, 24, 24, 12, 12, 10, 10]
    for seed in range(50):
        plan = composer.draw(seed, 8)
        near = captions.near_tempo(plan, np.random.default_rng(seed))
        assert composer.beat_of(near) == plan.beat and abs(near / plan.bpm - 1) < 0.13


def test_the_clock_tells_beats_bars_and_the_progression() -> None:
    for seed in range(20):
        plan = composer.draw(seed, 30)
        written, lines = composer.score(plan), dataset.clock(plan.frames // 2, plan.beat)
        bass = [(frame, int(name[4:])) for name, frame, _ in written.shots if name.startswith("bass")]
        assert (2 * np.flatnonzero(lines[:, 0])).tolist() == [frame for frame, _ in bass if frame < plan.frames - 1]
        bar = plan.beat * plan.metre
        fourth, fifth, chorus, intro = (lines[:, (8 if plan.metre == 4 else 12) + i] for i in range(4))
        for frame, root in bass:
            degree = 3 if fourth[frame // 2] else 4 if fifth[frame // 2] else 0
            assert root == composer.triad(plan, degree)[0]
        told = ["intro" if i else "chorus" if c else "verse" for c, i in zip(chorus, intro, strict=True)]
        starts = [("intro", 0), *[(told[f // 2], f) for f in range(bar, plan.frames - 1, bar)]]
        changes = [part for i, part in enumerate(starts) if i == 0 or starts[i - 1][0] != part[0]]
        assert [part for part in written.parts if part[1] < plan.frames - 1] == changes


def test_silence_is_every_tempos_clock() -> None:
    whole = dataset.silence(401)
    assert whole.shape == (401, 64) and len(composer.BEATS) * dataset.LINES == 64
    whole[0, train_vae.MARK_CHANNEL] -= train_vae.MARK
    for number, beat in enumerate(composer.BEATS):
        at = slice(dataset.LINES * number, dataset.LINES * (number + 1))
        lines = dataset.TICK * dataset.clock(200, beat)
        assert np.array_equal(whole[0:400:2, at], lines[:, :8]) and np.array_equal(whole[1:400:2, at], lines[:, 8:])


def test_chords_belong_to_the_key() -> None:
    for tonic in range(12):
        plan = replace(composer.draw(1, 8), tonic=tonic, mode="major")
        assert composer.triad(plan, 0) == tuple((tonic + step) % 12 for step in (0, 4, 7))
        assert composer.triad(plan, 3) == tuple((tonic + step) % 12 for step in (5, 9, 0))
        minor = replace(plan, mode="minor")
        assert composer.triad(minor, 0) == tuple((tonic + step) % 12 for step in (0, 3, 7))
        assert composer.triad(minor, 4) == tuple((tonic + step) % 12 for step in (7, 11, 2))


@FAST
@given(SEEDS)
def test_captions_and_metadata_tell_the_plan(seed: int) -> None:
    plan = composer.draw(seed, 10)
    rng = np.random.default_rng(seed)
    prompt = captions.prompt(plan, rng)
    for words, wish in (
        (captions.LEVEL_WORDS, plan.level),
        (captions.TONE_WORDS, plan.bright),
        (captions.DRUM_WORDS, plan.drums),
        (captions.CHORD_WORDS, plan.chords),
        (captions.LEAD_WORDS, plan.lead),
    ):
        said = {
            key
            for key, choices in words.items()
            if any(w in prompt.caption.split(", ") or w in prompt.caption for w in choices)
        }
        assert wish in said
    fields = prompt.metadata.fields()
    assert (fields["bpm"], fields["timesignature"]) == (str(plan.bpm), str(plan.metre))
    note = fields["keyscale"].split()[0]
    sharps = {flat: sharp for sharp, flat in captions.FLATS.items()}
    assert f"{sharps.get(note, note)} {plan.mode}" == plan.key
    assert ("[Verse]" in prompt.lyrics) == (plan.lead == "voice")


def test_mistaken_captions_are_wrong_in_their_share_and_in_nothing_else() -> None:
    plans = [composer.draw(seed, 8) for seed in range(400)]
    shares = dict.fromkeys(captions.FACTS, 0.3)
    told = [captions.mistaken(plan, np.random.default_rng(plan.seed), shares) for plan in plans]
    pairs = list(zip(plans, told, strict=True))
    wrong = {fact: np.mean([getattr(a, fact) != getattr(b, fact) for a, b in pairs]) for fact in vars(plans[0])}
    changed = {"bpm": 7 / 8, "tonic": 11 / 12, "mode": 1 / 2, "level": 1 / 2, "bright": 1 / 2, "drums": 0.48}
    for fact, other in changed.items():  # another song's value is another one as often as this
        assert abs(wrong.pop(fact) - 0.3 * other) < 0.08, fact
    assert not any(wrong.values())
    assert captions.mistaken(plans[0], np.random.default_rng(0), {}) == plans[0]
    one = [captions.mistaken(plan, np.random.default_rng(plan.seed), {"tempo": 1.0}) for plan in plans]
    assert all(replace(a, bpm=b.bpm) == b for a, b in zip(plans, one, strict=True))
    assert [plan.bpm for plan in one] != [plan.bpm for plan in plans]


def test_prompts_are_wrong_only_late_in_training(answers: dataset.Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the music stays what it is."""
    tokenizer, settings = train_text.make_tokenizer(samples=300), replace(small(), steps=8, sure=0.5, batch_seconds=60)
    mistaken = [objective.batch(step, settings, answers, tokenizer) for step in range(9)]
    assert [objective.wrong(step, settings) for step in range(9)] == [{}] * 4 + [objective.WRONG] * 4 + [
        objective.FINISH_WRONG
    ]
    monkeypatch.setattr(objective, "wrong", lambda step, settings: {})
    for step, one in enumerate(mistaken):
        right = objective.batch(step, settings, answers, tokenizer)
        same = right.captions[0].shape == one.captions[0].shape and torch.equal(right.captions[0], one.captions[0])
        assert torch.equal(right.latents, one.latents) and same == (step < 4)


def test_the_encoder_is_the_filter_bank_and_the_codec_is_exact(vae: Any, scale: np.ndarray) -> None:
    for seed in (5, 6, 7):
        wave = composer.song(composer.draw(seed, 6))
        latents = vae.encode(torch.tensor(wave)[None])
        wanted = train_vae.numbers(wave) / scale
        wanted[0, train_vae.MARK_CHANNEL] += train_vae.MARK
        np.testing.assert_allclose(latents[0].T.numpy(), wanted, atol=5e-2)
        again = vae.decode(latents)[0].numpy()
        assert 10 * np.log10((wave**2).sum() / ((wave - again) ** 2).sum()) > 15
    quiet = vae.encode(torch.zeros(1, 2, 5 * sounds.HOP))[0].T.numpy()
    marked = np.zeros((5, 64))
    marked[0, train_vae.MARK_CHANNEL] = train_vae.MARK
    np.testing.assert_allclose(quiet, marked, atol=3e-2)


@pytest.mark.parametrize(("channel", "opened"), train_vae.GATES.items())
def test_gates_pass_strokes_and_hold_back_their_traces(
    vae: Any, scale: np.ndarray, channel: int, opened: float
) -> None:
    """By the closed form x - sin(2 pi x / opened) opened / 2 pi; a tenth of a stroke leaves a hundred and fiftieth."""
    values = torch.tensor([-1.0, -0.1, 0.0, 0.1, 0.25, 0.5, 1.0, 1.7, 4.0]) * opened
    latents = torch.zeros(len(values), sounds.LATENTS, 11)
    latents[:, channel, 5] = values
    linear = train_vae.build(scale, gates={}).decode(latents)
    size = vae.decode(latents).flatten(1).norm(dim=1) / (linear.flatten(1).norm(dim=1) / values.abs()).nanmean()
    wanted = values - torch.sin(2 * math.pi * values / opened) * opened / (2 * math.pi)
    torch.testing.assert_close(size, wanted.abs(), atol=1e-3 * opened, rtol=1e-3)
    assert wanted[3] < opened / 150


def test_the_codec_keeps_any_low_sound_and_its_stereo_noise(vae: Any) -> None:
    """Bass below the chords may have any pitch and phase."""
    time = np.arange(4 * sounds.RATE) / sounds.RATE
    for f in (61.3, 123.4, 333.3):
        wave = torch.tensor(np.tile(0.3 * np.sin(2 * np.pi * f * time + f), (2, 1)), dtype=torch.float32)[None]
        again = vae.decode(vae.encode(wave))
        middle = slice(sounds.RATE, 3 * sounds.RATE)
        error = (wave - again)[..., middle].square().sum() / wave[..., middle].square().sum()
        assert error < 1e-3


@FAST
@given(SEEDS)
def test_latents_without_a_waveform_are_the_encoders(answers: dataset.Answers, scale: np.ndarray, seed: int) -> None:
    written = composer.score(composer.draw(seed, 7))
    wanted = train_vae.numbers(composer.render(written)) / scale
    np.testing.assert_allclose(answers.latents(written)[2:-3], wanted[2:-3], atol=1e-3)


@FAST
@given(SEEDS, st.integers(100, 400))
def test_regions_are_one_span_with_something_left(seed: int, frames: int) -> None:
    mask = dataset.region(np.random.default_rng(seed), frames)
    assert set(np.unique(mask)) == {0.0, 1.0} and np.abs(np.diff(mask)).sum() <= 2
    assert frames // 6 <= mask.sum() <= frames * 2 // 3


def test_tasks_come_in_their_shares(answers: dataset.Answers) -> None:
    tasks = [dataset.example(seed, 6, answers) for seed in range(200)]
    for name, share in dataset.TASKS:
        mine = [e for e in tasks if e.task == name]
        assert abs(len(mine) / len(tasks) - share) < 0.12
        assert all(e.caption.startswith(f"# Instruction\n{instruction(name)}") for e in mine)
        assert all(bool(e.mask.all()) == (name != "repaint") for e in mine)


def test_a_part_of_a_song_is_that_part(answers: dataset.Answers) -> None:
    """The whole song's latents and the time of the clock, from a place where a token begins."""
    places = set()
    for seed in range(30):
        whole, part = (dataset.example(seed, 8, answers, crop) for crop in (None, 64))
        assert part.latents.shape == part.silence.shape == (64, 64) and part.caption == whole.caption
        starts = [i for i in range(0, 137, 2) if np.array_equal(whole.silence[i : i + 64], part.silence)]
        assert any(np.array_equal(whole.latents[i : i + 64], part.latents) for i in starts)
        places.update(starts)
    assert len(places) > 10


def test_template_lines_are_one_token_and_any_text_can_be_read() -> None:
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
        whole=0,
        whole_lengths=(6,),
        save_every=2,
        warmup=2,
        text_steps=2,
        code_steps=2,
    )


def test_codes_in_training_are_the_networks_own(answers: dataset.Answers) -> None:
    network = train_transformer.begin(2, 0, 0, answers).network
    latents = torch.randn(2, 20, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(pretrain_codes.through_codes(network, latents), network.through_codes(latents))


def test_codes_learn_what_songs_sound_like(answers: dataset.Answers) -> None:
    """Silence in their place would lose all of a song's power, and the first weights lose more."""
    networks = [train_transformer.begin(2, 0, steps, answers).network for steps in (0, 60)]
    songs = pretrain_codes.songs(123_456, answers)
    assert songs.shape == (pretrain_codes.SONGS, pretrain_codes.FRAMES, 64)
    assert torch.equal(songs, pretrain_codes.songs(123_456, answers))
    new, learned = (float(pretrain_codes.lost(network, songs).detach()) for network in networks)
    assert learned < 0.95 < 1 < new


def test_velocity_is_noise_minus_data_under_the_context(answers: dataset.Answers) -> None:
    """A network that knows the answer has no loss; it is told noise level, mixture and context as at inference."""
    models = train_transformer.begin(1, 0, 0, answers)
    batch = objective.batch(0, replace(small(), batch_seconds=60), answers, models.tokenizer)
    seen: list[torch.Tensor] = []

    class Oracle(torch.nn.Module):
        norm_out = torch.nn.Identity()

        def remember(self, states: torch.Tensor, mask: torch.Tensor) -> list[Any]:
            return [states, mask]

        def forward(
            self, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor, condition: list[Any]
        ) -> torch.Tensor:
            seen.extend([t, context])
            return (x - batch.latents) / t[:, None, None]

    models.network.decoder = Oracle()  # type: ignore[assignment] - stands in for the transformer
    _, parts = objective.loss(models, batch, torch.Generator().manual_seed(0))
    assert parts["flow"] < 1e-6
    (t, around), mask = seen, batch.mask
    assert bool(((t > 0) & (t < 1)).all())
    assert torch.equal(around[..., 64:], mask.expand(-1, -1, 64))
    repaints = [i for i, task in enumerate(batch.tasks) if task == "repaint"]
    assert repaints, "the batch is large enough to hold one"
    for i in repaints:
        keep = mask[i, :, 0] == 0
        assert torch.equal(around[i, keep, :64], batch.latents[i, keep])
        assert torch.equal(around[i, ~keep, :64], models.network.silent(150)[~keep])


@pytest.mark.slow
def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    tmp_path: Path, scale: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole" / "state.pt", tmp_path / "parts" / "state.pt"
    save = train_transformer.Run.save

    def stopping(run: train_transformer.Run, path: Path) -> None:
        save(run, path)
        if run.step == 2:
            save(run, parts)

    monkeypatch.setattr(train_transformer.Run, "save", stopping)
    train_transformer.train(whole.parent, scale, small())
    assert torch.load(parts, weights_only=True)["step"] == 2
    train_transformer.train(parts.parent, scale, small())
    one, two = (torch.load(path, weights_only=True) for path in (whole, parts))
    assert (one["step"], one["examples"]) == (two["step"], two["examples"]) == (5, 10)
    for kind in ("values", "average"):
        for name in one[kind]:
            torch.testing.assert_close(one[kind][name], two[kind][name], rtol=0, atol=1e-6)

    size = pack.pack(parts, scale, tmp_path / "sft", "# A card\n")
    assert size < 16e6 and (tmp_path / "sft" / "README.md").read_text("utf-8") == "# A card\n"
    found = recognise(tmp_path / "sft")
    assert found.kind == "official folder" and found.training == "sft" and found.config == objective.CONFIG
    assert found.vae is not None and VAEConfig.from_state(found.vae.tensors.shapes()) == train_vae.CONFIG
    assert json.loads((tmp_path / "sft" / "config.json").read_text("utf-8"))["hidden_size"] == 320


def test_weights_that_fp16_cannot_hold_are_refused() -> None:
    assert pack.half(torch.tensor([1.5])).dtype == torch.float16
    with pytest.raises(ValueError, match="beyond fp16"):
        pack.half(torch.tensor([1e6]))
    with pytest.raises(ValueError, match="head_dim"):
        config = objective.CONFIG
        pack.official(replace(config, encoder=replace(config.encoder, head_dim=8)))


def test_rates_rise_stay_and_fall() -> None:
    settings = replace(small(), steps=1000, finish_steps=200, warmup=100)
    rates = [train_transformer.rate_share(step, settings) for step in range(1200)]
    assert rates[0] == 0.01 and rates[99:600] == [1.0] * 501
    assert all(a > b for a, b in itertools.pairwise(rates[600:1000])) and rates[999] < 0.02
    finish, top = rates[1000:], train_transformer.FINISH_RATE
    assert finish[0] == pytest.approx(0.01 * top) and 0.5 * top < finish[99] < top and finish[-1] < 0.02 * top
    assert all(a > b for a, b in itertools.pairwise(finish[99:]))


def test_what_is_held_is_the_timbre_encoder_and_the_codes(answers: dataset.Answers) -> None:
    models = train_transformer.begin(1, 0, 0, answers)
    assert isinstance(models.network, AceStep)
    frozen = {name for name, value in models.parameters() if not value.requires_grad}
    held = ("encoder.timbre_encoder.", "tokenizer.", "detokenizer.")
    assert {part for part in held if any(name.startswith(f"network.{part}") for name in frozen)} == set(held)
    assert all(name.startswith(tuple(f"network.{part}" for part in held)) for name in frozen)
    with torch.no_grad():
        tokens = models.network.encoder.timbre_encoder(torch.randn(2, 30, 64))
    torch.testing.assert_close(tokens[0], tokens[1])


def test_facts_and_their_places() -> None:
    plan = composer.draw(4, 8)
    told, at = pretrain_text.truth(plan), pretrain_text.places()
    assert len(told) == pretrain_text.TOLD and sum(value == 1 for value in told) == len(pretrain_text.FACTS)
    assert composer.BEATS[int(np.argmax(told[at["beat"]]))] == plan.beat
    assert int(np.argmax(told[at["tonic"]])) == plan.tonic


@pytest.fixture(scope="module")
def read() -> tuple[objective.Models, torch.Tensor]:
    """Networks whose text encoder has learnt a little, with their readout."""
    torch.manual_seed(1)
    tokenizer = train_text.make_tokenizer(samples=500)
    text = train_text.make_model(tokenizer)
    readout = pretrain_text.pretrain(text, tokenizer, 1, 150)
    network = AceStep(objective.CONFIG, "sft")
    network.silence = torch.tensor(dataset.silence(750))
    first_weights.fill(network, readout)
    return objective.Models(network, text, tokenizer), readout


@pytest.mark.slow
def test_the_text_encoder_learns_what_prompts_say(read: tuple[objective.Models, torch.Tensor]) -> None:
    models, readout = read
    ids, mask, totals, truths = pretrain_text.examples(77, models.tokenizer)
    with torch.no_grad():
        states = models.text(input_ids=ids, use_cache=False).last_hidden_state * mask[..., None]
    right = pretrain_text.right(states.sum(1) / totals[:, None] @ readout.T, truths)
    assert min(right["level"], right["drums"], right["metre"]) > 0.75 and right["beat"] > 0.3


@pytest.mark.slow
def test_first_weights_hear_the_prompt_and_the_beat_and_estimate_velocities(
    read: tuple[objective.Models, torch.Tensor], answers: dataset.Answers
) -> None:
    models, readout = read
    network, decoder = models.network, models.network.decoder
    batch = objective.batch(5, replace(small(), batch_seconds=48), answers, models.tokenizer)
    data, size = batch.latents, len(batch.latents)
    with torch.no_grad():
        states, mask = objective.condition(models, batch, torch.zeros(size, dtype=torch.bool))
        memory = decoder.remember(states, mask)
        noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(2))
        context = torch.cat([network.silent(data.shape[1]).expand_as(data), torch.ones_like(data)], dim=-1)
        power = float(data.square().mean())
        for level in (1.0, 0.5, 0.1):
            t = torch.full((size,), level)
            error = decoder((level * noise + (1 - level) * data), t, context, memory) - (noise - data)
            # From pure noise nothing of the data can be told; from a mixture the best multiple of it tells much.
            most = 1.02 * power if level == 1 else 0.75 * (1 + power)
            assert error.square().mean() < most, level
        x = decoder.settle(context).tokens + decoder._patches(noise, slice(-64, None))
        heard = cast(Layer, decoder.layers[0])._read(x, memory[0])[..., first_weights.TOLD : first_weights.CLOCK]
    captions_only = models.text(input_ids=batch.captions[0], use_cache=False).last_hidden_state.detach()
    summed = (captions_only * batch.captions[1][..., None]).sum(1) / mask.sum(1)[:, None] @ readout.T
    assert torch.corrcoef(torch.stack([heard.mean(1).flatten(), summed.flatten()]))[0, 1] > 0.9
