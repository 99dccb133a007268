"""ComfyUI's tokens in file name prefixes."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from acestep_xl.host.submission import Submission
from acestep_xl.pipeline.name_tokens import expand_tokens


def node(kind: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}


PROMPT = {
    "1": node("AceStepXLSampler", "Sampler (v1.5)", seed=7, guider=["2", 0]),
    "2": node("AceStepXLGuider", "Guidance", scale=7.0, eta=0.5, type="apg", on=True),
    "3": node("AceStepXLEncode", "Verse", caption='slow/fast: "waltz"\n\ud800', bpm=["5", 0], lyrics=["2", 0]),
    "4": node("AceStepXLEncode", "Other words", caption="tango", bpm=90),
    "5": node("PrimitiveInt", "Tempo", value=120),
    "6:2": node("AceStepXLDecode", "Decode", peak_db=-1.0),
}
WORKFLOW = {
    "nodes": [
        {"id": 1, "type": "AceStepXLSampler", "properties": {"Node name for S&R": "take"}},
        {"id": 2, "type": "AceStepXLGuider"},
        {"id": 6, "type": "sub-1", "properties": None},
    ],
    "definitions": {"subgraphs": [{"id": "sub-1", "nodes": [{"id": 2, "properties": {"Node name for S&R": "inner"}}]}]},
}
SUBMISSION = Submission(PROMPT, WORKFLOW)


@pytest.mark.parametrize(
    ("prefix", "expanded"),
    [
        ("audio/%AceStepXLSampler.seed%_song", "audio/7_song"),
        ("%Sampler (v1.5).seed%", "7"),
        ("%1.seed%", "7"),
        ("%take.seed%", "7"),
        ("%inner.peak_db%", "-1"),
        ("%Guidance.scale%-%Guidance.eta%-%Guidance.type%-%Guidance.on%", "7-0.5-apg-true"),
        ("%Verse.caption%", "slow_fast_ _waltz___"),
        ("%Verse.bpm% bpm", "120 bpm"),
        ("%Other words.bpm%", "90"),
        ("take%batch_num%", "take3"),
        ("50% off 20%", "50% off 20%"),
        ("100%", "100%"),
        ("50% of %1.seed%", "50% of 7"),
        ("%%", "%%"),
        ("no tokens", "no tokens"),
    ],
)
def test_tokens_become_values(prefix: str, expanded: str) -> None:
    assert expand_tokens(prefix, SUBMISSION, index=3) == expanded


@pytest.mark.parametrize(
    ("prefix", "form"),
    [
        ("%date:yyyy-MM-dd%", "%Y-%m-%d"),
        ("%date:yy/MM/dd%/song", "%y/%m/%d/song"),
        ("%year%%month%%day%", "%Y%m%d"),
        ("%date:hh.mm%", "%H.%M"),
        ("%hour%.%minute%", "%H.%M"),
        ("%date:d-M%", None),
    ],
)
def test_dates_are_those_of_the_moment(prefix: str, form: str | None) -> None:
    before, expanded, after = time.localtime(), expand_tokens(prefix, SUBMISSION), time.localtime()
    moments = [time.strftime(form, now) if form else f"{now.tm_mday}-{now.tm_mon}" for now in (before, after)]
    assert expanded in moments


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("%seed%", "no such token"),
        ("%date%", "no such token"),
        ("%width%x", "means nothing for audio"),
        ("%date:YYYY-MM-DD%", "D, Y in it stand for nothing"),
        ("%date:%", "no part of a date"),
        ("%AceStepXLSampler.sed%", "node 1 has no widget 'sed'; it has seed, guider"),
        ("%AceStepXLSamplr.seed%", "no node is called 'AceStepXLSamplr'; did you mean AceStepXLSampler"),
        ("%AceStepXLEncode.caption%", "different values; use one of the ids 3, 4"),
        ("%Verse.lyrics%", "lyrics is connected"),
        ("%1.guider%", "guider is connected"),
    ],
)
def test_tokens_that_mean_nothing_are_refused_with_what_is_allowed(prefix: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as refusal:
        expand_tokens(f"%foo%/{prefix}", SUBMISSION)
    assert "%foo%" in str(refusal.value) and "%NODE.WIDGET%" in str(refusal.value)


def test_nodes_are_not_looked_for_while_the_graph_is_unknown() -> None:
    assert expand_tokens("%AceStepXLSampler.seed%_%batch_num%", None) == "%AceStepXLSampler.seed%_0"


@pytest.mark.parametrize("workflow", [{}, {"nodes": None}, {"nodes": [7]}, {"definitions": 3, "nodes": []}])
def test_damaged_workflows_give_no_names(workflow: dict[str, Any]) -> None:
    assert expand_tokens("%1.seed%", Submission({"1": {"inputs": {"seed": 7}, "_meta": None}}, workflow)) == "7"
