"""The host inside ComfyUI. The only file of the pack that imports ComfyUI; imported only when ComfyUI runs."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.latent_formats  # pyright: ignore[reportMissingImports]
import comfy.model_management  # pyright: ignore[reportMissingImports]  # ComfyUI is not installable
import comfy.model_patcher  # pyright: ignore[reportMissingImports]
import comfy.model_sampling  # pyright: ignore[reportMissingImports]
import comfy.ops  # pyright: ignore[reportMissingImports]
import comfy.utils  # pyright: ignore[reportMissingImports]
import folder_paths  # pyright: ignore[reportMissingImports]
import torch
from comfy.cli_args import LatentPreviewMethod  # pyright: ignore[reportMissingImports]
from comfy.cli_args import args as comfy_args  # pyright: ignore[reportMissingImports]
from comfy_execution.utils import get_executing_context  # pyright: ignore[reportMissingImports]
from torch import nn

from . import model_folders
from .offload import hooks
from .offload.accelerator import MemoryInfo
from .protocol import Progress, Role

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
        self._said: dict[str, tuple[str, list[str]]] = {}  # by node: the prompt it ran in and its hints

    def model_names(self, kind: str) -> list[str]:
        folders = model_folders.folders_of(kind, self.search_folders())
        if kind == "diffusers":
            return model_folders.names_in(kind, folders)
        names = [name.replace("\\", "/") for name in folder_paths.get_filename_list(kind)]
        return [name for name in names if name.lower().endswith(".safetensors")]

    def model_path(self, kind: str, name: str) -> Path:
        return model_folders.locate(kind, name, model_folders.folders_of(kind, self.search_folders()))

    def search_folders(self) -> dict[str, list[Path]]:
        return {kind: [Path(folder) for folder in folder_paths.get_folder_paths(kind)] for kind in model_folders.KINDS}

    def tokenizer_bundles(self) -> list[Path]:
        own = model_folders.tokenizer_folders(self.search_folders()["text_encoders"])
        shipped = Path(comfy.utils.__file__).parent / "text_encoders" / "qwen25_tokenizer"
        return [*own, shipped] if shipped.is_dir() else own

    def compute_device(self, role: Role = "network") -> torch.device:
        return _DEVICES[role][0]()

    @contextmanager
    def resident(self, modules: Sequence[nn.Module], memory: int, role: Role = "network") -> Iterator[torch.device]:
        own = [_patcher(module, role) for module in modules]
        # Modules of outer blocks are asked for again, or ComfyUI could unload them to make room for the new ones.
        wanted = {id(patcher): patcher for patcher in [*map(_patcher, self._held), *own]}
        comfy.model_management.load_models_gpu(list(wanted.values()), memory_required=memory)
        for patcher in wanted.values():
            _settle(patcher)
        held_before = len(self._held)
        self._held += modules
        try:
            with hooks.interruptible(modules, self.check_interrupted):
                yield self.compute_device(role)
        finally:
            del self._held[held_before:]

    def offload(self, module: nn.Module) -> None:
        # ComfyUI unloads all models or what it chooses; there is no call for one.
        if _patcher(module).loaded_size() > 0:
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

    def sampling_patcher(self, network: nn.Module) -> comfy.model_patcher.ModelPatcher:
        return _patcher(network)

    def progress(self, total: int) -> Progress:
        return ComfyProgress(total)

    def preview_size(self) -> int | None:
        return None if comfy_args.preview_method == LatentPreviewMethod.NoPreviews else comfy_args.preview_size

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
        """On the node that runs now, in the browser that queued it."""
        context, server = get_executing_context(), getattr(sys.modules.get("server"), "PromptServer", None)
        instance = getattr(server, "instance", None)
        if context is None or instance is None:
            return
        prompt, earlier = self._said.get(context.node_id, ("", []))
        told = [*earlier, *messages] if add and prompt == context.prompt_id else list(messages)
        if told or earlier:
            # The editor ignores an empty text, so a blank one takes old hints off.
            instance.send_progress_text("\n".join(told) or " ", context.node_id, instance.client_id)
        self._said[context.node_id] = (context.prompt_id, told)


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


def _patcher(module: nn.Module, role: Role = "network") -> comfy.model_patcher.ModelPatcher:
    """The one patcher of a module, which lives and dies with it.

    It is an attribute of the module because a weak dictionary would never let go: the patcher, its value, refers to
    the module, its key.
    """
    patcher = module.__dict__.get(_PATCHER)
    if patcher is None:
        for layer in hooks.streamable(module):
            _offer(layer)
        compute, store = _DEVICES[role]
        patcher = comfy.model_patcher.ModelPatcher(AceStepXL(module), load_device=compute(), offload_device=store())
        module.__dict__[_PATCHER] = patcher
    return patcher


def _offer(layer: nn.Module) -> None:
    """What ComfyUI looks for in a layer that may stay in main memory; it sets the first and fills the next two."""
    layer.__dict__.update(comfy_cast_weights=False, weight_function=[], bias_function=[])
    if "bias" not in layer._parameters:
        layer.__dict__["bias"] = None


def _settle(patcher: comfy.model_patcher.ModelPatcher) -> None:
    """Make a network that ComfyUI has loaded, perhaps in part, ready to run.

    ComfyUI leaves behind what is not one of its own layers; everything but the large layers is small.
    """
    device = patcher.load_device
    away = [layer for layer in patcher.model.modules() if getattr(layer, "comfy_cast_weights", False)]

    def fetch(layer: nn.Module) -> tuple[dict[str, torch.Tensor], Callable[[], None]]:
        own = {name: parameter for name, parameter in layer.named_parameters(recurse=False)}
        bias_dtype = own["bias"].dtype if "bias" in own else None
        weight, bias, stream = comfy.ops.cast_bias_weight(
            layer, None, own["weight"].dtype, device, bias_dtype, offloadable=True
        )
        copies = {name: copy for name, copy in (("weight", weight), ("bias", bias)) if name in own}
        return copies, lambda: comfy.ops.uncast_bias_weight(layer, weight, bias, stream)

    hooks.settle(patcher.model, away, device, fetch)


# Where a network computes and where it is kept. ComfyUI's options may put text encoders and VAEs on the CPU.
_DEVICES: dict[Role, tuple[Callable[[], torch.device], Callable[[], torch.device]]] = {
    "network": (comfy.model_management.get_torch_device, comfy.model_management.unet_offload_device),
    "text": (comfy.model_management.text_encoder_device, comfy.model_management.text_encoder_offload_device),
    "vae": (comfy.model_management.vae_device, comfy.model_management.vae_offload_device),
}


def mount(prefix: str, app: Any, bare: Any) -> None:
    """Add an aiohttp application to ComfyUI's server below a path.

    Does nothing where its nodes are used without a server, or where the server runs already and takes no new routes.
    bare: handles the path itself, without a slash at its end.
    """
    instance = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    if instance is not None and not instance.app.frozen:
        instance.app.router.add_get(prefix, bare)
        instance.app.add_subapp(prefix, app)


def addresses() -> tuple[str, ...]:
    """What ComfyUI's server listens on."""
    return tuple(address.strip() for address in comfy_args.listen.split(","))


def own_url() -> str:
    """How this machine reaches ComfyUI's server."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(addresses()[0], addresses()[0])
    host = f"[{address}]" if ":" in address else address
    secure = comfy_args.tls_keyfile and comfy_args.tls_certfile
    return f"http{'s' if secure else ''}://{host}:{comfy_args.port}"


def user_directory() -> Path:
    return Path(folder_paths.get_user_directory())
