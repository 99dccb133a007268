"""Prompt text: the official strings character for character, instructions, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_xl import parameters
from acestep_xl.model.prompt import (
    END,
    INSTRUCTIONS,
    TRACKS,
    Metadata,
    Prompt,
    caption_cut_warning,
    caption_prompt,
    find_problems,
    instruction,
    lyric_cut_warning,
    lyric_prompt,
)

TEXT2MUSIC = "Fill the audio semantic mask based on the given conditions:"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def test_caption_prompt_with_all_metadata() -> None:
    metadata = Metadata(bpm=128, time_signature="4", key_scale="F# minor", duration=119.9)
    assert caption_prompt("warm lo-fi, soft piano", metadata, TEXT2MUSIC) == (
        "# Instruction\n"
        "Fill the audio semantic mask based on the given conditions:\n"
        "\n"
        "# Caption\n"
        "warm lo-fi, soft piano\n"
        "\n"
        "# Metas\n"
        "- bpm: 128\n"
        "- timesignature: 4\n"
        "- keyscale: F# minor\n"
        "- duration: 119 seconds\n"
        "<|endoftext|>\n"
    )


def test_caption_prompt_left_to_the_model() -> None:
    assert caption_prompt("", Metadata(), "Repaint the mask area based on the given conditions") == (
        "# Instruction\nRepaint the mask area based on the given conditions:\n\n# Caption\n\n\n# Metas\n"
        "- bpm: N/A\n- timesignature: N/A\n- keyscale: N/A\n- duration: 30 seconds\n<|endoftext|>\n"
    )


def test_lyric_prompt() -> None:
    lyrics = "[Verse]\nNeon rain\n\n[Chorus]\nStay\n"
    assert lyric_prompt(lyrics, "en") == (
        "# Languages\nen\n\n# Lyric\n[Verse]\nNeon rain\n\n[Chorus]\nStay\n<|endoftext|>"
    )
    assert lyric_prompt("", "unknown") == "# Languages\nunknown\n\n# Lyric\n<|endoftext|>"


@given(caption=texts, lyrics=texts, name=st.sampled_from(list(INSTRUCTIONS)))
def test_text_survives_verbatim(caption: str, lyrics: str, name: str) -> None:
    sentence = instruction(name)
    text = caption_prompt(caption, Metadata(bpm=90), sentence)
    head = f"# Instruction\n{sentence}\n\n# Caption\n"
    tail = "\n\n# Metas\n- bpm: 90\n- timesignature: N/A\n- keyscale: N/A\n- duration: 30 seconds\n<|endoftext|>\n"
    assert text.startswith(head) and text.endswith(tail)
    assert text[len(head) : len(text) - len(tail)] == caption
    words = lyric_prompt(lyrics, "ja")
    assert words == "# Languages\nja\n\n# Lyric\n" + lyrics + "<|endoftext|>"


def test_prompt_gives_both_texts() -> None:
    prompt = Prompt("{} {caption} %s", "{0}", "de", Metadata(key_scale="B♭ major"), "Cover")
    assert prompt.caption_text == caption_prompt("{} {caption} %s", Metadata(key_scale="Bb major"), "Cover:")
    assert prompt.lyric_text == "# Languages\nde\n\n# Lyric\n{0}<|endoftext|>"


@pytest.mark.parametrize(
    ("task", "tracks", "expected"),
    [
        ("text2music", (), "Fill the audio semantic mask based on the given conditions:"),
        ("cover", (), "Generate audio semantic tokens based on the given conditions:"),
        ("cover-nofsq", (), "Generate audio semantic tokens based on the given conditions:"),
        ("repaint", (), "Repaint the mask area based on the given conditions:"),
        ("extract", (), "Extract the track from the audio:"),
        ("extract", ("vocals",), "Extract the VOCALS track from the audio:"),
        ("lego", (), "Generate the track based on the audio context:"),
        ("lego", ("Backing_Vocals",), "Generate the BACKING_VOCALS track based on the audio context:"),
        ("complete", (), "Complete the input track:"),
        ("complete", ("drums",), "Complete the input track with DRUMS:"),
        ("complete", ("drums", "bass", "FX"), "Complete the input track with DRUMS | BASS | FX:"),
    ],
)
def test_instruction(task: str, tracks: tuple[str, ...], expected: str) -> None:
    assert instruction(task, tracks) == expected


def test_every_task_and_track_is_covered() -> None:
    assert list(INSTRUCTIONS) == ["text2music", "cover", "cover-nofsq", "repaint", "extract", "lego", "complete"]
    assert len(TRACKS) == len(set(TRACKS)) == 12
    assert all(
        instruction("extract", [track]) == f"Extract the {track.upper()} track from the audio:" for track in TRACKS
    )


@pytest.mark.parametrize(
    ("task", "tracks", "parts"),
    [
        ("remix", (), ["'remix'", "text2music", "complete"]),
        ("extract", ("kazoo", "drums", "tuba"), ["'kazoo', 'tuba'", "woodwinds", "vocals"]),
        ("lego", ("drums", "bass"), ["one track", "drums"]),
        ("repaint", ("drums",), ["takes no tracks", "extract, lego, complete"]),
    ],
)
def test_instruction_refuses(task: str, tracks: tuple[str, ...], parts: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        instruction(task, tracks)
    assert all(part in str(error.value) for part in parts)


@pytest.mark.parametrize("bpm", [None, 30, 300])
@pytest.mark.parametrize("duration", [None, 1, 600.0])
def test_limits_are_allowed(bpm: int | None, duration: float | None) -> None:
    assert find_problems(Metadata(bpm, "6", "C major", duration), "unknown") == []


def test_every_choice_is_allowed() -> None:
    for key in parameters.KEY_SCALES:
        spelled = key[0] + key[1:].replace("#", "♯", 1).replace("b ", "♭ ", 1)
        assert find_problems(Metadata(key_scale=key), "en") == find_problems(Metadata(key_scale=spelled), "en") == []
        assert Metadata(key_scale=spelled).fields()["keyscale"] == key
    assert all(find_problems(Metadata(), language) == [] for language in parameters.LANGUAGES)
    assert all(find_problems(Metadata(time_signature=beats), "en") == [] for beats in "2346")


@pytest.mark.parametrize("bpm", [29, 301, 0, -1, 120.0, True])
def test_bpm_out_of_range(bpm: int) -> None:
    (problem,) = find_problems(Metadata(bpm=bpm), "en")
    assert repr(bpm) in problem and "30 to 300" in problem


@pytest.mark.parametrize("duration", [0.5, 600.1, float("nan"), float("inf"), -3])
def test_duration_out_of_range(duration: float) -> None:
    (problem,) = find_problems(Metadata(duration=duration), "en")
    assert repr(duration) in problem and "1 to 600 seconds" in problem


def test_all_problems_at_once() -> None:
    with pytest.raises(ValueError) as error:
        Prompt("a\ud800b", "x", "klingon", Metadata(20, "4/4", "H major", 9000), TEXT2MUSIC)
    message = str(error.value)
    for part in (
        "bpm 20",
        "'4/4'",
        "2, 3, 4, 6",
        "'H major'",
        "duration 9000",
        "'klingon'",
        "yue",
        "caption: character 1",
    ):
        assert part in message


def one_token_per_character(text: str) -> list[tuple[int, int]]:
    return [(index, index + 1) for index in range(len(text))]


def prompt_of(caption: str = "slow harp and rain", lyrics: str = "la") -> Prompt:
    return Prompt(caption, lyrics, "en", Metadata(bpm=90, key_scale="C major", duration=60), TEXT2MUSIC)


@pytest.mark.parametrize(
    ("after", "lost"),
    [
        ("\n", "only the closing mark of the template; "),
        ("- duration: 60 sec", "model: duration; "),
        ("- keyscale: C", "model: keyscale and duration; "),
        ("- timesignature: N/A", "model: keyscale and duration; "),
        ("- timesignature: N/A\n", "model: keyscale and duration; "),
        ("- timesignature: N/", "model: timesignature, keyscale and duration; "),
        ("- bpm: 9", "model: bpm, timesignature, keyscale and duration; "),
        ("harp and ", "model: the caption from 'rain' on, bpm, timesignature, keyscale and duration; "),
    ],
)
def test_caption_cut_warning_names_what_is_lost(after: str, lost: str) -> None:
    prompt = prompt_of()
    text = prompt.caption_text
    room = text.rindex("seconds\n") + 8 if after == "\n" else text.rindex(after) + len(after)
    message = caption_cut_warning(prompt, one_token_per_character(text), room)
    assert lost in message
    assert message.startswith(f"caption: {len(text) + 1} tokens exceed the limit of {room + 1}; ")


def test_caption_cut_warning_says_how_much_to_shorten() -> None:
    prompt = prompt_of()
    text = prompt.caption_text
    message = caption_cut_warning(prompt, one_token_per_character(text), len(text) - 9)
    assert message.endswith("shorten the caption by about 2 words (9 characters)")  # " and rain"
    assert caption_cut_warning(prompt, one_token_per_character(text), len(text)) == ""


def test_caption_cut_warning_is_not_fooled_by_the_caption() -> None:
    prompt = prompt_of(caption="x\n\n# Caption\n# Metas\n- bpm: 1\n- duration: 2\n")
    text = prompt.caption_text
    message = caption_cut_warning(prompt, one_token_per_character(text), text.rindex("- duration"))
    assert "model: duration; " in message


def test_lyric_cut_warning() -> None:
    prompt = prompt_of(lyrics="one two three four five six seven eight nine ten")
    text = prompt.lyric_text
    tokens = one_token_per_character(text)
    message = lyric_cut_warning(prompt, tokens, text.index("three"))
    assert f"lyrics: {len(text) + 1} tokens exceed the limit of {text.index('three') + 1}; " in message
    assert "no longer read by the model: the lyrics from 'three four five six seven eight' on; " in message
    assert lyric_cut_warning(prompt, tokens, len(text)) == ""
    closing = lyric_cut_warning(prompt, tokens, len(text) - len(END))
    assert "only the closing mark of the template; shorten the lyrics by about 3 words (13 characters)" in closing
