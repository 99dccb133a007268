"""The browser side without ComfyUI: its arithmetic in Node.js, its widgets on a bare page in Chromium."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from browser import chromium, drag, press, wait
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_xl.audio.region_text import parse_regions
from acestep_xl.audio.timeline import END
from acestep_xl.nodes.load_audio import example
from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
MODULES = sorted(WEB.rglob("*.js"))
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
    """The script's `result`, as JSON; it sees `data`, and the modules of web/lib as `lib(name)`."""
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


def test_nothing_is_loaded_from_other_sites() -> None:
    for path in [*MODULES, *WEB.glob("*.css")]:
        text = path.read_text("utf-8").replace('"http://www.w3.org/2000/svg"', "")
        assert not re.search(r"""https?:|["'`]//""", text), path
        assert "@import" not in text and "url(" not in text, path


def test_imports_resolve() -> None:
    assert len(MODULES) >= 8
    for path in MODULES:
        for target in re.findall(r'from "([^"]+)"', path.read_text("utf-8")):
            module = (path.parent / target).resolve()
            assert module in MODULES or "/scripts/" in target, (path.name, target)


def test_files_and_lines_are_short() -> None:
    for path in MODULES:
        lines = path.read_text("utf-8").splitlines()
        assert len(lines) <= 350, path
        assert max(map(len, lines)) <= 120, path


def test_other_nodes_and_prototypes_are_left_alone() -> None:
    text = "\n".join(path.read_text("utf-8") for path in MODULES)
    assert "prototype" not in text
    assert "beforeRegisterNodeDef" not in text
    nodes = re.findall(r"^  (\w+): add\w+,$", (WEB / "acestep_xl.js").read_text("utf-8"), re.MULTILINE)
    assert len(nodes) >= 4 and set(nodes) <= set(NODE_CLASS_MAPPINGS)


def test_every_node_that_saves_songs_has_a_player() -> None:
    """Every other output node is listed as one without audio to play."""
    silent = {"AceStepXLPlot", "AceStepXLUpload", "AceStepXLWebhook"}
    outputs = {name for name, node in NODE_CLASS_MAPPINGS.items() if getattr(node, "OUTPUT_NODE", False)}
    text = (WEB / "acestep_xl.js").read_text("utf-8")
    assert outputs - silent == set(re.findall(r"(\w+): addPlayer", text))


def test_the_example_file_matches_the_example() -> None:
    file, rate = soundfile.read(WEB / "example.mp3", dtype="float32")
    melody = example()[0].numpy().T
    assert rate == 48000
    assert len(file) == pytest.approx(len(melody), abs=3000)
    count = min(len(file), len(melody))
    first, second = (abs(np.fft.rfft(sound[:count].mean(axis=1))) for sound in (file, melody))
    assert np.corrcoef(first, second)[0, 1] > 0.99


def used_words() -> set[str]:
    text = "\n".join(path.read_text("utf-8") for path in MODULES)
    sides = {f"region_{side}" for side in ("start", "end")}
    return set(re.findall(r'\bt\("(\w+)"', text)) | set(re.findall(r'\? "(\w+)" : "', text)) & {"pause"} | sides


def test_the_locale_has_exactly_the_texts_in_use() -> None:
    words = json.loads((ROOT / "locales" / "en" / "main.json").read_text("utf-8"))["acestep_xl"]
    text = "\n".join(path.read_text("utf-8") for path in MODULES)
    assert used_words() <= set(words)
    assert [key for key in words if f'"{key}"' not in text and key not in used_words()] == []


# On a bare page.


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


