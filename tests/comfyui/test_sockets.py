"""ComfyUI's MODEL and CLIP in our nodes, and ours in ComfyUI's."""

from __future__ import annotations

import pytest
from comfy_process import run
from comfy_server import needs_comfyui
from socket_code import SETUP

pytestmark = [needs_comfyui, pytest.mark.slow]


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
    assert difference(ksampler(parts[model].model, positive), expected) < 1e-5, (model, clip)
    encoded = our_encode(parts[clip].clip)
    assert torch.isfinite(ksampler(parts[model].model, encoded)).all()
samplers = [our_sampler(parts[model].model, core_encode(parts[clip].clip)) for model, clip in product(parts, parts)]
for song in samplers:
    assert difference(song, samplers[0]) < 1e-5
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
assert difference(ksampler(ours.model, null, 1.0), ksampler(core.model, null, 1.0)) < 1e-5
# ComfyUI's network in our guidance reads the token too.
assert difference(our_sampler(core.model, positive), our_sampler(ours.model, positive)) == 0
network = model_socket.network_of(ours.model)
network._modules["encoder"].timbre_encoder._prepend = False
assert difference(ksampler(ours.model, positive), ksampler(core.model, positive)) < 1e-5
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
    assert difference(song, our_sampler(with_lora(other), positive)) < 1e-5
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
