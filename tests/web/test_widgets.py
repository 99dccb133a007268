"""The player and the region picker on a bare page in Chromium."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile
from browser import chromium, drag, press, wait
from web_files import ROOT, WEB

from acestep_xl.audio.region_text import parse_regions


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server without a log."""

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
