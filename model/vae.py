"""The Oobleck autoencoder: 48 kHz stereo waveforms to 25 latent frames a second and back.

Architecture: Oobleck of Stable Audio (Evans et al. 2024, arXiv 2407.14358) with the strides of ACE-Step 1.5, hence 1920
samples a frame. Weight normalisation is folded into plain convolutions at load time (`vae_state`), so that no forward
pays for it. Long inputs run in chunks whose overlap is the network's exact receptive field: chunked equals whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vae_config import VAEConfig

OnChunk = Callable[[int, int], None]
"""Called with (chunks done, chunks in all); may raise to stop the work."""

DILATIONS = (1, 3, 9)  # of the three residual units of a block


class Snake(nn.Module):
    """x + sin^2(a x) / b per channel, log a and log b stored (arXiv 2006.08195; with b of its own, 2206.04658)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`[b c n]` to `[b c n]`; one temporary, which becomes the result."""
        inverse = (self.beta.exp() + 1e-9).reciprocal()
        return (x * self.alpha.exp()).sin_().square_().mul_(inverse).add_(x)


class ResidualUnit(nn.Module):
    """Dilated convolution of 7 and pointwise convolution, each behind a Snake, added to the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.snake1 = Snake(channels)
        self.conv1 = nn.Conv1d(channels, channels, 7, dilation=dilation, padding=3 * dilation)
        self.snake2 = Snake(channels)
        self.conv2 = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[b c n]` to `[b c n]`."""
        return self.conv2(self.snake2(self.conv1(self.snake1(x)))).add_(x)


class EncoderBlock(nn.Module):
    """Three residual units, then down by the stride."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.res_unit1, self.res_unit2, self.res_unit3 = (ResidualUnit(channels, d) for d in DILATIONS)
        self.snake1 = Snake(channels)
        self.conv1 = nn.Conv1d(channels, out_channels, 2 * stride, stride=stride, padding=stride // 2)

    def forward(self, x: Tensor) -> Tensor:
        """`[b c n]` to `[b c' n/stride]`."""
        return self.conv1(self.snake1(self.res_unit3(self.res_unit2(self.res_unit1(x)))))


class DecoderBlock(nn.Module):
    """Up by the stride, then three residual units."""

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
    """Latents `[b latent t]` to waveform `[b c t*hop]`; nothing bounds the samples."""

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
    """Encoder and decoder. Submodules bear the names of diffusers' AutoencoderOobleck.

    The input may lie on any device and in any float type: each chunk is moved to the weights, and the result has the
    input's device and type, so that only one chunk at a time lives beside the weights.
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

        The mean and not a sample, so that the same audio always gives the same latents. n is padded with zeros up to a
        multiple of hop. chunk_frames: latent frames finished at a time, item by item (None: everything at once).
        Raises ValueError for another shape and for chunk_frames below 1.
        """
        hop, channels = self.config.hop, self.config.latent_channels
        _check("waveform", waveform, self.config.audio_channels, "n")

        def mean(window: Tensor) -> Tensor:
            padded = F.pad(window, (0, -window.shape[-1] % hop))
            return self.encoder(padded.to(self.encoder.conv1.weight))[:, :channels]

        latents = waveform.new_empty(waveform.shape[0], channels, math.ceil(waveform.shape[-1] / hop))
        chunks = _chunks(len(latents), latents.shape[-1], chunk_frames, self.encode_overlap)
        return _fill(latents, mean, waveform, chunks, (hop, 1), on_chunk)

    @torch.no_grad()
    def decode(self, latents: Tensor, chunk_frames: int | None = None, on_chunk: OnChunk | None = None) -> Tensor:
        """Latents `[b latent t]` to the waveform `[b c t*hop]`.

        chunk_frames: latent frames finished at a time, item by item (None: everything at once); a chunk also runs
        `decode_overlap` frames on either side. Raises ValueError for another shape and for chunk_frames below 1.
        """
        _check("latents", latents, self.config.latent_channels, "t")
        batch, _, frames = latents.shape

        def samples(window: Tensor) -> Tensor:
            return self.decoder(window.to(self.decoder.conv1.weight))

        waveform = latents.new_empty(batch, self.config.audio_channels, frames * self.config.hop)
        chunks = _chunks(batch, frames, chunk_frames, self.decode_overlap)
        return _fill(waveform, samples, latents, chunks, (1, self.config.hop), on_chunk)


def receptive_field(layers: nn.Module, first: int, last: int) -> tuple[int, int]:
    """First and last input position that the outputs first..last depend on, on a signal without ends.

    Follows the convolutions from the last to the first; submodules must be registered in the order in which they run.
    Skip connections see no further than the convolutions beside them.
    """
    for conv in reversed(list(layers.modules())):
        if not isinstance(conv, (nn.Conv1d, nn.ConvTranspose1d)):
            continue
        assert isinstance(conv.padding, tuple)
        stride, padding = conv.stride[0], conv.padding[0]
        reach = conv.dilation[0] * (conv.kernel_size[0] - 1)
        if isinstance(conv, nn.ConvTranspose1d):  # output o has input i where 0 <= o + padding - i * stride <= reach
            first, last = -((reach - padding - first) // stride), (last + padding) // stride
        else:
            first, last = first * stride - padding, last * stride - padding + reach
    return first, last


class _Chunk(NamedTuple):
    """Frames start..stop of these batch items are kept of a run over left..right."""

    items: slice
    left: int
    start: int
    stop: int
    right: int


def _chunks(batch: int, frames: int, chunk: int | None, overlap: int) -> list[_Chunk]:
    """Everything at once (chunk None), or item by item, each in chunks that reach past their ends by the overlap."""
    if chunk is None:
        return [_Chunk(slice(0, batch), 0, 0, frames, frames)]
    if chunk < 1:
        raise ValueError(f"chunk_frames is {chunk}; it must be at least 1, or None for everything at once")
    spans = [(start, min(start + chunk, frames)) for start in range(0, frames, chunk)]
    return [
        _Chunk(slice(item, item + 1), max(0, start - overlap), start, stop, min(frames, stop + overlap))
        for item in range(batch)
        for start, stop in spans
    ]


def _fill(
    out: Tensor,
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    chunks: list[_Chunk],
    rates: tuple[int, int],
    on_chunk: OnChunk | None,
) -> Tensor:
    """Run the network over the chunks of x into out; rates are the steps per frame of x and of out."""
    step_in, step_out = rates
    for done, (items, left, start, stop, right) in enumerate(chunks, 1):
        y = network(x[items, :, left * step_in : right * step_in])
        keep = slice((start - left) * step_out, (stop - left) * step_out)
        out[items, :, start * step_out : stop * step_out] = y[..., keep]
        if on_chunk is not None:
            on_chunk(done, len(chunks))
    return out


def _check(name: str, x: Tensor, channels: int, time: str) -> None:
    if x.ndim != 3 or x.shape[1] != channels or 0 in x.shape:
        raise ValueError(
            f"{name} must be [b {channels} {time}] with b and {time} at least 1 ({channels} channels before time), "
            f"got {list(x.shape)}"
        )
    if not x.is_floating_point():
        raise ValueError(f"{name} must be floating point, got {x.dtype}; convert it first")
