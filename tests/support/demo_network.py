"""Which network `demo` is in a test: the shipped one takes several times as long as one of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from acestep_xl.model import demo, random_network

SHIPPED = demo.load


@contextmanager
def random_demo() -> Iterator[None]:
    """Inside, `demo` is the random network; its songs are as good for everything but their music."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "load", random_network.load)
        yield


@contextmanager
def shipped_demo() -> Iterator[None]:
    """Inside, `demo` is what users get."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "load", SHIPPED)
        yield
