"""Warnings about guidance that harms the checkpoint's songs or that has no effect."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GuidanceSettings:
    """What the guidance node knows. training, model: of the checkpoint. has_negative: whether a negative prompt is
    connected and not empty."""

    training: str
    model: str
    scale: float
    has_negative: bool
    negative_weight: float


def turbo_guidance(settings: GuidanceSettings) -> str | None:
    """Guidance on a checkpoint that was distilled to run without it."""
    if settings.training != "turbo" or settings.scale <= 1:
        return None
    return f"{settings.model} was trained to run without guidance and sounds harsh with it: set scale to 1"


def unused_negative(settings: GuidanceSettings) -> str | None:
    """A negative prompt without effect."""
    if not settings.has_negative or (settings.scale > 1 and settings.negative_weight > 0):
        return None
    cause = "scale is 1" if settings.scale <= 1 else "negative_weight is 0"
    return f"the negative prompt has no effect while {cause}: raise it, or disconnect the prompt"
