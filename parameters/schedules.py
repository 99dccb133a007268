"""How the noise levels of a run are spread, beside the type of schedule and its shift."""

from __future__ import annotations

from .kind import Parameter

SCHEDULES = (
    Parameter(
        "schedule_threshold",
        "FLOAT",
        0.025,
        "linear_quadratic: share of the noise that the first half of the steps removes.",
        minimum=0.001,
        maximum=0.45,
        step=0.001,
        advanced=True,
    ),
    Parameter(
        "schedule_terminal",
        "FLOAT",
        0.003,
        "sgm_uniform, karras, exponential, kl_optimal, log_snr_uniform: the lowest noise level before 0. 0.003 is "
        "ComfyUI's at shift 3.",
        minimum=0.0001,
        maximum=0.1,
        step=0.0001,
        advanced=True,
    ),
    Parameter(
        "schedule_start",
        "FLOAT",
        1.0,
        "First noise level. Below 1 the run starts from the latent with that much noise on it; the schedule is made "
        "for the way from there.",
        minimum=0.01,
        maximum=1.0,
        step=0.01,
        advanced=True,
    ),
    Parameter(
        "schedule_denoise",
        "FLOAT",
        1.0,
        "Below 1 the run starts from the latent with noise on it and takes the last steps of a schedule of "
        "steps / denoise steps, as in ComfyUI's own nodes.",
        minimum=0.01,
        maximum=1.0,
        step=0.01,
        advanced=True,
    ),
)
