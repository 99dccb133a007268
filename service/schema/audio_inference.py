"""The audioInference task: one song, or several variations of it, from a prompt and perhaps a source."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from ...parameters import api
from .model import Model


class AudioSettings(Model):
    """How MP3 and OGG are encoded."""

    PREFIX: ClassVar[str] = "audioSettings."

    bitrate: int | None = Field(None, alias="bitrate")
    channels: int | None = Field(None, alias="channels")
    sample_rate: int | None = Field(None, alias="sampleRate")


class Inputs(Model):
    """What the result is made from."""

    PREFIX: ClassVar[str] = "inputs."

    audio: str | None = Field(None, alias="audio")


class Settings(Model):
    """Details of the music and of guidance."""

    PREFIX: ClassVar[str] = "settings."

    bpm: int | None = Field(None, alias="bpm")
    cfg_interval_end: float | None = Field(None, alias="cfgIntervalEnd")
    cfg_interval_start: float | None = Field(None, alias="cfgIntervalStart")
    guidance_type: str | None = Field(None, alias="guidanceType")
    key_scale: str | None = Field(None, alias="keyScale")
    lyrics: str | None = Field(None, alias="lyrics")
    repainting_end: float | None = Field(None, alias="repaintingEnd")
    repainting_start: float | None = Field(None, alias="repaintingStart")
    time_signature: int | None = Field(None, alias="timeSignature")
    vocal_language: str | None = Field(None, alias="vocalLanguage")


class AdvancedFeatures(Model):
    """Additions. modular_scheduler: the recipe of the scheduler, its JSON object or a composite name."""

    PREFIX: ClassVar[str] = "advancedFeatures."

    modular_scheduler: dict[str, Any] | str | None = Field(None, alias="modularScheduler")


class AudioInference(Model):
    """A task in which each value is allowed and all go together. What was not given is None; see ``value``."""

    task_type: Literal["audioInference"] = Field(alias="taskType")
    task_uuid: str = Field(alias="taskUUID")
    model: str = Field(alias="model")
    positive_prompt: str = Field(alias="positivePrompt")
    negative_prompt: str | None = Field(None, alias="negativePrompt")
    duration: float | None = Field(None, alias="duration")
    seed: int | None = Field(None, alias="seed")
    steps: int | None = Field(None, alias="steps")
    cfg_scale: float | None = Field(None, alias="CFGScale")
    strength: float | None = Field(None, alias="strength")
    output_type: str | None = Field(None, alias="outputType")
    output_format: str | None = Field(None, alias="outputFormat")
    audio_settings: AudioSettings | None = Field(None, alias="audioSettings")
    webhook_url: str | None = Field(None, alias="webhookURL")
    delivery_method: str | None = Field(None, alias="deliveryMethod")
    upload_endpoint: str | None = Field(None, alias="uploadEndpoint")
    ttl: int | None = Field(None, alias="ttl")
    include_cost: bool | None = Field(None, alias="includeCost")
    number_results: int | None = Field(None, alias="numberResults")
    inputs: Inputs | None = Field(None, alias="inputs")
    settings: Settings | None = Field(None, alias="settings")
    advanced_features: AdvancedFeatures | None = Field(None, alias="advancedFeatures")

    def value(self, name: str) -> Any:
        """What holds for a parameter, by its dotted name on the page: what was given, else the page's default, else
        None. A name the page doesn't have is a KeyError."""
        default = api.get(name).default
        found: Any = self.to_json()
        for key in name.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        return default if found is None else found
