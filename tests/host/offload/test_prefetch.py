"""The order in which layers are prefetched, and that each is read from its own weights."""

from __future__ import annotations

import torch
from fake_accelerator import DEVICE, LateCopyStream
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from acestep_xl.host.offload import hooks
from acestep_xl.host.offload.prefetch import WeightPrefetcher


def test_the_next_layers_are_copied_while_one_computes() -> None:
    layers = [nn.Linear(16, 16, bias=False).requires_grad_(False) for _ in range(5)]
    log: list[str] = []
    size = 16 * 16 * 4
    prefetcher = WeightPrefetcher(layers, 3 * size, DEVICE, LateCopyStream(log))
    copied: list[int] = []
    prefetcher._stream.copy = lambda pairs: copied.append(_index(layers, pairs[0][1]))  # type: ignore[method-assign]
    for _ in range(2):
        for layer in layers:
            _, after_use = prefetcher.fetch(layer)
            after_use()
    copied.clear()
    prefetched = []
    for layer in layers:
        _, after_use = prefetcher.fetch(layer)
        prefetched.append([layers.index(transfer.layer) for transfer in prefetcher._prefetched])
        after_use()
    assert prefetched == [[1, 2], [2, 3], [3, 4], [4, 0], [0, 1]], "two others are ready beside the one that computes"
    assert copied == [3, 4, 0, 1, 2], "each is copied once, in order"
    prefetcher.close()
    assert log[-1] == "close"


def _index(layers: list[nn.Linear], source: Tensor) -> int:
    return next(i for i, layer in enumerate(layers) if layer.weight.data_ptr() == source.data_ptr())


@settings(deadline=None)
@given(order=st.lists(st.integers(0, 4), min_size=1, max_size=40), room=st.integers(32, 90))
def test_layers_in_any_order_read_their_own_weights(order: list[int], room: int) -> None:
    layers = [nn.Linear(8, n).requires_grad_(False) for n in (3, 30, 8, 1, 17)]
    prefetcher = WeightPrefetcher(layers, room * 32, DEVICE, LateCopyStream([]))
    hooks.attach_hooks(layers, DEVICE, prefetcher.fetch)
    x = torch.randn(2, 8)
    for i in order:
        assert torch.equal(layers[i](x), nn.functional.linear(x, layers[i].weight, layers[i].bias))
