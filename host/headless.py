"""The host without ComfyUI: model folders on disk, one device, a progress bar factory and a stop flag."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from . import model_folders
from .headless_sockets import HeadlessSockets
from .output_folder import folder_problem, rescue_folders
from .protocol import Held, Progress, Role, module_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .offload.accelerator import Accelerator, MemoryInfo
    from .offload.manager import OffloadManager

_logger = logging.getLogger("acestep_xl")


class Interrupted(BaseException):
    """The user asked to stop. Not an Exception, so that no error handler on the way swallows it."""


class SilentProgress:
    """A progress bar that shows nothing."""

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
    """The named device; without a name the best available: cuda, xpu, mps, cpu.

    Raises ValueError that lists the devices of this machine.
    """
    import torch

    accelerators = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps}  # best first
    available = [kind for kind, backend in accelerators.items() if backend.is_available()]
    if name is None:
        return torch.device([*available, "cpu"][0])
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in (*available, "cpu"):
        raise ValueError(f"no device {name!r} here; this machine has {', '.join([*available, 'cpu'])}")
    return device


class HeadlessHost:
    """Implements `protocol.Host` over plain folders.

    model_roots: folders with ComfyUI's subfolders (diffusion_models, vae, ...), searched in order.
    output: where songs go; created by whatever writes the first file. None for a host that runs nothing.
    progress: makes the bar for a total; None shows nothing.
    device: a torch device name, or None for the best available.
    accelerator: replaces the device, whatever torch can see.
    """

    def __init__(
        self,
        model_roots: Sequence[Path],
        output: Path | None,
        progress: Callable[[int], Progress] | None = None,
        device: str | None = None,
        accelerator: Accelerator | None = None,
    ) -> None:
        self._folders = model_folders.folders_by_kind(model_roots)
        self._output = output
        self._progress = progress or _silent
        self._device_name = device
        self._temporary: Path | None = None
        self._stop = threading.Event()
        self._accelerator = accelerator
        self._manager: OffloadManager | None = None
        self.sockets = HeadlessSockets()

    def model_names(self, kind: str) -> list[str]:
        return model_folders.list_models(kind, model_folders.folders_for(kind, self._folders))

    def model_path(self, kind: str, name: str) -> Path:
        return model_folders.find_model(kind, name, model_folders.folders_for(kind, self._folders))

    def search_folders(self) -> dict[str, list[Path]]:
        return {kind: list(folders) for kind, folders in self._folders.items()}

    def tokenizer_bundles(self) -> list[Path]:
        return model_folders.tokenizer_folders(self._folders["text_encoders"])

    def compute_device(self, role: Role = "network") -> torch.device:
        return pick_device(self._device_name) if self._accelerator is None else self._accelerator.device

    @contextmanager
    def resident(
        self, modules: Sequence[nn.Module | Held], memory: int, role: Role = "network"
    ) -> Iterator[torch.device]:
        from .offload.hooks import interruptible

        modules = [module_of(entry) for entry in modules]
        manager = self._offload_manager()
        if manager is None:
            for module in modules:
                module.to("cpu")
        loaded = nullcontext() if manager is None else manager.hold(modules, memory)
        with loaded, interruptible(modules, self.check_interrupted):
            yield self.compute_device()

    def offload(self, module: nn.Module | Held) -> None:
        if (manager := self._offload_manager()) is not None:
            manager.offload(module_of(module))

    def memory_info(self, role: Role = "network") -> MemoryInfo | None:
        manager = self._offload_manager()
        return None if manager is None else manager.memory_info()

    def reclaim(self) -> None:
        if (manager := self._offload_manager()) is not None:
            manager.reclaim()

    def _offload_manager(self) -> OffloadManager | None:
        """The accelerator's; None on a CPU, which runs weights where they are."""
        if self._manager is None:
            from .offload.accelerator import TorchAccelerator
            from .offload.manager import OffloadManager

            accelerator = self._accelerator
            if accelerator is None:
                device = pick_device(self._device_name)
                if device.type == "cpu":
                    return None
                accelerator = TorchAccelerator(device)
            self._manager = OffloadManager(accelerator)
        return self._manager

    def progress(self, total: int) -> Progress:
        return self._progress(total)

    def preview_size(self) -> int | None:
        """None: a terminal shows no images."""
        return None

    def interrupt(self) -> None:
        """Ask the run to stop, even in the middle of a step. Safe in signal handlers and from other threads."""
        self._stop.set()

    def check_interrupted(self) -> None:
        if self._stop.is_set():
            self._stop.clear()
            raise Interrupted("stopped by the user")

    def output_directory(self) -> Path:
        if self._output is None:
            raise RuntimeError("this host has no output folder, because it runs nothing")
        return self._output

    def output_problem(self, subfolder: str, file_name: str, size: int) -> str | None:
        return None if self._output is None else folder_problem(self._output / subfolder, file_name, size)

    def rescue_folders(self) -> list[Path]:
        return rescue_folders(self.output_directory())

    def input_directory(self) -> Path:
        return Path("input").absolute()

    def temp_directory(self) -> Path:
        """A new folder that only this user can open, made when it is first asked for."""
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="acestep-xl-")) / "acestep-xl"
        return self._temporary

    def metadata_enabled(self) -> bool:
        return True

    def announce(self, message: str) -> None:
        _logger.info(message)

    def warn(self, message: str) -> None:
        _logger.warning(message)

    def advise(self, messages: Sequence[str]) -> None:
        for message in messages:
            self.warn(message)
