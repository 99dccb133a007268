"""Fixtures of the nodes' tests: a host that writes into the test's folder, and an HTTP server to deliver to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import receiver as http_receiver
from receiver import Receiver

from acestep_xl import host
from acestep_xl.host.headless import HeadlessHost


@pytest.fixture
def headless_host(tmp_path: Path) -> Iterator[HeadlessHost]:
    current = HeadlessHost([], tmp_path, device="cpu")
    with host.use(current):
        yield current


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver.receiving() as server:
        yield server
