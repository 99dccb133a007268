"""The memory plan: the limits of its kinds, how it grows with the card, and its text."""

from __future__ import annotations

from pathlib import Path

import torch
from full_size import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import make_run

from acestep_xl.host.offload.accelerator import RESERVE, MemoryInfo
from acestep_xl.host.offload.placement import size_of
from acestep_xl.pipeline.memory import estimate as memory_estimate
from acestep_xl.pipeline.memory import plan as memory_plan
from acestep_xl.pipeline.memory.plan import MemoryPlan, empty_card
from acestep_xl.pipeline.run import Run

CARD = torch.device("cuda")
GIB = 2**30
DOCS = Path(__file__).parents[2] / "docs"


def minutes(count: float, songs: int = 1, scale: float = 7.0) -> Run:
    return make_run(songs, round(1500 * count), lyrics=1200, caption=256, scale=scale)


def plan(card: MemoryInfo, run: Run | None = None) -> MemoryPlan:
    return memory_plan.make_plan(checkpoint(), run or minutes(1), CARD, card)


def test_each_kind_starts_at_exactly_the_memory_it_needs() -> None:
    networks = checkpoint()
    batched = memory_estimate.sampling(networks.network, minutes(1), CARD, True)
    sequential = memory_estimate.sampling(networks.network, minutes(1), CARD, False)
    network, decode = size_of(networks.network), memory_estimate.vae(networks.vae, 512)
    everything = sum(map(size_of, networks)) + max(batched, decode) + RESERVE
    turns, sequential_turns = network + batched + RESERVE, network + sequential + RESERVE
    limits = [memory for limit in (everything, turns, sequential_turns) for memory in (limit, limit - 1)]
    plans = [plan(MemoryInfo(free, free)) for free in limits]
    assert [entry.kind for entry in plans] == [memory_plan.WHOLE, *[memory_plan.TURNS] * 4, memory_plan.ENCODERS]
    assert [entry.together for entry in plans] == [True, True, True, False, False, True]
    assert plans[5].eight_bit
    assert plan(MemoryInfo(GIB // 2, GIB)).kind == memory_plan.TOO_LARGE


@settings(max_examples=15, deadline=None)
@given(gib=st.floats(2.5, 24), frames=st.integers(125, 15000), songs=st.integers(1, 4))
def test_a_plan_stays_within_the_card_and_grows_with_it(gib: float, frames: int, songs: int) -> None:
    run = make_run(songs, frames, lyrics=1200, caption=256)
    small, large = plan(empty_card(gib), run), plan(empty_card(gib + 1), run)
    if small.kind != memory_plan.TOO_LARGE:
        assert small.card is not None
        assert all(stage.needed + RESERVE <= small.card.free for stage in small.stages)
        assert large.kind != memory_plan.TOO_LARGE
    if small.together == large.together:
        assert large.layers[0] >= small.layers[0]
    assert large.chunk >= small.chunk


def test_vae_chunks_depend_on_free_memory_and_are_smaller_on_a_cpu() -> None:
    vae = checkpoint().vae
    needs = [size_of(vae) + RESERVE + memory_estimate.vae(vae, n) for n in (512, 256)]
    free = (needs[0], needs[0] - 1, needs[1], 0)
    chunks = [memory_plan.vae_strategies(vae, CARD, MemoryInfo(n, n))[0].chunk_frames for n in free]
    assert chunks == [512, 256, 256, 32]
    on_cpu = memory_plan.vae_strategies(vae, torch.device("cpu"), None)
    assert [strategy.chunk_frames for strategy in on_cpu] == [128, 64, 32]


def test_guided_runs_try_one_batch_first_and_unguided_runs_never() -> None:
    network, card = checkpoint().network, empty_card(24)
    guided = memory_plan.sampling_strategies(network, minutes(1), CARD, card)
    assert [strategy.batch_halves for strategy in guided] == [True, False, False, False]
    unguided = memory_plan.sampling_strategies(network, minutes(1, scale=1.0), CARD, card)
    assert [strategy.batch_halves for strategy in unguided] == [False] * 3


def test_the_text_of_a_plan() -> None:
    lines = memory_plan.table(plan(empty_card(8)))
    assert lines[0].startswith("memory: the network is partly streamed: ") and "of 32 layers stay" in lines[0]
    assert "8-bit weights would fit entirely" in lines[-1]


def test_advice_only_if_weights_are_streamed() -> None:
    network = checkpoint().network
    (message,) = memory_plan.offload_advice(network, GIB, empty_card(8))
    assert "gives the same song" in message
    assert not memory_plan.offload_advice(network, GIB, empty_card(12))
    assert not memory_plan.offload_advice(network, GIB, None)


def test_the_documentation_shows_these_plans() -> None:
    words = {
        memory_plan.WHOLE: "everything stays",
        memory_plan.TURNS: "one part at a time",
        memory_plan.TOO_LARGE: "does not fit",
    }

    def cell(gib: int, count: float) -> str:
        entry = plan(empty_card(gib), minutes(count))
        kind = words.get(entry.kind, f"{entry.layers[0]} of {entry.layers[1]} layers")
        return kind + (", 8-bit whole" if entry.eight_bit else "")

    page = (DOCS.parent / "README.md").read_text("utf-8") + (DOCS / "memory.md").read_text("utf-8")
    for gib in (4, 6, 8, 10, 12, 16, 24):
        row = " | ".join(cell(gib, count) for count in (1, 4, 10))
        assert f"| {gib} GiB | {row} |" in page
