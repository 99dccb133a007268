"""ComfyUI's nodes for noise and samplers in graphs of this pack's nodes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import graphs
import pytest
import torch
from torch import Tensor


@pytest.mark.parametrize("name", ["euler", "dpmpp_2m", "er_sde"])
def test_a_native_sampler_runs_in_this_packs_sampler_node(tmp_path: Path, name: str) -> None:
    def song(**sampler: Any) -> Tensor:
        graph = graphs.text_to_music()
        graph |= {"chosen": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": name}}}
        graph["sample"]["inputs"] |= sampler
        settings = {"schedule.steps": 4, "empty.seconds": 6.0}
        return graphs.run(tmp_path, settings, graph=graph, probes=("sample",)).outputs["sample"]["samples"]

    ours, theirs = song(), song(sampler=["chosen", 0])
    assert torch.isfinite(theirs).all()
    assert torch.allclose(ours, theirs, atol=2e-4) == (name == "euler")


SDE = [
    ("KSamplerSelect", {"sampler_name": "dpmpp_2m_sde_gpu"}),
    ("SamplerDPMPP_3M_SDE", {"eta": 1.0, "s_noise": 1.0, "noise_device": "cpu"}),
]


@pytest.mark.parametrize(("class_id", "inputs"), SDE)
def test_a_missing_package_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, class_id: str, inputs: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, "torchsde", None)
    graph = graphs.text_to_music()
    graph |= {"chosen": {"class_type": class_id, "inputs": inputs}}
    graph["sample"]["inputs"]["sampler"] = ["chosen", 0]
    with pytest.raises(ValueError, match="the package torchsde, which is not installed: run pip install torchsde, or"):
        graphs.run(tmp_path, graph=graph)


def test_an_unknown_sampler_is_named_before_anything_runs(tmp_path: Path) -> None:
    graph = graphs.text_to_music()
    graph |= {"chosen": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "eular"}}}
    graph["sample"]["inputs"]["sampler"] = ["chosen", 0]
    with pytest.raises(ValueError, match="unknown sampler 'eular'; known: euler, euler_cfg_pp"):
        graphs.run(tmp_path, graph=graph)
