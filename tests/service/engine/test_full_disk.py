"""A disk without room is waited for: it is no reason to fail a task, nor to keep finished results from being served."""

from __future__ import annotations

from pathlib import Path

import pytest
from service_tools import inference

from acestep_xl.host import output_folder
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.service.engine.graph_builder import build_graph, installation_problems
from acestep_xl.service.engine.in_process import HeadlessEngine
from acestep_xl.service.engine.protocol import DiskFull, node_table


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = output_folder.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(output_folder.shutil, "disk_usage", lambda _: usage._replace(free=0))


@pytest.mark.usefixtures("full")
def test_a_check_that_finds_no_room_says_so(tmp_path: Path) -> None:
    table = node_table(HeadlessHost([], tmp_path, device="cpu"))
    with pytest.raises(DiskFull):
        build_graph(inference(), seed=1, prefix="x", table=table, demo=True)
    assert installation_problems(table, demo=True) == []


@pytest.mark.usefixtures("full")
def test_the_engine_in_this_process_finds_out_in_the_run(tmp_path: Path) -> None:
    table = HeadlessEngine(tmp_path / "work", [], "cpu").table()
    assert build_graph(inference(), seed=1, prefix="x", table=table, demo=True)
    assert table.host is not None and table.host.rescue_folders() == []
