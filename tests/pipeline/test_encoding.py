"""A prompt is encoded once, however often its node runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from guiders import PROMPT
from recorded_calls import record_calls

from acestep_xl import host as hosts
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.model import random_network
from acestep_xl.model.text import TextEncoder
from acestep_xl.pipeline.encoding import REMEMBERED, encode


@pytest.fixture(autouse=True)
def headless_host(tmp_path: Path) -> Iterator[None]:
    with hosts.use(HeadlessHost([], tmp_path, device="cpu")):
        yield


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    return record_calls(monkeypatch, TextEncoder, "encode")


def test_the_encoder_runs_only_for_new_prompts(calls: list[dict[str, Any]]) -> None:
    _, encoder, _ = random_network.load()
    other = replace(PROMPT, caption="something else")
    first = encode(encoder, [PROMPT])[0]
    again, different = encode(encoder, [PROMPT, other])
    assert [call["prompts"] for call in calls] == [[PROMPT], [other]]
    assert torch.equal(first.caption, again.caption) and torch.equal(first.lyrics, again.lyrics)
    assert not torch.equal(first.caption, different.caption)
    assert first.warnings == again.warnings


def test_every_encoder_has_its_own_states(calls: list[dict[str, Any]]) -> None:
    encoders = [random_network.load()[1] for _ in range(2)]
    if encoders[0] is encoders[1]:
        encoders[1] = TextEncoder(encoders[0].model, encoders[0].tokenizer)
    for encoder in encoders:
        encode(encoder, [PROMPT])
    assert [call["self"] for call in calls] == encoders


def test_only_the_latest_prompts_are_remembered(calls: list[dict[str, Any]]) -> None:
    _, encoder, _ = random_network.load()
    prompts = [replace(PROMPT, caption=str(number)) for number in range(REMEMBERED + 1)]
    for prompt in prompts:
        encode(encoder, [prompt])
    encode(encoder, [prompts[-1]])
    assert len(calls) == REMEMBERED + 1
    encode(encoder, [prompts[0]])
    assert len(calls) == REMEMBERED + 2
