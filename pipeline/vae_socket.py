"""The VAE socket: our VAE with the methods of ComfyUI's, and functions that take any VAE."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import parameters
from ..audio.resample import to_stereo
from ..host import current_host
from ..host.protocol import Host, Progress
from ..model.vae.oobleck import Oobleck
from .memory.oom_retry import Strategy, run_with_retries
from .memory.plan import vae_strategies


class AudioVAE:
    """An Oobleck VAE on a VAE socket.

    decode and encode have the shapes of ComfyUI's VAE object: latents ``[b 64 t]``, waveforms ``[b n 2]``.
    """

    audio_sample_rate = parameters.SAMPLE_RATE

    def __init__(self, oobleck: Oobleck) -> None:
        self.oobleck = oobleck

    def decode(self, samples_in: Tensor) -> Tensor:
        """Latents ``[b 64 t]`` to the waveform ``[b n 2]``, float32 on the CPU."""
        host = current_host()
        latents = samples_in.detach().float().cpu()

        def work(strategy: Strategy, device: torch.device) -> Tensor:
            with host.progress(-(-latents.shape[-1] // strategy.chunk_frames) * len(latents)) as bar:
                return self.oobleck.decode(latents, strategy.chunk_frames, lambda done, _: _tick(host, bar, done))

        strategies = chunk_strategies(self.oobleck, host)
        return run_with_retries(host, "decoding", [self.oobleck], strategies, work, "vae").movedim(1, -1)

    def encode(self, pixel_samples: Tensor) -> Tensor:
        """Waveform ``[b n c]`` at 48 kHz to the mean latents ``[b 64 t]``, float32 on the CPU.

        ComfyUI's node passes mono and surround sound on unchanged; both become stereo.
        """
        host = current_host()
        waveform = to_stereo(pixel_samples.movedim(-1, 1).detach().float().cpu())
        frames = -(-waveform.shape[-1] // self.oobleck.config.hop)

        def work(strategy: Strategy, device: torch.device) -> Tensor:
            with host.progress(-(-frames // strategy.chunk_frames) * len(waveform)) as bar:
                return self.oobleck.encode(waveform, strategy.chunk_frames, lambda done, _: _tick(host, bar, done))

        strategies = chunk_strategies(self.oobleck, host)
        return run_with_retries(host, "encoding audio", [self.oobleck], strategies, work, "vae")

    def decode_tiled(self, samples: Tensor, tile_x: int = 0, tile_y: int = 0, overlap: int = 0) -> Tensor:
        """ComfyUI's tiled decode. Our decode is always chunked, with an identical result, so the sizes are ignored."""
        return self.decode(samples)


def chunk_strategies(oobleck: Oobleck, host: Host) -> list[Strategy]:
    """The chunk sizes to try, the largest that should fit first."""
    return vae_strategies(oobleck, host.compute_device("vae"), host.memory_info("vae"))


def decode(vae: Any, latents: Tensor) -> Tensor:
    """Decode ``[b 64 t]`` to ``[b 2 n]`` with our VAE or another pack's object on a VAE socket."""
    _check_rate(vae)
    return vae.decode(latents).movedim(-1, 1).float().cpu()


def encode(vae: Any, waveform: Tensor) -> Tensor:
    """Encode ``[b 2 n]`` at 48 kHz to ``[b 64 t]`` with our VAE or another pack's object on a VAE socket."""
    _check_rate(vae)
    return vae.encode(waveform.movedim(1, -1)).float().cpu()


def _check_rate(vae: Any) -> None:
    rate = getattr(vae, "audio_sample_rate", None)
    if rate != parameters.SAMPLE_RATE:
        raise ValueError(
            f"this VAE works at {rate or 'no'} Hz, ACE-Step 1.5's at {parameters.SAMPLE_RATE} Hz: connect the VAE of "
            "the ACE-Step loader, or load ace_1.5_vae.safetensors"
        )


def _tick(host: Host, bar: Progress, done: int) -> None:
    host.check_interrupted()
    bar.update(done)
