"""What the page says: about API keys, in the words of its labels, before an upload, and on a phone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audio_files import write
from browser import wait
from local_service import Local, threaded
from service_page import fill, load, log
from service_tools import TinyEngine

from acestep_xl.nodes.load_audio import example
from acestep_xl.service.http.key_guesses import FREE_GUESSES

KEY = "a-key-of-some-length"
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
DESKTOP = {"width": 1500, "height": 900, "deviceScaleFactor": 1, "mobile": False}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    folder = tmp_path_factory.mktemp("page")
    with threaded(folder, TinyEngine(folder / "work")) as local:
        yield local


def text(driver: Any, name: str) -> str:
    return driver.find_element("id", name).text


def enter_key(driver: Any, key: str) -> None:
    driver.find_element("id", "key").send_keys(key + "\n")


def test_missing_wrong_and_right_keys_are_told_apart(driver: Any, tmp_path: Path) -> None:
    with threaded(tmp_path, api_keys=(KEY,)) as local:
        load(driver, local)
        wait(driver, "document.getElementById('key-state').textContent === 'a key is needed'")
        fill(driver, "positivePrompt", "slow waltz")
        driver.find_element("id", "send").click()
        wait(driver, "document.getElementById('problems').textContent.includes('needs an API key')")
        enter_key(driver, "wrong")
        wait(driver, "document.getElementById('key-state').textContent === 'this key is not accepted'")
        assert driver.execute_script("return document.getElementById('key-state').className") == "bad"
        driver.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
        driver.find_element("id", "send").click()
        wait(driver, "document.getElementById('status').textContent === ''")
        assert text(driver, "key-state") == "this key is not accepted", "until another one is entered"
        enter_key(driver, f" {KEY} ")
        wait(driver, "document.getElementById('key-state').textContent === 'accepted'")
        driver.find_element("id", "send").click()
        wait(driver, "document.querySelectorAll('#results .result').length === 1")
        assert text(driver, "problems") == ""
        load(driver, local, fresh=False)
        wait(driver, "document.getElementById('key-state').textContent === 'accepted'")


def test_a_wrong_key_is_not_sent_again_and_again(driver: Any, tmp_path: Path) -> None:
    with threaded(tmp_path, api_keys=(KEY,)) as local:
        load(driver, local)
        enter_key(driver, "wrong")
        wait(driver, "document.getElementById('key-state').className === 'bad'")
        for _ in range(2 * FREE_GUESSES):
            driver.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
        enter_key(driver, "wrong again")
        wait(driver, "document.getElementById('key-state').textContent.includes('not accepted')")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"settings.bpm": "20"}, "BPM is 20; it must be a whole number from 30 to 300"),
        ({"strength": "0.5"}, "Strength"),
        ({"settings.repaintingStart": "5"}, "Repainting start"),
        ({"settings.cfgIntervalStart": "0.9", "settings.cfgIntervalEnd": "0.1"}, "CFG interval start"),
    ],
)
def test_messages_use_the_labels_of_the_form(driver: Any, local: Local, values: dict[str, str], expected: str) -> None:
    load(driver, local)
    fill(driver, "positivePrompt", "slow waltz")
    for name, value in values.items():
        fill(driver, name, value)
    driver.find_element("id", "send").click()
    wait(driver, "document.querySelector('[aria-invalid]')")
    shown = driver.execute_script(
        "return [...document.querySelectorAll('.field .problem')].map(one => one.textContent).join(' ')"
    )
    assert expected in shown and "settings." not in shown and "inputs." not in shown


def test_messages_about_json_use_its_names(driver: Any, local: Local) -> None:
    load(driver, local)
    fill(driver, "positivePrompt", "slow waltz")
    fill(driver, "settings.bpm", "20")
    driver.find_element("id", "tab-json").click()
    driver.find_element("id", "send").click()
    wait(driver, "document.getElementById('problems').textContent.includes('settings.bpm is 20')")


def test_a_source_is_not_uploaded_while_a_duration_is_set(driver: Any, local: Local, tmp_path: Path) -> None:
    path = write(tmp_path / "song.wav", example()[0][:, :48000], 48000, format="wav", bit_depth=16)
    load(driver, local)
    fill(driver, "duration", "30")
    requests = "performance.getEntriesByType('resource').filter(one => one.name.endsWith('/v1')).length"
    before = driver.execute_script(f"return {requests}")
    driver.find_element("css selector", "input[type=file]").send_keys(str(path))
    wait(driver, "document.querySelector('[name=duration]').getAttribute('aria-invalid')")
    assert "length of that source" in text(driver, "f-duration-problem")
    assert driver.execute_script(f"return {requests}") == before
    fill(driver, "duration", "")
    driver.execute_script(
        "const input = document.querySelector('[name=duration]'); input.value = '';"
        "input.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    driver.find_element("css selector", "input[type=file]").send_keys(str(path))
    wait(driver, "document.querySelector('[name=\"inputs.audio\"]').value")
    tasks = json.loads(driver.execute_script("return document.getElementById('json').value"))
    assert "duration" not in tasks[0] and tasks[0]["inputs"]["audio"]


@pytest.mark.parametrize("metrics", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_result_comes_into_view_after_create(driver: Any, local: Local, metrics: dict[str, Any]) -> None:
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        load(driver, local)
        fill(driver, "positivePrompt", "slow waltz")
        driver.find_element("id", "send").click()
        in_view = (
            "(() => { const box = document.querySelector('#results .result').getBoundingClientRect();"
            "return box.top >= 0 && box.bottom <= innerHeight; })()"
        )
        wait(driver, in_view)
        assert text(driver, "status") == "Accepted." and log(driver) == []
        assert driver.find_element("id", "status").get_attribute("role") == "status"
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
