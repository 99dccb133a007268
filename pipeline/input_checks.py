"""Checks of inputs that several nodes' VALIDATE_INPUTS share. A linked input arrives there as None.

Naming an input there switches ComfyUI's own check of its range and choices off, so these check both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import parameters

# ComfyUI hands a linked input to the check as None and leaves an unconnected one out: the default for those.
UNCONNECTED = object()


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


def settings_problem(
    make: Callable[..., object], values: Mapping[str, Any], parameter_names: Mapping[str, str]
) -> bool | str:
    """What VALIDATE_INPUTS returns for settings that `make` accepts by name or refuses with ValueError.

    parameter_names: argument -> the parameter whose default stands for a linked value.
    """
    arguments = {
        name: parameters.get(parameter_names[name]).default if value is None else value
        for name, value in values.items()
    }
    try:
        make(**arguments)
    except ValueError as error:
        return str(error)
    return True


def source_problem(purpose: str, audio: object, latent: object, vae: object) -> bool | str:
    """What VALIDATE_INPUTS returns for a recording or latent, of which one is needed, and the VAE that a recording
    needs. purpose: what they are."""
    if audio is UNCONNECTED and latent is UNCONNECTED:
        return f"no {purpose}: connect audio, or the latent of an earlier run"
    if latent is UNCONNECTED and vae is UNCONNECTED:
        return f"{purpose} audio needs the VAE: connect the loader's vae"
    return True
