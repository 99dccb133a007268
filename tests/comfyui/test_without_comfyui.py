"""Samples of native graphs without ComfyUI, beside ComfyUI's own."""

from __future__ import annotations

import pytest
from comfy_process import run
from comfy_server import needs_comfyui
from socket_code import SETUP

pytestmark = [needs_comfyui, pytest.mark.slow]

WITHOUT_COMFYUI = """
from acestep_xl import host as hosts
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.host.headless_sockets import HeadlessModel
from acestep_xl.nodes.native.table import NATIVE_CLASS_MAPPINGS as NATIVE
from comfy_extras.nodes_custom_sampler import CFGGuider, KSamplerSelect, RandomNoise, SamplerCustomAdvanced
from pathlib import Path

def call(name, *values, **inputs):
    node = NATIVE[name]
    with hosts.use(HeadlessHost([], Path("out"), device="cpu")), torch.inference_mode():
        return getattr(node(), node.FUNCTION)(*values, **inputs)

core, ours = both(is_xl=arguments[0] == "xl")
network, encoder = model_socket.network_of(ours.model), ours.clip.cond_stage_model.encoder
# XL is compared with our network in ComfyUI, since ComfyUI's has no class token.
model = ours.model if arguments[0] == "xl" else core.model
alone = HeadlessModel(network)
TEXTS = {**TEXT, "timesignature": "3"}
here = core_encode(core.clip)
(there,) = call("TextEncodeAceStepAudio1.5", encoder, **TEXTS, **OFF)
assert difference(there[0][0], here[0][0]) < 1e-5
assert difference(there[0][1]["conditioning_lyrics"], here[0][1]["conditioning_lyrics"]) < 1e-6
assert call("ConditioningZeroOut", there)[0][0][0].abs().max() == 0
"""


@pytest.mark.parametrize("size", ["2b", "xl"])
def test_native_graphs_give_the_same_samples_without_comfyui(size: str) -> None:
    run(
        SETUP
        + WITHOUT_COMFYUI
        + """
generator = torch.Generator().manual_seed(2)
# ComfyUI's own network gives the timbre references of a whole batch to its first song.
songs = 2 if arguments[0] == "xl" else 1
source = {"samples": torch.randn(songs, 64, 120, generator=generator), "type": "audio"}
masked = {**source, "noise_mask": torch.cat([torch.ones(1, 1, 70), torch.zeros(1, 1, 50)], 2)}
differences = {}
cases = [
    ("euler", "simple", 1.0, 1.0, LATENT),
    ("euler", "simple", 4.0, 1.0, source),
    ("dpmpp_2m", "karras", 3.0, 0.6, source),
    ("heun", "beta", 2.0, 1.0, LATENT),
    ("euler_ancestral", "sgm_uniform", 3.0, 1.0, source),
    ("uni_pc", "normal", 2.0, 0.7, masked),
    ("er_sde", "simple", 2.0, 1.0, LATENT),
    ("res_multistep", "exponential", 3.0, 1.0, LATENT),
]
for name, scheduler, cfg, denoise, latent in cases:
    settings = (9, 7, cfg, name, scheduler)
    (expected,) = nodes.KSampler().sample(model, *settings, here, zeroed(here), latent, denoise)
    (song,) = call("KSampler", alone, *settings, there, call("ConditioningZeroOut", there)[0], latent, denoise)
    differences[name, scheduler, cfg] = difference(song["samples"], expected["samples"])
parts = {"add_noise": "enable", "noise_seed": 9, "steps": 8, "cfg": 3.0, "sampler_name": "euler", "scheduler": "beta"}
for first, end, leftover in ((0, 5, "enable"), (0, 5, "disable"), (3, 10000, "disable")):
    steps = {"start_at_step": first, "end_at_step": end, "return_with_leftover_noise": leftover}
    prompts = {"positive": here, "negative": zeroed(here), "latent_image": source}
    (expected,) = nodes.KSamplerAdvanced().sample(model, **{**parts, **steps, **prompts})
    prompts = {"positive": there, "negative": call("ConditioningZeroOut", there)[0], "latent_image": source}
    (song,) = call("KSamplerAdvanced", alone, **parts, **steps, **prompts)
    differences["KSamplerAdvanced", first, end, leftover] = difference(song["samples"], expected["samples"])
other = core_encode(core.clip, "loud march")
(away,) = call("TextEncodeAceStepAudio1.5", encoder, **{**TEXTS, "tags": "loud march"}, **OFF)
(shifted,) = ModelSamplingAuraFlow().patch_aura(model, 1.5)
(alone_shifted,) = call("ModelSamplingAuraFlow", alone, 1.5)
levels = BasicScheduler.execute(shifted, "simple", 6, 1.0).result[0]
assert torch.equal(levels, call("BasicScheduler", alone_shifted, "simple", 6, 1.0)[0])
guider = CFGGuider.execute(shifted, here, other, 3.0).result[0]
sampler, noise = KSamplerSelect.execute("euler").result[0], RandomNoise.execute(4).result[0]
expected = SamplerCustomAdvanced.execute(noise, guider, sampler, levels, LATENT).result
(guider,) = call("CFGGuider", alone_shifted, there, away, 3.0)
parts = call("RandomNoise", 4)[0], guider, call("KSamplerSelect", "euler")[0], levels, LATENT
for index, (song, other) in enumerate(zip(call("SamplerCustomAdvanced", *parts), expected)):
    differences["SamplerCustomAdvanced", index] = difference(song["samples"], other["samples"])
print(differences)
assert max(differences.values()) < 1e-5, differences
""",
        size,
    )


def test_beyond_the_encoders_windows_those_are_the_only_difference_to_comfyui() -> None:
    """Officially every other layer of the lyric and timbre encoders slides; ComfyUI's attend to everything."""
    run(
        SETUP
        + """
LATENT = {"samples": torch.zeros(1, 64, 190), "type": "audio"}
TEXT = {**TEXT, "lyrics": "[Verse]\\n" + "la la lu, " * 40}
core, official = both(is_xl=False)
_, wide = both(is_xl=False, window=4096)
positive = core_encode(core.clip)
assert positive[0][1]["conditioning_lyrics"].shape[1] > 129
expected = ksampler(core.model, positive)
assert difference(ksampler(wide.model, positive), expected) < 1e-5
assert difference(ksampler(official.model, positive), expected) > 1e-5
""",
    )
