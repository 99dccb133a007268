"""What the server refuses before it reads any task: missing keys, other sites, bodies that are not requests."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from local_service import Local, serving
from service_tools import body, in_loop
from yarl import URL

from acestep_xl.service.http import json_body
from acestep_xl.service.http.access import Access, is_loopback
from acestep_xl.service.http.context import CONTEXT

KEY = "a-key-of-some-length"
PING = {"taskType": "ping", "ping": True}


async def post(local: Local, data: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with local.client.post(f"{local.url}/v1", data=data, headers=sent) as answer:
        return answer.status, await answer.json()


BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "half an object": (b'[{"taskType": ', "not JSON"),
    "NaN": (b'[{"duration": NaN}]', "NaN"),
    "infinity": (b'[{"duration": -Infinity}]', "Infinity"),
    "a number beyond floats": (b'[{"duration": 1e999}]', "too large"),
    "a number of many digits": (b"[" + b"1" * 100_000 + b"]", "digits"),
    "a key twice": (b'[{"steps": 1, "steps": 2}]', "'steps' twice"),
    "half a surrogate pair": (b'[{"positivePrompt": "\\ud800"}]', "surrogate"),
    "a surrogate in a key": (b'[{"\\udfff": 1}]', "surrogate"),
    "not UTF-8": (b'[{"positivePrompt": "\xff"}]', "not JSON"),
    "depth": (b"[" * 50 + b"]" * 50, "nested"),
    "great depth": (b"[" * 500_000, "nested"),
    "an object": (b"{}", "array"),
    "text": (b'"ping"', "array"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bodies_that_are_not_requests(tmp_path: Path, name: str) -> None:
    @in_loop
    async def run() -> None:
        async with serving(tmp_path) as local:
            data, reason = BAD_BODIES[name]
            status, answer = await post(local, data)
            assert status == 400 and [error["code"] for error in answer["errors"]] == ["invalidRequest"]
            assert reason in answer["errors"][0]["message"]
            assert (await local.get("/health"))[0] == 200

    run()


@in_loop
async def test_another_site_cannot_post_without_a_preflight(tmp_path: Path) -> None:
    """Browsers send a preflight request only for JSON, not for forms and plain text."""
    async with serving(tmp_path) as local:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            status, answer = await post(local, json.dumps([PING]), Content_Type=kind)
            assert status == 415 and "application/json" in answer["errors"][0]["message"]
        assert (await post(local, json.dumps([PING]), Content_Type="application/json; charset=utf-8"))[0] == 200


@in_loop
async def test_compressed_bodies_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as local:
        bomb = gzip.compress(b"[" + b" " * 10_000_000 + b"]")
        assert (await post(local, bomb, Content_Encoding="gzip"))[0] == 415


@in_loop
async def test_long_bodies_are_refused_by_their_length_or_while_they_arrive(tmp_path: Path) -> None:
    async def endless() -> Any:
        for _ in range(400):
            yield b" " * 65536

    async with serving(tmp_path, media_mib=1) as local:
        limit = local.runner.app[CONTEXT].settings.max_body_bytes
        assert (await post(local, b" " * (limit + 1)))[0] == 413
        with suppress(aiohttp.ClientConnectionError):  # closed while sending: refused as well
            assert (await post(local, endless()))[0] == 413
        ping = json.dumps([PING]).encode()
        assert (await post(local, ping + b" " * (limit - len(ping))))[0] == 200


@in_loop
async def test_a_slow_body_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_body, "READ_SECONDS", 0.3)

    async def slow() -> Any:
        yield b"["
        await asyncio.sleep(30)

    async with serving(tmp_path) as local:
        assert (await post(local, slow()))[0] == 408


@in_loop
async def test_without_a_key_only_loopback_hosts_are_served(tmp_path: Path) -> None:
    """DNS rebinding: a page whose name resolves to 127.0.0.1 sends that name as Host."""
    async with serving(tmp_path) as local:
        for path in ("/", "/queue", "/health", "/openapi.json", "/audio/x.mp3", "/nothing"):
            status, _, answer = await local.get(path, Host="rebind.example:8190")
            assert status == 403 and "rebind.example" in json.loads(answer)["errors"][0]["message"]
        assert (await post(local, json.dumps([PING]), Host="rebind.example"))[0] == 403
        for host in ("localhost", "localhost:8190", "127.0.0.1", "[::1]:8190", "studio.localhost"):
            assert (await local.get("/health", Host=host))[0] == 200, host
    async with serving(tmp_path / "locked", api_keys=(KEY,)) as local:
        assert (await local.get("/health", Host="music.example"))[0] == 200


@in_loop
async def test_other_origins_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, allowed_origins=("https://studio.example",)) as local:
        ping = json.dumps([PING])
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "https://studio.example.evil.example"):
            assert (await post(local, ping, Origin=origin))[0] == 403, origin
        assert (await post(local, ping, Sec_Fetch_Site="cross-site"))[0] == 403
        assert (await post(local, ping, Origin=local.url))[0] == 200
        assert (await post(local, ping))[0] == 200, "programs send no origin"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await local.client.ws_connect(local.socket_url, origin="https://evil.example")
        assert refused.value.status == 403
        for origin in (local.url, "https://studio.example"):
            await (await local.client.ws_connect(local.socket_url, origin=origin)).close()


@in_loop
async def test_an_allowed_origin_can_send_and_read(tmp_path: Path) -> None:
    async with serving(tmp_path, allowed_origins=("https://studio.example/",)) as local:
        for origin, allowed in (("https://studio.example", True), ("https://evil.example", False)):
            preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            async with local.client.options(f"{local.url}/v1", headers=preflight) as answer:
                assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
                assert (answer.status == 204) == allowed
        headers = {"Origin": "https://studio.example"}
        async with local.client.post(f"{local.url}/v1", json=[PING], headers=headers) as answer:
            assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == "https://studio.example"


@in_loop
async def test_a_server_with_keys_requires_one(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY, "another-key")) as local:
        for tasks, key, code in (
            ([PING], None, "missingApiKey"),
            ([PING], "wrong", "invalidApiKey"),
            ([PING], KEY + "x", "invalidApiKey"),
            ([PING], KEY[:-1], "invalidApiKey"),
            ([{"taskType": "authentication", "apiKey": "wrong"}, PING], None, "invalidApiKey"),
            ([{"taskType": "authentication", "apiKey": "wrong"}, PING], KEY, "invalidApiKey"),
            ([body()], None, "missingApiKey"),
        ):
            status, answer = await local.send(*tasks, key=key)
            assert status == 401 and [error["code"] for error in answer["errors"]] == [code]
            assert answer["errors"][0]["taskType"] == "authentication" and "data" not in answer
        for key in (KEY, "another-key"):
            assert (await local.send(PING, key=key))[0] == 200
            assert (await local.send({"taskType": "authentication", "apiKey": key}, PING))[0] == 200
        assert json.loads((await local.get("/queue"))[2])["errors"][0]["code"] == "missingApiKey"
        assert (await local.get("/queue", Authorization="Bearer wrong"))[0] == 401
        assert (await local.get("/queue", Authorization=f"bearer  {KEY}"))[0] == 200
        for path in ("/", "/health", "/openapi.json"):
            assert (await local.get(path))[0] == 200, "the page must load before it can ask for the key"


@in_loop
async def test_a_refused_request_has_no_effect(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local:
        task = body()
        await local.send(task)
        status, _ = await local.send({"taskType": "getResponse", "taskUUID": task["taskUUID"]}, key=KEY)
        assert status == 404


@in_loop
async def test_secrets_are_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(tmp_path, api_keys=(KEY,)) as local:
        await local.send(PING, key=KEY)
        await local.send({"taskType": "authentication", "apiKey": "wrong-secret"}, PING)
        await local.send(body(webhookURL="https://hooks.example/x?token=hook-secret", deliveryMethod="async"), key=KEY)
        await local.get(f"/queue?apiKey={KEY}")
        await post(local, f'[{{"apiKey": "{KEY}"')
    for secret in (KEY, "wrong-secret", "hook-secret"):
        assert secret not in caplog.text


@in_loop
async def test_every_answer_has_security_headers_and_errors_are_json(tmp_path: Path) -> None:
    async with serving(tmp_path) as local:
        for path, status in (("/", 200), ("/health", 200), ("/nothing", 404), ("/v1", 405), ("/page/none.js", 404)):
            actual, headers, data = await local.get(path)
            assert actual == status
            assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert "unsafe" not in headers["Content-Security-Policy"]
            if status != 200:
                assert json.loads(data)["errors"][0]["message"]
        async with local.client.delete(f"{local.url}/v1") as answer:
            assert answer.status == 405 and "POST" in answer.headers["Allow"]


@in_loop
async def test_audio_is_served_by_uuid_only(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    async with serving(tmp_path) as local:
        _, answer = await local.send(body())
        name = answer["data"][0]["audioURL"].rpartition("/")[2]
        assert (await local.get(f"/audio/{name}"))[0] == 200
        stem = name.removesuffix(".mp3")
        for path in (
            "",
            "..",
            stem,
            f"{stem}.wav",
            f"{stem}.mp3.mp3",
            f"{name}/",
            "../tasks.sqlite3",
            "..%2ftasks.sqlite3",
            "%2e%2e/tasks.sqlite3",
            "....//tasks.sqlite3",
            f"{stem}.mp3%00.txt",
            "/etc/passwd",
        ):
            url = URL(f"{local.url}/audio/{path}", encoded=True)
            async with local.client.get(url) as response:
                assert response.status == 404, path
                assert b"SQLite" not in await response.read()


@in_loop
async def test_ranges_of_a_file_are_served(tmp_path: Path) -> None:
    async with serving(tmp_path) as local:
        _, answer = await local.send(body())
        path = f"/audio/{answer['data'][0]['audioUUID'].upper()}.mp3"
        status, headers, data = await local.get(path)
        assert status == 200 and headers["Content-Type"] == "audio/mpeg" and headers["Accept-Ranges"] == "bytes"
        status, headers, part = await local.get(path, Range="bytes=10-19")
        assert (status, part) == (206, data[10:20]) and headers["Content-Range"] == f"bytes 10-19/{len(data)}"
        assert (await local.get(path, Range="bytes=-5"))[2] == data[-5:]
        assert (await local.get(path, Range="bytes=99999999-"))[0] == 416
        assert (await local.get(path, **{"If-None-Match": headers["ETag"]}))[0] == 304
        async with local.client.head(local.url + path) as answer_head:
            assert answer_head.status == 200 and int(answer_head.headers["Content-Length"]) == len(data)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("a.localhost", True),
        ("127.8.9.1:80", True),
        ("[::1]", True),
        ("", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("notlocalhost", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("[::1", False),
        ("evil.example@localhost", False),
        ("localhost:80:80", False),
        ("localhost#", False),
        ("127.0.0.1\n", False),
    ],
)
def test_loopback_hosts(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_keys_in_any_script() -> None:
    access = Access(["schlüssel", "b"])
    assert access.requires_key and access.accepts_key("schlüssel") and access.accepts_key("b")
    assert not any(access.accepts_key(key) for key in ("schlussel", "", None, "\udcff"))
    assert Access().accepts_key(None) and not Access().requires_key
