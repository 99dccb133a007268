"""Advice: each check produces its message, and normal use produces none."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import make_run

from acestep_xl import parameters
from acestep_xl.audio.region_text import parse_regions
from acestep_xl.model.prompt import Metadata, Prompt, instruction
from acestep_xl.nodes.schedule import Schedule
from acestep_xl.pipeline.advice import checks, writing_systems
from acestep_xl.pipeline.advice.checks import advice_on
from acestep_xl.pipeline.advice.guidance_advice import GuidanceSettings
from acestep_xl.pipeline.advice.region_advice import SourceRegions
from acestep_xl.pipeline.advice.run_advice import shift_of
from acestep_xl.pipeline.edit import Edit
from acestep_xl.pipeline.run import PromptSize
from acestep_xl.runner.shipped import SHIPPED
from acestep_xl.sampler.presets import PRESETS

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


def make_prompt(caption: str = "waltz", lyrics: str = "[Verse]\nla", language: str = "en", **metadata: Any) -> Prompt:
    return Prompt(caption, lyrics, language, Metadata(**metadata), instruction("text2music"))


def prompt_advice(*texts: str, **values: Any) -> str:
    """All messages about the prompt of these arguments, in one text."""
    return " | ".join(advice_on("prompt", make_prompt(*texts, **values)))


def test_every_language_in_its_own_script_needs_no_advice() -> None:
    assert set(LYRICS) == set(parameters.LANGUAGES)
    for language, words in LYRICS.items():
        lyrics = f"[Verse 1]\n{words}\n{words}\n\n[Chorus: choir, Минор]\n{words} (oh yeah, baby)\n"
        assert prompt_advice(lyrics=lyrics, language=language) == "", (language, words)


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
def test_lyrics_in_another_script_are_named(words: str, language: str, script: str) -> None:
    advice = prompt_advice(lyrics=f"[Verse]\n{words}", language=language)
    assert script in advice and language in advice and "set language" in advice


@pytest.mark.parametrize(
    ("words", "language"),
    [
        ("café 北京", "en"),
        ("only short", "ja"),
        ("爱我 I love you baby every day and every night", "zh"),
        ("123 !!!", "ko"),
    ],
)
def test_a_foreign_word_or_line_is_no_mismatch(words: str, language: str) -> None:
    assert prompt_advice(lyrics=words, language=language) == ""


@given(st.text(max_size=200), st.sampled_from(parameters.LANGUAGES))
def test_no_text_breaks_the_checks(text: str, language: str) -> None:
    clean = text.encode("utf-8", "ignore").decode()
    prompt_advice(clean, clean, language, bpm=90, key_scale="A minor", time_signature="3", duration=5.0)


def test_instrumental() -> None:
    assert "unknown" in prompt_advice(lyrics=" [Instrumental]\n", language="ja")
    assert prompt_advice(lyrics="[instrumental]", language="en") == "", "the defaults of the node need no advice"
    assert prompt_advice(lyrics="[Instrumental]", language="unknown") == ""
    assert "words" in prompt_advice(lyrics="[Instrumental]\n[Verse]\nla la")
    assert prompt_advice(lyrics="[Instrumental]\n\n[Instrumental]") == ""


def test_tempo_in_the_caption() -> None:
    assert "120 bpm" in prompt_advice("house, 120 BPM", bpm=90)
    for caption, bpm in (("house, 120 bpm", 120), ("120bpm", 121), ("120-bpm then 90 bpm", 90), ("fast", 90)):
        assert prompt_advice(caption, bpm=bpm) == "", caption
    assert prompt_advice("house, 120 bpm") == ""


@pytest.mark.parametrize("caption", ["in C minor", "C# minor", "Db Major ballad", "key of A major", "G-flat maj"])
def test_another_key_in_the_caption(caption: str) -> None:
    advice = prompt_advice(caption, key_scale="E minor")
    assert "E minor" in advice and "key_scale" in advice


@pytest.mark.parametrize(
    ("caption", "key"),
    [("in F# minor", "Gb minor"), ("D flat major", "C# major"), ("A minor piece", "A minor"), ("E♭ major", "D# major"),
     ("A major success", "C minor"), ("C minimal techno", "E major"), ("B B Cb major", "B major"),
     ("a minor role", "G major"), ("from C major to A minor", "A minor")],
)  # fmt: skip
def test_the_same_key_or_none_in_the_caption(caption: str, key: str) -> None:
    assert prompt_advice(caption, key_scale=key) == ""
    assert prompt_advice(caption) == ""


def test_metre_in_the_caption() -> None:
    assert "3" in prompt_advice("waltz in 3/4", time_signature="4")
    assert prompt_advice("jig in 6/8", time_signature="6") == prompt_advice("waltz in 3/4", time_signature="3") == ""
    assert prompt_advice("waltz in 3/4") == ""


def test_more_words_than_fit() -> None:
    advice = prompt_advice(lyrics="never gonna give you up " * 60, duration=20.0)
    assert "in 20 seconds" in advice and re.search(r"about 4\d\d syllables", advice)
    assert prompt_advice(lyrics="never gonna give you up " * 60, duration=120.0) == ""
    assert prompt_advice(lyrics="never gonna give you up " * 60) == "", "without a duration there is no limit"
    assert "syllables" in prompt_advice(lyrics="あいうえお" * 100, language="ja", duration=10.0)


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
    (message,) = advice_on("guidance", replace(SETTINGS, training="turbo", model="2B turbo", scale=7.0))
    assert "2B turbo" in message and "scale to 1" in message
    assert advice_on("guidance", replace(SETTINGS, has_negative=True)) == []
    assert "scale is 1" in advice_on("guidance", replace(SETTINGS, has_negative=True, scale=1.0))[0]
    assert "negative_weight" in advice_on("guidance", replace(SETTINGS, has_negative=True, negative_weight=0.0))[0]


def linear(count: int, shift: float) -> tuple[float, ...]:
    return tuple(Schedule().make(count, shift, "")[0].tolist())


def run_advice(kind: str, count: int, shift: float, stated: float | None = 60.0, **changes: Any) -> list[str]:
    """Advice on a run of one minute whose prompt states a length; None for a prompt of another pack."""
    prompt = None if stated is None else make_prompt(duration=stated or None)
    run = make_run(model=f"XL {kind}", training=kind, sigmas=linear(count, shift), prompts=1, seconds=60.0)
    return advice_on("run", replace(run, **{"prompts": (prompt,), **changes}))


@pytest.mark.parametrize("kind", PRESETS)
def test_the_preset_of_a_checkpoint_needs_no_advice(kind: str) -> None:
    preset = PRESETS[kind]
    assert run_advice(kind, preset.steps, preset.shift) == run_advice(kind, preset.steps, 1.0) == []


@pytest.mark.parametrize(
    ("kind", "count", "shift", "word"),
    [("sft", 8, 3.0, "unfinished"), ("base", 200, 3.0, "nothing"), ("turbo", 50, 3.0, "8"), ("turbo", 2, 3.0, "8"),
     ("sft", 50, 9.0, "shift 9"), ("base", 32, 0.5, "shift 0.5")],
)  # fmt: skip
def test_settings_far_from_the_preset(kind: str, count: int, shift: float, word: str) -> None:
    (message,) = run_advice(kind, count, shift)
    assert word in message and f"XL {kind}" in message


def test_partial_schedules_and_unknown_checkpoints_need_no_advice() -> None:
    assert run_advice("unknown", 2, 9.0) == []
    assert run_advice("sft", 3, 3.0, sigmas=(0.5, 0.2, 0.0)) == run_advice("sft", 3, 3.0, sigmas=(1.0, 0.6, 0.3)) == []


@given(st.floats(0.2, 9.0), st.integers(4, 60))
def test_the_shift_of_a_linear_schedule_is_recovered(shift: float, count: int) -> None:
    assert shift_of(linear(count, shift)) == pytest.approx(shift, rel=1e-3)


def test_other_schedules_have_no_shift() -> None:
    assert shift_of(Schedule().make(20, 3.0, "", "karras")[0].tolist()) is None
    assert shift_of([1.0, 0.0]) is None and shift_of([1.0, 0.9, 0.85, 0.1, 0.0]) is None


def test_length_of_prompt_and_song() -> None:
    assert "says 30 seconds" in run_advice("sft", 50, 3.0, stated=30.0)[0]
    (message,) = run_advice("sft", 50, 3.0, stated=0.0)
    assert "states no length" in message and "30 seconds" in message
    for stated, seconds in ((60.0, 60.04), (61.5, 60.0), (0.0, 30.0), (0.0, 29.0), (None, 600.0), (590.0, 600.0)):
        assert run_advice("sft", 50, 3.0, stated=stated, seconds=seconds) == [], (stated, seconds)


def test_task_of_prompt_and_run() -> None:
    repaint, cover = Edit("repaint", None, 1.0), Edit("cover", None, 1.0)
    assert "no source" in run_advice("sft", 50, 3.0, prompt_task="cover")[0]
    assert "set up for repaint" in run_advice("sft", 50, 3.0, edit=repaint)[0]
    assert run_advice("sft", 50, 3.0, prompt_task="repaint", edit=repaint) == []
    assert run_advice("sft", 50, 3.0, prompt_task=None, edit=cover) == [], "nodes of other packs store no task"
    codes = PromptSize(100, 300, codes=True)
    assert run_advice("sft", 50, 3.0, prompt_task="cover", prompt_size=codes) == [], "codes replace a source"


def test_audio_codes_for_another_length_than_the_songs() -> None:
    def advice(code_seconds: float, seconds: float) -> list[str]:
        size = PromptSize(100, 300, codes=True, code_seconds=code_seconds)
        return run_advice("sft", 50, 3.0, prompt_task="cover", prompt_size=size, stated=None, seconds=seconds)

    (short,), (long,) = advice(12.0, 30.0), advice(120.0, 60.0)
    assert "codes last 12 seconds and the song 30" in short and "silence" in short
    assert "codes last 120 seconds and the song 60" in long and "cut off" in long
    assert advice(30.0, 30.0) == advice(30.2, 30.0) == advice(29.8, 30.04) == []


def regions_advice(text: str, seconds: float) -> str:
    return " | ".join(advice_on("regions", SourceRegions(parse_regions(text), seconds)))


def test_regions_that_do_not_touch_their_source() -> None:
    after = regions_advice("100-200", 8.0)
    assert "region 100 s to 200 s starts 92 s after the source, which ends at 8 s" in after
    assert "20 s before the source starts" in regions_advice("-30--20", 8.0)
    both = regions_advice("2-3, 60-70, end-12, 50-51", 8.0)
    assert "60 s to 70 s" in both and "50 s to 51 s" in both and both.count("region") == 2 * 2


@pytest.mark.parametrize("text", ["3-5", "start-end", "end-20", "8.5-20", "-4-0, 6-12", "-4--0.5", "7-200"])
def test_regions_at_their_source_need_no_advice(text: str) -> None:
    assert regions_advice(text, 8.0) == ""


def test_an_unknown_stage_names_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"'mixing'.*prompt, guidance, run"):
        advice_on("mixing", None)


def test_every_check_has_a_docstring() -> None:
    for stage, stage_checks in checks.CHECKS.items():
        for name, check in stage_checks.items():
            assert check.__doc__, (stage, name)


def test_shipped_workflows_need_no_advice() -> None:
    """Widget values of a saved encode node: caption, lyrics, language, bpm, key, beats, seconds."""
    count = 0
    for path in SHIPPED.values():
        for node in json.loads(path.read_text("utf-8"))["nodes"]:
            if node["type"] == "AceStepXLEncode":
                caption, lyrics, language, bpm, key, beats, seconds = node["widgets_values"][:7]
                auto = parameters.AUTO
                metadata = {"bpm": bpm or None, "key_scale": None if key == auto else key}
                metadata |= {"time_signature": None if beats == auto else beats, "duration": seconds or None}
                assert prompt_advice(caption, lyrics, language, **metadata) == "", path.name
                count += 1
    assert count >= 10
