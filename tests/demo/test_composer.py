"""The composer and its captions: songs sound as they are drawn, and prompts describe them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import training_package  # noqa: F401 - makes the folder training importable
from hypothesis import given, settings
from hypothesis import strategies as st

from training import captions, composer, dataset, sounds, train_vae

FAST = settings(max_examples=15, deadline=None)
SEEDS = st.integers(0, 2**40)


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
    plan = composer.draw_plan(seed, seconds)
    assert plan == composer.draw_plan(seed, seconds)
    wave = composer.render_song(plan)
    assert wave.shape == (2, seconds * sounds.RATE)
    assert np.array_equal(wave, composer.render_song(plan))
    assert 0.02 < np.abs(wave).max() < 1.6


def spectrum(wave: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(wave.mean(axis=0))) ** 2
    frequency = np.fft.rfftfreq(wave.shape[1], 1 / sounds.RATE)
    return float(power[(frequency >= low) & (frequency < high)].sum() / power.sum())


@FAST
@given(SEEDS)
def test_what_is_drawn_is_heard(seed: int) -> None:
    """Changing a choice changes the sound it names."""
    plan = composer.draw_plan(seed, 8)
    loud, soft = (composer.render_song(replace(plan, level=level)) for level in ("loud", "soft"))
    np.testing.assert_allclose(soft, loud * composer.LEVELS["soft"], atol=1e-5)
    bright, dark = (composer.render_song(replace(plan, bright=b, drums=False)) for b in (True, False))
    assert spectrum(bright, 950, 4300) > 1.3 * spectrum(dark, 950, 4300)
    with_drums, without_drums = (composer.render_song(replace(plan, drums=d)) for d in (True, False))
    assert spectrum(with_drums, 5500, 11000) > 100 * spectrum(without_drums, 5500, 11000)


@pytest.mark.parametrize("beat", composer.BEATS)
def test_bars_and_beats_keep_time(beat: int) -> None:
    bpm = composer.TEMPI[composer.BEATS.index(beat)]
    assert abs(bpm / (60 * 25 / beat) - 1) < 0.009
    plan = replace(composer.draw_plan(3, 12), bpm=bpm, drums=True)
    assert plan.beat == beat and beat % 2 == 0
    score = composer.write_score(plan)
    starts = [frame for name, frame, _ in score.shots if name.startswith("bass")]
    assert starts == list(range(0, plan.frames, beat))
    hats = np.flatnonzero(score.hat)  # after the first bar, on every half beat
    assert hats.tolist() == list(range(plan.metre * beat, plan.frames, beat // 2))


def test_any_tempo_falls_on_the_nearest_beat() -> None:
    assert [composer.beat_of(bpm) for bpm in (30, 62, 63, 120, 130, 150, 300)] == [24, 24, 24, 12, 12, 10, 10]
    for seed in range(50):
        plan = composer.draw_plan(seed, 8)
        near = captions.near_tempo(plan, np.random.default_rng(seed))
        assert composer.beat_of(near) == plan.beat and abs(near / plan.bpm - 1) < 0.13


def test_the_clock_shows_beats_bars_and_the_progression() -> None:
    for seed in range(20):
        plan = composer.draw_plan(seed, 30)
        score, lines = composer.write_score(plan), dataset.clock(plan.frames // 2, plan.beat)
        bass = [(frame, int(name[4:])) for name, frame, _ in score.shots if name.startswith("bass")]
        assert (2 * np.flatnonzero(lines[:, 0])).tolist() == [frame for frame, _ in bass if frame < plan.frames - 1]
        bar = plan.beat * plan.metre
        fourth, fifth, chorus, intro = (lines[:, (8 if plan.metre == 4 else 12) + i] for i in range(4))
        for frame, root in bass:
            degree = 3 if fourth[frame // 2] else 4 if fifth[frame // 2] else 0
            assert root == composer.triad(plan, degree)[0]
        names = ["intro" if i else "chorus" if c else "verse" for c, i in zip(chorus, intro, strict=True)]
        starts = [("intro", 0), *[(names[f // 2], f) for f in range(bar, plan.frames - 1, bar)]]
        changes = [part for i, part in enumerate(starts) if i == 0 or starts[i - 1][0] != part[0]]
        assert [part for part in score.parts if part[1] < plan.frames - 1] == changes


def test_silence_carries_the_clock_of_every_tempo() -> None:
    silence = dataset.silence(401)
    assert silence.shape == (401, 64) and len(composer.BEATS) * dataset.LINES == 64
    silence[0, train_vae.MARK_CHANNEL] -= train_vae.MARK
    for number, beat in enumerate(composer.BEATS):
        channels = slice(dataset.LINES * number, dataset.LINES * (number + 1))
        lines = dataset.TICK * dataset.clock(200, beat)
        assert np.array_equal(silence[0:400:2, channels], lines[:, :8])
        assert np.array_equal(silence[1:400:2, channels], lines[:, 8:])


def test_chords_belong_to_the_key() -> None:
    for tonic in range(12):
        plan = replace(composer.draw_plan(1, 8), tonic=tonic, mode="major")
        assert composer.triad(plan, 0) == tuple((tonic + step) % 12 for step in (0, 4, 7))
        assert composer.triad(plan, 3) == tuple((tonic + step) % 12 for step in (5, 9, 0))
        minor = replace(plan, mode="minor")
        assert composer.triad(minor, 0) == tuple((tonic + step) % 12 for step in (0, 3, 7))
        assert composer.triad(minor, 4) == tuple((tonic + step) % 12 for step in (7, 11, 2))


@FAST
@given(SEEDS)
def test_captions_and_metadata_describe_the_plan(seed: int) -> None:
    plan = composer.draw_plan(seed, 10)
    rng = np.random.default_rng(seed)
    prompt = captions.prompt(plan, rng)
    for words, wish in (
        (captions.LEVEL_WORDS, plan.level),
        (captions.TONE_WORDS, plan.bright),
        (captions.DRUM_WORDS, plan.drums),
        (captions.CHORD_WORDS, plan.chords),
        (captions.LEAD_WORDS, plan.lead),
    ):
        named = {
            key
            for key, choices in words.items()
            if any(w in prompt.caption.split(", ") or w in prompt.caption for w in choices)
        }
        assert wish in named
    fields = prompt.metadata.fields()
    assert (fields["bpm"], fields["timesignature"]) == (str(plan.bpm), str(plan.metre))
    note = fields["keyscale"].split()[0]
    sharps = {flat: sharp for sharp, flat in captions.FLATS.items()}
    assert f"{sharps.get(note, note)} {plan.mode}" == plan.key
    assert ("[Verse]" in prompt.lyrics) == (plan.lead == "voice")


def test_mistakes_have_their_shares_and_change_nothing_else() -> None:
    plans = [composer.draw_plan(seed, 8) for seed in range(400)]
    shares = dict.fromkeys(captions.FACTS, 0.3)
    described = [captions.with_mistakes(plan, np.random.default_rng(plan.seed), shares) for plan in plans]
    pairs = list(zip(plans, described, strict=True))
    wrong = {fact: np.mean([getattr(a, fact) != getattr(b, fact) for a, b in pairs]) for fact in vars(plans[0])}
    changed = {"bpm": 7 / 8, "tonic": 11 / 12, "mode": 1 / 2, "level": 1 / 2, "bright": 1 / 2, "drums": 0.48}
    for fact, other in changed.items():  # how often another song's value differs
        assert abs(wrong.pop(fact) - 0.3 * other) < 0.08, fact
    assert not any(wrong.values())
    assert captions.with_mistakes(plans[0], np.random.default_rng(0), {}) == plans[0]
    one = [captions.with_mistakes(plan, np.random.default_rng(plan.seed), {"tempo": 1.0}) for plan in plans]
    assert all(replace(a, bpm=b.bpm) == b for a, b in zip(plans, one, strict=True))
    assert [plan.bpm for plan in one] != [plan.bpm for plan in plans]
