"""What a run used: seconds, device, memory, energy where the device reports it, and its price."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

SECONDS_PER_HOUR = 3600.0
DIGITS = 6  # of a price in USD


@dataclass(frozen=True)
class Usage:
    """seconds: wall-clock. device: its name. peak_memory: most bytes allocated on it at once. energy: joules it drew,
    other processes included. The last two are None if the device does not report them."""

    seconds: float
    device: str
    peak_memory: int | None
    energy: float | None

    def cost(self, price_per_hour: float) -> float:
        """In the currency of the price."""
        return round(self.seconds / SECONDS_PER_HOUR * price_per_hour, DIGITS)

    def to_json(self) -> dict[str, Any]:
        """The values that are known, under names with their units."""
        values = {
            "seconds": round(self.seconds, 3),
            "device": self.device,
            "peakMemoryBytes": self.peak_memory,
            "energyJoules": None if self.energy is None else round(self.energy, 1),
        }
        return {name: value for name, value in values.items() if value is not None}


class Meter:
    """Measures from its creation to `read`. device: a torch device name."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._cuda = device.startswith("cuda")
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats(device)
        self._energy = _energy(device)
        self._start = time.perf_counter()

    def read(self) -> Usage:
        seconds = time.perf_counter() - self._start
        before, after = self._energy, _energy(self._device)
        energy = None if before is None or after is None else after - before
        if not self._cuda:
            return Usage(seconds, self._device, None, energy)
        import torch

        name, peak = torch.cuda.get_device_name(self._device), torch.cuda.max_memory_allocated(self._device)
        return Usage(seconds, name, peak, energy)


def _energy(device: str) -> float | None:
    """Joules that an NVIDIA device has drawn since its driver was loaded; None if NVML is missing or the device has no
    such counter."""
    if not device.startswith("cuda"):
        return None
    try:
        import pynvml  # pyright: ignore[reportMissingImports] # an extra
    except ImportError:
        return None
    import torch

    try:
        pynvml.nvmlInit()
        try:
            # By UUID, since CUDA_VISIBLE_DEVICES renumbers the devices.
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
            return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None
