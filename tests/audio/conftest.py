"""Both routes to OGG."""

from __future__ import annotations

import pytest

from acestep_xl.audio import vorbis

ROUTES = ["PyAV", "program"] if vorbis.in_pyav() else ["program"]


@pytest.fixture(params=ROUTES)
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way to encode OGG that this machine has."""
    monkeypatch.setattr(vorbis, "in_pyav", lambda: request.param == "PyAV")
    return request.param
