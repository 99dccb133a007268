"""Requests from the OpenAPI description and at random: no 5xx, no hang, constant memory."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import random
import resource
import string
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType
from hypothesis import HealthCheck, Phase, given, settings
from local_service import Local, serving, threaded
from service_tools import TinyEngine, body

from acestep_xl.parameters import api
from acestep_xl.service.http.context import CONTEXT
from acestep_xl.service.http.sessions import SESSIONS

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
EXAMPLES = 30  # of each operation and mode
REQUESTS = 10_000
ANSWER_SECONDS = 20
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example)
MAX_GROWTH = 16 * 2**20  # bytes of resident memory, for the allocator and SQLite's page cache
PRIVATE_URL = "http://127.0.0.1:9/"  # the policy refuses it, so that no test reaches the network


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    with threaded(tmp_path_factory.mktemp("fuzz"), max_queue=100_000) as local:
        yield local


def operations() -> list[tuple[str, str]]:
    """Each operation with valid requests and, if it has any input, with invalid ones."""
    from acestep_xl.service.http import openapi

    paths = openapi.document()["paths"]
    entries = {f"{method.upper()} {path}": entry for path in paths for method, entry in paths[path].items()}
    del entries["POST /"]  # the handler of POST /v1
    with_input = [name for name, entry in entries.items() if "requestBody" in entry or "parameters" in entry]
    return [(name, "positive") for name in entries] + [(name, "negative") for name in with_input]


def without_urls(value: Any) -> Any:
    """The value with every URL replaced by PRIVATE_URL."""
    if isinstance(value, dict):
        return {key: without_urls(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [without_urls(entry) for entry in value]
    return PRIVATE_URL if isinstance(value, str) and "://" in value else value


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "mode"), operations())
def test_the_server_behaves_as_described(local: Local, operation: str, mode: str) -> None:
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    method, path = operation.split(" ")
    described = schemathesis.openapi.from_url(f"{local.url}/openapi.json")[path][method]
    response_checks = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=SLOW,
        phases=[Phase.generate],
    )
    @given(case=described.as_strategy(generation_mode=GenerationMode(mode)))
    def run(case: Any) -> None:
        if isinstance(case.body, (list, dict)):
            case.body = without_urls(case.body)
        case.validate_response(case.call(timeout=ANSWER_SECONDS), checks=response_checks)

    run()


class Chaos:
    """Random requests: valid tasks with some invalid values, tasks of random values, truncated JSON, and bytes."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.names = {kind: list(table) for kind, table in api.TASKS.items()}
        self.used = [str(uuid.UUID(int=self.draw.getrandbits(128), version=4)) for _ in range(20)]

    def request(self) -> bytes:
        kind = self.draw.random()
        if kind < 0.03:
            return self.draw.randbytes(self.draw.randrange(200))
        if kind < 0.06:
            text = json.dumps(self.tasks())
            return text[: self.draw.randrange(len(text))].encode()
        if kind < 0.1:
            return json.dumps(self.value(3)).encode()
        return json.dumps(self.tasks()).encode()

    def tasks(self) -> list[Any]:
        return [self.task() if self.draw.random() < 0.97 else self.value(2) for _ in range(self.draw.randrange(1, 4))]

    def task(self) -> dict[str, Any]:
        kind = self.draw.choice(list(self.names))
        task: dict[str, Any] = {"taskType": kind, "taskUUID": self.draw.choice([*self.used, str(uuid.uuid4())])}
        if kind == "audioInference":
            task = body(deliveryMethod="async", taskUUID=task["taskUUID"])
        for name in self.draw.sample(self.names[kind], k=min(self.draw.randrange(4), len(self.names[kind]))):
            self.put(task, name, self.edge_value(name, kind) if self.draw.random() < 0.6 else self.value(2))
        if self.draw.random() < 0.1:
            task[self.word()] = self.value(1)
        if self.draw.random() < 0.1:
            task.pop(self.draw.choice(list(task)))
        return task

    def put(self, task: dict[str, Any], name: str, value: Any) -> None:
        parent, _, key = name.rpartition(".")
        group = task.setdefault(parent, {}) if parent else task
        if isinstance(group, dict):
            group[key] = value

    def edge_value(self, name: str, kind: str) -> Any:
        """A value of the right type, at or near the edge of its range."""
        parameter = api.get(name, kind)
        if parameter.choices:
            return self.draw.choice(parameter.choices)
        if parameter.type in ("integer", "number"):
            edges = [parameter.minimum or 0, parameter.maximum or 2**31]
            return self.draw.choice([*edges, edges[0] - 1, edges[1] + 1, (edges[0] + edges[1]) / 2])
        if parameter.type == "string":
            lengths = [int(parameter.minimum or 0), int(parameter.maximum or 50), 20]
            return self.draw.choice([self.word(n) for n in lengths] + [self.draw.choice(self.used), PRIVATE_URL])
        return {"boolean": self.draw.random() < 0.5}.get(parameter.type, {})

    def value(self, depth: int) -> Any:
        plain = [
            None,
            True,
            self.draw.choice([0, -1, 1, 2**31, 2**63, 10**31, 0.5, -0.0, 1e308]),
            self.word(self.draw.randrange(30)),
            self.draw.choice(
                ["", "\x00", "é" * 5, "\U0001f3b5", "‮", "a" * 5000, PRIVATE_URL, "data:audio/wav;base64,AAAA"]
            ),
            base64.b64encode(self.draw.randbytes(30)).decode(),
        ]
        if depth and self.draw.random() < 0.3:
            entries = [self.value(depth - 1) for _ in range(self.draw.randrange(4))]
            return entries if self.draw.random() < 0.5 else {self.word(): entry for entry in entries}
        return self.draw.choice(plain)

    def word(self, length: int = 6) -> str:
        return "".join(self.draw.choices(string.printable, k=length))


