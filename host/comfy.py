"""The host inside ComfyUI. Imported only when ComfyUI runs."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import comfy.model_management  # pyright: ignore[reportMissingImports]  # ComfyUI cannot be installed
import comfy.model_patcher  # pyright: ignore[reportMissingImports]
import comfy.sd  # pyright: ignore[reportMissingImports]
import comfy.utils  # pyright: ignore[reportMissingImports]
import folder_paths  # pyright: ignore[reportMissingImports]
import torch
from comfy.cli_args import LatentPreviewMethod  # pyright: ignore[reportMissingImports]
from comfy.cli_args import args as comfy_args  # pyright: ignore[reportMissingImports]
from comfy_execution.utils import get_executing_context  # pyright: ignore[reportMissingImports]
from torch import nn

from . import comfy_memory, comfy_server, model_folders
from .comfy_sockets import ComfySockets
from .offload.accelerator import MemoryInfo
from .offload.hooks import interruptible
from .output_folder import folder_problem, rescue_folders
from .protocol import Held, Progress, Role, module_of

_logger = logging.getLogger("acestep_xl")


class ComfyProgress:
    """ComfyUI's progress bar on the running node."""

    def __init__(self, total: int) -> None:
        self._bar = comfy.utils.ProgressBar(total)

    def update(self, value: int, preview: object | None = None) -> None:
        self._bar.update_absolute(value, preview=preview)

    def close(self) -> None:
        """ComfyUI closes the bar when the node ends."""

    def __enter__(self) -> ComfyProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ComfyHost:
    """Implements `protocol.Host` over ComfyUI's folders, memory management, progress and interruption."""

    def __init__(self) -> None:
        self.sockets = ComfySockets(self.warn)
        self._active: list[comfy.model_patcher.ModelPatcher] = []  # of all open `resident` blocks
        self._hints: dict[str, tuple[str, list[str]]] = {}  # by node: the prompt it ran in and its hints

    def model_names(self, kind: str) -> list[str]:
        # Not ComfyUI's own list, which repeats a name for every link back to a folder and has no model folders.
        return model_folders.list_models(kind, model_folders.folders_for(kind, self.search_folders()))

    def model_path(self, kind: str, name: str) -> Path:
        return model_folders.find_model(kind, name, model_folders.folders_for(kind, self.search_folders()))

    def search_folders(self) -> dict[str, list[Path]]:
        folders = {kind: list(map(Path, folder_paths.get_folder_paths(kind))) for kind in model_folders.KINDS}
        named = [kind for kind in folder_paths.folder_names_and_paths if model_folders.is_named_like_model(kind)]
        registered = [Path(folder) for kind in named for folder in folder_paths.get_folder_paths(kind)]
        official = [*model_folders.official_folders(Path(folder_paths.models_dir)), *registered]
        return folders | {"diffusers": list(dict.fromkeys([*folders["diffusers"], *official]))}

    def tokenizer_bundles(self) -> list[Path]:
        bundles = model_folders.tokenizer_folders(self.search_folders()["text_encoders"])
        builtin = Path(comfy.utils.__file__).parent / "text_encoders" / "qwen25_tokenizer"
        return [*bundles, builtin] if builtin.is_dir() else bundles

    def compute_device(self, role: Role = "network") -> torch.device:
        return comfy_memory.compute_device(role)

    @contextmanager
    def resident(
        self, modules: Sequence[nn.Module | Held], memory: int, role: Role = "network"
    ) -> Iterator[torch.device]:
        new = [_patcher(entry, role) for entry in modules]
        # Modules of outer blocks are requested again, or ComfyUI could unload them to make room for the new ones.
        patchers = {id(patcher): patcher for patcher in [*self._active, *new]}
        comfy.model_management.load_models_gpu(list(patchers.values()), memory_required=memory)
        for patcher in patchers.values():
            if comfy_memory.is_ours(patcher):
                comfy_memory.prepare(patcher)
        active_before = len(self._active)
        self._active += new
        try:
            with interruptible([module_of(entry) for entry in modules], self.check_interrupted):
                yield self.compute_device(role)
        finally:
            del self._active[active_before:]

    def offload(self, module: nn.Module | Held) -> None:
        # ComfyUI unloads all models or those it picks; it has no call for a single one.
        if _patcher(module, "network").loaded_size() > 0:
            comfy.model_management.unload_all_models()

    def memory_info(self, role: Role = "network") -> MemoryInfo | None:
        device = self.compute_device(role)
        if device.type in ("cpu", "mps"):
            return None
        loaded = comfy.model_management.loaded_models()
        ours = sum(model.loaded_size() for model in loaded if model.load_device == device)
        total = comfy.model_management.get_total_memory(device)
        return MemoryInfo(min(comfy.model_management.get_free_memory(device) + ours, total), total)

    def reclaim(self) -> None:
        gc.collect()
        comfy.model_management.soft_empty_cache()

    def progress(self, total: int) -> Progress:
        return ComfyProgress(total)

    def preview_size(self) -> int | None:
        return None if comfy_args.preview_method == LatentPreviewMethod.NoPreviews else comfy_args.preview_size

    def check_interrupted(self) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()

    def output_directory(self) -> Path:
        return Path(folder_paths.get_output_directory())

    def output_problem(self, subfolder: str, file_name: str, size: int) -> str | None:
        return folder_problem(self.output_directory() / subfolder, file_name, size)

    def rescue_folders(self) -> list[Path]:
        return rescue_folders(self.output_directory())

    def input_directory(self) -> Path:
        return Path(folder_paths.get_input_directory())

    def temp_directory(self) -> Path:
        return Path(folder_paths.get_temp_directory())

    def metadata_enabled(self) -> bool:
        return not comfy_args.disable_metadata

    def announce(self, message: str) -> None:
        _logger.info(message)

    def warn(self, message: str) -> None:
        _logger.warning(message)
        self._show([message], add=True)

    def advise(self, messages: Sequence[str]) -> None:
        for message in messages:
            _logger.warning(message)
        self._show(messages, add=False)

    def _show(self, messages: Sequence[str], add: bool) -> None:
        """Show hints on the running node."""
        context = get_executing_context()
        if context is None:
            return
        prompt, earlier = self._hints.get(context.node_id, ("", []))
        hints = [*earlier, *messages] if add and prompt == context.prompt_id else [*messages]
        # No hints are shown too: they clear those of an earlier run.
        comfy_server.show_hints(context.prompt_id, context.node_id, hints)
        self._hints[context.node_id] = (context.prompt_id, hints)


def _patcher(entry: nn.Module | Held, role: Role) -> comfy.model_patcher.ModelPatcher:
    """ComfyUI's patcher of a module: that of the MODEL or CLIP that holds it, else one of its own."""
    if not isinstance(entry, Held):
        return comfy_memory.patcher_of(entry, role)
    return entry.owner.patcher if isinstance(entry.owner, comfy.sd.CLIP) else entry.owner
