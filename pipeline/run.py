"""The description of one run: everything that decides its songs but the weights and the tensors.

The guider follows it, memory estimates and advice read it, and as JSON it can be stored or sent to another process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..model.prompt import Metadata, Prompt
from ..sampler.guidance import Guidance, ScaleCurve
from ..sampler.modifiers import MODIFIERS, Modifier, get_modifier
from .edit import Edit
from .solver_sampler import SolverSampler

TEXT_TO_MUSIC = "text2music"


@dataclass(frozen=True)
class PromptSize:
    """What the network reads of a prompt: tokens of the longest caption and of the longest lyrics, timbre references
    per prompt, whether audio codes stand for a source, and how many seconds of it."""

    caption: int
    lyrics: int
    references: int = 1
    codes: bool = False
    code_seconds: float = 0.0


@dataclass(frozen=True)
class Run:
    """One run of the network over a batch of songs.

    model, training: name and training of the checkpoint. seeds: one per song. frames: latent frames that the network
    runs at; seconds: the length of the song, which may be shorter. prompts: one for all songs or one each, None where
    another pack's node wrote it. prompt_task: the task the prompt was encoded for, None where that is unknown.
    negative: the negative prompts, empty for the learned null condition. edit: None for text to music. sigmas: the
    noise levels, empty where they are not known yet. solver: None for one of ComfyUI's samplers.
    """

    model: str
    training: str
    seeds: tuple[int, ...]
    frames: int
    seconds: float
    prompts: tuple[Prompt | None, ...]
    prompt_size: PromptSize
    prompt_task: str | None
    negative: tuple[Prompt | None, ...]
    negative_weight: float
    edit: Edit | None
    guidance: Guidance
    modifiers: tuple[Modifier, ...]
    sigmas: tuple[float, ...]
    solver: SolverSampler | None

    @property
    def songs(self) -> int:
        return len(self.seeds)

    @property
    def task(self) -> str:
        return TEXT_TO_MUSIC if self.edit is None else self.edit.task

    @property
    def is_guided(self) -> bool:
        """Whether any step can be guided, and so needs both halves."""
        return max(self.guidance.scale, self.guidance.curve.end_scale) > 1

    @property
    def uses_codes(self) -> bool:
        """Whether the source goes through audio codes."""
        return self.prompt_size.codes or self.task == "cover"

    @property
    def prompt_seconds(self) -> float | None:
        """The length that the prompt states, 0 where it states none; None where another pack's node wrote it."""
        lengths = [prompt.metadata.duration or 0 for prompt in self.prompts if prompt is not None]
        return lengths[-1] if lengths else None


def to_json(run: Run) -> dict[str, Any]:
    """The run as plain JSON values."""
    names = {kind: name for name, kind in MODIFIERS.items()}
    modifiers = [
        {"type": names[type(entry)], **{key: getattr(entry, key) for key in entry.SETTINGS}} for entry in run.modifiers
    ]
    return {**asdict(run), "modifiers": modifiers}


def from_json(data: Mapping[str, Any]) -> Run:
    """The run that `to_json` described, also after a trip through a JSON text."""
    guidance, edit, solver = data["guidance"], data["edit"], data["solver"]
    return Run(
        **{
            **data,
            "seeds": tuple(data["seeds"]),
            "prompts": _prompts(data["prompts"]),
            "prompt_size": PromptSize(**data["prompt_size"]),
            "negative": _prompts(data["negative"]),
            "edit": None if edit is None else _edit(edit),
            "guidance": Guidance(**{**guidance, "curve": ScaleCurve(**guidance["curve"])}),
            "modifiers": tuple(_modifier(settings) for settings in data["modifiers"]),
            "sigmas": tuple(data["sigmas"]),
            "solver": None if solver is None else SolverSampler(**solver),
        }
    )


def _prompts(values: Any) -> tuple[Prompt | None, ...]:
    return tuple(
        None if value is None else Prompt(**{**value, "metadata": Metadata(**value["metadata"])}) for value in values
    )


def _edit(value: Mapping[str, Any]) -> Edit:
    mask = value["mask"]
    rows = None if mask is None else tuple(tuple((length, level) for length, level in row) for row in mask)
    outside = tuple((start, end) for start, end in value["outside_frames"])
    return Edit(**{**value, "mask": rows, "outside_frames": outside})


def _modifier(settings: Mapping[str, Any]) -> Modifier:
    values = {key: value for key, value in settings.items() if key != "type"}
    return get_modifier(settings["type"])(**values)
