"""The service's page in a real browser."""

from __future__ import annotations

from typing import Any

from browser import wait
from local_service import Local

OPEN = "document.querySelectorAll('details.group').forEach(group => group.open = true)"


def load(driver: Any, local: Local, fresh: bool = True) -> None:
    driver.get_log("browser")
    driver.get(local.url)
    if fresh:
        driver.execute_script("sessionStorage.clear()")
        driver.refresh()
    wait(driver, "document.querySelectorAll('.field').length > 20 && document.getElementById('health').className")


def fill(driver: Any, name: str, text: str) -> None:
    driver.execute_script(OPEN)
    control = driver.find_element("name", name)
    if control.tag_name != "select":
        control.clear()
    control.send_keys(text)


def log(driver: Any) -> list[str]:
    """The browser's errors and warnings."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
