"""The region picker on a bare page in Chromium."""

from __future__ import annotations

from typing import Any

import pytest
from bare_page import show_songs
from browser import drag, press, wait

from acestep_xl.audio.region_text import parse_regions


def test_one_sound_plays_at_a_time(page: Any) -> None:
    show_songs(page)
    page.execute_script("picker.show({ text: '1-2', url: '/one.wav', locked: null }); player.toggle.click()")
    wait(page, "player.toggle.title === 'Pause'")
    page.execute_script("picker.playSource.click()")
    wait(page, "picker.playSource.title === 'Pause' && player.toggle.title === 'Play'")
    page.execute_script("picker.playSource.click()")


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
