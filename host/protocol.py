"""The contract between the pack and its host."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .offload.accelerator import MemoryInfo


# What a network is for. A host may run each role on a different device.
Role = Literal["network", "text", "vae"]


class Progress(Protocol):
    """A progress bar, closed when its `with` block ends."""

    def update(self, value: int, preview: object | None = None) -> None:
        """Show `value` of the total as done. preview: ComfyUI's ("JPEG", PIL image, longest side), or None."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Progress: ...

    def __exit__(self, *_: object) -> None: ...


class Host(Protocol):
    """What a node may ask of the environment it runs in."""

    def model_names(self, kind: str) -> list[str]:
        """The names a user can choose from, sorted, with forward slashes.

        kind: one of `model_folders.KINDS`, ComfyUI's folder names. "diffusers" lists folders, the others .safetensors
        files. Raises ValueError for any other kind.
        """
        ...

    def model_path(self, kind: str, name: str) -> Path:
        """The path of a model. Raises FileNotFoundError that lists the folders searched and the names available."""
        ...

    def search_folders(self) -> dict[str, list[Path]]:
        """The folders searched for each kind, first match first; some may not exist."""
        ...

    def tokenizer_bundles(self) -> list[Path]:
        """Folders outside of checkpoints that may hold a tokenizer."""
        ...

    def compute_device(self, role: Role = "network") -> torch.device: ...

    def resident(
        self, modules: Sequence[nn.Module], memory: int, role: Role = "network"
    ) -> AbstractContextManager[torch.device]:
        """Make `modules` ready to run on the compute device of their role, which the block receives.

        memory: bytes the work needs beside the weights. Weights that do not fit beside it stay in main memory and are
        streamed layer by layer, so rely on a parameter's dtype, not its device. After the block the host decides
        whether to keep the weights loaded. Blocks may nest: an inner one never offloads the modules of an outer one. An
        interrupt inside the block stops the work at the next block of a network.
        """
        ...

    def offload(self, module: nn.Module) -> None:
        """Move the weights of a network that no block holds back to main memory, to build another network from them."""
        ...

    def memory_info(self, role: Role = "network") -> MemoryInfo | None:
        """The memory that the weights and work of a role share; None if that is main memory, or unknown."""
        ...

    def reclaim(self) -> None:
        """Free everything unused after an out-of-memory error, outside the `resident` block that raised it."""
        ...

    def sampling_patcher(self, network: nn.Module) -> Any:
        """ComfyUI's patcher of a network, from which its samplers and previews read latent format and noise levels.

        Raises RuntimeError outside of ComfyUI.
        """
        ...

    def progress(self, total: int) -> Progress: ...

    def preview_size(self) -> int | None:
        """Longest side of preview images, in pixels; None if the user wants no previews."""
        ...

    def check_interrupted(self) -> None:
        """Raise if the user asked to stop; the error is outside Exception."""
        ...

    def output_directory(self) -> Path: ...

    def output_problem(self, subfolder: str, file_name: str, size: int) -> str | None:
        """Why files named like `file_name`, of `size` bytes altogether, could not be saved in a subfolder of the output
        folder; None if they can, or if nothing will be saved."""
        ...

    def rescue_folders(self) -> list[Path]:
        """Where to keep a file that cannot be saved where it should be, in order."""
        ...

    def input_directory(self) -> Path: ...

    def temp_directory(self) -> Path: ...

    def metadata_enabled(self) -> bool:
        """Whether files may embed the workflow that made them."""
        ...

    def announce(self, message: str) -> None:
        """Log what is about to happen."""
        ...

    def warn(self, message: str) -> None:
        """Show the user a hint, in addition to others on the running node."""
        ...

    def advise(self, messages: Sequence[str]) -> None:
        """Show the user the hints on the running node, replacing those of its last run; may be none."""
        ...
