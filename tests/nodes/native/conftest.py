"""A host with folders of its own, in which ComfyUI's node classes run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acestep_xl.host import use
from acestep_xl.host.headless import HeadlessHost


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeadlessHost]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input" / "takes").mkdir(parents=True)
    current = HeadlessHost([], tmp_path / "output", device="cpu")
    with use(current):
        yield current
