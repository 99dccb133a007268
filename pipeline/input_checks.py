"""Checks of inputs that several nodes' VALIDATE_INPUTS share. A linked input arrives there as None."""

from __future__ import annotations

from collections.abc import Mapping


def join_answers(*answers: bool | str) -> bool | str:
    """What VALIDATE_INPUTS returns for several checks: every problem, or True."""
    return "; ".join(answer for answer in answers if isinstance(answer, str)) or True


def text_problem(texts: Mapping[str, str | None]) -> bool | str:
    """What VALIDATE_INPUTS returns for texts by name, none of which may hold half a surrogate pair."""
    problems = []
    for name, text in texts.items():
        half = next((i for i, character in enumerate(text or "") if "\ud800" <= character <= "\udfff"), None)
        if half is not None:
            problems.append(
                f"{name} contains half a surrogate pair, {(text or '')[half]!r}, at character {half}: the text was cut "
                "inside a character or decoded wrongly; enter it again"
            )
    return "; ".join(problems) or True
