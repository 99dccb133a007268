"""Replacements of ComfyUI's samplers and guiders."""

from __future__ import annotations

from typing import Any

from ...parameters import ids
from ..graph import Link, NodeCall
from . import effects
from .levels import add_levels
from .limits import outside
from .rewrite import OWN, Rewrite

NULL_CONDITION, SELECT, NOISE, NO_NOISE = "ConditioningZeroOut", "KSamplerSelect", "RandomNoise", "DisableNoise"
DEFAULT_SAMPLER = "euler"  # what our sampler node runs without a SAMPLER
# These evaluate the unconditional estimate by itself, which only ComfyUI's own guiders hand them.
OWN_GUIDANCE = "_cfg_pp"
DROP_LEVEL = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})


def replace_guider(rewrite: Rewrite, node_id: str) -> str:
    """CFGGuider or BasicGuider -> Guider. Returns why it stays, or ""."""
    before = rewrite.graph[node_id]
    scale = before.inputs.get("cfg", 1.0)
    reason = outside(scale, "cfg", "guidance_scale") or _sampler_reason(rewrite, node_id)
    if reason:
        return reason
    positive = before.inputs.get("positive", before.inputs.get("conditioning"))
    rewrite.replace(node_id, ids.GUIDER, _guider_inputs(rewrite, {**before.inputs, "positive": positive, "cfg": scale}))
    rewrite.record(node_id, before, (ids.GUIDER,), _guidance_effect(rewrite, scale), effects.NETWORK, effects.REFERENCE)
    return ""


def replace_ksampler(rewrite: Rewrite, node_id: str) -> str:
    """KSampler -> Guider, Schedule, RandomNoise and Sampler. Returns why it stays, or ""."""
    before = rewrite.graph[node_id]
    name = before.inputs.get("sampler_name")
    if not isinstance(name, str) or not isinstance(before.inputs.get("scheduler"), str):
        return "its sampler or scheduler comes over a link"
    if reason := outside(before.inputs["cfg"], "cfg", "guidance_scale") or _cfg_pp_reason(name):
        return reason
    guider = rewrite.add(ids.GUIDER, _guider_inputs(rewrite, before.inputs), node_id)
    sigmas, levels, notes = add_levels(rewrite, before.inputs, node_id)
    noise = _add_noise(rewrite, before.inputs.get("seed"), node_id)
    sampler, classes = None, (ids.GUIDER, levels, NOISE, ids.SAMPLER)
    if name != DEFAULT_SAMPLER:
        sampler = Link(rewrite.add(SELECT, {"sampler_name": name}, node_id), 0)
        classes = (ids.GUIDER, levels, NOISE, SELECT, ids.SAMPLER)
    _put_sampler(rewrite, node_id, before, Link(guider, 0), noise, sampler, sigmas)
    drop = effects.PENULTIMATE if name in DROP_LEVEL else ""
    guidance = _guidance_effect(rewrite, before.inputs["cfg"])
    rewrite.record(
        node_id, before, classes, guidance, effects.NETWORK, effects.REFERENCE, effects.SAME_NOISE, *notes, drop
    )
    return ""


def replace_sampler_custom(rewrite: Rewrite, node_id: str) -> str:
    """SamplerCustom -> Guider, noise and Sampler. Returns why it stays, or ""."""
    before = rewrite.graph[node_id]
    sampler = before.inputs.get("sampler")
    reason = outside(before.inputs.get("cfg"), "cfg", "guidance_scale") or _second_output(rewrite, node_id)
    reason = reason or _cfg_pp_reason(_sampler_name(rewrite, sampler))
    if reason:
        return reason
    if not isinstance(before.inputs.get("add_noise"), bool):
        return "whether it adds noise comes over a link"
    guider = rewrite.add(ids.GUIDER, _guider_inputs(rewrite, before.inputs), node_id)
    if before.inputs["add_noise"]:
        noise, kind = _add_noise(rewrite, before.inputs.get("noise_seed"), node_id), NOISE
    else:
        noise, kind = Link(rewrite.add(NO_NOISE, {}, node_id), 0), NO_NOISE
    _put_sampler(rewrite, node_id, before, Link(guider, 0), noise, sampler, before.inputs.get("sigmas"))
    guidance = _guidance_effect(rewrite, before.inputs["cfg"])
    same = effects.SAME_NOISE if kind == NOISE else ""
    rewrite.record(node_id, before, (ids.GUIDER, kind, ids.SAMPLER), guidance, effects.NETWORK, effects.REFERENCE, same)
    return ""


