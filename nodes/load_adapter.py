"""Node: load an adapter onto a model."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from .. import parameters
from ..host import current_host
from ..model.adapters.fit import check_fit, training_hint
from ..parameters.adapters import GROUP_HELP, NO_ADAPTER
from ..pipeline import model_socket
from ..pipeline.adapters.files import FOLDER, adapter_names, file_state, read_adapter
from ..pipeline.adapters.strength import PARAMETER_NAMES, StrengthCurve, apply_settings
from ..pipeline.input_checks import UNCONNECTED, join_answers, settings_problem
from ..pipeline.regions import region_problem

BORROWED = (
    "the model comes from ComfyUI's loader: the adapter acts under this pack's guidance node, and not in ComfyUI's "
    "KSampler or under its guiders"
)


class LoadAdapter:
    """Returns a network with an adapter on top; the input network is unchanged."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Applies a LoRA, LoKr, DoRA or another adapter of ACE-Step 1.5, of any trainer, beside the model's weights. "
        "Chain nodes for several."
    )
    FUNCTION = "load"
    RETURN_TYPES = ("MODEL",)
    RETURN_NAMES = ("model",)
    OUTPUT_TOOLTIPS = ("The network with the adapter, for the guidance node or another adapter.",)
    SEARCH_ALIASES: ClassVar = ["ace step lora", "load lora", "lokr", "dora", "lycoris", "style adapter"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        names = [NO_ADAPTER, *adapter_names(current_host())]
        others = ("curve", "end_strength", "start", "end", "regions")
        mask = {"tooltip": "How strongly the adapter acts over the whole song, instead of regions."}
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "ACE-Step 1.5, from this pack's loader or ComfyUI's."}),
                "adapter": (names, {"tooltip": "A file in the folder loras. none leaves the model as it is."}),
                "strength": parameters.widget("adapter_strength"),
            },
            "optional": {
                **{name: parameters.widget(f"adapter_{name}") for name in (*GROUP_HELP, *others)},
                "mask": ("MASK", mask),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        adapter: str | None,
        strength: float | None,
        curve: str | None = "constant",
        end_strength: float | None = 1.0,
        start: float | None = 0.0,
        end: float | None = 1.0,
        regions: str | None = "",
        mask: object = UNCONNECTED,
    ) -> bool | str:
        """A linked value arrives as None."""
        values = {"strength": strength, "shape": curve, "end_strength": end_strength, "start": start, "end": end}
        has_regions = mask is UNCONNECTED and regions not in (None, "")
        return join_answers(
            _file_problem(adapter),
            settings_problem(StrengthCurve, values, PARAMETER_NAMES),
            region_problem(regions) if has_regions else True,
        )

    @classmethod
    def IS_CHANGED(
        cls,
        adapter: str | None,
        strength: object = None,
        self_attention: object = None,
        cross_attention: object = None,
        mlp: object = None,
        condition_embedder: object = None,
        time_embedding: object = None,
        encoder: object = None,
        other: object = None,
        curve: object = None,
        end_strength: object = None,
        start: object = None,
        end: object = None,
        regions: object = None,
        mask: object = None,
        model: object = None,
    ) -> str:
        """The state of the file, so that one that was trained on is read anew. ComfyUI passes every input."""
        return "" if adapter in (None, NO_ADAPTER) else file_state(current_host().model_path(FOLDER, adapter))

    def load(
        self,
        model: Any,
        adapter: str,
        strength: float,
        self_attention: float = 1.0,
        cross_attention: float = 1.0,
        mlp: float = 1.0,
        condition_embedder: float = 1.0,
        time_embedding: float = 1.0,
        encoder: float = 1.0,
        other: float = 1.0,
        curve: str = "constant",
        end_strength: float = 1.0,
        start: float = 0.0,
        end: float = 1.0,
        regions: str = "",
        mask: Tensor | None = None,
    ) -> tuple[Any]:
        factors = (self_attention, cross_attention, mlp, condition_embedder, time_embedding, encoder, other)
        strengths = StrengthCurve(strength, curve, end_strength, start, end)
        if adapter == NO_ADAPTER:
            current_host().advise([])
            return (model,)
        content, network = read_adapter(adapter), model_socket.network_of(model)
        check_fit([content], network.config, network.name)
        applied = apply_settings(content, strengths, dict(zip(GROUP_HELP, factors, strict=True)), regions, mask)
        is_borrowed = current_host().sockets.foreign_network(model) is not None
        hints = (training_hint(content, network.training_kind), BORROWED if is_borrowed else "")
        current_host().advise([*content.hints, *filter(None, hints)])
        current_host().announce(f"{adapter}: {content.describe()}")
        return (model if strengths.is_zero else model_socket.with_adapters(model, [applied]),)


def _file_problem(name: str | None) -> bool | str:
    """What VALIDATE_INPUTS returns for an adapter's file."""
    if name is None or name == NO_ADAPTER:
        return True
    try:
        read_adapter(name)
    except (OSError, ValueError) as error:
        return str(error)
    return True
