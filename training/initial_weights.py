"""The transformer's first weights, which are arranged and not only drawn.

The stream of a token begins as its noisy latents, its context, and room for what the layers find out. The first
layer's cross-attention averages what the condition tells (`pretrain_text.py`) into that room, and units of its first
MLP pass on the lines of the clock that belong to the tempo it names. The output reads velocities where the noisy
latents came in. So training begins where the network can hear the prompt and the beat; all these weights are trained.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from acestep_xl.model.layers import sinusoid
from acestep_xl.model.network import AceStep
from acestep_xl.model.transformer import TIME_CHANNELS

from . import composer, dataset, pretrain_text, sounds, train_vae

GATES = (2, 5)  # rows of a layer's table: of attention and of the MLP
FRAMES = 2  # per token
NOISY = FRAMES * sounds.LATENTS
TOLD = 2 * NOISY  # where what is told begins, behind noisy latents and context
CLOCK = TOLD + pretrain_text.TOLD
ROOM = CLOCK + 2 * dataset.LINES  # the mask, a constant, and free dimensions
SOURCE_GAIN = 0.5
NOISE_SHARE = 0.25
OTHERS = 95.0  # about the sum of the squares of what is not noisy latents in a token


@torch.no_grad()
def fill(network: AceStep, readout: Tensor) -> None:
    """Every weight from torch's generator, then those that are arranged. readout: `[TOLD text_dim]`."""
    for name, value in network.named_parameters():
        _draw(name, value)
    for name, value in network.encoder.timbre_encoder.named_parameters():
        value.requires_grad_(False)
        if name.endswith(("o_proj.weight", "down_proj.weight")):  # no reference is trained, so none is heard
            value.zero_()
    _input(network)
    _ear(network, readout)
    _beat(network)
    _keep_noisy(network)
    _level(network)


def _draw(name: str, value: Tensor) -> None:
    """Norms pass, modulation does not depend on the level yet, and the layers' gates stand half open."""
    if value.ndim == 1 and "norm" in name:
        value.fill_(1)
    elif "special_token" in name or name == "null_condition_emb":
        value.normal_(std=0.5)
    elif name.endswith(("bias", "scale_shift_table", "time_proj.weight")):
        value.zero_()
        if name.startswith("decoder.layers.") and value.ndim == 3:
            value[:, GATES] = 0.5
    elif "time_embed" in name and "linear_2" in name:
        value.normal_(std=0.02)
    else:
        small = 0.3 if name.startswith("decoder.") and name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
        value.normal_(std=small * value[0].numel() ** -0.5)


def _input(network: AceStep) -> None:
    """Latents come in and leave in the first dimensions, the context in the next."""
    weight, bias = (network.decoder.get_parameter(f"proj_in.1.{part}") for part in ("weight", "bias"))
    leave = network.decoder.get_parameter("proj_out.1.weight")
    weight.normal_(std=0.002)
    leave.normal_(std=0.002)
    channels = torch.arange(sounds.LATENTS)
    for frame in range(FRAMES):
        at = channels + frame * sounds.LATENTS
        weight[at, 2 * sounds.LATENTS + channels, frame] = 1
        weight[NOISY + at, channels, frame] = SOURCE_GAIN
        leave[at, channels, frame] = 1
    weight[ROOM, sounds.LATENTS : 2 * sounds.LATENTS] = 1 / NOISY
    bias[ROOM + 1] = 1


def _ear(network: AceStep, readout: Tensor) -> None:
    """The first head of the first cross-attention averages what the states tell; lyrics tell nothing yet."""
    told, width = readout.shape
    project, embed = network.encoder.text_projector.weight, network.decoder.condition_embedder.weight
    project.normal_(std=0.02)
    project[:width].copy_(torch.eye(width))
    embed.normal_(std=0.02)
    states = embed.shape[1]
    embed[:states] += torch.eye(states)
    network.encoder.get_parameter("lyric_encoder.norm.weight")[:width] = 0.02
    cross = network.decoder.get_submodule("layers.0.cross_attn")
    value, output = cross.get_parameter("v_proj.weight"), cross.get_parameter("o_proj.weight")
    cross.get_parameter("q_norm.weight").fill_(0.05)  # attends to everything alike
    null = network.null_condition_emb
    null[..., :width] *= 0.1
    value[:told] = 0
    value[:told, :width] = readout
    output.normal_(std=0.02)
    output[:, :told] = 0
    output[TOLD : TOLD + told, :told] = torch.eye(told)


def _beat(network: AceStep) -> None:
    """Units of the first MLP, open where a tempo is told, pass on that tempo's lines of the clock."""
    mlp = network.decoder.get_submodule("layers.0.mlp")
    gate, up, down = (mlp.get_parameter(f"{name}_proj.weight") for name in ("gate", "up", "down"))
    beats, lines = pretrain_text.places()["beat"], 2 * dataset.LINES
    for number in range(len(composer.BEATS)):
        for line in range(lines):
            unit = number * lines + line
            frame, channel = divmod(line, dataset.LINES)
            gate[unit] = 0
            gate[unit, TOLD + beats.start + number] = 4
            up[unit] = 0
            up[unit, NOISY + frame * sounds.LATENTS + dataset.LINES * number + channel] = 0.5
            down[:, unit] *= 0.1
            down[CLOCK + line, unit] = 1


def _keep_noisy(network: AceStep) -> None:
    """No layer disturbs the noisy latents yet, and each listens to them little: most of them is noise."""
    for layer in network.decoder.layers:
        for name in ("self_attn.o_proj.weight", "cross_attn.o_proj.weight", "mlp.down_proj.weight"):
            layer.get_parameter(name)[:NOISY] = 0
        for name in ("self_attn.q", "self_attn.k", "self_attn.v", "cross_attn.q", "mlp.gate", "mlp.up"):
            layer.get_parameter(f"{name}_proj.weight")[:, :NOISY] *= NOISE_SHARE


def _level(network: AceStep) -> None:
    """The last modulation scales the noisy latents to the best estimate of a velocity that knows nothing else.

    For data of variance v that is (t - (1-t) v) / (t^2 + (1-t)^2 v) times them. The official network adds the same
    vector to shift and scale, so a constant dimension takes the shift back.
    """
    t = torch.linspace(0, 1, 400)
    variance = train_vae.SPREAD**2
    power = t**2 + (1 - t) ** 2 * variance
    size = ((NOISY * power + OTHERS) / network.config.decoder.hidden).sqrt()  # what the last norm divides by
    wanted = (t - (1 - t) * variance) / power * size - 1
    embed = network.decoder.time_embed
    features = F.silu(embed.linear_1(sinusoid(t, TIME_CHANNELS))).double()
    penalty = 1e-3 * len(t) * torch.eye(features.shape[1], dtype=torch.float64)
    row = torch.linalg.solve(features.T @ features + penalty, features.T @ wanted.double()).float()
    constant, share = ROOM + 1, 1 / (1 + float((1 / size).mean()))
    for at in (slice(NOISY), constant):
        embed.linear_2.weight[at] = row
        network.decoder.time_embed_r.linear_2.weight[at] = 0
    leave, bias = (network.decoder.get_parameter(f"proj_out.1.{part}") for part in ("weight", "bias"))
    leave[constant] = -share
    bias.fill_(1 - share)
