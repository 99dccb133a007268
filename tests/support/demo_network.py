"""Which network `demo` is in a test: the shipped one takes several times as long as one of random weights."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from acestep_xl.model import demo, random_network

SHIPPED = demo.load


@contextmanager
def random_demo() -> Iterator[None]:
    """Inside, `demo` is the random network; its songs are as good for everything but their music."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "load", lambda: copy.deepcopy(_networks()))
        yield


@functools.cache
def _networks() -> tuple[Any, ...]:
    """Drawing the weights takes three times as long as copying them."""
    return random_network.load()


@contextmanager
def shipped_demo() -> Iterator[None]:
    """Inside, `demo` is what users get."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "load", SHIPPED)
        yield
