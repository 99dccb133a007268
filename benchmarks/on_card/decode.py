"""The VAE at full size: a song of a minute against diffusers, ten minutes, and their memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rivals import make_vaes

from acestep_xl import host
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.parameters import FRAME_RATE

from .bench import Bench, difference


@torch.no_grad()
def measure(bench: Bench) -> dict[str, Any]:
    """Seconds and peak bytes of our node and of diffusers with tiling, and how far their waveforms differ."""
    from acestep_xl.pipeline.vae_socket import AudioVAE  # needs av, which only this section does

    vaes = make_vaes(bench.dtype, bench.device)
    ours = AudioVAE(vaes.ours.to("cpu"))
    vaes.theirs.enable_tiling()
    rows: dict[str, Any] = {}
    with host.use(HeadlessHost([], Path(), device=bench.device.type)):
        for seconds in bench.plan.decodes:
            latents = torch.randn(1, 64, round(FRAME_RATE * seconds), generator=torch.Generator().manual_seed(1))
            ways: dict[str, Callable[[], torch.Tensor]] = {"ours": lambda latents=latents: ours.decode(latents)}
            if seconds == bench.plan.decodes[0]:
                ways["diffusers"] = lambda latents=latents: _theirs(vaes.theirs, latents, bench)
                rows["difference"] = difference(ways["ours"]().movedim(-1, 1), ways["diffusers"]())
            rows[f"{seconds:g} s"] = {
                name: {"seconds": bench.time({"decode": way}, 1)["decode"], "peak": bench.peak(way, bench.allocated())}
                for name, way in ways.items()
            }
    return rows


def _theirs(vae: Any, latents: torch.Tensor, bench: Bench) -> torch.Tensor:
    return vae.decode(latents.to(bench.device, bench.dtype)).sample.float().cpu()
