"""Advice: every check gives its message, and normal use gives none."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import graphs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import make_run

from acestep_xl import parameters
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.nodes.schedule import Schedule
from acestep_xl.pipeline.advice import checks, writing_systems
from acestep_xl.pipeline.advice.checks import advice_on
from acestep_xl.pipeline.advice.guidance import GuidanceSettings
from acestep_xl.pipeline.advice.run import shift_of
from acestep_xl.pipeline.edit import Edit
from acestep_xl.pipeline.run import PromptSize
from acestep_xl.sampler.presets import PRESETS

WORKFLOWS = Path(__file__).parents[2] / "workflows"

LYRICS = {
    "ar": "يا ليل يا عين", "az": "Sarı gəlin", "bg": "Хубава си моя горо", "bn": "আমার সোনার বাংলা",
    "ca": "Els segadors", "cs": "Kde domov můj", "da": "Der er et yndigt land", "de": "Über den Wolken",
    "el": "Σε γνωρίζω από την κόψη", "en": "It's a déjà vu", "es": "Mañana será otro día",
    "fa": "ای ایران ای مرز پرگهر", "fi": "Sä kasvoit neito kaunoinen", "fr": "Où est le garçon",
    "he": "התקווה בת שנות אלפיים", "hi": "सारे जहाँ से अच्छा", "hr": "Lijepa naša", "ht": "Ayiti cheri",
    "hu": "Tavaszi szél vizet áraszt", "id": "Bengawan Solo", "is": "Vísur Vatnsenda-Rósu", "it": "Perché no",
    "ja": "夜空にカタカナとひらがな", "ko": "아리랑 고개로 漢字", "la": "Gaudeamus igitur",
    "lt": "Tautiška giesmė", "ms": "Rasa sayang", "ne": "रेशम फिरिरी", "nl": "Het is een nacht",
    "no": "Å eg veit meg eit land", "pa": "ਜੁਗਨੀ ਜਾ ਵੜੀ", "pl": "Żółty jesienny liść", "pt": "Chão de estrelas",
    "ro": "Țara mea", "ru": "Ой цветёт калина", "sa": "वन्दे मातरम्", "sk": "Nad Tatrou sa blýska",
    "sr": "Тамо далеко", "sv": "Så skön går solen", "sw": "Malaika nakupenda", "ta": "தமிழ் பாட்டு",
    "te": "మా తెలుగు తల్లికి", "th": "ลอยกระทง", "tl": "Bahay kubo", "tr": "Üsküdar'a gider iken",
    "uk": "Ой у лузі червона калина", "ur": "لب پہ آتی ہے دعا", "vi": "Bèo dạt mây trôi", "yue": "獅子山下",
    "zh": "茉莉花开满园", "unknown": "何でも что угодно",
}  # fmt: skip


def prompt(caption: str = "waltz", lyrics: str = "[Verse]\nla", language: str = "en", **metadata: Any) -> Prompt:
    return Prompt(caption, lyrics, language, Metadata(**metadata), instruction("text2music"))


def said(text: Prompt) -> str:
    return " | ".join(advice_on("prompt", text))


def test_every_language_in_its_own_letters_says_nothing() -> None:
    assert set(LYRICS) == set(parameters.LANGUAGES)
    for language, words in LYRICS.items():
        sung = f"[Verse 1]\n{words}\n{words}\n\n[Chorus: choir, Минор]\n{words} (oh yeah, baby)\n"
        assert said(prompt(lyrics=sung, language=language)) == "", (language, words)


@pytest.mark.parametrize(
    ("words", "language", "script"),
    [
        ("Привет, мир, как дела", "en", "Cyrillic"),
        ("夜空に星が光るよ、あなたの上に", "zh", "Hiragana"),
        ("カタカナバカリノウタ", "ko", "Katakana"),
        ("茉莉花开满园香也香不过它", "en", "Han"),
        ("아리랑 아라리요", "ja", "Hangul"),
        ("سلام دنیا حال شما", "he", "Arabic"),
        ("Ωραία που είναι η νύχτα", "ru", "Greek"),
        ("we sing it all in English, every single line of it", "ja", "Latin"),
        ("नमस्ते दुनिया कैसे हो", "ta", "Devanagari"),
    ],
)
def test_lyrics_in_other_letters_are_named(words: str, language: str, script: str) -> None:
    told = said(prompt(lyrics=f"[Verse]\n{words}", language=language))
    assert script in told and language in told and "set language" in told


@pytest.mark.parametrize(
    ("words", "language"),
    [
        ("café 北京", "en"),
        ("only short", "ja"),
        ("爱我 I love you baby every day and every night", "zh"),
        ("123 !!!", "ko"),
    ],
)
def test_a_foreign_word_or_line_is_no_mistake(words: str, language: str) -> None:
    assert said(prompt(lyrics=words, language=language)) == ""


@given(st.text(max_size=200), st.sampled_from(parameters.LANGUAGES))
def test_no_text_breaks_the_checks(text: str, language: str) -> None:
    clean = text.encode("utf-8", "ignore").decode()
    advice_on("prompt", prompt(clean, clean, language, bpm=90, key_scale="A minor", time_signature="3", duration=5.0))


def test_instrumental() -> None:
    assert "unknown" in said(prompt(lyrics=" [Instrumental]\n", language="ja"))
    assert said(prompt(lyrics="[instrumental]", language="en")) == "", "the defaults of the node say nothing"
    assert said(prompt(lyrics="[Instrumental]", language="unknown")) == ""
    assert "words" in said(prompt(lyrics="[Instrumental]\n[Verse]\nla la"))
    assert said(prompt(lyrics="[Instrumental]\n\n[Instrumental]")) == ""


def test_tempo_in_the_caption() -> None:
    assert "120 bpm" in said(prompt("house, 120 BPM", bpm=90))
    for caption, bpm in (("house, 120 bpm", 120), ("120bpm", 121), ("120-bpm then 90 bpm", 90), ("fast", 90)):
        assert said(prompt(caption, bpm=bpm)) == "", caption
    assert said(prompt("house, 120 bpm")) == ""


@pytest.mark.parametrize("caption", ["in C minor", "C# minor", "Db Major ballad", "key of A major", "G-flat maj"])
def test_another_key_in_the_caption(caption: str) -> None:
    assert "E minor" in said(prompt(caption, key_scale="E minor")) and "key_scale" in said(
        prompt(caption, key_scale="E minor")
    )


@pytest.mark.parametrize(
    ("caption", "key"),
    [("in F# minor", "Gb minor"), ("D flat major", "C# major"), ("A minor piece", "A minor"), ("E♭ major", "D# major"),
     ("A major success", "C minor"), ("C minimal techno", "E major"), ("B B Cb major", "B major"),
     ("a minor role", "G major"), ("from C major to A minor", "A minor")],
)  # fmt: skip
def test_the_same_key_or_none(caption: str, key: str) -> None:
    assert said(prompt(caption, key_scale=key)) == ""
    assert said(prompt(caption)) == ""


def test_metre_in_the_caption() -> None:
    assert "3" in said(prompt("waltz in 3/4", time_signature="4"))
    assert said(prompt("jig in 6/8", time_signature="6")) == said(prompt("waltz in 3/4", time_signature="3")) == ""
    assert said(prompt("waltz in 3/4")) == ""


def test_more_words_than_fit() -> None:
    told = said(prompt(lyrics="never gonna give you up " * 60, duration=20.0))
    assert "in 20 seconds" in told and re.search(r"about 4\d\d syllables", told)
    assert said(prompt(lyrics="never gonna give you up " * 60, duration=120.0)) == ""
    assert said(prompt(lyrics="never gonna give you up " * 60)) == "", "without a duration nobody knows"
    assert "syllables" in said(prompt(lyrics="あいうえお" * 100, language="ja", duration=10.0))


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("la la la", 3), ("banana", 3), ("rhythm", 1), ("夜空に", 3), ("아리랑", 3), ("привет", 2)],
)
def test_syllables(text: str, count: int) -> None:
    assert writing_systems.syllables(text) == count


SETTINGS = GuidanceSettings("sft", "XL sft", 7.0, has_negative=False, negative_weight=1.0)


def test_guidance() -> None:
    assert advice_on("guidance", SETTINGS) == []
    assert advice_on("guidance", replace(SETTINGS, training="turbo", scale=1.0)) == []
    (told,) = advice_on("guidance", replace(SETTINGS, training="turbo", model="2B turbo", scale=7.0))
    assert "2B turbo" in told and "scale to 1" in told
    assert advice_on("guidance", replace(SETTINGS, has_negative=True)) == []
    assert "scale is 1" in advice_on("guidance", replace(SETTINGS, has_negative=True, scale=1.0))[0]
    assert "negative_weight" in advice_on("guidance", replace(SETTINGS, has_negative=True, negative_weight=0.0))[0]


def linear(count: int, shift: float) -> tuple[float, ...]:
    return tuple(Schedule().make(count, shift, "")[0].tolist())


def messages(kind: str, count: int, shift: float, stated: float | None = 60.0, **changes: Any) -> list[str]:
    """Advice about a run of a minute whose prompt states a length, None for a prompt of another pack."""
    spoken = None if stated is None else prompt(duration=stated or None)
    run = make_run(model=f"XL {kind}", training=kind, sigmas=linear(count, shift), prompts=1, seconds=60.0)
    return advice_on("run", replace(run, **{"prompts": (spoken,), **changes}))


@pytest.mark.parametrize("kind", PRESETS)
def test_a_checkpoints_own_numbers_say_nothing(kind: str) -> None:
    usual = PRESETS[kind]
    assert messages(kind, usual.steps, usual.shift) == messages(kind, usual.steps, 1.0) == []


@pytest.mark.parametrize(
    ("kind", "count", "shift", "word"),
    [("sft", 8, 3.0, "unfinished"), ("base", 200, 3.0, "nothing"), ("turbo", 50, 3.0, "8"), ("turbo", 2, 3.0, "8"),
     ("sft", 50, 9.0, "shift 9"), ("base", 32, 0.5, "shift 0.5")],
)  # fmt: skip
def test_far_from_a_checkpoints_numbers(kind: str, count: int, shift: float, word: str) -> None:
    (told,) = messages(kind, count, shift)
    assert word in told and f"XL {kind}" in told


def test_parts_of_a_schedule_and_unknown_checkpoints_are_left_alone() -> None:
    assert messages("unknown", 2, 9.0) == []
    assert messages("sft", 3, 3.0, sigmas=(0.5, 0.2, 0.0)) == messages("sft", 3, 3.0, sigmas=(1.0, 0.6, 0.3)) == []


@given(st.floats(0.2, 9.0), st.integers(4, 60))
def test_the_shift_of_a_linear_schedule_is_found(shift: float, count: int) -> None:
    assert shift_of(linear(count, shift)) == pytest.approx(shift, rel=1e-3)


def test_other_schedules_have_no_shift() -> None:
    assert shift_of(Schedule().make(20, 3.0, "", "karras")[0].tolist()) is None
    assert shift_of([1.0, 0.0]) is None and shift_of([1.0, 0.9, 0.85, 0.1, 0.0]) is None


def test_length_of_prompt_and_song() -> None:
    assert "says 30 seconds" in messages("sft", 50, 3.0, stated=30.0)[0]
    assert (
        "states no length" in messages("sft", 50, 3.0, stated=0.0)[0]
        and "30 seconds" in messages("sft", 50, 3.0, stated=0.0)[0]
    )
    for told, seconds in ((60.0, 60.04), (61.5, 60.0), (0.0, 30.0), (0.0, 29.0), (None, 600.0), (590.0, 600.0)):
        assert messages("sft", 50, 3.0, stated=told, seconds=seconds) == [], (told, seconds)


def test_task_of_prompt_and_run() -> None:
    repaint, cover = Edit("repaint", None, 1.0), Edit("cover", None, 1.0)
    assert "no source" in messages("sft", 50, 3.0, prompt_task="cover")[0]
    assert "set up for repaint" in messages("sft", 50, 3.0, edit=repaint)[0]
    assert messages("sft", 50, 3.0, prompt_task="repaint", edit=repaint) == []
    assert messages("sft", 50, 3.0, prompt_task=None, edit=cover) == [], "another pack's node does not store its task"
    codes = PromptSize(100, 300, codes=True)
    assert messages("sft", 50, 3.0, prompt_task="cover", prompt_size=codes) == [], "codes stand for a source"


def test_an_unknown_stage_names_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"'mixing'.*prompt, guidance, run"):
        advice_on("mixing", None)


def test_every_check_says_what_it_looks_for() -> None:
    for stage, stage_checks in checks.CHECKS.items():
        for name, check in stage_checks.items():
            assert check.__doc__, (stage, name)


@pytest.mark.parametrize("name", ["scale", "steps"])
def test_the_nodes_say_their_hints(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = {
        "scale": {"guider.scale": 1.0, "guider.negative": ["text", 0]},
        "steps": {"text.lyrics": "Привет мир как дела", "text.duration": 200.0},
    }[name]
    graphs.run(tmp_path, settings)
    told = " | ".join(record.getMessage() for record in caplog.records)
    words = {"scale": ["the negative prompt has no effect"], "steps": ["Cyrillic", "3 steps on", "says 200 seconds"]}
    assert all(word in told for word in words[name]), told


def test_shipped_workflows_have_no_hints() -> None:
    """Their encode nodes as they are saved: caption, lyrics, language, bpm, key, beats, seconds."""
    seen = 0
    for path in sorted(WORKFLOWS.glob("*.json")):
        for node in json.loads(path.read_text("utf-8"))["nodes"]:
            if node["type"] == "AceStepXLEncode":
                caption, lyrics, language, bpm, key, beats, seconds = node["widgets_values"][:7]
                none = parameters.AUTO
                metadata = {"bpm": bpm or None, "key_scale": None if key == none else key}
                metadata |= {"time_signature": None if beats == none else beats, "duration": seconds or None}
                assert said(prompt(caption, lyrics, language, **metadata)) == "", path.name
                seen += 1
    assert seen >= 10
