"""Silent name servers and hanging receivers: `python benchmarks/attack_receivers.py [--checkout PATH]`.

16 webhooks go to names that nobody resolves and 64 to receivers that never answer; then come polls and one webhook to a
receiver that works. Names that contain "silent" are made to hang in the server's own process, by a `sitecustomize`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import attack_support as support
from aiohttp import web
from attack_support import Row, Server

NAMES, RECEIVERS = 16, 64
SETTLE_SECONDS = 10.0  # until all of them have been tried
POLL_MILLISECONDS, WEBHOOK_SECONDS = 50.0, 5.0
SILENT_NAMES = """
import socket, time
getaddrinfo = socket.getaddrinfo
def hang(host, *args, **kwargs):
    if b"silent" in (host.encode() if isinstance(host, str) else host or b""):
        time.sleep(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return getaddrinfo(host, *args, **kwargs)
socket.getaddrinfo = hang
"""


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Read and never answer."""
    with suppress(asyncio.CancelledError):  # at the end of the measurement
        while await reader.read(2**16):
            pass


async def measure(server: Server) -> list[Row]:
    called = asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        await request.read()
        called.set()
        return web.Response()

    async with AsyncExitStack() as stack, support.client() as session:
        urls = [f"http://silent{number}.example{number}.com/hook" for number in range(NAMES)]
        for _ in range(RECEIVERS):
            receiver = await asyncio.start_server(hang, "127.0.0.1", 0)
            stack.callback(receiver.close)
            urls.append(f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/hook")
        app = web.Application()
        app.router.add_post("/hook", receive)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        good = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        tasks = [support.task(webhookURL=url) for url in urls]
        await support.send(session, server, *tasks)
        last = str(tasks[-1]["taskUUID"])
        while "audioUUID" not in str(await support.send(session, server, support.poll(last))):
            await asyncio.sleep(0.2)
        await asyncio.sleep(SETTLE_SECONDS)
        return [await polls(server, last), await webhook(session, server, good, called)]


async def polls(server: Server, task_uuid: str) -> Row:
    seen = await support.watch(server, asyncio.sleep(20), polled=task_uuid)
    milliseconds = 1000 * seen.percentile_95
    figure = f"{milliseconds:.0f} ms, {1000 * seen.longest:.0f} ms at most"
    name = f"{NAMES} silent names and {RECEIVERS} hanging receivers: polls, 95th percentile"
    return Row(name, figure, f"{POLL_MILLISECONDS:g} ms", milliseconds < POLL_MILLISECONDS and not seen.failures)


async def webhook(session: support.aiohttp.ClientSession, server: Server, url: str, called: asyncio.Event) -> Row:
    """The time from the end of the song to its webhook."""
    task = support.task(webhookURL=url)
    await support.send(session, server, task)
    ended: float | None = None
    while ended is None and not called.is_set():
        if "audioUUID" in str(await support.send(session, server, support.poll(str(task["taskUUID"])))):
            ended = time.perf_counter()
        await asyncio.sleep(0.02)
    start = ended or time.perf_counter()
    try:
        await asyncio.wait_for(called.wait(), 120)
    except asyncio.TimeoutError:
        return Row("the same: a good webhook", "not within 120 s", f"{WEBHOOK_SECONDS:g} s", False)
    seconds = time.perf_counter() - start
    return Row("the same: a good webhook", f"{seconds:.2f} s", f"{WEBHOOK_SECONDS:g} s", seconds < WEBHOOK_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    support.add_checkout(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(SILENT_NAMES)
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
        with support.running("--allow-private", checkout=arguments.checkout) as server:
            print(support.table(asyncio.run(measure(server))))


if __name__ == "__main__":
    main()
