"""The demo VAE: an Oobleck whose weights are a filter bank in closed form.

Latent number i of frame n is the amount of atom i (`sounds.atoms`) in the audio around that frame. Every stage of the
network is a convolution between Snakes. With the Snakes set to identity, the stages that keep all of their input (down
to 1500 Hz, 64 channels) only sort samples into channels, the next one projects onto the subspace of the atoms, and the
last one onto the atoms. The decoder is the transpose. So the autoencoder is exact on the composer's songs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from acestep_xl.model.vae.config import VAEConfig
from acestep_xl.model.vae.oobleck import Oobleck, ResidualUnit, Snake

from . import composer, sounds
from .sounds import HOP, LATENTS, SPAN

# As narrow as possible: 2, 4, 16 and 64 channels hold every sample of both sides at 48000, 24000, 6000 and 1500 Hz. At
# 25 Hz there are two more channels than latents, for the constants of the gates.
CONFIG = VAEConfig(encoder_channels=2, decoder_channels=2, channel_multiples=(2, 8, 32, 64, 33))
SLICE = 192  # samples per step in front of the last stride
SLICES = SPAN // SLICE
REACH = 1  # frames on each side that the encoder's last convolution sees
CALIBRATION_SONGS = 200
# Standard deviation of the latents; larger than the noise's 1, because the project's default guidance limits its step
# in absolute terms, for minutes of music, and would drown a song of seconds.
SPREAD = 2.5
MARK = 2.5  # added to MARK_CHANNEL in the first frame of any signal, to mark the beginning of a song
MARK_CHANNEL = 0
SILENT_LOG = -20.0  # log frequency of a Snake at which its sine vanishes
# Latents at which the decoder's gates on the noise drums are open: about the softest hit of each in a song.
GATES = {sounds.HAT: 3.0, sounds.SNARE: 8.0}


def gram_matrices() -> np.ndarray:
    """Inner products `[5 64 64]` of the atoms with those d frames later, at index 2 + d for d = -2 .. 2."""
    atoms = sounds.atoms()
    out = np.zeros((5, LATENTS, LATENTS))
    for d in (-1, 0, 1):
        here = atoms[..., max(0, d * HOP) : SPAN + min(0, d * HOP)]
        there = atoms[..., max(0, -d * HOP) : SPAN + min(0, -d * HOP)]
        out[2 + d] = np.einsum("icn,jcn->ij", here, there)
    return out


def unmixing_filter(noise: float = 1e-4) -> np.ndarray:
    """The Wiener filter `[64 3 64]` from the inner products of a frame and both neighbours to the frame's numbers.

    Assumes that the numbers are independent across atoms and frames.
    """
    g = gram_matrices()
    size = 2 * REACH + 1
    cover = np.zeros((size, LATENTS, size, LATENTS))
    wide = np.zeros((9, LATENTS, LATENTS))  # autocorrelation of the inner products, lags -4 .. 4
    for a in range(5):
        for b in range(5):
            wide[4 + a - b] += g[a] @ g[b].T
    for i in range(size):
        for j in range(size):
            cover[i, :, j] = wide[4 + j - i]
    # Inner products of frame n + i with atoms of frame n are gram at lag -i.
    cross = np.stack([g[2 - i] for i in range(-REACH, REACH + 1)])
    flat = cover.reshape(size * LATENTS, -1)
    flat = flat + noise * np.trace(flat) / len(flat) * np.eye(len(flat))
    return np.linalg.solve(flat, cross.reshape(size * LATENTS, LATENTS)).T.reshape(LATENTS, size, LATENTS)


def project(wave: np.ndarray) -> np.ndarray:
    """Inner products `[t 64]` of a waveform `[2 n]` with the atoms."""
    frames = wave.shape[1] // HOP
    padded = np.pad(wave, ((0, 0), (HOP // 2, SPAN)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, SPAN, axis=1)[:, : frames * HOP : HOP]
    atoms = sounds.atoms().astype(np.float32)
    return windows[0] @ atoms[:, 0].T + windows[1] @ atoms[:, 1].T


def analyse(wave: np.ndarray, mix: np.ndarray | None = None) -> np.ndarray:
    """The unscaled latents `[t 64]` of a waveform: what the encoder computes, as two matrix products."""
    mix = unmixing_filter() if mix is None else mix
    inner = np.pad(project(wave), ((REACH, REACH), (0, 0)))
    stacked = np.concatenate([inner[i : len(inner) - 2 * REACH + i] for i in range(2 * REACH + 1)], axis=1)
    return stacked @ mix.reshape(LATENTS, -1).T.astype(np.float32)


def calibrate_scale(seed: int = 7, songs: int = CALIBRATION_SONGS) -> np.ndarray:
    """The scale `[64]` by which analysed numbers are divided to give latents of standard deviation SPREAD."""
    mix = unmixing_filter()
    plans = [composer.draw_plan(seed * 100003 + i, 8) for i in range(songs)]
    numbers = np.concatenate([analyse(composer.render_song(plan), mix) for plan in plans])
    spread = np.sqrt((numbers**2).mean(axis=0))
    return np.maximum(spread, 0.1 * np.median(spread)) / SPREAD


def build(scale: np.ndarray, gates: Mapping[int, float] = GATES) -> Oobleck:
    """The autoencoder in closed form. scale: `[64]`, see calibrate_scale(); gates: as GATES."""
    vae = Oobleck(CONFIG)
    zero_weights(vae)
    basis = subspace()
    slices = _slices() @ basis.T  # [64 20 r]
    encoder, decoder = vae.encoder, vae.decoder
    with torch.no_grad():
        for channel in range(2):
            encoder.conv1.weight[channel, channel, 3] = 1
            decoder.conv2.weight[channel, channel, 3] = 1
        width = 2
        for i, stride in enumerate(CONFIG.strides[:3]):
            down, up = encoder.block[i].conv1, decoder.block[len(CONFIG.strides) - 1 - i].conv_t1
            for channel in range(width):
                for phase in range(stride):
                    down.weight[channel * stride + phase, channel, stride // 2 + phase] = 1
                    up.weight[channel * stride + phase, channel, stride // 2 + phase] = 1
            width *= stride
        stride = CONFIG.strides[3]
        rank = len(basis)
        block = torch.tensor(basis).reshape(rank, stride, width).transpose(1, 2)
        encoder.block[3].conv1.weight[:rank, :width, stride // 2 : stride // 2 + stride] = block
        decoder.block[1].conv_t1.weight[:rank, :width, stride // 2 : stride // 2 + stride] = block
        encoder.block[4].conv1.weight[:LATENTS, :rank] = torch.tensor(slices).transpose(1, 2)
        decoder.block[0].conv_t1.weight[:LATENTS, :rank] = torch.tensor(slices).transpose(1, 2)
        mix = torch.tensor(unmixing_filter() / scale[:, None, None]).transpose(1, 2)
        encoder.conv2.weight[:LATENTS, :LATENTS] = mix
        encoder.conv2.bias[LATENTS:] = -6
        decoder.conv1.weight[torch.arange(LATENTS), torch.arange(LATENTS), 3] = torch.tensor(scale).float()
        _mark(encoder, mix, rank)
        for spare, (channel, opened) in enumerate(gates.items(), LATENTS):
            _gate(decoder, channel, opened * float(scale[channel]), spare)
    return vae.eval()


def _mark(encoder: nn.Module, mix: Tensor, spare: int) -> None:
    """Mark the beginning with a channel that is one everywhere: only there do some taps see padding."""
    stage = encoder.get_submodule("block.4.conv1")
    edge = CONFIG.strides[4] // 2
    encoder.get_parameter("block.3.conv1.bias")[spare] = 1
    # In frame 0 these taps see padding; the bias cancels what they add everywhere else.
    target = torch.linalg.lstsq(mix[:, :, REACH], MARK * torch.eye(LATENTS, dtype=mix.dtype)[MARK_CHANNEL]).solution
    stage.get_parameter("weight")[:LATENTS, spare, :edge] = -(target / edge)[:, None].float()
    stage.get_parameter("bias")[:LATENTS] = target.float()


def _gate(decoder: nn.Module, channel: int, opened: float, spare: int) -> None:
    """Map a latent x to x - sin(2 pi x / opened) * opened / 2 pi: cubic near zero, about x from opened on.

    A drum is hit or not; a trace of a hit where there should be none would hiss in every frame, and the gate suppresses
    it. A Snake does this where its slope is zero; the spare channel cancels the constant.
    """
    frequency = math.pi / opened
    snake = decoder.get_submodule("block.0.snake1")
    for name in ("alpha", "beta"):
        snake.get_parameter(name)[0, channel] = math.log(frequency)
    bias, weight = decoder.get_parameter("conv1.bias"), decoder.get_parameter("block.0.conv_t1.weight")
    bias[channel] = -math.pi / (4 * frequency)
    bias[spare] = (math.pi / 4 - 0.5) / frequency
    weight[spare] = weight[channel]


def zero_weights(vae: Oobleck) -> None:
    """Set all weights to zero, so that Snakes and residual units are the identity."""
    with torch.no_grad():
        for module in vae.modules():
            if isinstance(module, Snake):
                module.alpha.fill_(SILENT_LOG)
            elif isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)):
                module.weight.zero_()
                if module.bias is not None:
                    module.bias.zero_()
    for module in vae.modules():
        if isinstance(module, ResidualUnit):
            assert not module.conv2.weight.any()


def _slices() -> np.ndarray:
    """The atoms `[64 20 384]` in slices of 192 samples, in the order of the six steps of channels at 1500 Hz."""
    atoms = sounds.atoms().reshape(LATENTS, 2, SLICES, CONFIG.strides[3], -1)
    order = polyphase_order()
    at_1500 = atoms.transpose(0, 2, 3, 1, 4).reshape(LATENTS, SLICES, CONFIG.strides[3], -1)[..., order]
    return at_1500.reshape(LATENTS, SLICES, -1)


def polyphase_order() -> np.ndarray:
    """Which (side, sample within 32) each channel at 1500 Hz holds, as an index `[64]`."""
    samples = [(side, 0) for side in range(2)]
    step = 1
    for stride in CONFIG.strides[:3]:
        samples = [(side, offset + phase * step) for side, offset in samples for phase in range(stride)]
        step *= stride
    return np.array([side * step + offset for side, offset in samples])


def subspace() -> np.ndarray:
    """An orthonormal basis `[r 384]` of nearly all energy in the atoms' slices; r is one less than the channels."""
    flat = _slices()
    flat = (flat / np.linalg.norm(flat, axis=(1, 2), keepdims=True)).reshape(-1, flat.shape[-1])
    _, _, directions = np.linalg.svd(flat, full_matrices=False)
    return directions[: CONFIG.encoder_channels * CONFIG.channel_multiples[3] - 1]