def resident() -> int:
    """Resident memory in bytes; the peak where the system does not report the current value."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


async def over_http(local: Local, chaos: Chaos, count: int, statuses: Counter[int]) -> None:
    for _ in range(count):
        sent = chaos.request()
        headers = {"Content-Type": "application/json"}
        request = local.client.post(f"{local.url}/v1", data=sent, headers=headers)
        async with await asyncio.wait_for(request, ANSWER_SECONDS) as answer:
            content = await answer.json()
            assert answer.status < 500, (sent, content)
            assert set(content) <= {"data", "errors"} and content, sent
            statuses[answer.status] += 1


async def over_socket(local: Local, chaos: Chaos, count: int, received: Counter[str]) -> None:
    async with local.client.ws_connect(local.socket_url) as socket:
        for _ in range(count):
            await socket.send_str(chaos.request().decode("utf-8", "replace"))
            await socket.send_str('[{"taskType": "ping", "ping": true}]')
            while True:
                message = await socket.receive(ANSWER_SECONDS)
                assert message.type == WSMsgType.TEXT, message
                content = json.loads(message.data)
                received.update(list(content))
                assert not any(error["code"] == "internalError" for error in content.get("errors", []))
                if content.get("data") == [{"taskType": "ping", "pong": True}]:
                    break


@pytest.mark.slow
def test_ten_thousand_random_requests(tmp_path: Path) -> None:
    async def run() -> None:
        engine = TinyEngine(tmp_path / "work")
        graphs = engine.graphs = CountingList()
        async with serving(tmp_path, engine, max_queue=100_000) as local:
            statuses: Counter[int] = Counter()
            received: Counter[str] = Counter()
            sizes = []
            for part in range(4):
                works = [over_http(local, Chaos(10 * part + n), REQUESTS // 4 // 8, statuses) for n in range(4)]
                works += [over_socket(local, Chaos(10 * part + 5 + n), REQUESTS // 4 // 8, received) for n in range(4)]
                await asyncio.gather(*works)
                gc.collect()
                sizes.append(resident())
            context, sessions = local.runner.app[CONTEXT], local.runner.app[SESSIONS]
            assert {200, 400, 404} <= set(statuses) and received["data"] and received["errors"]
            assert graphs.appended > 100, "some were valid"
            assert sizes[-1] - sizes[0] < MAX_GROWTH, [size / 2**20 for size in sizes]
            await asyncio.sleep(0.1)
            assert context.active_requests == 0 and not sessions._connections and not sessions._background

    asyncio.run(run())


class CountingList(list[Any]):
    """Counts appended items and keeps none of them."""

    appended = 0

    def append(self, item: Any) -> None:
        self.appended += 1
