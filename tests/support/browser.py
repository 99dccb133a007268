"""A headless Chromium for tests; they skip where selenium, Chromium or its driver is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--window-size=1500,1000",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
)


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A selenium driver with a new profile that records the browser's log."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    from selenium import webdriver

    browser = next(filter(None, map(shutil.which, NAMES)), None)
    executable = shutil.which("chromedriver")
    if browser is None or executable is None:
        pytest.skip("Chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable))
    driver.set_script_timeout(120)
    try:
        yield driver
    finally:
        driver.quit()


def wait(driver: Any, script: str, seconds: float = 120) -> Any:
    """The value of a script once it is truthy. Until then it may raise, since the page is still loading."""
    from selenium.common.exceptions import JavascriptException
    from selenium.webdriver.support.ui import WebDriverWait

    waiting = WebDriverWait(driver, seconds, 0.1, [JavascriptException])
    return waiting.until(lambda d: d.execute_script(f"return {script}"), script)


def drag(driver: Any, selector: str, start: float, end: float) -> None:
    """Drag along the middle of an element, from one fraction of its width to another."""
    from selenium.webdriver.common.action_chains import ActionChains

    left, top, width, height = driver.execute_script(
        "const b = document.querySelector(arguments[0]).getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height]",
        selector,
    )
    chain = ActionChains(driver, duration=50)
    pointer = chain.w3c_actions.pointer_action
    pointer.move_to_location(left + start * width, top + height / 2)
    pointer.pointer_down()
    for fraction in ((start + end) / 2, end):
        pointer.move_to_location(left + fraction * width, top + height / 2)
    pointer.pointer_up()
    chain.perform()


def press(driver: Any, *keys: str) -> None:
    """Send keys to the focused element."""
    for key in keys:
        driver.switch_to.active_element.send_keys(key)