PAGE = """<!doctype html><meta charset="utf-8"><title>bare</title>
<link rel="stylesheet" href="/web/acestep_xl.css">
<style>
  body { margin: 20px; --input-text: #ddd; --descrip-text: #999; --p-primary-color: #60a5fa; background: #333;
    --component-node-widget-background: #222; --error-text: #f44 }
  .acestep { width: 600px; height: 160px; margin-bottom: 20px }
</style>
<script type="module">
  import { Player } from "/web/lib/player.js";
  import { RegionPicker } from "/web/lib/picker.js";
  import { learn } from "/web/lib/words.js";
  learn((await (await fetch("/locales/en/main.json")).json()).acestep_xl);
  window.edits = [];
  window.player = new Player("nothing yet");
  window.picker = new RegionPicker((text) => edits.push(text), () => {});
  document.body.append(player.element, picker.element);
  window.ready = true;
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "web").symlink_to(WEB)
    (folder / "locales").symlink_to(ROOT / "locales")
    (folder / "index.html").write_text(PAGE)
    for name, seconds in (("one", 4), ("two", 6), ("three", 5)):
        tone = 0.5 * np.sin(np.arange(seconds * 48000) * 0.03)
        soundfile.write(folder / f"{name}.wav", tone, 48000)
    (folder / "broken.wav").write_text("no sound")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with chromium(tmp_path_factory.mktemp("profile")) as driver:
            driver.get(f"http://127.0.0.1:{server.server_port}/index.html")
            wait(driver, "window.ready")
            yield driver
    finally:
        server.shutdown()


def show_songs(page: Any) -> None:
    page.execute_script(
        "player.show([]);"
        "player.show(['one', 'two', 'three'].map((name) => ({ url: `/${name}.wav`, name: `${name}.wav` })))"
    )
    wait(page, "document.querySelector('.acestep-player .acestep-clock').textContent.endsWith('/ 0:04')")


def test_a_song_of_a_batch_can_be_chosen_played_and_sought(page: Any) -> None:
    show_songs(page)
    chips = page.find_elements("css selector", ".acestep-chip")
    assert [chip.text for chip in chips] == ["1", "2", "3"]
    assert chips[1].get_attribute("aria-label") == "Song 2 of 3: two.wav"
    chips[1].click()
    wait(page, "player.clock.textContent === '0:00 / 0:06'")
    assert page.execute_script("return player.download.href").endswith("/two.wav")
    player = "document.querySelector('.acestep-player .acestep-track')"
    page.execute_script("player.toggle.click()")
    wait(page, f"Number({player}.getAttribute('aria-valuenow')) > 0.2")
    page.execute_script("player.toggle.click()")
    drag(page, ".acestep-player .acestep-track", 0.2, 0.75)
    wait(page, f"Math.abs(Number({player}.getAttribute('aria-valuenow')) - 4.5) < 0.05")
    press(page, "\ue010", "\ue012")  # End, Left: five seconds back
    wait(page, f"Math.abs(Number({player}.getAttribute('aria-valuenow')) - 1) < 0.05")
    assert page.execute_script(f"return {player}.getAttribute('aria-valuetext')") == "0:01 of 0:06"


def test_arrow_keys_move_between_songs(page: Any) -> None:
    show_songs(page)
    page.execute_script("player.choose(0); player.songs.children[0].focus()")
    press(page, "\ue012")  # Left: wraps to the last
    checked = "[...player.songs.children].map((chip) => chip.getAttribute('aria-checked')).join()"
    assert page.execute_script(f"return {checked}") == "false,false,true"
    assert page.execute_script("return document.activeElement.textContent") == "3"


def test_one_sound_plays_at_a_time(page: Any) -> None:
    show_songs(page)
    page.execute_script("picker.show({ text: '1-2', url: '/one.wav', locked: null }); player.toggle.click()")
    wait(page, "player.toggle.title === 'Pause'")
    page.execute_script("picker.playSource.click()")
    wait(page, "picker.playSource.title === 'Pause' && player.toggle.title === 'Play'")
    page.execute_script("picker.playSource.click()")


def test_an_unplayable_file_is_reported(page: Any) -> None:
    page.execute_script("player.show([{ url: '/broken.wav', name: 'broken.wav' }])")
    wait(page, "player.message.textContent === 'This browser cannot play the file.' && player.toggle.disabled")
    assert not page.execute_script("return player.songs.offsetHeight")
    page.execute_script("player.show([])")
    assert page.execute_script("return player.message.textContent") == "nothing yet"


def show_regions(page: Any, text: str) -> None:
    """A picker on a six-second source; its view runs from -2 to 8 unless a region lies outside."""
    page.execute_script("edits.length = 0; picker.show({ text: '', url: null, locked: null })")
    page.execute_script("picker.show({ text: arguments[0], url: '/two.wav', locked: null })", text)
    wait(page, "!document.querySelector('.acestep-unknown')")


def last_text(page: Any) -> str:
    return page.execute_script("return edits.at(-1)")


def fraction_of(seconds: float) -> float:
    return (seconds + 2) / 10


def bounds(page: Any) -> list[list[float]]:
    return [[span.start, span.end] for span in parse_regions(last_text(page))]


def test_dragging_adds_moves_and_resizes_regions(page: Any) -> None:
    show_regions(page, "0:01-0:02")
    drag(page, ".acestep-timeline", fraction_of(3), fraction_of(4.5))
    assert bounds(page)[1] == pytest.approx([3, 4.5], abs=0.03)
    assert last_text(page).startswith("0:01-0:02, ")
    drag(page, ".acestep-timeline", fraction_of(3.5), fraction_of(3.1))
    assert bounds(page)[1] == pytest.approx([2.6, 4.1], abs=0.05)
    drag(page, ".acestep-timeline", fraction_of(4.1), fraction_of(5))
    assert bounds(page)[1] == pytest.approx([2.6, 5], abs=0.05)
    boxes = page.find_elements("css selector", ".acestep-region")
    assert len(boxes) == 2 and boxes[1].get_attribute("aria-label").startswith("Region 2: 0:02.")


def test_bounds_snap_to_the_source_and_new_music_touches_it(page: Any) -> None:
    show_regions(page, "1-2")
    drag(page, ".acestep-timeline", fraction_of(5), fraction_of(6.02))
    assert last_text(page).endswith("-end")
    show_regions(page, "1-2")
    drag(page, ".acestep-timeline", fraction_of(7), fraction_of(7.8))
    assert last_text(page).startswith("1-2, end-7.")
    show_regions(page, "1-2")
    drag(page, ".acestep-timeline", fraction_of(-1.8), fraction_of(-0.7))
    assert bounds(page)[1] == pytest.approx([-1.8, 0], abs=0.03)


def test_regions_can_be_edited_by_keyboard(page: Any) -> None:
    show_regions(page, "1-2, 4-5")
    page.execute_script("document.querySelectorAll('.acestep-region')[1].focus()")
    press(page, "\ue014")  # Right
    assert last_text(page) == "1-2, 4.1-5.1"
    page.execute_script("document.querySelectorAll('.acestep-end')[1].focus()")
    press(page, "\ue012", "\ue012")
    assert last_text(page) == "1-2, 4.1-4.9"
    assert page.execute_script("return document.activeElement.getAttribute('aria-valuetext')") == "0:04.90"
    page.execute_script("document.querySelectorAll('.acestep-region')[0].focus()")
    press(page, "\ue017")  # Delete
    assert last_text(page) == "4.1-4.9"
    press(page, "+")
    assert last_text(page) == "4.1-4.9, 0-1"
    press(page, "\ue017", "\ue017")
    assert last_text(page) == ""
    assert page.execute_script("return picker.status.textContent").startswith("Drag on the timeline")


def test_keys_used_by_the_widgets_do_not_propagate(page: Any) -> None:
    show_regions(page, "1-2, 3-4, 4.5-5")
    page.execute_script(
        "window.leaked = []; addEventListener('keydown', (event) => leaked.push(event.key));"
        "document.querySelector('.acestep-region').focus()"
    )
    press(page, "\ue017", "\ue014", " ", "+", "q")
    page.execute_script("picker.closer.focus()")
    press(page, " ", "\ue007")
    assert page.execute_script("return leaked.filter((key) => key !== 'Shift')") == ["q"]


def test_playing_a_region_stops_at_its_end(page: Any) -> None:
    show_regions(page, "2-2.5")
    page.execute_script("picker.playRegion.click()")
    wait(page, "picker.playSource.title === 'Pause'")
    wait(page, "picker.playSource.title !== 'Pause'", 5)
    cursor = "parseFloat(document.querySelector('.acestep-picker .acestep-head').style.left) / 10 - 2"
    assert page.execute_script(f"return {cursor}") == pytest.approx(2.5, abs=0.25)


def test_invalid_or_unused_text_locks_the_timeline(page: Any) -> None:
    show_regions(page, "1-2, oops, 4-5")
    assert "oops" in page.execute_script("return picker.status.textContent")
    drag(page, ".acestep-timeline", fraction_of(3), fraction_of(3.5))
    page.execute_script("picker.show({ text: '1-2', url: '/two.wav', locked: 'mask connected' })")
    drag(page, ".acestep-timeline", fraction_of(3), fraction_of(3.5))
    assert page.execute_script("return [edits.length, picker.status.textContent, picker.add.disabled]") == [
        0,
        "mask connected",
        True,
    ]


def test_zooming_widens_a_region(page: Any) -> None:
    show_regions(page, "2-3")
    width = "document.querySelector('.acestep-region').getBoundingClientRect().width"
    before = page.execute_script(f"return {width}")
    page.execute_script("picker.closer.click()")
    assert page.execute_script(f"return {width}") > 1.8 * before
    page.execute_script("picker.closer.click()")


def test_the_timeline_works_without_a_source(page: Any) -> None:
    page.execute_script("edits.length = 0; picker.show({ text: '10-20', url: null, locked: null })")
    assert page.execute_script("return picker.playSource.disabled && picker.playRegion.disabled")
    drag(page, ".acestep-timeline", 0.5, 0.6)
    assert len(bounds(page)) == 2


def test_the_console_has_no_errors(page: Any) -> None:
    severe = [line["message"] for line in page.get_log("browser") if line["level"] == "SEVERE"]
    assert [line for line in severe if "favicon" not in line] == []
