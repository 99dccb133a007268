"""Adapters on a whole network: merged and beside the layers, stacked, with strengths that change."""

from __future__ import annotations

import pytest
import torch
from adapter_files import FILES, Velocity, Write, relative

from acestep_xl.model.adapters.adapter import AdapterError
from acestep_xl.model.adapters.attach import Applied, attach, attached, set_strengths
from acestep_xl.model.adapters.linear import AdaptedLinear
from acestep_xl.model.adapters.read import read
from acestep_xl.model.borrowed import bind, borrow, own_copy
from acestep_xl.model.linear import quantise
from acestep_xl.model.network import AceStep, share

KINDS = (
    *("peft_lora", "peft_dora", "peft_extra_targets", "peft_oft", "comfy_diff.safetensors"),
    *("lycoris_lokr_dora.safetensors", "lycoris_oft_rescaled.safetensors", "lycoris_loha.safetensors"),
    *("lycoris_glora.safetensors", "lycoris_ia3.safetensors", "lycoris_boft.safetensors"),
    *("lycoris_full.safetensors", "lycoris_lokr_tucker.safetensors"),
)
STACK = ("lycoris_full.safetensors", "peft_lora", "lycoris_lokr_dora.safetensors", "lycoris_oft_rescaled.safetensors")


def adapted(network: AceStep, *files: str, strengths: tuple[float, ...] = (), merged: bool = False) -> AceStep:
    copy = share(network)
    numbers = strengths or (1.0,) * len(files)
    attach(copy, [Applied(read(FILES / file), s) for file, s in zip(files, numbers, strict=True)], merged=merged)
    return copy


@pytest.mark.parametrize("file", KINDS)
def test_merged_and_unmerged_networks_agree(network: AceStep, velocity: Velocity, file: str) -> None:
    unmerged = velocity(adapted(network, file, strengths=(0.6,)))
    merged = velocity(adapted(network, file, strengths=(0.6,), merged=True))
    assert relative(merged, velocity(network)) > 1e-3
    assert relative(unmerged, merged) < 1e-5


@pytest.mark.parametrize("file", KINDS)
def test_strength_zero_is_the_network_itself(network: AceStep, velocity: Velocity, file: str) -> None:
    for merged in (False, True):
        assert torch.equal(velocity(adapted(network, file, strengths=(0.0,), merged=merged)), velocity(network))


def test_a_stack_is_applied_in_order(network: AceStep, velocity: Velocity) -> None:
    strengths = (0.5, 1.5, 0.8, -1.0)
    unmerged = velocity(adapted(network, *STACK, strengths=strengths))
    merged = velocity(adapted(network, *STACK, strengths=strengths, merged=True))
    assert relative(unmerged, merged) < 1e-5
    turned = velocity(adapted(network, *reversed(STACK), strengths=strengths[::-1], merged=True))
    assert relative(turned, merged) > 1e-3


def test_adapters_can_be_attached_one_after_the_other(network: AceStep, velocity: Velocity) -> None:
    together, chained = adapted(network, *STACK), share(network)
    for file in STACK:
        chained = share(chained)
        attach(chained, [Applied(read(FILES / file))])
    assert torch.equal(velocity(chained), velocity(together))


def test_new_strengths_are_those_of_a_new_network(network: AceStep, velocity: Velocity) -> None:
    changed = adapted(network, *STACK)
    for strengths in ((0.2, 0.0, 1.0, 0.7), (0.0,) * 4, (-1.0, 2.0, 0.3, 1.0)):
        set_strengths(changed, strengths)
        expected = velocity(adapted(network, *STACK, strengths=strengths))
        assert torch.equal(velocity(changed), expected), strengths


def test_copies_share_weights_and_have_strengths_of_their_own(network: AceStep, velocity: Velocity) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain = velocity(network)
    first = adapted(network, *STACK)
    second = share(first)
    whole = velocity(first)
    set_strengths(second, (0.0,) * 4)
    assert torch.equal(velocity(first), whole) and torch.equal(velocity(second), plain)
    assert torch.equal(velocity(network), plain)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    weights = {value.data_ptr() for value in network.state_dict().values()}
    own = [value for value in first.state_dict().values() if value.data_ptr() not in weights]
    assert sum(value.nbytes for value in own) < 0.5 * sum(value.nbytes for value in network.state_dict().values())


