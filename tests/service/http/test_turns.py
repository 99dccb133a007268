"""Many messages of one WebSocket that are there at once: others get their turn between any two."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from local_service import serving
from service_socket import socket
from service_tools import in_loop

from acestep_xl.service.http.connection import Connection

MESSAGES = 400


@pytest.mark.parametrize("message", ['[{"taskType":"ping","ping":true}]', "[]", "no JSON"])
def test_no_two_messages_of_a_connection_are_handled_in_one_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    begun, turns = 0, []
    receive = Connection._receive

    async def counted(self: Connection, text: str) -> None:
        nonlocal begun
        begun += 1
        await receive(self, text)

    async def take_turns() -> None:
        while begun < MESSAGES:
            turns.append(begun)
            await asyncio.sleep(0)

    @in_loop
    async def run() -> None:
        async with serving(tmp_path) as local, socket(local) as client:
            other = asyncio.ensure_future(take_turns())
            for _ in range(MESSAGES):
                await client.raw.send_str(message)
            for _ in range(MESSAGES):
                await client.receive(60)
            await other

    monkeypatch.setattr(Connection, "_receive", counted)
    run()
    steps = [later - earlier for earlier, later in pairwise(turns)]
    assert max(steps) == 1
