"""ComfyUI's MODEL and CLIP in our nodes, ours in ComfyUI's, and native graphs without ComfyUI."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfy_process import run
from comfy_server import needs_comfyui

pytestmark = [needs_comfyui, pytest.mark.slow]
SUPPORT = str(Path(__file__).parents[1] / "support")

SETUP = f"""
import sys
sys.path.insert(0, {SUPPORT!r})
import comfy.model_management, comfy.sd, torch, nodes
from itertools import product
from core_models import both, difference
from comfy_extras.nodes_ace import TextEncodeAceStepAudio15
from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow
from comfy_extras.nodes_model_merging import ModelMergeSimple
from comfy_extras.nodes_custom_sampler import BasicScheduler
from acestep_xl.host import current_host
from acestep_xl.nodes.encode_prompt import Encode
from acestep_xl.nodes.guidance import GuiderNode
from acestep_xl.nodes.sampler import Sampler
from acestep_xl.pipeline import model_socket

LATENT = {{"samples": torch.zeros(1, 64, 150), "type": "audio"}}
TEXT = dict(tags="slow waltz", lyrics="[Verse]\\nla la", bpm=90, duration=6.0, language="en", keyscale="A minor")
OFF = dict(seed=0, generate_audio_codes=False, cfg_scale=2.0, temperature=0.85, top_p=0.9, top_k=0, min_p=0.0)

def core_encode(clip, tags="slow waltz"):
    return TextEncodeAceStepAudio15.execute(clip, timesignature="3", **{{**TEXT, "tags": tags}}, **OFF).result[0]

def our_encode(clip):
    return Encode().encode(clip, "slow waltz", "[Verse]\\nla la", "en", 90, "A minor", "3", 6.0, "cover", "")[0]

def zeroed(positive):
    return nodes.ConditioningZeroOut().zero_out(positive)[0]

def ksampler(model, positive, cfg=3.0, negative=None):
    negative = zeroed(positive) if negative is None else negative
    (latent,) = nodes.KSampler().sample(model, 5, 6, cfg, "euler", "simple", positive, negative, LATENT, 1.0)
    return latent["samples"]

def our_sampler(model, positive, cfg=3.0):
    (guider,) = GuiderNode().make(model, positive, "cfg", cfg, 0.0, 1.0, 0.0, 0.0, 1.0, 0.5, "standard", 1.0)
    sigmas = BasicScheduler.execute(model, "simple", 6, 1.0).result[0]
    return Sampler().sample(guider, sigmas, LATENT, 5)[0]["samples"]
"""


def test_every_part_of_a_native_graph_replaced_alone_and_in_pairs_sounds_the_same() -> None:
    """2B without codes: the arithmetic is the same. Our own encode node writes the official end of the prompt."""
    output = run(
        SETUP
        + """
parts = dict(zip(("core", "ours"), both(is_xl=False)))
expected = ksampler(parts["core"].model, core_encode(parts["core"].clip))
assert expected.abs().max() > 0.1
for model, clip in product(parts, parts):
    positive = core_encode(parts[clip].clip)
    assert difference(ksampler(parts[model].model, positive), expected) < 2e-4, (model, clip)
    encoded = our_encode(parts[clip].clip)
    assert torch.isfinite(ksampler(parts[model].model, encoded)).all()
samplers = [our_sampler(parts[model].model, core_encode(parts[clip].clip)) for model, clip in product(parts, parts)]
for song in samplers:
    assert difference(song, samplers[0]) < 2e-4
encodings = [our_encode(parts[clip].clip)[0] for clip in parts]
assert difference(encodings[0][0], encodings[1][0]) < 1e-5
assert difference(encodings[0][1]["conditioning_lyrics"], encodings[1][1]["conditioning_lyrics"]) == 0
""",
    )
    assert output is not None


def test_on_xl_the_class_token_is_the_only_difference_to_comfyui() -> None:
    """Where the condition is null, no timbre is read, and both agree; with a prompt ours is the official arithmetic."""
    run(
        SETUP
        + """
core, ours = both(is_xl=True)
positive = core_encode(core.clip)
assert difference(ksampler(ours.model, positive), ksampler(core.model, positive)) > 0.01
null = zeroed(positive)
assert difference(ksampler(ours.model, null, 1.0), ksampler(core.model, null, 1.0)) < 2e-4
# ComfyUI's network in our guidance reads the token too.
assert difference(our_sampler(core.model, positive), our_sampler(ours.model, positive)) == 0
network = model_socket.network_of(ours.model)
network._modules["encoder"].timbre_encoder._prepend = False
assert difference(ksampler(ours.model, positive), ksampler(core.model, positive)) < 2e-4
""",
    )


LORA = """
generator = torch.Generator().manual_seed(1)
FILE = {}
for layer in range(3):
    stem = f"lora_unet_decoder_layers_{layer}_mlp_down_proj"
    FILE |= {
        f"{stem}.lora_down.weight": torch.randn(4, 192, generator=generator) * 0.2,
        f"{stem}.lora_up.weight": torch.randn(64, 4, generator=generator),
        f"{stem}.alpha": torch.tensor(2.0),
    }
CHANGE = 0.5 * FILE[f"{stem}.lora_up.weight"] @ FILE[f"{stem}.lora_down.weight"]

def with_lora(model, strength=0.7):
    return comfy.sd.load_lora_for_models(model, None, FILE, strength, 0)[0]

