"""A guided step against diffusers: eager, captured and compiled; where its time goes; the device's own rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from machine import wait
from rivals import required_operations
from torch.profiler import ProfilerActivity, profile

from acestep_xl.model.compiled import GRAPHS, ON

from .bench import Bench, difference

LARGEST_KERNELS = 25
PRODUCTS = 20
KINDS = {
    "attention": ("attention", "flash", "fmha"),
    "products": ("gemm", "cutlass", "nvjet", "xmma", "::mm", "::addmm", "::bmm", "convolution", "cudnn"),
}


def rates(bench: Bench) -> dict[str, Any]:
    """Floating-point operations a second of matrix products, and bytes a second of a copy, both as measured."""
    width, side = bench.pair.config.decoder, bench.plan.matrix
    source = torch.empty(side, side, 8, device=bench.device, dtype=bench.dtype)
    target = torch.empty_like(source)
    copy = bench.time({"copy": lambda: target.copy_(source)})["copy"]
    # Both halves of a guided step, two frames a token.
    rows = {f"product of {seconds:g} s": bench.song(seconds).x.shape[1] for seconds in bench.plan.songs}
    return {
        "large product": _product_rate(bench, side, side, side),
        **{name: _product_rate(bench, count, width.hidden, width.intermediate) for name, count in rows.items()},
        "copy": 2 * source.nbytes / copy,
    }


def _product_rate(bench: Bench, rows: int, inner: int, columns: int) -> float:
    """Many products between two waits, so that waiting does not count."""
    a = torch.randn(rows, inner, dtype=bench.dtype, device=bench.device)
    b = torch.randn(columns, inner, dtype=bench.dtype, device=bench.device)
    elapsed = bench.time({"products": lambda: [torch.nn.functional.linear(a, b) for _ in range(PRODUCTS)]})
    return 2 * rows * inner * columns * PRODUCTS / elapsed["products"]


def short(bench: Bench) -> dict[str, Any]:
    return _compare(bench, bench.plan.songs[0])


def long(bench: Bench) -> dict[str, Any]:
    return _compare(bench, bench.plan.songs[1])


def _compare(bench: Bench, seconds: float) -> dict[str, Any]:
    """Seconds of a step by each, the operations it needs, and how far the others' velocities are off ours."""
    song, network = bench.song(seconds), bench.pair.ours
    compiled = bench.step(bench.compiled(network, ON), seconds)
    contestants: dict[str, Callable[[], object]] = {
        "ours": bench.step(network, seconds),
        "diffusers": lambda: song.step_diffusers(True),
        "ours, compiled": compiled,
    }
    if bench.is_card:
        contestants["ours, captured"] = bench.captured(bench.step(network, seconds))
    times = bench.time(contestants)
    if bench.is_card:
        # Alone: graphs that torch manages keep their outputs until the next step begins.
        times |= bench.time({"ours, cuda graphs": bench.step(bench.compiled(network, GRAPHS), seconds)})
    exact = song.step_ours(True)[0]
    tokens = -(-song.x.shape[1] // bench.pair.config.patch_size)
    return {
        "seconds": times,
        "operations": required_operations(bench.pair.config, tokens, 1, True),
        "difference": difference(song.step_diffusers(True)[0], exact),
        "compiled difference": difference(compiled()[0], exact),
    }


def compiled_by_layer(bench: Bench) -> dict[str, Any]:
    """diffusers with each of its layers compiled, which compiles in seconds."""
    theirs = bench.pair.theirs
    eager = [layer.forward for layer in theirs.layers]
    for layer in theirs.layers:
        layer.forward = torch.compile(layer.forward)  # on this instance only
    try:
        return _time_theirs(bench)
    finally:
        for layer, forward in zip(theirs.layers, eager, strict=True):
            layer.forward = forward


def compiled_whole(bench: Bench) -> dict[str, Any]:
    """diffusers compiled as one graph."""
    theirs = bench.pair.theirs
    eager = theirs.forward
    theirs.forward = torch.compile(eager)  # on this instance only
    try:
        return _time_theirs(bench)
    finally:
        theirs.forward = eager


def _time_theirs(bench: Bench) -> dict[str, Any]:
    """Beside our compiled step in the same minute, because clocks drift."""
    seconds = bench.plan.songs[0]
    song = bench.song(seconds)
    ours = bench.step(bench.compiled(bench.pair.ours, ON), seconds)
    return {"seconds": bench.time({"diffusers": lambda: song.step_diffusers(True), "ours, compiled": ours})}


def kernels(bench: Bench) -> dict[str, Any]:
    """Kernels of one eager guided step: how many, how long by kind, and the largest.

    The last section: once torch's profiler has run, every launch of the process takes longer.
    """
    step = bench.step(bench.pair.ours, bench.plan.songs[0])
    step()
    wait(bench.device)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.is_card else [])]
    with profile(activities=kinds) as profiler:
        step()
        wait(bench.device)
    name = "self_device_time_total" if bench.is_card else "self_cpu_time_total"
    events = [event for event in profiler.key_averages() if getattr(event, name) > 0]
    if bench.is_card:
        events = [event for event in events if str(event.device_type).endswith("CUDA")]
    shares = dict.fromkeys((*KINDS, "everything else"), 0.0)
    for event in events:
        shares[_kind(event.key)] += getattr(event, name) / 1e6
    largest = sorted(events, key=lambda event: -getattr(event, name))[:LARGEST_KERNELS]
    return {
        "launches": sum(event.count for event in events),
        "seconds": shares,
        "largest": [[event.key[:120], event.count, getattr(event, name) / 1e6] for event in largest],
    }


def _kind(kernel: str) -> str:
    name = kernel.lower()
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "everything else")
