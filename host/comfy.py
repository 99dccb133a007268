"""The host inside ComfyUI. The only file of the pack that imports ComfyUI; imported only when ComfyUI runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import comfy.latent_formats  # pyright: ignore[reportMissingImports]
import comfy.model_management  # pyright: ignore[reportMissingImports]  # ComfyUI is not installable
import comfy.model_patcher  # pyright: ignore[reportMissingImports]
import comfy.model_sampling  # pyright: ignore[reportMissingImports]
import comfy.utils  # pyright: ignore[reportMissingImports]
import folder_paths  # pyright: ignore[reportMissingImports]
import torch
from comfy.cli_args import args as comfy_args  # pyright: ignore[reportMissingImports]
from torch import nn

from . import models
from .protocol import Progress

_logger = logging.getLogger("acestep_xl")
_PATCHER = "_acestep_xl_patcher"
SHIFT = 3.0  # core's own setting for ACE-Step 1.5, for its schedulers


class ComfyProgress:
    """ComfyUI's bar under the running node."""

    def __init__(self, total: int) -> None:
        self._bar = comfy.utils.ProgressBar(total)

    def update(self, value: int, preview: object | None = None) -> None:
        self._bar.update_absolute(value, preview=preview)

    def close(self) -> None:
        """Nothing to do: ComfyUI ends a node's bar with the node."""

    def __enter__(self) -> ComfyProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ComfyHost:
    """Implements `protocol.Host` over ComfyUI's folders, memory management, progress and interruption."""

    def __init__(self) -> None:
        self._held: list[nn.Module] = []  # the modules of the blocks open now

    def model_names(self, kind: str) -> list[str]:
        folders = models.folders_of(kind, self.searched())
        if kind == "diffusers":
            return models.names_in(kind, folders)
        names = [name.replace("\\", "/") for name in folder_paths.get_filename_list(kind)]
        return [name for name in names if name.lower().endswith(".safetensors")]

    def model_path(self, kind: str, name: str) -> Path:
        return models.locate(kind, name, models.folders_of(kind, self.searched()))

    def searched(self) -> dict[str, list[Path]]:
        return {kind: [Path(folder) for folder in folder_paths.get_folder_paths(kind)] for kind in models.KINDS}

    def tokenizer_bundles(self) -> list[Path]:
        own = models.tokenizer_folders(self.searched()["text_encoders"])
        shipped = Path(comfy.utils.__file__).parent / "text_encoders" / "qwen25_tokenizer"
        return [*own, shipped] if shipped.is_dir() else own

    def compute_device(self) -> torch.device:
        return comfy.model_management.get_torch_device()

    @contextmanager
    def resident(self, modules: Sequence[nn.Module], memory: int) -> Iterator[torch.device]:
        device = self.compute_device()
        # Modules of outer blocks are asked for again, or ComfyUI could unload them to make room for the new ones.
        wanted = list({id(module): module for module in [*self._held, *modules]}.values())
        _load([_patcher(module) for module in wanted], memory)
        held_before = len(self._held)
        self._held += modules
        try:
            yield device
        finally:
            del self._held[held_before:]

    def sampling_patcher(self, network: nn.Module) -> comfy.model_patcher.ModelPatcher:
        return _patcher(network)

    def progress(self, total: int) -> Progress:
        return ComfyProgress(total)

    def check_interrupted(self) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()

    def output_directory(self) -> Path:
        return Path(folder_paths.get_output_directory())

    def input_directory(self) -> Path:
        return Path(folder_paths.get_input_directory())

    def temp_directory(self) -> Path:
        return Path(folder_paths.get_temp_directory())

    def metadata_enabled(self) -> bool:
        return not comfy_args.disable_metadata

    def warn(self, message: str) -> None:
        _logger.warning(message)


class FlowLevels(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
    """Noise levels of a flow as ComfyUI's samplers and schedulers know them: velocity is noise - data, level is t."""

    def __init__(self) -> None:
        super().__init__()
        self.set_parameters(shift=SHIFT, multiplier=1.0)


class AceStepXL(nn.Module):
    """Holds one network, so that the attributes ComfyUI sets on a model (device, ...) don't land on it.

    Has what ComfyUI's samplers and previews read of a model. ComfyUI's log shows this class's name.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.latent_format = comfy.latent_formats.ACEAudio15()
        self.model_sampling = FlowLevels()

    def process_latent_in(self, latent: torch.Tensor) -> torch.Tensor:
        """ACE-Step's latents are used raw."""
        return latent

    def process_latent_out(self, latent: torch.Tensor) -> torch.Tensor:
        return latent

    def scale_latent_inpaint(
        self, x: torch.Tensor, sigma: torch.Tensor, noise: torch.Tensor, latent_image: torch.Tensor
    ) -> torch.Tensor:
        """The source at a noise level, which ComfyUI's samplers put back outside a mask."""
        return self.model_sampling.noise_scaling(sigma.reshape([-1] + [1] * (x.ndim - 1)), noise, latent_image)


def _patcher(module: nn.Module) -> comfy.model_patcher.ModelPatcher:
    """The one patcher of a module, which lives and dies with it.

    It is an attribute of the module because a weak dictionary would never let go: the patcher, its value, refers to
    the module, its key.
    """
    patcher = module.__dict__.get(_PATCHER)
    if patcher is None:
        patcher = comfy.model_patcher.ModelPatcher(
            AceStepXL(module),
            load_device=comfy.model_management.get_torch_device(),
            offload_device=comfy.model_management.unet_offload_device(),
        )
        module.__dict__[_PATCHER] = patcher
    return patcher


def _load(patchers: list[comfy.model_patcher.ModelPatcher], memory: int) -> None:
    """Load whole networks through ComfyUI's memory management.

    Partial loading streams only layers made of ComfyUI's own classes; with ours it would leave weights behind. With
    --novram ComfyUI loads partially even when asked for everything, hence the second look.
    """
    comfy.model_management.load_models_gpu(patchers, memory_required=memory, force_full_load=True)
    for patcher in patchers:
        if any(tensor.device != patcher.load_device for tensor in patcher.model.parameters()):
            patcher.load(patcher.load_device, full_load=True)
