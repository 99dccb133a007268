"""The demo checkpoint, loaded once for all tests of edits."""

from __future__ import annotations

import edit_graphs as edits
import pytest

from acestep_xl.model import demo


@pytest.fixture(autouse=True)
def cached_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading encodes silence, which would otherwise be among the encoder calls that a test counts."""
    edits.demo_networks()
    monkeypatch.setattr(demo, "load", edits.demo_networks)
