"""The description of a run: JSON preserves it, and one read off a graph equals the sampler's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import edit_graphs as edits
import graphs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from runs import GUIDANCE, PROMPT, make_run

from acestep_xl.model import random_network
from acestep_xl.pipeline.edit import Edit
from acestep_xl.pipeline.graph_run import run_of
from acestep_xl.pipeline.guider import Guider
from acestep_xl.pipeline.regions import decode_mask, encode_mask
from acestep_xl.pipeline.run import PromptSize, Run, from_json, to_json
from acestep_xl.pipeline.sampler_chain import UnknownRun, chain_of, length_of
from acestep_xl.pipeline.solver_sampler import SolverSampler
from acestep_xl.sampler.guidance import ScaleCurve
from acestep_xl.sampler.modifiers import GuidanceRescale, NormClamp, VelocityEma, Wavelet

SHARES = st.floats(0, 1)
MASKS = st.lists(st.lists(st.sampled_from([0.0, 1.0, 0.25]), min_size=6, max_size=6), min_size=1, max_size=2)
MODIFIERS = (NormClamp(2.0), VelocityEma(0.1), GuidanceRescale(0.7), Wavelet("double", 0.05, 0.02))
EDITS = st.builds(
    lambda task, rows, strength: Edit(task, encode_mask(torch.tensor(rows)[..., None]), strength, 3, 0.5, ((0, 2),)),
    st.sampled_from(["repaint", "cover", "lego"]),
    MASKS,
    SHARES,
)
RUNS = st.builds(
    make_run,
    songs=st.integers(1, 4),
    frames=st.integers(125, 15000),
    scale=st.floats(1, 15),
    seeds=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4).map(tuple),
    prompts=st.integers(1, 3),
    has_negative=st.booleans(),
    edit=st.none() | EDITS,
    modifiers=st.lists(st.sampled_from(MODIFIERS), max_size=4, unique=True).map(tuple),
    solver=st.none() | st.just(SolverSampler("sde", 0.5)),
    prompt_size=st.builds(PromptSize, st.integers(1, 256), st.integers(1, 2048), st.integers(1, 3), st.booleans()),
)


@given(RUNS, SHARES)
def test_json_preserves_a_run(run: Run, end: float) -> None:
    run = replace(run, guidance=replace(run.guidance, end=end, curve=ScaleCurve("cosine", 3.0)))
    assert from_json(json.loads(json.dumps(to_json(run)))) == run


def test_json_preserves_unknown_prompts() -> None:
    run = replace(make_run(), prompts=(None, PROMPT), negative=(None,))
    assert from_json(json.loads(json.dumps(to_json(run)))) == run


def test_an_unknown_modifier_names_the_known_ones() -> None:
    data = to_json(replace(make_run(), modifiers=(NormClamp(2.0),)))
    data["modifiers"][0]["type"] = "chorus"
    with pytest.raises(ValueError, match=r"'chorus'.*norm_clamp"):
        from_json(data)


@given(MASKS)
def test_an_encoded_mask_is_the_mask(rows: list[list[float]]) -> None:
    mask = torch.tensor(rows)[..., None]
    encoded = encode_mask(mask)
    assert torch.equal(decode_mask(encoded), mask)
    assert all(a[1] != b[1] for row in encoded for a, b in pairwise(row)), "neighbouring runs differ"


def graph_with_modifiers() -> edits.Graph:
    graph = graphs.text_to_music()
    graph["curve"] = edits.node("GuidanceCurve", guider=["guider", 0], curve="linear", end_scale=2.0)
    graph["clamp"] = edits.node("NormClamp", guider=["curve", 0], threshold=1.5)
    graph["ema"] = edits.node("VelocityEma", guider=["clamp", 0], factor=0.2)
    graph["solver"] = edits.node("Solver", solver="sde", eta=0.5)
    graph["sample"]["inputs"] |= {"guider": ["ema", 0], "sampler": ["solver", 0]}
    graph["empty"]["inputs"]["batch_size"] = 2
    return graph


def graph_with_recipe() -> edits.Graph:
    graph = graphs.text_to_music()
    guidance = {"curve": "cosine", "endScale": 4}
    text = json.dumps({"solver": {"type": "heun"}, "schedule": {"type": "karras"}, "guidance": guidance})
    graph["recipe"] = edits.node("Recipe", guider=["guider", 0], recipe=text, steps=3, shift=3.0, seed=7)
    names = ("guider", "sigmas", "sampler", "noise")
    graph["sample"]["inputs"] |= {name: ["recipe", slot] for slot, name in enumerate(names)}
    return graph


def graph_with_negative() -> edits.Graph:
    graph = graphs.text_to_music()
    graph["negative"] = edits.copy_node(graph, "text", caption="noise")
    graph["guider"]["inputs"] |= {"negative": ["negative", 0], "negative_weight": 0.5}
    return graph


@pytest.mark.parametrize("make", [graphs.text_to_music, graph_with_modifiers, graph_with_recipe, graph_with_negative])
def test_a_graph_predicts_the_run_of_its_sampler(
    make: Callable[[], edits.Graph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Run] = []
    describe = Guider.describe

    def spy(self: Guider, *arguments: Any, **named: Any) -> Run:
        runs.append(describe(self, *arguments, **named))
        return runs[-1]

    monkeypatch.setattr(Guider, "describe", spy)
    graphs.run(tmp_path, graph=make())
    chain = chain_of(make(), "sample")
    predicted = run_of(chain, random_network.load()[0], length_of(chain, None))
    (actual,) = runs
    assert predicted.prompt_size.lyrics >= actual.prompt_size.lyrics
    assert predicted.prompt_size.caption >= actual.prompt_size.caption
    assert actual.sigmas == pytest.approx(predicted.sigmas, abs=1e-7), "SIGMAS are float32"
    measured = {"sigmas": actual.sigmas, "prompt_size": actual.prompt_size, "model": actual.model}
    assert replace(predicted, **measured, training=actual.training) == actual


def test_what_a_graph_does_not_contain() -> None:
    chain = chain_of(edits.cover(edits.node("LoadAudio", audio="example"), strength=0.5), "sample")
    with pytest.raises(UnknownRun, match="--seconds"):
        length_of(chain, None)
    run = run_of(chain, random_network.load()[0], length_of(chain, 90.0))
    assert (run.task, run.seconds, run.songs, run.uses_codes) == ("cover", 90.0, 1, True)
    assert run.edit is not None and run.edit.strength == 0.5
    graph = graphs.text_to_music()
    graph["guider"]["class_type"] = "ForeignGuider"
    with pytest.raises(UnknownRun, match="another pack"):
        chain_of(graph, "sample")
    graph = graphs.text_to_music()
    graph["load"]["class_type"] = "ForeignLoader"
    with pytest.raises(UnknownRun, match="another pack"):
        chain_of(graph, "sample")


def test_linked_values_count_as_their_defaults() -> None:
    graph = graphs.text_to_music()
    graph["guider"]["inputs"]["scale"] = ["elsewhere", 0]
    graph["sample"]["inputs"]["seed"] = ["elsewhere", 0]
    graph["text"]["inputs"]["caption"] = ["elsewhere", 0]
    chain = chain_of(graph, "sample")
    run = run_of(chain, random_network.load()[0], length_of(chain, None))
    assert run.guidance.scale == 7.0 and run.seeds == (0,) and run.prompts == (None,)
    assert run.is_guided and not replace(run, guidance=replace(GUIDANCE, scale=1.0)).is_guided
