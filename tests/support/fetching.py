"""Fetching from a hostile server behind a public name."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hostile_server import Script, Served, Stage, Visit, response, server_tls, serving

from acestep_xl.transfer.fetch import FetchResult, fetch
from acestep_xl.transfer.policy import Policy

URL = "http://song.example/a.wav"
POLICY = Policy(max_bytes=100_000, connect_timeout=5, total_timeout=20)
BRIEF = replace(POLICY, total_timeout=0.5)
KEY = "S" + "ECRET"  # not written out, so that no traceback quotes it
SONG = bytes(range(256)) * 10


def fetch_from(
    script: Script, url: str = URL, policy: Policy = POLICY, *, stage: Stage | None = None, tls: bool = False
) -> tuple[FetchResult, Served, Stage]:
    """Fetch `url` from a server that runs `script` under every host name that `stage` does not list."""
    stage = stage or Stage(0)

    async def main() -> tuple[FetchResult, Served, Stage]:
        async with serving(script, server_tls() if tls else None) as served:
            stage.port = served.port
            return await fetch(url, policy, network=stage.network), served, stage

    return asyncio.run(main())


def redirecting(*locations: str, status: int = 302) -> Script:
    """Redirects along `locations`, whatever is requested, then serves the song."""
    remaining = list(locations)

    async def script(visit: Visit) -> None:
        await visit.send(response(status, location=remaining.pop(0)) if remaining else response(200, SONG))

    return script


HEAD = b"HTTP/1.1 200 So\r\n"
