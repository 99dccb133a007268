"""The page at / in a real browser: requests by form and as JSON, the queue, results to listen to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audio_files import write
from browser import drag, press, wait
from local_service import Local, threaded
from service_page import OPEN, fill, load, log
from service_tools import TinyEngine

from acestep_xl.nodes.load_audio import example
from acestep_xl.parameters import api
from acestep_xl.service.engine.in_process import HeadlessEngine
from acestep_xl.service.http import routes

KEY = "a-key-of-some-length"
FILES = {path.name: path.read_text("utf-8") for path in routes.PAGE.iterdir()}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    folder = tmp_path_factory.mktemp("page")
    with threaded(folder, HeadlessEngine(folder / "work", [], "cpu")) as local:
        yield local


def tasks(driver: Any) -> list[dict[str, Any]]:
    """The tasks that would be sent."""
    return json.loads(driver.execute_script("return document.getElementById('json').value"))


def test_a_song_is_created_and_played(driver: Any, local: Local) -> None:
    load(driver, local)
    fill(driver, "positivePrompt", "slow waltz")
    fill(driver, "duration", "30")
    fill(driver, "steps", "1")
    fill(driver, "numberResults", "2")
    driver.find_element("id", "send").click()
    wait(driver, "document.querySelectorAll('.player').length === 2", 240)
    wait(driver, "[...document.querySelectorAll('audio')].every(one => Math.abs(one.duration - 30) < 0.1)")
    driver.find_element("css selector", ".play").click()
    wait(driver, "document.querySelector('audio').currentTime > 0.2", 120)
    script = (
        "const c = document.querySelector('.player canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n / (d.length / 4)"
    )
    wait(driver, f"(() => {{ {script} }})() > 0.15")
    driver.find_elements("css selector", ".play")[1].click()
    wait(driver, "document.querySelectorAll('audio')[1].currentTime > 0.1", 120)
    assert driver.execute_script("return document.querySelector('audio').paused"), "only one plays at a time"
    assert "seed" in driver.find_element("css selector", ".foot").text
    wait(driver, "document.querySelectorAll('#queue li').length === 0")
    assert log(driver) == []
    load(driver, local, fresh=False)
    wait(driver, "document.querySelectorAll('.player').length === 2")
    assert "slow waltz" in driver.find_element("id", "results").text, "a reload keeps the results"


def test_a_source_is_uploaded_and_a_region_repainted(driver: Any, local: Local, tmp_path: Path) -> None:
    path = write(tmp_path / "song.wav", example()[0], 48000, format="wav", bit_depth=16)
    load(driver, local)
    fill(driver, "positivePrompt", "bright brass")
    fill(driver, "steps", "1")
    driver.find_element("css selector", "input[type=file]").send_keys(str(path))
    wait(driver, "!document.querySelector('.source canvas').hidden")
    driver.execute_script("document.querySelector('.source').scrollIntoView({block: 'center'})")
    drag(driver, ".source canvas", 0.25, 0.5)
    (sent,) = tasks(driver)
    seconds = example()[0].shape[-1] / 48000
    assert sent["settings"]["repaintingStart"] == pytest.approx(0.25 * seconds, abs=0.2)
    assert sent["settings"]["repaintingEnd"] == pytest.approx(0.5 * seconds, abs=0.2)
    driver.find_element("id", "send").click()
    wait(driver, "document.querySelectorAll('.player').length === 1", 240)
    wait(driver, f"Math.abs(document.querySelector('.player audio').duration - {seconds}) < 0.1")
    audio_uuid = driver.find_element("css selector", ".player a").get_attribute("download").partition(".")[0]
    driver.find_element("xpath", "//button[text()='Use as source']").click()
    assert tasks(driver)[0]["inputs"]["audio"] == audio_uuid
    assert log(driver) == []


def test_errors_are_shown_at_their_fields(driver: Any, local: Local) -> None:
    load(driver, local)
    fill(driver, "positivePrompt", "x")
    fill(driver, "settings.bpm", "20")
    driver.execute_script("document.querySelectorAll('details.group').forEach(group => group.open = false)")
    driver.find_element("id", "send").click()
    wait(driver, "document.querySelector('[name=\"settings.bpm\"]').getAttribute('aria-invalid')")
    shown = driver.find_element("id", "f-settings-bpm-problem")
    assert shown.is_displayed() and "30 to 300" in shown.text
    assert driver.switch_to.active_element.get_attribute("name") == "positivePrompt", "the first one has the focus"
    fill(driver, "settings.bpm", "90")
    assert not shown.is_displayed()


def test_the_form_and_the_json_edit_the_same_request(driver: Any, local: Local) -> None:
    load(driver, local)
    fill(driver, "positivePrompt", "slow waltz")
    fill(driver, "settings.vocalLanguage", "de")
    fill(driver, "CFGScale", "7.5")
    (task,) = tasks(driver)
    assert task["settings"] == {"vocalLanguage": "de"} and task["CFGScale"] == 7.5
    assert set(task) == {"taskType", "model", "taskUUID", "positivePrompt", "deliveryMethod", "settings", "CFGScale"}
    driver.find_element("id", "tab-json").click()
    changed = {**task, "seed": 5, "settings": {"bpm": 120}, "advancedFeatures": {"modularScheduler": "Heun"}}
    area = driver.find_element("id", "json")
    area.clear()
    area.send_keys("not JSON")
    assert "cannot be sent" in driver.find_element("id", "json-problem").text
    area.clear()
    area.send_keys(json.dumps([changed]))
    driver.find_element("id", "tab-form").click()
    driver.execute_script(OPEN)
    shown = {name: driver.find_element("name", name).get_attribute("value") for name in ("seed", "settings.bpm")}
    assert shown == {"seed": "5", "settings.bpm": "120"}
    assert driver.find_element("name", "settings.vocalLanguage").get_attribute("value") == ""
    assert driver.find_element("name", "advancedFeatures.modularScheduler").get_attribute("value") == "Heun"
    assert tasks(driver) == [changed]
    driver.find_element("id", "clear").click()
    assert driver.find_element("name", "seed").get_attribute("value") == ""


def test_every_parameter_has_a_control_with_the_ranges_of_the_description(driver: Any, local: Local) -> None:
    load(driver, local)
    for name, parameter in api.of("audioInference").items():
        if name in ("taskType", "taskUUID", "model") or (parameter.type == "object" and "Scheduler" not in name):
            continue
        control = driver.find_element("name", name)
        if parameter.choices:
            options = control.find_elements("css selector", "option:not([value=''])")
            assert [json.loads(one.get_attribute("value")) for one in options] == list(parameter.choices)
        elif parameter.type in ("integer", "number"):
            bounds = [control.get_attribute(side) for side in ("min", "max")]
            assert [float(bound) for bound in bounds if bound] == [
                b for b in (parameter.minimum, parameter.maximum) if b is not None
            ]
        if not name.endswith("modularScheduler"):
            help_text = driver.find_element("id", f"f-{name.replace('.', '-')}-help").get_attribute("textContent")
            assert help_text == parameter.help


def test_the_page_works_by_keyboard_alone(driver: Any, local: Local) -> None:
    from selenium.webdriver.common.keys import Keys

    load(driver, local)
    reached: list[str] = []
    for _ in range(6):
        press_tab(driver)
        focused = driver.switch_to.active_element
        reached.append(focused.get_attribute("name") or focused.get_attribute("id") or focused.tag_name)
    assert reached == ["a", "a", "tab-form", "summary", "positivePrompt", "settings.lyrics"]
    driver.find_element("name", "positivePrompt").click()
    press(driver, "s", "l", "o", "w")
    fill(driver, "duration", "30")
    fill(driver, "steps", "1")
    press(driver, Keys.CONTROL + Keys.ENTER)
    wait(driver, "document.querySelectorAll('.player').length === 1", 480)
    wait(driver, "document.querySelector('audio').duration > 29", 240)
    driver.execute_script("document.querySelector('.player canvas').focus()")
    press(driver, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    wait(driver, "document.querySelector('.player canvas').getAttribute('aria-valuenow') === '5.0'")
    press(driver, " ")
    wait(driver, "document.querySelector('audio').currentTime > 5.1", 240)
    driver.execute_script("document.getElementById('tab-form').focus()")
    press(driver, Keys.ARROW_RIGHT)
    assert driver.find_element("id", "pane-json").is_displayed()


def press_tab(driver: Any) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    ActionChains(driver).send_keys(Keys.TAB).perform()


def test_the_queue_shows_progress_and_cancels(driver: Any, tmp_path: Path) -> None:
    with threaded(tmp_path, TinyEngine(tmp_path / "work", seconds=60)) as local:
        load(driver, local)
        fill(driver, "positivePrompt", "first of all")
        driver.find_element("id", "send").click()
        wait(driver, "document.getElementById('status').textContent === 'Accepted.'")
        fill(driver, "positivePrompt", "<b>second</b>")
        driver.find_element("id", "send").click()
        wait(driver, "document.querySelectorAll('#queue li').length === 2")
        wait(driver, "document.querySelector('#queue progress').value > 0")
        shown = driver.find_elements("css selector", "#queue .title")
        assert [one.text for one in shown] == ["first of all", "<b>second</b>"]
        assert "waiting" in driver.find_elements("css selector", "#queue li")[1].text
        for left in (1, 0):
            driver.find_element("xpath", "//ol[@id='queue']//button[text()='Cancel']").click()
            wait(driver, f"document.querySelectorAll('#queue li').length === {left}")
        wait(driver, "document.querySelectorAll('#results .problem').length === 2")
        assert log(driver) == []


def test_the_key_is_requested_and_stored_for_the_tab(driver: Any, tmp_path: Path) -> None:
    with threaded(tmp_path, api_keys=(KEY,)) as local:
        load(driver, local)
        assert driver.find_element("id", "key").is_displayed()
        fill(driver, "positivePrompt", "slow waltz")
        driver.find_element("id", "send").click()
        wait(driver, "document.getElementById('problems').textContent.includes('API key')")
        driver.find_element("id", "key").send_keys(KEY + "\n")
        driver.find_element("id", "send").click()
        wait(driver, "document.querySelectorAll('#results .result').length === 1")
        load(driver, local, fresh=False)
        wait(driver, "document.querySelectorAll('#results .result').length === 1")
        assert KEY not in driver.page_source


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1600])
def test_nothing_overflows_and_colours_have_contrast(driver: Any, local: Local, width: int, scheme: str) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        load(driver, local)
        driver.execute_script(OPEN)
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        for name in ("--ink", "--quiet", "--accent", "--bad"):
            colours = driver.execute_script(
                "return ['--card', arguments[0]].map(name => {const e = document.createElement('i');"
                "e.style.color = `var(${name})`; document.body.append(e);"
                "const c = getComputedStyle(e).color; e.remove();"
                "return c.match(/[\\d.]+/g).slice(0, 3).map(Number)})",
                name,
            )
            assert contrast(*colours) >= 4.5, (name, scheme)
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(first: list[float], second: list[float]) -> float:
    """The contrast ratio of two colours, as WCAG 2.1 defines it."""

    def luminance(colour: list[float]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_page_loads_nothing_from_other_hosts() -> None:
    for name, text in FILES.items():
        addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^\s\"'`<]*", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name
        assert "innerHTML" not in text and "eval(" not in text and "style=" not in text, name
    for name in re.findall(r"(?:src|href)=\"page/([^\"]+)\"", FILES["index.html"]):
        assert name in FILES
    for text in FILES.values():
        assert {name for name in re.findall(r"from \"\./([^\"]+)\"", text)} <= set(FILES)
    assert {Path(name).suffix for name in FILES} <= set(routes.PAGE_TYPES)
