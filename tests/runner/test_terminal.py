"""Progress in a terminal and in a log."""

from __future__ import annotations

import io
import sys
import time

import pytest

from acestep_xl.host.protocol import Progress
from acestep_xl.runner import terminal


def test_plain_progress_does_not_flood_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.PlainProgress("Sampler", 1000) as bar:
        for step in range(1000):
            bar.update(step + 1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10 and lines[-1] == "Sampler: 1000/1000"


def test_terminal_progress_is_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    reporter = terminal.Reporter()
    reporter.on_node("2", "Sampler", 0, 1)
    bar: Progress = reporter.bar(4)
    with bar:
        bar.update(3)
        time.sleep(0.11)
        bar.update(4)
    out, err = capsys.readouterr()
    assert out == "" and "Sampler" in err and "4/4" in err


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "\\u611b_\\udcff.flac"), ("utf-8", "愛_\\udcff.flac")])
def test_names_that_the_terminal_cannot_show_are_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    for stream, write in (("stdout", terminal.print_result), ("stderr", terminal.print_status)):
        output = io.BytesIO()
        monkeypatch.setattr(sys, stream, io.TextIOWrapper(output, encoding))
        write("愛_\udcff.flac")
        getattr(sys, stream).flush()
        assert output.getvalue().decode(encoding) == shown + "\n"
        monkeypatch.undo()