def replace_sampler_advanced(rewrite: Rewrite, node_id: str) -> str:
    """SamplerCustomAdvanced -> Sampler. Returns why it stays, or ""."""
    before = rewrite.graph[node_id]
    guider = rewrite.origin(before.inputs.get("guider"))
    if guider is None or not guider.class_type.startswith(OWN):
        kind = "nothing" if guider is None else guider.class_type
        return f"its guider is {kind}, and this pack's sampler takes this pack's guiders alone"
    if reason := _second_output(rewrite, node_id):
        return reason
    inputs = before.inputs
    _put_sampler(rewrite, node_id, before, inputs["guider"], inputs["noise"], inputs["sampler"], inputs["sigmas"])
    noise = rewrite.origin(inputs["noise"])
    same = effects.SAME_NOISE if noise is not None and noise.class_type == NOISE else effects.NOTHING
    rewrite.record(node_id, before, (ids.SAMPLER,), same)
    return ""


def _put_sampler(
    rewrite: Rewrite, node_id: str, before: NodeCall, guider: Link, noise: Any, sampler: Any, sigmas: Any
) -> None:
    if _sampler_name(rewrite, sampler) == DEFAULT_SAMPLER:
        sampler = None
    inputs = {"guider": guider, "sigmas": sigmas, "latent": before.inputs.get("latent_image")}
    rewrite.replace(node_id, ids.SAMPLER, {**inputs, "noise": noise, "sampler": sampler})
    rewrite.controls.pop(node_id, None)  # the seed is that of the noise


def _add_noise(rewrite: Rewrite, seed: Any, place: str) -> Link:
    noise = rewrite.add(NOISE, {"noise_seed": seed}, place)
    rewrite.controls[noise] = rewrite.controls.get(place, "fixed")
    return Link(noise, 0)


def _guider_inputs(rewrite: Rewrite, inputs: dict[str, Any]) -> dict[str, Any]:
    negative = inputs.get("negative")
    zeroed = rewrite.origin(negative)
    is_null = zeroed is not None and zeroed.class_type == NULL_CONDITION
    return {
        "model": inputs.get("model"),
        "positive": inputs.get("positive"),
        "negative": None if is_null else negative,
        "type": "cfg" if rewrite.guidance == "cfg" else "apg",
        "scale": inputs.get("cfg"),
    }


def _guidance_effect(rewrite: Rewrite, scale: Any) -> str:
    if scale == 1:
        return effects.NO_GUIDANCE
    return effects.SAME_GUIDANCE if rewrite.guidance == "cfg" else effects.OFFICIAL_GUIDANCE


def _second_output(rewrite: Rewrite, node_id: str) -> str:
    reads = any(True for _ in rewrite.readers(node_id, 1))
    return "its output denoised_output is used, which this pack's sampler hasn't" if reads else ""


def _cfg_pp_reason(name: str) -> str:
    if OWN_GUIDANCE not in name:
        return ""
    return f"{name} needs the unconditional estimate by itself, which only ComfyUI's guidance gives it"


def _sampler_name(rewrite: Rewrite, sampler: Any) -> str:
    """What KSamplerSelect at the other end of a link chooses; "" for another node."""
    call = rewrite.origin(sampler)
    name = call.inputs.get("sampler_name") if call is not None and call.class_type == SELECT else ""
    return name if isinstance(name, str) else ""


def _sampler_reason(rewrite: Rewrite, node_id: str) -> str:
    """Why the guider of a sampler stays, or ""."""
    samplers = (rewrite.graph[reader].inputs.get("sampler") for reader, _ in rewrite.readers(node_id))
    reasons = (_cfg_pp_reason(_sampler_name(rewrite, sampler)) for sampler in samplers)
    return next(filter(None, reasons), "")
