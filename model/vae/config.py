"""The sizes of the Oobleck autoencoder, read from a config file or from tensor shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

from .keys import map_keys


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the autoencoder. Strides and multiples are in encoder order; the decoder uses them backwards.

    Raises ValueError for odd strides (the upsampling convolution would lose samples) and for unequal tuple lengths.
    """

    audio_channels: int = 2
    latent_channels: int = 64
    encoder_channels: int = 128
    decoder_channels: int = 128
    channel_multiples: tuple[int, ...] = (1, 2, 4, 8, 16)
    strides: tuple[int, ...] = (2, 4, 4, 6, 10)
    sample_rate: int = 48000

    def __post_init__(self) -> None:
        if len(self.strides) != len(self.channel_multiples) or not self.strides:
            raise ValueError(
                f"strides {self.strides} and channel_multiples {self.channel_multiples} must have one entry per block"
            )
        if any(stride < 2 or stride % 2 for stride in self.strides):
            raise ValueError(f"strides {self.strides} must be even and at least 2")

    @property
    def hop(self) -> int:
        """Samples per latent frame."""
        return math.prod(self.strides)

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any]) -> VAEConfig:
        """Read the config.json of diffusers' AutoencoderOobleck.

        Raises ValueError for a missing field, and where the encoder's output (encoder_hidden_size channels in that
        class) is not a mean and a scale per latent channel.
        """
        try:
            sizes = cls(
                audio_channels=config["audio_channels"],
                latent_channels=config["decoder_input_channels"],
                encoder_channels=config["encoder_hidden_size"],
                decoder_channels=config["decoder_channels"],
                channel_multiples=tuple(config["channel_multiples"]),
                strides=tuple(config["downsampling_ratios"]),
                sample_rate=config["sampling_rate"],
            )
        except KeyError as field:
            raise ValueError(f"VAE config.json lacks {field}; it has {', '.join(config) or 'nothing'}") from None
        if sizes.encoder_channels != 2 * sizes.latent_channels:
            raise ValueError(
                f"encoder_hidden_size {sizes.encoder_channels} must be twice decoder_input_channels "
                f"{sizes.latent_channels}: the encoder returns a mean and a scale per latent channel"
            )
        return sizes

    def to_diffusers(self) -> dict[str, Any]:
        """The arguments of diffusers' AutoencoderOobleck, which are its config.json; the inverse of from_diffusers."""
        return {
            "encoder_hidden_size": self.encoder_channels,
            "downsampling_ratios": list(self.strides),
            "channel_multiples": list(self.channel_multiples),
            "decoder_channels": self.decoder_channels,
            "decoder_input_channels": self.latent_channels,
            "audio_channels": self.audio_channels,
            "sampling_rate": self.sample_rate,
        }

    @classmethod
    def from_state(cls, shapes: Mapping[str, tuple[int, ...]]) -> VAEConfig:
        """Infer the sizes from tensor shapes, under the keys of any checkpoint that `vae_state` accepts.

        A stride is half the kernel of its block's resampling convolution. The sample rate shows in no shape and is
        assumed to be 48000. Raises ValueError for an unknown key, missing convolutions, and widths that are not
        multiples of the first.
        """
        modules = map_keys(shapes)
        kernels = {module: shapes[key] for key, (module, leaf) in modules.items() if leaf in ("weight", "v")}
        downs = list(takewhile(kernels.__contains__, (f"encoder.block.{i}.conv1" for i in count())))
        needed = ("encoder.conv1", downs[0] if downs else "encoder.block.0.conv1", "decoder.conv1", "decoder.conv2")
        if missing := [module for module in needed if module not in kernels]:
            raise ValueError(f"not a complete VAE checkpoint: no weight for {', '.join(missing)}")
        base, audio_channels, _ = kernels["encoder.conv1"]
        if any(kernels[m][0] % base for m in downs):
            raise ValueError(f"encoder widths {[kernels[m][0] for m in downs]} are not multiples of the first, {base}")
        return cls(
            audio_channels=audio_channels,
            latent_channels=kernels["decoder.conv1"][1],
            encoder_channels=base,
            decoder_channels=kernels["decoder.conv2"][1],
            channel_multiples=tuple(kernels[m][0] // base for m in downs),
            strides=tuple(kernels[m][2] // 2 for m in downs),
        )
