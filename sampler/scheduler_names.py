"""Composite scheduler names of hosted services: a sampler and a sigma curve in one, "DPM++ 2M Karras"."""

from __future__ import annotations

# Only names whose step is exactly one of our solvers'. DDIM without added noise is Euler's step on a flow; LCM takes
# the clean estimate and draws all noise afresh, which is sde. Others (IPNDM, LMS, DPM++ SDE ...) would be guesses.
SAMPLERS: dict[str, str] = {
    "Euler": "euler",
    "Euler a": "euler_ancestral",
    "Heun": "heun",
    "DPM++ 2M": "dpmpp_2m",
    "DPM++ 3M": "dpmpp_3m",
    "DPM++ 2M SDE": "dpmpp_2m_sde",
    "UniPC": "unipc",
    "DDIM": "euler",
    "LCM": "sde",
}
# Uniform is the default step spacing; a curve after it overrides it.
CURVES: dict[str, str] = {
    "": "linear",
    "Uniform": "linear",
    "Karras": "karras",
    "Exponential": "exponential",
    "Beta": "beta",
    "Uniform Karras": "karras",
    "Uniform Exponential": "exponential",
    "Uniform Beta": "beta",
}
STANDALONE: dict[str, tuple[str, str]] = {
    "Default": ("euler", "linear"),
    "FlowMatchEulerDiscreteScheduler": ("euler", "linear"),
}
NAMES: dict[str, tuple[str, str]] = {
    f"{sampler} {curve}".strip(): (solver, schedule)
    for sampler, solver in SAMPLERS.items()
    for curve, schedule in CURVES.items()
} | STANDALONE
_BY_FOLDED_NAME = {name.casefold(): pair for name, pair in NAMES.items()}


def split_name(name: str) -> tuple[str, str]:
    """The solver and the schedule of a composite name. Case and repeated spaces are ignored.

    Raises ValueError that lists the known names.
    """
    pair = _BY_FOLDED_NAME.get(" ".join(name.casefold().split()))
    if pair is None:
        shown = name if len(name) <= 60 else f"{name[:60]}..."
        curves = ", ".join(curve for curve in CURVES if curve)
        raise ValueError(
            f"unknown scheduler {shown!r}; known: {', '.join(STANDALONE)}, and {', '.join(SAMPLERS)}, each alone or "
            f"followed by one of {curves}"
        )
    return pair
