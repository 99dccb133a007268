"""Composite scheduler names as hosted services write them: a sampler and a curve in one, "DPM++ 2M Karras"."""

from __future__ import annotations

# Only names whose step is exactly one of our solvers'. DDIM without added noise is Euler's step on a flow; LCM goes to
# the clean estimate and draws all of the noise anew, which is sde. Others (IPNDM, LMS, DPM++ SDE ...) would be guesses.
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
# Uniform is the spacing of the steps and may stand before a curve, which then takes its place.
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
ALONE: dict[str, tuple[str, str]] = {
    "Default": ("euler", "linear"),
    "FlowMatchEulerDiscreteScheduler": ("euler", "linear"),
}
NAMES: dict[str, tuple[str, str]] = {
    f"{sampler} {curve}".strip(): (solver, schedule)
    for sampler, solver in SAMPLERS.items()
    for curve, schedule in CURVES.items()
} | ALONE
_FOLDED = {name.casefold(): parts for name, parts in NAMES.items()}


def factor(name: str) -> tuple[str, str]:
    """The solver and the schedule that a composite name means. Case and runs of spaces do not matter.

    Raises ValueError, with what is allowed, for a name that is not known.
    """
    parts = _FOLDED.get(" ".join(name.casefold().split()))
    if parts is None:
        shown = name if len(name) <= 60 else f"{name[:60]}..."
        curves = ", ".join(curve for curve in CURVES if curve)
        raise ValueError(
            f"unknown scheduler {shown!r}; known: {', '.join(ALONE)}, and {', '.join(SAMPLERS)}, each alone or "
            f"followed by one of {curves}"
        )
    return parts
