"""The task API under attack through its front: `python benchmarks/attack.py [--checkout PATH] [NAME ...]`.

Each attack runs in a process of its own against a fresh `acestep-xl serve --demo`, while this process asks the server
again and again and watches its memory. Prints a table; exit status 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import attack_support as support
from attack_support import Row, Server, Watch

KEY = "a-key-of-some-length"
BODY_BYTES = 132 * 10**6
FRAME_BYTES = 100 * 10**6
SOCKETS = 12
SILENT = 1400
POLLS = 100  # getResponse tasks of one request
BLOCK = 2**18
HEALTH_SECONDS, HEALTH_MIB = 0.100, 100.0
POLL_SECONDS, POLL_MIB = 0.250, 300.0


# The attacks, each the work of a process of its own.


def connect(url: str) -> socket.socket:
    address = urlsplit(url)
    assert address.hostname and address.port
    return socket.create_connection((address.hostname, address.port), timeout=60)


def post_large_body(url: str, kind: str) -> None:
    """POST 132 MB without a key, as fast as the server takes it."""
    block = BODIES[kind]
    head = f"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {BODY_BYTES}\r\n"
    with connect(url) as stream, suppress(OSError):
        stream.sendall(f"{head}\r\n".encode() + BODY_HEADS.get(kind, b"["))
        for _ in range(BODY_BYTES // len(block)):
            stream.sendall(block)
        stream.sendall(b"]" * (BODY_BYTES % len(block) + 64))
        print(stream.recv(4096).partition(b"\r\n")[0].decode())


def open_unfinished_messages(url: str) -> None:
    """Send 100 MB of an unfinished message on each of twelve WebSockets, and hold them for a while."""
    streams = [connect(url) for _ in range(SOCKETS)]
    block = bytes(BLOCK)
    for stream in streams:
        with suppress(OSError):
            shake_hands(stream)
            stream.sendall(b"\x01\xff" + struct.pack(">Q", FRAME_BYTES + 2**20) + bytes(4))
            for _ in range(FRAME_BYTES // BLOCK):
                stream.sendall(block)
    time.sleep(3)


def shake_hands(stream: socket.socket) -> None:
    stream.sendall(
        b"GET /v1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    stream.recv(4096)


def poll_for_audio(url: str, task_uuid: str) -> None:
    """Ask 100 times for one finished result in a single request, and read the answer to its end."""
    body = json.dumps([support.poll(task_uuid)] * POLLS).encode()
    head = f"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    with connect(url) as stream:
        stream.settimeout(600)
        stream.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)
        size = 0
        while block := stream.recv(BLOCK):
            size += len(block)
    print(size)


def open_silent_sockets(url: str) -> None:
    """Open 1,400 connections and say nothing."""
    streams = []
    for _ in range(SILENT):
        with suppress(OSError):
            streams.append(connect(url))
    time.sleep(5)
    print(len(streams))


# What is measured of each.


def large_bodies(checkout: Path) -> Iterator[Row]:
    for key in (KEY, ""):
        for kind in BODIES:
            with support.running(key=key, checkout=checkout) as server:
                seen = asyncio.run(support.watch(server, support.in_process("post_large_body", server.url, kind)))
            where = "a server with a key" if key else "a server without keys"
            yield _health_row(f"132 MB of {kind} without a key, {where}", seen)


def unfinished_messages(checkout: Path) -> Iterator[Row]:
    for key in (KEY, ""):
        with support.running(key=key, checkout=checkout) as server:
            seen = asyncio.run(support.watch(server, support.in_process("open_unfinished_messages", server.url)))
        limit = HEALTH_MIB if key else 200.0  # without keys everyone may upload a recording
        where = "a server with a key" if key else "a server without keys"
        yield _health_row(f"{SOCKETS} WebSockets with 100 MB of a message, {where}", seen, limit)


def audio_polls(checkout: Path) -> Iterator[Row]:
    async def attack(server: Server) -> Watch:
        song = support.task(duration=240, outputFormat="WAV", outputType="base64Data")
        async with support.client() as session:
            answer = await support.send(session, server, song)
            assert "data" in answer, answer
            small = support.task()
            await support.send(session, server, small)
        attacking = support.in_process("poll_for_audio", server.url, song["taskUUID"])
        return await support.watch(server, attacking, small["taskUUID"], timeout=600)

    with support.running(checkout=checkout) as server:
        yield _row(f"{POLLS} getResponse of a base64 WAV", asyncio.run(attack(server)), POLL_SECONDS, POLL_MIB)


def silent_sockets(checkout: Path) -> Iterator[Row]:
    with support.running(checkout=checkout) as server:
        seen = asyncio.run(support.watch(server, support.in_process("open_silent_sockets", server.url), timeout=10))
    yield _health_row(f"{SILENT} silent sockets", seen)


def _health_row(name: str, seen: Watch, mib: float = HEALTH_MIB) -> Row:
    return _row(name, seen, HEALTH_SECONDS, mib)


def _row(name: str, seen: Watch, seconds: float, mib: float) -> Row:
    failures = f", {len(seen.failures)} failed ({', '.join(sorted(set(seen.failures)))})" if seen.failures else ""
    figure = f"longest {1000 * seen.longest:.0f} ms of {len(seen.seconds)}{failures}, {seen.more_mib:+.0f} MiB"
    met = not seen.failures and seen.longest < seconds and seen.more_mib < mib
    return Row(name, figure, f"{1000 * seconds:.0f} ms, {mib:.0f} MiB", met)


BODIES: dict[str, bytes] = {
    "empty lists": b"[]," * (BLOCK // 3),
    "open lists": b"[" * BLOCK,
    "ones": b"1," * (BLOCK // 2),
    "one string": b"a" * BLOCK,
    "one string of escapes": b"\\n" * (BLOCK // 2),
    "blanks": b" " * BLOCK,
    "one number": b"1" * BLOCK,
}
BODY_HEADS = {"one string": b'["', "one string of escapes": b'["'}
ATTACKS: dict[str, Callable[..., None]] = {
    function.__name__: function
    for function in (post_large_body, open_unfinished_messages, poll_for_audio, open_silent_sockets)
}
MEASUREMENTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "bodies": large_bodies,
    "messages": unfinished_messages,
    "polls": audio_polls,
    "silent": silent_sockets,
}


def main(arguments: list[str]) -> int:
    """Exit status 1 if a target is missed."""
    if arguments[:1] == ["--attack"]:
        ATTACKS[arguments[1]](*arguments[2:])
        return 0
    parser = argparse.ArgumentParser(description="The task API under attack through its front.")
    parser.add_argument("names", nargs="*", choices=[*MEASUREMENTS, []], help="attacks to run (all of them)")
    support.add_checkout(parser)
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    for name in options.names or MEASUREMENTS:
        for row in MEASUREMENTS[name](options.checkout):
            rows.append(row)
            print(support.table([row]).splitlines()[-1], flush=True)
    print(f"\n{support.table(rows)}\n\nload {os.getloadavg()[0]:.1f}")
    return int(not all(row.met for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
