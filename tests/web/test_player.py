"""The player on a bare page in Chromium."""

from __future__ import annotations

from typing import Any

from bare_page import show_songs
from browser import drag, press, wait

POSITION = "Number(document.querySelector('.acestep-player .acestep-track').getAttribute('aria-valuenow'))"


def test_a_song_of_a_batch_can_be_chosen_played_and_sought(page: Any) -> None:
    show_songs(page)
    chips = page.find_elements("css selector", ".acestep-chip")
    assert [chip.text for chip in chips] == ["1", "2", "3"]
    assert chips[1].get_attribute("aria-label") == "Song 2 of 3: two.wav, seed 8"
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


def test_an_unplayable_file_is_reported(page: Any) -> None:
    page.execute_script("player.show([{ url: '/broken.wav', name: 'broken.wav' }])")
    wait(page, "player.message.textContent === 'This browser cannot play the file.' && player.toggle.disabled")
    assert not page.execute_script("return player.songs.offsetHeight")
    page.execute_script("player.show([])")
    assert page.execute_script("return player.message.textContent") == "nothing yet"


def seek(page: Any, fraction: float) -> None:
    drag(page, ".acestep-player .acestep-track", max(fraction - 0.1, 0), fraction)


def test_another_song_starts_at_the_same_place(page: Any) -> None:
    show_songs(page)
    seek(page, 0.5)
    page.execute_script("player.songs.children[1].click()")
    wait(page, "player.clock.textContent === '0:02 / 0:06'")
    page.execute_script("player.toggle.click()")
    wait(page, f"{POSITION} > 2.2")
    page.execute_script("player.songs.children[2].click()")
    wait(page, f"player.toggle.title === 'Pause' && {POSITION} > 2.4")
    page.execute_script("player.toggle.click()")


def test_a_song_shorter_than_the_place_starts_at_its_beginning(page: Any) -> None:
    show_songs(page)
    page.execute_script("player.songs.children[1].click()")
    wait(page, "player.clock.textContent === '0:00 / 0:06'")
    seek(page, 0.9)
    wait(page, f"{POSITION} > 5")
    page.execute_script("player.songs.children[0].click()")
    wait(page, "player.clock.textContent === '0:00 / 0:04'")


def test_the_seed_of_each_song_is_shown(page: Any) -> None:
    show_songs(page)
    assert page.execute_script("return player.name.textContent") == "one.wav · seed 7"
    page.execute_script("player.songs.children[2].click()")
    assert page.execute_script("return player.name.textContent") == "three.wav · seed 9"


def test_a_repeated_song_starts_again(page: Any) -> None:
    show_songs(page)
    page.execute_script("player.controls.loop.click()")
    assert page.execute_script("return player.controls.loop.getAttribute('aria-pressed')") == "true"
    seek(page, 0.95)
    page.execute_script("player.toggle.click()")
    wait(page, f"player.playing && {POSITION} > 0.2 && {POSITION} < 2")
    page.execute_script("player.controls.loop.click(); player.stop()")
    seek(page, 0.95)
    page.execute_script("player.toggle.click()")
    wait(page, f"!player.playing && {POSITION} > 3.9")


def test_only_the_chosen_part_is_played_and_repeated(page: Any) -> None:
    show_songs(page)
    page.execute_script("player.part = [1, 1.5]; player.toggle.click(); window.heard = [];")
    wait(page, f"player.playing && {POSITION} >= 1")
    wait(page, f"!player.playing && Math.abs({POSITION} - 1.5) < 0.3")
    page.execute_script("player.controls.loop.click(); player.toggle.click()")
    page.execute_script(
        "const track = document.querySelector('.acestep-player .acestep-track');"
        "window.watching = setInterval(() => heard.push(Number(track.getAttribute('aria-valuenow'))), 20)"
    )
    wait(page, "heard.some((time, index) => time < heard[index - 1] - 0.2)")
    page.execute_script("clearInterval(watching); player.controls.loop.click(); player.stop()")
    heard = page.execute_script("return heard")
    assert min(heard) > 0.95 and max(heard) < 1.9


def test_speed_and_volume_are_shared_and_remembered(page: Any) -> None:
    show_songs(page)
    page.execute_script(
        "window.other = new Player('nothing');"
        "const set = (input, value, kind) => { input.value = value; input.dispatchEvent(new Event(kind)); };"
        "set(player.controls.speed, '1.5', 'change'); set(player.controls.volume, '0.3', 'input');"
    )
    assert page.execute_script("return [other.controls.speed.value, other.controls.volume.value]") == ["1.5", "0.3"]
    page.refresh()
    wait(page, "window.ready")
    show_songs(page)
    assert page.execute_script("return [player.controls.speed.value, player.controls.volume.value]") == ["1.5", "0.3"]
    page.execute_script("player.controls.mute.click()")
    assert page.execute_script("return [player.controls.volume.value, player.controls.mute.ariaPressed]") == [
        "0",
        "true",
    ]
    page.execute_script("player.controls.mute.click()")
    assert page.execute_script("return player.controls.volume.value") == "0.3"
    page.execute_script('localStorage.setItem(\'acestep_xl.player\', \'{"speed": 9, "volume": "loud"}\')')
    page.refresh()
    wait(page, "window.ready")
    assert page.execute_script("return [player.controls.speed.value, player.controls.volume.value]") == ["1", "1"]


def test_the_speed_keeps_the_pitch_and_survives_another_song(page: Any) -> None:
    page.execute_script(
        "window.sounds = []; window.Original = Audio;"
        "window.Audio = function () { const audio = new Original(); sounds.push(audio); return audio; };"
        "window.fast = new Player('nothing'); window.Audio = Original;"
        "fast.controls.speed.value = '2'; fast.controls.speed.dispatchEvent(new Event('change'));"
        "fast.show([{ url: '/one.wav', name: 'one.wav' }, { url: '/two.wav', name: 'two.wav' }]); fast.choose(1)"
    )
    wait(page, "sounds[0].readyState >= 1")
    assert page.execute_script("return [sounds[0].playbackRate, sounds[0].preservesPitch]") == [2, True]
    page.execute_script("fast.controls.speed.value = '1'; fast.controls.speed.dispatchEvent(new Event('change'))")


def test_keys_of_the_controls_do_not_propagate(page: Any) -> None:
    show_songs(page)
    page.execute_script("window.leaked = []; addEventListener('keydown', (event) => leaked.push(event.key))")
    page.execute_script("player.controls.volume.focus()")
    press(page, "\ue012", "\ue017")  # Left, Delete
    page.execute_script("player.controls.speed.focus()")
    press(page, "1", "\ue015")  # Down
    assert page.execute_script("return leaked") == []
    assert page.execute_script("return player.controls.volume.value") == "0.95"


def test_every_control_can_be_reached_and_has_a_name(page: Any) -> None:
    show_songs(page)
    names = page.execute_script(
        "return [...player.element.querySelectorAll('button, input, select, a[href], [tabindex]')]"
        ".filter((e) => e.tabIndex === 0).map((e) => e.ariaLabel)"
    )
    assert names[:5] == ["Play", "Repeat", "Speed (the pitch stays)", "Mute", "Volume"]
    assert names[5:] == ["Download", "Song 1 of 3: one.wav, seed 7", "Position in the song"]


def test_the_console_has_no_errors(page: Any) -> None:
    severe = [line["message"] for line in page.get_log("browser") if line["level"] == "SEVERE"]
    assert [line for line in severe if "favicon" not in line and "broken" not in line] == []
