"""Translations by English text: docs/words/LANGUAGE.json.

The English text is the key, so a text that changes needs a new translation instead of silently keeping the old one.
"""

from __future__ import annotations

import json

from pages import DOCS

FOLDER = DOCS / "words"
ENGLISH = "en"


class Words:
    """The words of one language; English has no table. Call it to translate a text.

    missing: texts without a translation that were asked for; they stay English.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self.missing: dict[str, None] = {}
        self._used: set[str] = set()
        file = FOLDER / f"{language}.json"
        self._table: dict[str, str] = {} if language == ENGLISH else json.loads(file.read_text("utf-8"))

    def __call__(self, text: str) -> str:
        if self.language == ENGLISH or not text:
            return text
        self._used.add(text)
        if text not in self._table:
            self.missing[text] = None
        return self._table.get(text, text)

    def unused(self) -> list[str]:
        """Texts in the table that were never asked for."""
        return [text for text in self._table if text not in self._used]


def languages() -> list[str]:
    """English and every language with a table."""
    return [ENGLISH, *sorted(file.stem for file in FOLDER.glob("*.json"))]
