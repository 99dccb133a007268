"""Scripts of lyrics: which letters a language is written with, and about how many syllables a text has."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

HAN, KANA, LATIN = "Han", ("Hiragana", "Katakana"), "Latin"
# Unicode names of letters begin with their script's.
NAMED = {
    "LATIN": LATIN, "CYRILLIC": "Cyrillic", "GREEK": "Greek", "CJK": HAN, "HIRAGANA": KANA[0], "KATAKANA": KANA[1],
    "HANGUL": "Hangul", "ARABIC": "Arabic", "HEBREW": "Hebrew", "DEVANAGARI": "Devanagari", "BENGALI": "Bengali",
    "TAMIL": "Tamil", "TELUGU": "Telugu", "GURMUKHI": "Gurmukhi", "THAI": "Thai", "BOPOMOFO": "Bopomofo",
}  # fmt: skip
# What is not listed is written in Latin letters.
WRITTEN: dict[str, tuple[str, ...]] = {
    "ar": ("Arabic",), "fa": ("Arabic",), "ur": ("Arabic",), "az": (LATIN, "Cyrillic", "Arabic"),
    "bg": ("Cyrillic",), "ru": ("Cyrillic",), "uk": ("Cyrillic",), "sr": ("Cyrillic", LATIN), "el": ("Greek",),
    "he": ("Hebrew",), "hi": ("Devanagari",), "ne": ("Devanagari",), "sa": ("Devanagari",), "bn": ("Bengali",),
    "ta": ("Tamil",), "te": ("Telugu",), "pa": ("Gurmukhi", "Arabic"), "th": ("Thai",), "ms": (LATIN, "Arabic"),
    "zh": (HAN, "Bopomofo"), "yue": (HAN, "Bopomofo"), "ja": (HAN, *KANA), "ko": ("Hangul", HAN),
}  # fmt: skip
# A loan word or a name is no mistake; this many letters and this share of all of them are.
FOREIGN_LETTERS, FOREIGN_SHARE = 6, 0.2
# English lines are common in songs of every language, and short texts say little.
ENTIRELY, ENOUGH_LETTERS = 0.95, 30


def count(text: str) -> Counter[str]:
    """Letters by script; those of no known script are "other"."""
    found: Counter[str] = Counter()
    for letter in text:
        if letter.isalpha():
            name = unicodedata.name(letter, "").split(" ", 1)[0].split("-", 1)[0]
            found[NAMED.get(name, "other")] += 1
    return found


def mismatch(text: str, language: str) -> str | None:
    """What of a text is not written the way its language is, in a sentence."""
    if language == "unknown":
        return None
    own, letters = WRITTEN.get(language, (LATIN,)), count(text)
    total = sum(letters.values())
    foreign = Counter({name: n for name, n in letters.items() if name not in (*own, LATIN, "other")})
    if foreign.total() >= FOREIGN_LETTERS and foreign.total() >= FOREIGN_SHARE * total:
        script = foreign.most_common(1)[0][0]
    elif LATIN not in own and total >= ENOUGH_LETTERS and letters[LATIN] >= ENTIRELY * total:
        script = LATIN
    else:
        return None
    return (
        f"the lyrics are in {script} letters and language is {language}, which is written in {' and '.join(own)}: "
        "set language to that of the lyrics"
    )


def syllables(text: str) -> int:
    """About how many syllables: one for each Han, kana or Hangul letter, and for each group of vowels of a word."""
    each = sum(n for name, n in count(text).items() if name in (HAN, *KANA, "Hangul"))
    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFD", text))
    spoken = [word for word in words if not count(word).keys() & {HAN, *KANA, "Hangul"}]
    return each + sum(max(1, len(re.findall(r"[aeiouyаеёиоуыэюяіїєαεηιουω]+", word.lower()))) for word in spoken)
