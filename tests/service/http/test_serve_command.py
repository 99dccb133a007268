"""`acestep-xl serve` from the command line: what it refuses to start with, and how it stops."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from clean_interpreter import help_and_imports
from local_service import Command
from service_tools import body

from acestep_xl.__main__ import main
from acestep_xl.service import serve_command

KEY = "a-key-of-some-length"


def startup_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints when it refuses to start."""
    assert main(["serve", "--demo", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "music.example"])
def test_listening_beyond_this_machine_needs_a_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str
) -> None:
    monkeypatch.delenv(serve_command.KEY_VARIABLE, raising=False)
    text = startup_error(capsys, "--host", host, "--data", str(tmp_path))
    assert host in text and serve_command.KEY_VARIABLE in text and "127.0.0.1" in text


def parse(*arguments: str) -> Any:
    import argparse

    parser = argparse.ArgumentParser()
    serve_command.add_arguments(parser)
    parser.add_argument("--models", default=[])
    return parser.parse_args(arguments)


def test_keys_come_from_the_environment_and_the_command_line() -> None:
    settings = serve_command.read_settings(parse("--host", "0.0.0.0", "--api-key", "c"), "a, b")
    assert set(settings.api_keys) == {"a", "b", "c"}
    assert serve_command.read_settings(parse("--host", "::1"), "").api_keys == ()


def test_every_setting_out_of_range_is_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = startup_error(capsys, "--port", "70000", "--max-queue", "0", "--data", str(tmp_path))
    assert "port is 70000; allowed are 0 to 65535" in text and "max_queue is 0" in text


def test_a_port_in_use_is_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server_socket:
        port = str(server_socket.getsockname()[1])
        assert f"cannot listen on 127.0.0.1 port {port}" in startup_error(
            capsys, "--port", port, "--data", str(tmp_path)
        )


def test_an_unknown_device_is_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "no device 'abacus'" in startup_error(capsys, "--device", "abacus", "--data", str(tmp_path))


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "aiohttp", "transformers", "numpy")
    text, imported = help_and_imports("acestep_xl.__main__", ["serve"], heavy)
    assert "--allow-private" in text and "ACESTEP_XL_API_KEY" in text
    assert imported == set()


def call(url: str, *tasks: dict[str, Any], key: str = KEY) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{url}/v1", json.dumps(tasks).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_a_stop_is_fast_and_clean(tmp_path: Path) -> None:
    with Command(tmp_path, key=KEY) as command:
        task = body(duration=30, steps=300, deliveryMethod="async")
        call(command.url, task)
        poll = {"taskType": "getResponse", "taskUUID": task["taskUUID"]}
        while not 3 < call(command.url, poll)["data"][0]["progress"]:
            time.sleep(0.05)
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(120) == 0
    assert not any(path.is_file() for path in (tmp_path / "data" / "results").rglob("*")), "it stops within a step"
    text = command.log.read_text()
    assert f"listening on http://127.0.0.1:{command.port}" in text and "stopping" in text
    assert "Traceback" not in text and KEY not in text
    assert (tmp_path / "data" / "tasks.sqlite3").is_file()
