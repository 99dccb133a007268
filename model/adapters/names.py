"""Which module of the network a name in an adapter file means.

Trainers write a module's path with dots or flat, with underscores; with and without ``decoder``; in official or in
diffusers' words; behind prefixes, some of them twice; and with names of wrappers in between. Flat names are looked up,
never split: the modules' own names hold underscores.
"""

from __future__ import annotations

import re
from functools import cache

from .sizes import parameter_shapes, published_sizes

PREFIXES = (
    "base_model.model.",
    "decoder.base_model.model.",
    "base_model_model_",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "lycoris_",
    "lora_unet_",
    "lora_transformer_",
    "unet.",
    "dit.",
    "model.decoder.",
)
# What wraps a module while it is trained, in paths with dots and in flat ones.
WRAPPERS = (
    *("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "base_layer"),
    *("original_mlp", "original_self_attn", "original_cross_attn", "modules_to_save"),
)
DIFFUSERS_WORDS = (
    (".q_proj", ".to_q"),
    (".k_proj", ".to_k"),
    (".v_proj", ".to_v"),
    (".o_proj", ".to_out.0"),
    (".q_norm", ".norm_q"),
    (".k_norm", ".norm_k"),
    ("proj_in.1", "proj_in_conv"),
    ("proj_out.1", "proj_out_conv"),
)
_DOTTED = re.compile(r"(?:^|(?<=\.))(?:" + "|".join(WRAPPERS) + r")(?:\.|$)")
_SAVED = re.compile(r"\.modules_to_save\.\w+$")
_FLAT = re.compile("_(?:" + "|".join(wrapper for wrapper in WRAPPERS if wrapper.startswith("original")) + ")(?=_)")


def resolve(name: str) -> str | None:
    """The module of the network, or the parameter, that a name in a file means; None if there is none."""
    name = _SAVED.sub("", name)
    for candidate in _without_prefixes(_FLAT.sub("", _DOTTED.sub("", name).rstrip("."))):
        if module := aliases().get(candidate):
            return module
    return None


def prefix_of(name: str) -> str:
    """The part of a name that precedes the module's path, as written."""
    for candidate in _without_prefixes(name):
        if aliases().get(candidate):
            return name.removesuffix(candidate)
    return name.removesuffix(list(_without_prefixes(name))[-1])


def spellings(module: str) -> list[str]:
    """All names of a module with dots, the official one first."""
    without = module.removeprefix("decoder.")
    return list(dict.fromkeys((module, without, _in_diffusers_words(without))))


@cache
def aliases() -> dict[str, str]:
    """Every spelling of a module or parameter of the network, and its official name."""
    table: dict[str, str] = {}
    for parameter in parameter_shapes(published_sizes()["XL"]):
        for module in {parameter, re.sub(r"\.(weight|bias)$", "", parameter)}:
            for spelling in (*spellings(module), _in_diffusers_words(module)):
                table.setdefault(spelling, module)
                table.setdefault(spelling.replace(".", "_"), module)
    return table


def _without_prefixes(name: str) -> list[str]:
    """The name, and what is left of it after each prefix."""
    names = [name]
    while prefix := next((prefix for prefix in PREFIXES if names[-1].startswith(prefix)), ""):
        names.append(names[-1].removeprefix(prefix))
    return names


def _in_diffusers_words(module: str) -> str:
    for official, diffusers in DIFFUSERS_WORDS:
        module = module.replace(official, diffusers)
    return module
