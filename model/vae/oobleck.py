"""The Oobleck autoencoder: 48 kHz stereo waveforms to 25 latent frames a second and back.

Architecture: Oobleck of Stable Audio (Evans et al. 2024, arXiv 2407.14358) with ACE-Step 1.5's strides, hence 1920
samples per frame. Weight normalisation is folded into plain convolutions at load time (`vae_state`), so no forward pays
for it. Long inputs run in chunks that overlap by the network's exact receptive field, so chunking changes nothing.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .chunks import OnChunk, make_chunks, receptive_field, run_chunks
from .config import VAEConfig

DILATIONS = (1, 3, 9)  # of the three residual units of a block


class Snake(nn.Module):
    """x + sin^2(a x) / b per channel; stores log a and log b (arXiv 2006.08195; separate b: 2206.04658)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`[b c n]` to `[b c n]`; one temporary, which becomes the result."""
        inverse = (self.beta.exp() + 1e-9).reciprocal()
        return (x * self.alpha.exp()).sin_().square_().mul_(inverse).add_(x)


class ResidualUnit(nn.Module):
    """A dilated convolution of 7 and a pointwise one, each after a Snake, added to the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.snake1 = Snake(channels)
        self.conv1 = nn.Conv1d(channels, channels, 7, dilation=dilation, padding=3 * dilation)
        self.snake2 = Snake(channels)
        self.conv2 = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[b c n]` to `[b c n]`."""
        return self.conv2(self.snake2(self.conv1(self.snake1(x)))).add_(x)


class Downsampling(nn.Conv1d):
    """A strided convolution.

    On CPUs with AMX, torch 2.11 computes it wrongly in bfloat16 for fewer than 16 input channels and strides from 4, so
    narrow ones run in float32 there. The published VAE has 128 and more.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`[b c n]` to `[b c' n/stride]`."""
        if input.device.type != "cpu" or input.dtype != torch.bfloat16 or self.in_channels >= 16:
            return super().forward(input)
        bias = None if self.bias is None else self.bias.float()
        return self._conv_forward(input.float(), self.weight.float(), bias).to(input.dtype)


class EncoderBlock(nn.Module):
    """Three residual units, then downsampling by the stride."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.res_unit1, self.res_unit2, self.res_unit3 = (ResidualUnit(channels, d) for d in DILATIONS)
        self.snake1 = Snake(channels)
        self.conv1 = Downsampling(channels, out_channels, 2 * stride, stride=stride, padding=stride // 2)

    def forward(self, x: Tensor) -> Tensor:
        """`[b c n]` to `[b c' n/stride]`."""
        return self.conv1(self.snake1(self.res_unit3(self.res_unit2(self.res_unit1(x)))))


class DecoderBlock(nn.Module):
    """Upsampling by the stride, then three residual units."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.snake1 = Snake(channels)
        self.conv_t1 = nn.ConvTranspose1d(channels, out_channels, 2 * stride, stride=stride, padding=stride // 2)
        self.res_unit1, self.res_unit2, self.res_unit3 = (ResidualUnit(out_channels, d) for d in DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        """`[b c n]` to `[b c' n*stride]`."""
        return self.res_unit3(self.res_unit2(self.res_unit1(self.conv_t1(self.snake1(x)))))


class Encoder(nn.Module):
    """Waveform `[b c t*hop]` to mean and scale `[b 2*latent t]`."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.encoder_channels * m for m in (1, *config.channel_multiples)]
        self.conv1 = nn.Conv1d(config.audio_channels, widths[0], 7, padding=3)
        self.block = nn.ModuleList(map(EncoderBlock, widths[:-1], widths[1:], config.strides))
        self.snake1 = Snake(widths[-1])
        self.conv2 = nn.Conv1d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for block in self.block:
            x = block(x)
        return self.conv2(self.snake1(x))


class Decoder(nn.Module):
    """Latents `[b latent t]` to waveform `[b c t*hop]`; the samples are unbounded."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.decoder_channels * m for m in reversed((1, *config.channel_multiples))]
        self.conv1 = nn.Conv1d(config.latent_channels, widths[0], 7, padding=3)
        self.block = nn.ModuleList(map(DecoderBlock, widths[:-1], widths[1:], reversed(config.strides)))
        self.snake1 = Snake(widths[-1])
        self.conv2 = nn.Conv1d(widths[-1], config.audio_channels, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for block in self.block:
            x = block(x)
        return self.conv2(self.snake1(x))


class Oobleck(nn.Module):
    """Encoder and decoder, with the submodule names of diffusers' AutoencoderOobleck.

    The input may be on any device and of any float dtype: each chunk is moved to the weights and its result back, so
    only one chunk at a time occupies memory beside the weights.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        first, last = receptive_field(self.encoder, 0, 0)
        self.encode_overlap = max(math.ceil(-first / config.hop), last // config.hop)
        first, last = receptive_field(self.decoder, 0, config.hop - 1)
        self.decode_overlap = max(-first, last)

    @torch.no_grad()
    def encode(self, waveform: Tensor, chunk_frames: int | None = None, on_chunk: OnChunk | None = None) -> Tensor:
        """Waveform `[b c n]` to the mean latents `[b latent t]`, t = ceil(n / hop).

        The mean, not a sample, so the same audio always gives the same latents. n is zero-padded to a multiple of hop.
        chunk_frames: latent frames per chunk, item by item (None: everything at once). Raises ValueError for another
        shape and for chunk_frames below 1.
        """
        hop, channels = self.config.hop, self.config.latent_channels
        _check("waveform", waveform, self.config.audio_channels, "n")

        def mean(window: Tensor) -> Tensor:
            padded = F.pad(window, (0, -window.shape[-1] % hop))
            return self.encoder(padded.to(self.encoder.conv1.weight))[:, :channels]

        latents = waveform.new_empty(waveform.shape[0], channels, math.ceil(waveform.shape[-1] / hop))
        chunks = make_chunks(len(latents), latents.shape[-1], chunk_frames, self.encode_overlap)
        return run_chunks(latents, mean, waveform, chunks, (hop, 1), on_chunk)

    @torch.no_grad()
    def decode(self, latents: Tensor, chunk_frames: int | None = None, on_chunk: OnChunk | None = None) -> Tensor:
        """Latents `[b latent t]` to the waveform `[b c t*hop]`.

        chunk_frames: latent frames per chunk, item by item (None: everything at once), beside the `decode_overlap`
        frames on either side. Raises ValueError for another shape and for chunk_frames below 1.
        """
        _check("latents", latents, self.config.latent_channels, "t")
        batch, _, frames = latents.shape

        def samples(window: Tensor) -> Tensor:
            return self.decoder(window.to(self.decoder.conv1.weight))

        waveform = latents.new_empty(batch, self.config.audio_channels, frames * self.config.hop)
        chunks = make_chunks(batch, frames, chunk_frames, self.decode_overlap)
        return run_chunks(waveform, samples, latents, chunks, (1, self.config.hop), on_chunk)


def _check(name: str, x: Tensor, channels: int, time: str) -> None:
    if x.ndim != 3 or x.shape[1] != channels or 0 in x.shape:
        raise ValueError(
            f"{name} must be [b {channels} {time}] with b and {time} at least 1 ({channels} channels before time), "
            f"got {list(x.shape)}"
        )
    if not x.is_floating_point():
        raise ValueError(f"{name} must be floating point, got {x.dtype}; convert it first")
