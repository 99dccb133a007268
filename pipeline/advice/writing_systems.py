"""The scripts that languages are written in, and an estimate of a text's syllables."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

HAN, KANA, LATIN = "Han", ("Hiragana", "Katakana"), "Latin"
# First word of a letter's Unicode name -> script.
SCRIPTS = {
    "LATIN": LATIN, "CYRILLIC": "Cyrillic", "GREEK": "Greek", "CJK": HAN, "HIRAGANA": KANA[0], "KATAKANA": KANA[1],
    "HANGUL": "Hangul", "ARABIC": "Arabic", "HEBREW": "Hebrew", "DEVANAGARI": "Devanagari", "BENGALI": "Bengali",
    "TAMIL": "Tamil", "TELUGU": "Telugu", "GURMUKHI": "Gurmukhi", "THAI": "Thai", "BOPOMOFO": "Bopomofo",
}  # fmt: skip
# Languages that are not listed use Latin letters.
LANGUAGE_SCRIPTS: dict[str, tuple[str, ...]] = {
    "ar": ("Arabic",), "fa": ("Arabic",), "ur": ("Arabic",), "az": (LATIN, "Cyrillic", "Arabic"),
    "bg": ("Cyrillic",), "ru": ("Cyrillic",), "uk": ("Cyrillic",), "sr": ("Cyrillic", LATIN), "el": ("Greek",),
    "he": ("Hebrew",), "hi": ("Devanagari",), "ne": ("Devanagari",), "sa": ("Devanagari",), "bn": ("Bengali",),
    "ta": ("Tamil",), "te": ("Telugu",), "pa": ("Gurmukhi", "Arabic"), "th": ("Thai",), "ms": (LATIN, "Arabic"),
    "zh": (HAN, "Bopomofo"), "yue": (HAN, "Bopomofo"), "ja": (HAN, *KANA), "ko": ("Hangul", HAN),
}  # fmt: skip
# Loan words and names are fine; a mismatch takes this many letters and this share of the text.
FOREIGN_LETTERS, FOREIGN_SHARE = 6, 0.2
# English lines are common in songs of every language, so only long texts entirely in Latin letters count.
ENTIRELY, ENOUGH_LETTERS = 0.95, 30


def letters_by_script(text: str) -> Counter[str]:
    """Number of letters in each script, "other" for unknown ones."""
    counts: Counter[str] = Counter()
    for letter in text:
        if letter.isalpha():
            name = unicodedata.name(letter, "").split(" ", 1)[0].split("-", 1)[0]
            counts[SCRIPTS.get(name, "other")] += 1
    return counts


def mismatch(text: str, language: str) -> str | None:
    """A message where a text is not in the script of its language."""
    if language == "unknown":
        return None
    expected, letters = LANGUAGE_SCRIPTS.get(language, (LATIN,)), letters_by_script(text)
    total = sum(letters.values())
    foreign = Counter({name: n for name, n in letters.items() if name not in (*expected, LATIN, "other")})
    if foreign.total() >= FOREIGN_LETTERS and foreign.total() >= FOREIGN_SHARE * total:
        script = foreign.most_common(1)[0][0]
    elif LATIN not in expected and total >= ENOUGH_LETTERS and letters[LATIN] >= ENTIRELY * total:
        script = LATIN
    else:
        return None
    return (
        f"the lyrics are in {script} letters and language is {language}, which is written in {' and '.join(expected)}: "
        "set language to that of the lyrics"
    )


def syllables(text: str) -> int:
    """An estimate: one for each Han, kana or Hangul letter, and one for each group of vowels in other words."""
    syllabic = sum(n for name, n in letters_by_script(text).items() if name in SYLLABIC)
    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFD", text))
    alphabetic = [word for word in words if not letters_by_script(word).keys() & {*SYLLABIC}]
    return syllabic + sum(max(1, len(VOWELS.findall(word.lower()))) for word in alphabetic)


SYLLABIC = (HAN, *KANA, "Hangul")
VOWELS = re.compile(r"[aeiouyаеёиоуыэюяіїєαεηιουω]+")
