"""The contract between the pack and its host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .offload.accelerator import MemoryInfo


# What a network is for. A host may run each role on a different device.
Role = Literal["network", "text", "vae"]
NATIVE_SHIFT = 3.0  # of the noise levels, as ComfyUI sets it for ACE-Step 1.5


class Progress(Protocol):
    """A progress bar, closed when its `with` block ends."""

    def update(self, value: int, preview: object | None = None) -> None:
        """Show `value` of the total as done. preview: ComfyUI's ("JPEG", PIL image, longest side), or None."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Progress: ...

    def __exit__(self, *_: object) -> None: ...


class Held(NamedTuple):
    """A module that computes with weights which a MODEL or CLIP holds: `owner`, the socket's value."""

    module: nn.Module
    owner: Any


def module_of(entry: nn.Module | Held) -> nn.Module:
    """The module of an entry of `Host.resident`."""
    return entry.module if isinstance(entry, Held) else entry


class TextEncoding(Protocol):
    """What a CLIP is made of: a text network and its tokenizer."""

    model: nn.Module
    tokenizer: Any

    def tokenize(self, text: str) -> list[int]: ...

    def encode_native(self, caption: Sequence[int], lyrics: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Caption states ``[1 n d]`` and lyric embeddings ``[1 m d]`` of token ids, as ComfyUI's encoder reads them."""
        ...


@dataclass(frozen=True)
class ForeignNetwork:
    """Another implementation's network, as ComfyUI's own loaders put it on a MODEL socket.

    module: has the parameter names of the official checkpoint. dtype, device: where it computes and in what.
    read_weights: a layer's weights by name, ready to compute with. silence: what the VAE encodes silence to, ``[t c]``.
    """

    module: nn.Module
    dtype: torch.dtype
    device: torch.device
    read_weights: Callable[[nn.Module], dict[str, torch.Tensor]]
    silence: torch.Tensor


class Sockets(Protocol):
    """What MODEL and CLIP sockets carry: ComfyUI's own objects inside ComfyUI, so that other nodes take them."""

    def make_model(self, network: nn.Module, like: Any = None) -> Any:
        """A MODEL that holds one of our networks. like: a MODEL whose settings, but not its patches, it takes over."""
        ...

    def network_of(self, model: Any) -> nn.Module | None:
        """Our network that `make_model` or `replace_network` was given; None if there is only another
        implementation's. Raises ValueError for what is no MODEL."""
        ...

    def foreign_network(self, model: Any) -> ForeignNetwork | None:
        """The other implementation's network that a MODEL holds, if it does. Raises ValueError if it is of another
        kind of model than ACE-Step 1.5."""
        ...

    def replace_network(self, model: Any, network: nn.Module) -> Any:
        """A MODEL with one of our networks in the place of another over the same weights. Patches that other nodes
        added, and their settings, stay."""
        ...

    def sampling_patcher(self, model: Any) -> Any:
        """ComfyUI's patcher, from which its samplers and previews read latent format and noise levels; outside of
        ComfyUI only what says the shift."""
        ...

    def set_shift(self, model: Any, shift: float) -> Any:
        """A MODEL whose noise levels have another shift."""
        ...

    def make_clip(self, encoder: TextEncoding) -> Any:
        """A CLIP that holds one of our text encoders."""
        ...

    def encoder_of(self, clip: Any) -> TextEncoding | nn.Module:
        """The encoder that `make_clip` was given; else the text network that a CLIP holds, callable as transformers'
        Qwen3Model. Raises ValueError for a CLIP of another model."""
        ...

    def is_patched(self, clip: Any) -> bool:
        """Whether other nodes have added patches to a CLIP."""
        ...


class Host(Protocol):
    """What a node may ask of the environment it runs in."""

    @property
    def sockets(self) -> Sockets: ...

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
        self, modules: Sequence[nn.Module | Held], memory: int, role: Role = "network"
    ) -> AbstractContextManager[torch.device]:
        """Make `modules` ready to run on the compute device of their role, which the block receives.

        memory: bytes the work needs beside the weights. Weights that do not fit beside it stay in main memory and are
        streamed layer by layer, so rely on a parameter's dtype, not its device. After the block the host decides
        whether to keep the weights loaded. Blocks may nest: an inner one never offloads the modules of an outer one. An
        interrupt inside the block stops the work at the next block of a network.
        """
        ...

    def offload(self, module: nn.Module | Held) -> None:
        """Move the weights of a network that no block holds back to main memory, to build another network from them."""
        ...

    def memory_info(self, role: Role = "network") -> MemoryInfo | None:
        """The memory that the weights and work of a role share; None if that is main memory, or unknown."""
        ...

    def reclaim(self) -> None:
        """Free everything unused after an out-of-memory error, outside the `resident` block that raised it."""
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