@pytest.mark.parametrize("group", ["self_attention", "cross_attention", "mlp", "condition_embedder", "other"])
def test_a_group_takes_its_own_factor(network: AceStep, velocity: Velocity, group: str) -> None:
    adapter = read(FILES / "peft_extra_targets")
    off = dict.fromkeys(adapter.groups, 0.0) | {group: 0.5}
    grouped, halved = share(network), share(network)
    attach(grouped, [Applied(adapter, 1.0, off)])
    attach(halved, [Applied(adapter, 0.5, dict.fromkeys(adapter.groups, 0.0) | {group: 1.0})])
    assert torch.equal(velocity(grouped), velocity(halved))
    assert relative(velocity(grouped), velocity(network)) > 1e-5


@pytest.mark.parametrize("kind", ["int8", "fp8", "int8 dynamic"])
def test_layers_of_8_bits_are_adapted_before_and_after_they_are_quantised(
    network: AceStep, velocity: Velocity, kind: str
) -> None:
    files = ("peft_lora", "lycoris_lokr_dora.safetensors")
    after = adapted(quantise.convert(network, kind), *files, merged=True)
    before = quantise.convert(adapted(network, *files), kind)
    layer = after.get_submodule("decoder.layers.0.self_attn.q_proj")
    assert isinstance(layer, AdaptedLinear)
    # The norms of the DoRA come from the rounded weights in one and from the exact ones in the other.
    assert relative(velocity(after), velocity(before)) < 1e-2


def test_layers_of_another_program_are_adapted_where_they_are(network: AceStep, velocity: Velocity) -> None:
    borrowed = borrow(network, torch.float32, lambda layer: dict(layer.named_parameters()), network.silence)
    bind(borrowed, network, torch.device("cpu"))
    files = ("peft_lora", "lycoris_lokr_dora.safetensors")
    ours = adapted(borrowed, *files)
    # Shapes do not show the tiny network's own attention window, so the reference has the borrowed one's.
    assert torch.equal(velocity(ours), velocity(adapted(own_copy(borrowed), *files)))
    assert torch.equal(velocity(ours), velocity(own_copy(ours)))
    bind(ours, network, torch.device("meta"))
    layer = ours.get_submodule("decoder.layers.0.self_attn.q_proj")
    assert {buffer.device.type for buffer in layer.buffers()} == {"meta"}
    untouched = share(borrowed)
    with pytest.raises(ValueError, match="the model's layers are ComfyUI's own"):
        attach(untouched, [Applied(read(FILES / "peft_extra_targets"))])
    assert attached(untouched) is None


def test_merged_strengths_are_final(network: AceStep) -> None:
    merged = adapted(network, "peft_lora", merged=True)
    with pytest.raises(ValueError, match="attach them unmerged"):
        set_strengths(merged, [0.5])
    with pytest.raises(ValueError, match="merge the whole stack together"):
        attach(merged, [Applied(read(FILES / "peft_dora"))])
    state = attached(merged)
    assert state is not None and len(state.stack) == 1


def test_strengths_and_groups_are_checked_before_anything_changes(network: AceStep) -> None:
    copy, adapter = share(network), read(FILES / "peft_lora")
    with pytest.raises(ValueError) as error:
        attach(copy, [Applied(adapter, 11.0), Applied(adapter, float("nan")), Applied(adapter, 1.0, {"bass": 1.0})])
    for part in ("strength 11", "strength nan", "-10 to 10", "groups bass are unknown", "self_attention"):
        assert part in str(error.value)
    assert attached(copy) is None
    with pytest.raises(ValueError, match="1 strengths for 0 adapters"):
        set_strengths(copy, [1.0])


def test_an_adapter_for_another_size_names_both_widths(network: AceStep, write: Write) -> None:
    tensors = {
        "layers.0.self_attn.q_proj.lora_A.weight": torch.randn(4, 2560),
        "layers.0.self_attn.q_proj.lora_B.weight": torch.randn(4096, 4),
    }
    adapter = read(write(tensors))
    assert adapter.sizes == ("XL",)
    with pytest.raises(AdapterError, match=r"is for XL, and the model is .*4096 2560\], the model has \[64 80\]"):
        attach(share(network), [Applied(adapter)])
