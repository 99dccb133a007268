"""The host without ComfyUI: model folders on disk, one device, a bar factory and a stop flag."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import model_folders
from .protocol import Progress, Role

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .offload.accelerator import Accelerator, MemoryInfo
    from .offload.manager import OffloadManager

_logger = logging.getLogger("acestep_xl")


class Interrupted(BaseException):
    """The user asked to stop. Outside Exception, so that no error handler in between swallows it."""


class SilentProgress:
    """A bar nobody sees."""

    def update(self, value: int, preview: object | None = None) -> None:
        pass

    def close(self) -> None:
        pass

    def __enter__(self) -> SilentProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _silent(total: int) -> Progress:
    return SilentProgress()


def pick_device(name: str | None) -> torch.device:
    """The named device, or without a name the best there is: cuda, xpu, mps, cpu.

    Raises ValueError that lists the devices of this machine.
    """
    import torch

    accelerators = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps}  # best first
    present = [kind for kind, backend in accelerators.items() if backend.is_available()]
    if name is None:
        return torch.device([*present, "cpu"][0])
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in (*present, "cpu"):
        raise ValueError(f"no device {name!r} here; this machine has {', '.join([*present, 'cpu'])}")
    return device


class HeadlessHost:
    """Implements `protocol.Host` over plain folders.

    model_roots: folders with ComfyUI's subfolders (diffusion_models, vae, ...), searched in order.
    output: where songs go; made by whoever writes the first file.
    progress: called with a total, gives the bar to show; None shows nothing.
    device: a torch device name, or None for the best one present.
    machine: an accelerator in place of the device, whatever torch knows of it.
    """

    def __init__(
        self,
        model_roots: Sequence[Path],
        output: Path,
        progress: Callable[[int], Progress] | None = None,
        device: str | None = None,
        machine: Accelerator | None = None,
    ) -> None:
        self._folders = model_folders.folders_in(model_roots)
        self._output = output
        self._progress = progress or _silent
        self._device_name = device
        self._stop = threading.Event()
        self._machine = machine
        self._memory: OffloadManager | None = None

    def model_names(self, kind: str) -> list[str]:
        return model_folders.names_in(kind, model_folders.folders_of(kind, self._folders))

    def model_path(self, kind: str, name: str) -> Path:
        return model_folders.locate(kind, name, model_folders.folders_of(kind, self._folders))

    def search_folders(self) -> dict[str, list[Path]]:
        return {kind: list(folders) for kind, folders in self._folders.items()}

    def tokenizer_bundles(self) -> list[Path]:
        return model_folders.tokenizer_folders(self._folders["text_encoders"])

    def compute_device(self, role: Role = "network") -> torch.device:
        return pick_device(self._device_name) if self._machine is None else self._machine.device

    @contextmanager
    def resident(self, modules: Sequence[nn.Module], memory: int, role: Role = "network") -> Iterator[torch.device]:
        from .offload.hooks import interruptible

        residence = self._residence()
        if residence is None:
            for module in modules:
                module.to("cpu")
        held = nullcontext() if residence is None else residence.hold(modules, memory)
        with held, interruptible(modules, self.check_interrupted):
            yield self.compute_device()

    def offload(self, module: nn.Module) -> None:
        residence = self._residence()
        if residence is not None:
            residence.rest(module)

    def memory_info(self, role: Role = "network") -> MemoryInfo | None:
        residence = self._residence()
        return None if residence is None else residence.memory_info()

    def reclaim(self) -> None:
        residence = self._residence()
        if residence is not None:
            residence.reclaim()

    def _residence(self) -> OffloadManager | None:
        """The memory of the accelerator; None on a CPU, where weights are at home."""
        if self._memory is None:
            from .offload.accelerator import TorchAccelerator
            from .offload.manager import OffloadManager

            machine = self._machine
            if machine is None:
                device = pick_device(self._device_name)
                if device.type == "cpu":
                    return None
                machine = TorchAccelerator(device)
            self._memory = OffloadManager(machine)
        return self._memory

    def sampling_patcher(self, network: nn.Module) -> Any:
        raise RuntimeError("ComfyUI's own samplers run only in ComfyUI; use this pack's solver node for the sampler")

    def progress(self, total: int) -> Progress:
        return self._progress(total)

    def preview_size(self) -> int | None:
        """A terminal shows no pictures."""
        return None

    def interrupt(self) -> None:
        """Ask the run to stop, in the middle of a step. Safe in a signal handler and from other threads."""
        self._stop.set()

    def check_interrupted(self) -> None:
        if self._stop.is_set():
            self._stop.clear()
            raise Interrupted("stopped by the user")

    def output_directory(self) -> Path:
        return self._output

    def input_directory(self) -> Path:
        return Path("input").absolute()

    def temp_directory(self) -> Path:
        return Path(tempfile.gettempdir()) / "acestep-xl"

    def metadata_enabled(self) -> bool:
        return True

    def announce(self, message: str) -> None:
        _logger.info(message)

    def warn(self, message: str) -> None:
        _logger.warning(message)

    def advise(self, messages: Sequence[str]) -> None:
        for message in messages:
            self.warn(message)
