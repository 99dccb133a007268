"""The transformer's initial weights, which are partly designed instead of drawn.

A token's residual stream starts with its noisy latents, its context, and free dimensions. The first layer's
cross-attention averages the facts of the condition (`pretrain_text.py`) into them, and units of its MLP pass on the
clock's lines for the tempo that the condition names. The output reads velocities where the noisy latents came in. So
the network hears the prompt and the beat before its first step. All of these weights are trained further.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from acestep_xl.model.layers import sinusoid
from acestep_xl.model.network import AceStep
from acestep_xl.model.transformer import TIME_CHANNELS

from . import composer, dataset, pretrain_text, sounds, train_vae

GATES = (2, 5)  # rows of a layer's modulation table: for attention and for the MLP
FRAMES = 2  # per token
NOISY = FRAMES * sounds.LATENTS
FACTS_AT = 2 * NOISY  # start of the facts in the stream, after noisy latents and context
CLOCK_AT = FACTS_AT + pretrain_text.FACT_COUNT
FREE_AT = CLOCK_AT + 2 * dataset.LINES  # the mask, a constant, then free dimensions
SOURCE_GAIN = 0.5
NOISE_SHARE = 0.25
OTHERS = 95.0  # approximate sum of squares of everything but the noisy latents in a token


@torch.no_grad()
def fill(network: AceStep, readout: Tensor) -> None:
    """Draw every weight from torch's generator, then set the designed ones. readout: `[FACT_COUNT text_dim]`."""
    for name, value in network.named_parameters():
        _draw(name, value)
    for name, value in network.encoder.timbre_encoder.named_parameters():
        value.requires_grad_(False)
        if name.endswith(("o_proj.weight", "down_proj.weight")):  # references are not trained, so they have no effect
            value.zero_()
    _set_input_and_output(network)
    _set_condition_readout(network, readout)
    _set_clock_units(network)
    _protect_noisy_latents(network)
    _set_level_modulation(network)


def _draw(name: str, value: Tensor) -> None:
    """Norms are 1, modulation does not depend on the level yet, and the layers' gates are half open."""
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


def _set_input_and_output(network: AceStep) -> None:
    """Latents enter and leave in the first dimensions; the context enters in the next."""
    weight, bias = (network.decoder.get_parameter(f"proj_in.1.{part}") for part in ("weight", "bias"))
    output = network.decoder.get_parameter("proj_out.1.weight")
    weight.normal_(std=0.002)
    output.normal_(std=0.002)
    channels = torch.arange(sounds.LATENTS)
    for frame in range(FRAMES):
        at = channels + frame * sounds.LATENTS
        weight[at, 2 * sounds.LATENTS + channels, frame] = 1
        weight[NOISY + at, channels, frame] = SOURCE_GAIN
        output[at, channels, frame] = 1
    weight[FREE_AT, sounds.LATENTS : 2 * sounds.LATENTS] = 1 / NOISY
    bias[FREE_AT + 1] = 1


def _set_condition_readout(network: AceStep, readout: Tensor) -> None:
    """The first cross-attention averages the readout of the states; lyrics contribute nothing yet."""
    facts, width = readout.shape
    project, embed = network.encoder.text_projector.weight, network.decoder.condition_embedder.weight
    project.normal_(std=0.02)
    project[:width].copy_(torch.eye(width))
    embed.normal_(std=0.02)
    states = embed.shape[1]
    embed[:states] += torch.eye(states)
    network.encoder.get_parameter("lyric_encoder.norm.weight")[:width] = 0.02
    cross = network.decoder.get_submodule("layers.0.cross_attn")
    value, output = cross.get_parameter("v_proj.weight"), cross.get_parameter("o_proj.weight")
    cross.get_parameter("q_norm.weight").fill_(0.05)  # attends to everything equally
    null = network.null_condition_emb
    null[..., :width] *= 0.1
    value[:facts] = 0
    value[:facts, :width] = readout
    output.normal_(std=0.02)
    output[:, :facts] = 0
    output[FACTS_AT : FACTS_AT + facts, :facts] = torch.eye(facts)


def _set_clock_units(network: AceStep) -> None:
    """Units of the first MLP, gated by the tempo that the condition names, pass on that tempo's lines of the clock."""
    mlp = network.decoder.get_submodule("layers.0.mlp")
    gate, up, down = (mlp.get_parameter(f"{name}_proj.weight") for name in ("gate", "up", "down"))
    beats, lines = pretrain_text.fact_slices()["beat"], 2 * dataset.LINES
    for number in range(len(composer.BEATS)):
        for line in range(lines):
            unit = number * lines + line
            frame, channel = divmod(line, dataset.LINES)
            gate[unit] = 0
            gate[unit, FACTS_AT + beats.start + number] = 4
            up[unit] = 0
            up[unit, NOISY + frame * sounds.LATENTS + dataset.LINES * number + channel] = 0.5
            down[:, unit] *= 0.1
            down[CLOCK_AT + line, unit] = 1


def _protect_noisy_latents(network: AceStep) -> None:
    """No layer writes over the noisy latents yet, and each reads little of them, because most of it is noise."""
    for layer in network.decoder.layers:
        for name in ("self_attn.o_proj.weight", "cross_attn.o_proj.weight", "mlp.down_proj.weight"):
            layer.get_parameter(name)[:NOISY] = 0
        for name in ("self_attn.q", "self_attn.k", "self_attn.v", "cross_attn.q", "mlp.gate", "mlp.up"):
            layer.get_parameter(f"{name}_proj.weight")[:, :NOISY] *= NOISE_SHARE


def _set_level_modulation(network: AceStep) -> None:
    """The last modulation scales the noisy latents to the best linear estimate of the velocity.

    For data of variance v the factor is (t - (1-t) v) / (t^2 + (1-t)^2 v). The official network adds the same vector to
    shift and scale, so a constant dimension cancels the shift.
    """
    t = torch.linspace(0, 1, 400)
    variance = train_vae.SPREAD**2
    power = t**2 + (1 - t) ** 2 * variance
    size = ((NOISY * power + OTHERS) / network.config.decoder.hidden).sqrt()  # what the last norm divides by
    target = (t - (1 - t) * variance) / power * size - 1
    embed = network.decoder.time_embed
    features = F.silu(embed.linear_1(sinusoid(t, TIME_CHANNELS))).double()
    penalty = 1e-3 * len(t) * torch.eye(features.shape[1], dtype=torch.float64)
    row = torch.linalg.solve(features.T @ features + penalty, features.T @ target.double()).float()
    constant, share = FREE_AT + 1, 1 / (1 + float((1 / size).mean()))
    for at in (slice(NOISY), constant):
        embed.linear_2.weight[at] = row
        network.decoder.time_embed_r.linear_2.weight[at] = 0
    output, bias = (network.decoder.get_parameter(f"proj_out.1.{part}") for part in ("weight", "bias"))
    output[constant] = -share
    bias.fill_(1 - share)
