"""The type of a parameter, and model constants that several folders need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

KEY_SCALES: tuple[str, ...] = tuple(
    f"{note}{accidental} {mode}" for note in "CDEFGAB" for accidental in ("", "#", "b") for mode in ("major", "minor")
)
AUTO = "auto"

SAMPLE_RATE = 48000
FRAME_SAMPLES = 1920  # one latent frame
FRAME_RATE = SAMPLE_RATE // FRAME_SAMPLES
LATENT_CHANNELS = 64
MINIMUM_FRAMES = 128  # the network never runs on fewer; see nodes/sampler.py

Kind = Literal["INT", "FLOAT", "STRING", "BOOLEAN", "CHOICE"]


@dataclass(frozen=True)
class Parameter:
    """One value a user can set."""

    name: str
    kind: Kind
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    multiline: bool = False
    advanced: bool = False
    seed: bool = False

    def widget(self) -> tuple[Any, dict[str, Any]]:
        """ComfyUI's INPUT_TYPES entry for this parameter."""
        options: dict[str, Any] = {"default": self.default, "tooltip": self.help}
        if self.advanced:
            options["advanced"] = True
        if self.kind == "CHOICE":
            return list(self.choices), options
        if self.kind in ("INT", "FLOAT"):
            options |= {"min": self.minimum, "max": self.maximum, "step": self.step}
        if self.kind == "STRING":
            options |= {"multiline": self.multiline}
        if self.seed:
            options["control_after_generate"] = True
        return self.kind, options
