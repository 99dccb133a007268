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


# What a network is for. A host may keep each on a device of its own.
Role = Literal["network", "text", "vae"]


class Progress(Protocol):
    """One bar of work, closed when its `with` block ends."""

    def update(self, value: int, preview: object | None = None) -> None:
        """Show that `value` of the total is done; `preview` is ComfyUI's ("JPEG", PIL image, longest side) or None."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Progress: ...

    def __exit__(self, *_: object) -> None: ...


class Host(Protocol):
    """What a node may ask of the place it runs in."""

    def model_names(self, kind: str) -> list[str]:
        """Names to choose from, sorted, with forward slashes.

        kind: one of `models.KINDS`, ComfyUI's folder names. The names of "diffusers" are folders, all others
        .safetensors files. Raises ValueError for another kind.
        """
        ...

    def model_path(self, kind: str, name: str) -> Path:
        """Where `name` lies. Raises FileNotFoundError that says where it looked and what is there."""
        ...

    def search_folders(self) -> dict[str, list[Path]]:
        """The folders looked into for each kind, first match first; some may not exist."""
        ...

    def tokenizer_bundles(self) -> list[Path]:
        """Folders that may hold a tokenizer and do not lie beside a checkpoint."""
        ...

    def compute_device(self, role: Role = "network") -> torch.device: ...

    def resident(
        self, modules: Sequence[nn.Module], memory: int, role: Role = "network"
    ) -> AbstractContextManager[torch.device]:
        """Make `modules` ready to run on the compute device of their role for the block, which gets that device.

        memory: bytes that the work needs beside the weights. Weights that do not fit beside it may stay away and come
        layer by layer, so only a parameter's type says something, not its device. After the block the host decides
        whether they stay. Blocks may nest: an inner one never takes the modules of an outer one away. A stop asked for
        inside the block ends the work at the next block of a network.
        """
        ...

    def offload(self, module: nn.Module) -> None:
        """Have the weights of a network that no block holds where they are kept, to make another network of them."""
        ...

    def memory_info(self, role: Role = "network") -> MemoryInfo | None:
        """The memory that weights and work of a role may share; None where that is main memory, or unknown."""
        ...

    def reclaim(self) -> None:
        """After work ran out of memory, and outside its `resident` block: give back what nobody uses."""
        ...

    def sampling_patcher(self, network: nn.Module) -> Any:
        """ComfyUI's patcher for a network, which its samplers and previews read the latent format and the noise levels
        from. Raises RuntimeError where there is no ComfyUI."""
        ...

    def progress(self, total: int) -> Progress: ...

    def preview_size(self) -> int | None:
        """Longest side of the pictures that go with progress, in pixels; None where the user wants none."""
        ...

    def check_interrupted(self) -> None:
        """Raise, with an error outside Exception, when the user asked to stop."""
        ...

    def output_directory(self) -> Path: ...

    def input_directory(self) -> Path: ...

    def temp_directory(self) -> Path: ...

    def metadata_enabled(self) -> bool:
        """Whether files may carry the workflow that made them."""
        ...

    def announce(self, message: str) -> None:
        """Tell whoever reads the log what is about to happen."""
        ...

    def warn(self, message: str) -> None:
        """Show the user a hint, beside the others of the running node."""
        ...

    def advise(self, messages: Sequence[str]) -> None:
        """Show the user what there is to say about the running node, in place of what its last run said; may be
        nothing."""
        ...
