"""A source as latents on the edit's timeline, from any AUDIO or from the LATENT of an earlier run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import parameters
from ..audio.resample import resample, to_stereo
from ..audio.splice import place_on_timeline
from ..audio.timeline import EditTimeline, Span, make_timeline
from ..audio.waveform import non_finite
from ..host import current_host
from . import vae_socket
from .advice.checks import advice_on
from .advice.region_advice import SourceRegions
from .edit import EDIT, sample_count

NO_SOURCE = "no source: connect audio, or the latent of an earlier run"


@dataclass(frozen=True)
class Source:
    """latents: ``[b 64 t]`` on the edit's timeline. waveform: the source itself, ``[b c n]`` at 48 kHz with its own
    channels, or None when it came as latents alone. outside_frames: (start, end) of frames beyond the latents."""

    timeline: EditTimeline
    latents: Tensor
    waveform: Tensor | None
    outside_frames: tuple[tuple[int, int], ...]


def read(vae: Any, audio: dict[str, Any] | None, latent: dict[str, Any] | None, spans: tuple[Span, ...]) -> Source:
    """Bring a source to 48 kHz and onto the timeline that the spans ask for.

    A LATENT is used as it is, without the VAE; an AUDIO beside it is then only what the splice puts back. Raises
    ValueError for neither, for NaN, and where the two do not belong together.
    """
    waveform = None if audio is None else at_48_khz(audio)
    current_host().advise(advice_on("regions", SourceRegions(spans, seconds(audio, latent))))
    if latent is not None:
        return _from_latent(latent, waveform, spans)
    if waveform is None:
        raise ValueError(NO_SOURCE)
    if vae is None:
        raise ValueError("source audio needs the VAE: connect the loader's vae")
    timeline = make_timeline(waveform.shape[-1], spans, whole_frames=False)
    # The VAE was trained on full scale; only what it sees is limited, the splice keeps the source's own samples.
    latents = vae_socket.encode(vae, to_stereo(place_on_timeline(waveform, timeline)).clamp(-1, 1))
    return Source(timeline, latents, waveform, ())


def at_48_khz(audio: dict[str, Any]) -> Tensor:
    """An AUDIO socket's ``[b c n]`` at 48 kHz, float32 on the CPU; mono stays mono, more than two channels become 2."""
    waveform = audio["waveform"].detach().float().cpu()
    if waveform.ndim != 3 or 0 in waveform.shape:
        raise ValueError(f"source audio has shape {list(waveform.shape)}, expected [songs channels samples]")
    bad = non_finite(waveform)
    if bad:
        raise ValueError(f"source audio contains {bad}; export it again from a clean source")
    if waveform.shape[1] > 2:
        waveform = to_stereo(waveform)
    return resample(waveform, audio["sample_rate"], parameters.SAMPLE_RATE)


def _from_latent(latent: dict[str, Any], waveform: Tensor | None, spans: tuple[Span, ...]) -> Source:
    latents, hop = checked_latents(latent), parameters.FRAME_SAMPLES
    frames = latents.shape[-1]
    samples = sample_count(latent) or frames * hop
    if waveform is not None:
        samples = waveform.shape[-1]
        audio_frames = math.ceil(samples / hop)
        if audio_frames != frames:
            raise ValueError(
                f"source audio is {audio_frames} latent frames long, the source latent {frames}: they are not one "
                "song; connect the audio decoded from this latent, or one of the two"
            )
    timeline = make_timeline(samples, spans, whole_frames=True)
    left = timeline.left // hop
    padded = torch.zeros(*latents.shape[:2], timeline.frames)
    padded[..., left : left + frames] = latents
    outside = ((0, left), (left + frames, timeline.frames))
    return Source(timeline, padded, waveform, tuple(span for span in outside if span[0] < span[1]))


def checked_latents(latent: dict[str, Any]) -> Tensor:
    """The latents of a source, ``[b 64 t]`` float32 on the CPU. Raises ValueError for anything else."""
    if EDIT in latent:
        raise ValueError(
            "source latent is set up for another edit and has not been sampled: put a sampler between the two nodes"
        )
    latents = latent["samples"]
    if latents.ndim != 3 or latents.shape[1] != parameters.LATENT_CHANNELS or 0 in latents.shape:
        raise ValueError(
            f"source latent has shape {list(latents.shape)}, expected [songs {parameters.LATENT_CHANNELS} frames]"
        )
    bad = non_finite(latents)
    if bad:
        raise ValueError(f"source latent contains {bad}; run what made it again")
    return latents.detach().float().cpu()


def seconds(audio: dict[str, Any] | None, latent: dict[str, Any] | None) -> float:
    """Length of a source in seconds."""
    if audio is not None:
        return audio["waveform"].shape[-1] / audio["sample_rate"]
    if latent is None:
        raise ValueError(NO_SOURCE)
    samples = sample_count(latent) or latent["samples"].shape[-1] * parameters.FRAME_SAMPLES
    return samples / parameters.SAMPLE_RATE


def repeat(tensor: Tensor, batch: int) -> Tensor:
    """A source for each of ``batch`` songs; one that is a batch already keeps its size."""
    if len(tensor) == 1:
        return tensor.repeat(batch, *(1 for _ in tensor.shape[1:]))
    if batch not in (1, len(tensor)):
        raise ValueError(f"batch_size is {batch} and the source holds {len(tensor)} songs; leave batch_size at 1")
    return tensor
