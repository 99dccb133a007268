"""A run of a native sampler: guidance, masks, parts of a run, reports and refusals."""

from __future__ import annotations

import pytest
import torch
from native_runs import predict
from torch import Tensor
from toy_song import CHANNELS, FRAMES, half_mask, source, velocities

from acestep_xl.sampler.native.levels import FlowLevels
from acestep_xl.sampler.native.noise import prepare_noise
from acestep_xl.sampler.native.sampler_table import SAMPLERS, Sampler
from acestep_xl.sampler.native.sampling import Samples, fit_mask, guide, sample

SIGMAS = torch.tensor([1.0, 0.8, 0.6, 0.4, 0.2, 0.0])
EMPTY = torch.zeros(1, CHANNELS, FRAMES)


def run(
    name: str, *, sigmas: Tensor = SIGMAS, latent: Tensor = EMPTY, noise: Tensor | None = None, **options
) -> Samples:
    noise = prepare_noise(latent, 1) if noise is None else noise
    settings = {"levels": FlowLevels(), "seed": 1} | options
    return sample(guide(predict, 3.0), noise, latent, sigmas, Sampler(name), **settings)


def test_guidance_moves_from_the_unconditional_estimate():
    x, sigma = source(2), torch.tensor(0.6)
    with_condition, without = (x - velocity * sigma for velocity in velocities(x, sigma))
    x0, unconditional = guide(predict, 2.5)(x, sigma, with_unconditional=False)
    torch.testing.assert_close(x0, without + 2.5 * (with_condition - without))
    torch.testing.assert_close(unconditional, without)


@pytest.mark.parametrize(("name", "is_asked"), [("euler", False), ("euler_cfg_pp", True)])
def test_at_scale_1_only_cfg_pp_needs_the_unconditional_velocity(name, is_asked):
    asked = []

    def record(x: Tensor, sigma: Tensor, both: bool) -> tuple[Tensor, Tensor | None]:
        asked.append(both)
        return predict(x, sigma, both)

    sample(guide(record, 1.0), EMPTY + 1, EMPTY, SIGMAS, Sampler(name), levels=FlowLevels(), seed=0)
    assert set(asked) == {is_asked}


def test_without_a_negative_prompt_the_unconditional_estimate_is_0():
    x = source(1)
    only_condition = guide(lambda x, sigma, both: (velocities(x, sigma)[0], None), 1.0)
    assert not only_condition(x, torch.tensor(0.5), with_unconditional=True).unconditional.any()


@pytest.mark.parametrize("name", [name for name in SAMPLERS if not name.startswith("dpm_")])
def test_a_mask_keeps_the_latent_where_it_is_0(name):
    latent = source(2)
    samples = run(name, latent=latent, mask=half_mask()).latents
    kept = FRAMES // 2 - 1  # the mask is stretched linearly, so the frames at its edge are mixed
    tolerance = 0.02 if name.startswith("uni_pc") else 1e-5
    torch.testing.assert_close(samples[..., :kept], latent[..., :kept], rtol=0, atol=tolerance)
    assert (samples[..., kept + 2 :] - latent[..., kept + 2 :]).abs().mean() > 0.1


def test_ddim_noises_what_a_mask_keeps_with_other_noise():
    latent = source(1)
    assert torch.equal(run("ddim").latents, run("euler").latents)
    assert not torch.equal(
        run("ddim", latent=latent, mask=half_mask()).latents, run("euler", latent=latent, mask=half_mask()).latents
    )


def test_a_mask_is_stretched_and_repeated():
    mask = torch.tensor([[[0.0, 1.0]], [[1.0, 1.0]]])
    fitted = fit_mask(mask, torch.zeros(3, 5, 4))
    assert fitted.shape == (3, 5, 4)
    torch.testing.assert_close(fitted[0, 3], torch.tensor([0.0, 0.25, 0.75, 1.0]))
    assert torch.equal(fitted[2], fitted[0]) and bool((fitted[1] == 1).all())


def test_a_mask_of_an_image_is_refused():
    with pytest.raises(ValueError, match=r"shape \[1, 1, 8, 8\]; a mask for audio latents is \[batch, 1, frames\]"):
        run("euler", mask=torch.ones(1, 1, 8, 8))


def test_two_parts_of_a_run_are_the_whole_run():
    whole = run("heun").latents
    first = run("heun", sigmas=SIGMAS[:3]).latents
    second = run("heun", sigmas=SIGMAS[2:], latent=first, noise=torch.zeros_like(first)).latents
    torch.testing.assert_close(second, whole)


def test_no_levels_leave_the_latent_as_it_is():
    latent = source(1)
    assert torch.equal(run("euler", sigmas=torch.zeros(0), latent=latent).latents, latent)


def test_steps_are_reported_and_the_last_estimate_is_an_output():
    seen = []
    samples = run("dpmpp_2m", report=lambda step, x0, x: seen.append((step, x0)))
    assert [step for step, _ in seen] == [0, 1, 2, 3, 4]
    assert torch.equal(samples.denoised, seen[-1][1])
    torch.testing.assert_close(samples.denoised, samples.latents)


def test_a_report_stops_the_run():
    def stop(step: int, x0: Tensor, x: Tensor) -> None:
        if step == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run("euler", report=stop)


def test_the_result_of_a_part_is_scaled_back_to_the_latent():
    partial = run("euler", sigmas=SIGMAS[:2], latent=source(1), noise=torch.zeros(1, CHANNELS, FRAMES))
    assert torch.isfinite(partial.latents).all()
    only_noised = run("euler", sigmas=torch.tensor([0.6]), latent=source(1))
    noise = prepare_noise(EMPTY, 1)
    torch.testing.assert_close(only_noised.latents, (0.6 * noise + 0.4 * source(1)) / 0.4)


def test_all_problems_are_named_at_once():
    with pytest.raises(ValueError) as error:
        run("euler", sigmas=torch.tensor([14.6, 0.0, 0.5]), noise=torch.zeros(1, CHANNELS, 3))
    for part in ("[1, 64, 3] and the latent [1, 64, 12]", "outside 0 to 1", "only the last of the sigmas may be 0"):
        assert part in str(error.value)


def test_a_first_level_that_rounds_to_just_above_1_is_noise():
    above = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    rounded = run("euler", sigmas=torch.cat([above[None], SIGMAS[1:]]))
    torch.testing.assert_close(rounded.latents, run("euler").latents)


def test_the_largest_seed_is_refused_only_where_noise_is_drawn():
    assert torch.isfinite(run("euler", seed=2**64 - 1).latents).all()
    with pytest.raises(ValueError, match="use a seed below it"):
        run("euler_ancestral", seed=2**64 - 1)
