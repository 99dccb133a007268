"""Settings of the noise schedules other than type and shift."""

from __future__ import annotations

from .kind import Parameter

SCHEDULES = (
    Parameter(
        "schedule_threshold",
        "FLOAT",
        0.025,
        "linear_quadratic: fraction of the noise removed by the first half of the steps.",
        minimum=0.001,
        maximum=0.45,
        step=0.001,
        advanced=True,
    ),
    Parameter(
        "schedule_terminal",
        "FLOAT",
        0.003,
        "sgm_uniform, karras, exponential, kl_optimal, log_snr_uniform: the lowest noise level before 0. ComfyUI's "
        "at shift 3 is 0.003.",
        minimum=0.0001,
        maximum=0.1,
        step=0.0001,
        advanced=True,
    ),
    Parameter(
        "schedule_start",
        "FLOAT",
        1.0,
        "First noise level. Below 1 the run starts from the latent with that much noise added, and the schedule "
        "covers the remaining levels.",
        minimum=0.01,
        maximum=1.0,
        step=0.01,
        advanced=True,
    ),
    Parameter(
        "schedule_denoise",
        "FLOAT",
        1.0,
        "Below 1 the run starts from the latent with noise added and takes the last steps of a schedule of steps / "
        "denoise steps, as in ComfyUI's own nodes.",
        minimum=0.01,
        maximum=1.0,
        step=0.01,
        advanced=True,
    ),
)