def weight(model):
    return model.model.diffusion_model.decoder.layers[2].mlp.down_proj.weight.detach().clone()
"""


def test_nodes_that_change_a_model_change_ours_and_give_it_back() -> None:
    run(
        SETUP
        + LORA
        + """
core, ours = both(is_xl=False)
positive, before = core_encode(core.clip), weight(ours.model)
for model, other in ((ours.model, core.model), (core.model, ours.model)):
    plain = our_sampler(model, positive)
    patched = with_lora(model)
    song = our_sampler(patched, positive)
    assert difference(song, plain) > 0.01
    assert difference(song, our_sampler(with_lora(other), positive)) < 2e-4
    assert difference(our_sampler(model, positive), plain) == 0
with current_host().resident([model_socket.held(with_lora(ours.model))], 0):
    assert difference(weight(ours.model) - before, 0.7 * CHANGE) < 1e-5
with current_host().resident([model_socket.held(ours.model)], 0):
    assert torch.equal(weight(ours.model), before)
(shifted,) = ModelSamplingAuraFlow().patch_aura(ours.model, 2.0)
assert shifted.get_model_object("model_sampling").shift == 2.0
assert ours.model.get_model_object("model_sampling").shift == 3.0
levels = BasicScheduler.execute(shifted, "simple", 6, 1.0).result[0]
assert not torch.equal(levels, BasicScheduler.execute(ours.model, "simple", 6, 1.0).result[0])
(merged,) = ModelMergeSimple().merge(ours.model, with_lora(ours.model, 1.0), 0.25)
with current_host().resident([model_socket.held(merged)], 0):
    assert difference(weight(merged) - before, 0.75 * CHANGE) < 1e-5
with current_host().resident([model_socket.held(ours.model)], 0):
    assert torch.equal(weight(ours.model), before)
""",
    )


@pytest.mark.parametrize("weights", ["int8", "fp8"])
@pytest.mark.parametrize("origin", ["ours", "core"])
def test_patches_on_8_bit_weights_arrive(origin: str, weights: str) -> None:
    """Before the Speed node and after it: what is left is the error of 8 bits alone."""
    run(
        SETUP
        + LORA
        + """
core, ours = both(is_xl=False)
origin, weights = arguments
model = {"ours": ours, "core": core}[origin].model
positive = core_encode(core.clip)
plain, song = our_sampler(model, positive), our_sampler(with_lora(model), positive)
small = model_socket.adapt(model, weights, "off", 0.0)
rounding = difference(our_sampler(small, positive), plain)
effect = difference(song, plain)
assert 0 < rounding < effect / 3, (rounding, effect)
after, before = with_lora(small), model_socket.adapt(with_lora(model), weights, "off", 0.0)
for patched in (after, before):
    assert difference(our_sampler(patched, positive), song) < 3 * rounding, (rounding, effect)
assert difference(our_sampler(small, positive), plain) == rounding, "and they leave again"
""",
        origin,
        weights,
    )


def test_loaded_in_part_both_models_give_the_same_songs_with_patches() -> None:
    """Our MODEL in ComfyUI's sampler and ComfyUI's in our guidance, while layers stay in main memory."""
    run(
        SETUP
        + LORA
        + """
import acestep_xl.host.offload.hooks as hooks
hooks.MIN_BYTES = 2**12
hooks.offloadable_layers.__defaults__ = (2**12,)
core, ours = both(is_xl=False)
positive = core_encode(core.clip)
gpu["size"] = 10**12
cases = list(product((ksampler, our_sampler), (with_lora(ours.model), with_lora(core.model))))
expected = [sample(model, positive) for sample, model in cases]
total = ours.model.model_size()
for size in (int(management.minimum_inference_memory()) + total // 2, int(management.minimum_inference_memory())):
    for (sample, model), song in zip(cases, expected):
        management.unload_all_models()
        gpu["size"] = size
        assert difference(sample(model, positive), song) < 1e-5
        assert management.loaded_models()[0].loaded_size() < total
""",
        fake_gpu=True,
    )


def test_one_network_on_two_sockets_is_loaded_once() -> None:
    run(
        SETUP
        + """
core, ours = both(is_xl=False)
positive = core_encode(core.clip)
gpu["size"] = 10**12
for parts in (core, ours):
    management.unload_all_models()
    ksampler(parts.model, positive), our_sampler(parts.model, positive)
    assert loaded_bytes() <= 1.05 * parts.model.model_size(), (loaded_bytes(), parts.model.model_size())
""",
        fake_gpu=True,
    )


def test_another_kind_of_model_is_refused_with_the_remedy() -> None:
    run(
        SETUP
        + """
import comfy.model_patcher
other = comfy.model_patcher.ModelPatcher(torch.nn.Linear(2, 2), load_device="cpu", offload_device="cpu")
for value, words in ((other, "not ACE-Step 1.5: load a checkpoint of ACE-Step 1.5"), ({}, "model is a dict")):
    try:
        model_socket.network_of(value)
    except ValueError as error:
        assert words in str(error), error
    else:
        raise AssertionError(words)
""",
    )


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
source = {"samples": torch.randn(songs, 64, 150, generator=generator), "type": "audio"}
masked = {**source, "noise_mask": torch.cat([torch.ones(1, 1, 80), torch.zeros(1, 1, 70)], 2)}
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
assert max(differences.values()) < 1e-4, differences
""",
        size,
    )
