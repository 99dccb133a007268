"""The functions of web/lib in Node.js, without a browser: regions, the timeline, peaks."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web_files import MODULES, WEB

from acestep_xl.audio.region_text import parse_regions
from acestep_xl.audio.timeline import END

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")

TEXTS = [
    "12.5-18, 1:05-1:20.5, -8-0, 40-end",
    "START - END",
    "end-20",
    "3–5;4—6\n7−8",
    "-8 - -2",
    "5-3",
    "5-5",
    "",
    "a-b",
    "1:5-2",
    "1:05.5-1:06",
    ".5-1.",
    "1-2,,3-4",
    "1e3-2",
    "+1-+2",
    "- 8-0",
    "60:00-61:00",
    "1:60-2:00",
    "end-end",
    "start-start",
    "9" * 400 + "-end",
]


def run_node(script: str, data: Any = None) -> Any:
    """The `result` of a script that uses `data`, and the modules of web/lib as `lib(name)`."""
    assert NODE is not None
    program = f"""
        const lib = (name) => import({json.dumps((WEB / "lib").as_uri())} + "/" + name + ".js");
        let input = "";
        for await (const part of process.stdin) input += part;
        const data = JSON.parse(input);
        let result;
        {script}
        console.log(JSON.stringify(result, (_, value) => (value === Infinity ? "end" : value)));
    """
    command = [NODE, "--experimental-default-type=module", "--input-type=module", "-e", program]
    process = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def read_in_python(text: str) -> list[list[Any]] | None:
    try:
        spans = parse_regions(text)
    except ValueError:
        return None
    return [["end" if bound == END else bound for bound in (span.start, span.end)] for span in spans]


def read_in_javascript(texts: list[str]) -> list[list[list[Any]] | None]:
    script = """
        const { parse } = await lib("regions");
        result = data.map((text) => {
            const { regions, invalid } = parse(text);
            return invalid.length || !regions.length ? null : regions.map(({ start, end }) => [start, end]);
        });
    """
    return run_node(script, texts)


@needs_node
def test_regions_are_parsed_as_in_the_node() -> None:
    assert read_in_javascript(TEXTS) == [read_in_python(text) for text in TEXTS]


PIECES = st.sampled_from([*"0x:-– ,;.+\n", "1", "2.5", "12", "05", "end", "start"])


@needs_node
@settings(max_examples=5, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=9).map("".join), min_size=200, max_size=300))
def test_any_text_is_parsed_as_in_the_node(texts: list[str]) -> None:
    for text, regions in zip(texts, read_in_javascript(texts), strict=True):
        assert regions == read_in_python(text), repr(text)


@needs_node
def test_the_node_can_read_a_drawn_region() -> None:
    drawn = [[0, 1], [-8.125, 0], [-8, -2.5], [3.14159, "end"], [0.001, 12.3456], [1e-7, 2]]
    script = """
        const { END, region, format } = await lib("regions");
        const bound = (value) => (value === "end" ? END : value);
        result = data.map(([start, end]) => format([region(bound(start), bound(end))]));
    """
    for (start, end), text in zip(drawn, run_node(script, drawn), strict=True):
        (read,) = parse_regions(text)
        assert read.start == pytest.approx(start, abs=0.0051)
        assert read.end == (END if end == "end" else pytest.approx(end, abs=0.0051))


@needs_node
def test_changing_one_region_keeps_the_text_of_the_others() -> None:
    script = """
        const { parse, format, region } = await lib("regions");
        const { regions } = parse(" 1:05-1:20 ,  12.50–18;start-0:03");
        result = format(regions.with(1, region(1, 2)));
    """
    assert run_node(script) == "1:05-1:20, 1-2, start-0:03"


@needs_node
def test_ticks_are_evenly_spaced_within_the_view() -> None:
    views = [[-2, 10], [0, 0.4], [-300, 600], [12.34, 14.5], [0, 3]]
    script = 'const { ticks } = await lib("timeline"); result = data.map(([from, to]) => ticks({ from, to }, 9));'
    for (start, end), ticks in zip(views, run_node(script, views), strict=True):
        assert 2 <= len(ticks) <= 9
        assert start <= ticks[0] and ticks[-1] <= end
        assert np.ptp(np.diff(ticks)) < 1e-9


@needs_node
def test_times_are_formatted_as_minutes_and_seconds() -> None:
    times = [[0, 0], [59.99, 0], [59.99, 2], [59.999, 2], [65.25, 2], [-2, 0], [-0.001, 2], [3600, 0], [7.5, 1]]
    script = 'const { clock } = await lib("timeline"); result = data.map(([time, places]) => clock(time, places));'
    expected = ["0:00", "1:00", "0:59.99", "1:00.00", "1:05.25", "−0:02", "0:00.00", "60:00", "0:07.5"]
    assert run_node(script, times) == expected


@needs_node
def test_the_view_shows_source_and_regions_with_margins() -> None:
    script = """
        const { wholeView, closeView, drawnLength } = await lib("timeline");
        const regions = [{ start: -8, end: 2 }, { start: Infinity, end: 200 }];
        result = [wholeView(180, regions), closeView(regions[0], 180), drawnLength(null, regions)];
    """
    whole, close, length = run_node(script)
    assert whole["from"] < -8 and whole["to"] > 200
    assert close["from"] < -8 and 2 < close["to"] < 60
    assert length == 200


@needs_node
def test_a_peak_is_the_loudest_sample_of_its_column() -> None:
    samples = np.random.default_rng(3).uniform(-1, 1, (2, 1200)).round(4)
    script = """
        const { outline } = await lib("peaks");
        result = Array.from(outline(data.map((channel) => Float32Array.from(channel)), 100));
    """
    expected = abs(samples).reshape(2, 100, 12).max(axis=(0, 2))
    assert np.allclose(run_node(script, samples.tolist()), expected, atol=1e-6)


@needs_node
def test_every_module_parses() -> None:
    for path in MODULES:
        command = [str(NODE), "--check", "--experimental-default-type=module", str(path)]
        process = subprocess.run(command, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
