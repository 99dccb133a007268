"""Wrong API keys are limited for each address; a right one is accepted at any time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest
from local_service import serving
from service_tools import in_loop

from acestep_xl.service.http import key_guesses
from acestep_xl.service.http.key_guesses import FREE_GUESSES, MAX_DELAYED, KeyGuesses

KEY = "a-key-of-some-length"
PING = {"taskType": "ping", "ping": True}


@in_loop
async def test_after_some_wrong_keys_further_ones_are_told_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_guesses, "DELAY", 0.01)
    async with serving(tmp_path, api_keys=(KEY,)) as local:
        for guess in range(FREE_GUESSES):
            status, answer = await local.send(PING, key=f"guess {guess}")
            assert (status, answer["errors"][0]["code"]) == (401, "invalidApiKey")
        status, answer = await local.send(PING, key="another")
        assert (status, answer["errors"][0]["code"]) == (429, "tooManyRequests")
        assert (await local.send({"taskType": "authentication", "apiKey": "in the body"}, PING))[0] == 429
        assert (await local.get("/queue", Authorization="Bearer again"))[0] == 429
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await local.client.ws_connect(local.socket_url, headers={"Authorization": "Bearer again"})
        assert refused.value.status == 429
        assert (await local.send(PING, key=KEY))[0] == 200, "the right key is never refused"
        assert (await local.send({"taskType": "authentication", "apiKey": KEY}, PING))[0] == 200
        assert (await local.send(PING))[0] == 401, "no key is no guess"


@in_loop
async def test_guesses_over_a_websocket_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_guesses, "DELAY", 0.01)
    async with serving(tmp_path, api_keys=(KEY,)) as local:
        codes = []
        for _ in range(3):
            async with local.client.ws_connect(local.socket_url) as raw:
                for _ in range(5):
                    await raw.send_json([{"taskType": "authentication", "apiKey": "wrong"}])
                    codes.append((await raw.receive_json())["errors"][0]["code"])
        assert codes == ["invalidApiKey"] * FREE_GUESSES + ["tooManyRequests"] * 5
        async with local.client.ws_connect(local.socket_url) as raw:
            await raw.send_json([{"taskType": "authentication", "apiKey": KEY}])
            assert "connectionSessionUUID" in (await raw.receive_json())["data"][0]


@in_loop
async def test_guesses_are_forgotten_and_other_clients_unaffected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_guesses, "DELAY", 0.0)
    guesses = KeyGuesses()
    codes = [(await guesses.answer("first")).code for _ in range(FREE_GUESSES + 1)]
    assert codes[-2:] == ["invalidApiKey", "tooManyRequests"]
    assert (await guesses.answer("second")).code == "invalidApiKey"
    now = time.monotonic()
    monkeypatch.setattr(key_guesses.time, "monotonic", lambda: now + key_guesses.WINDOW + 1)
    assert (await guesses.answer("first")).code == "invalidApiKey"


@in_loop
async def test_delayed_answers_and_remembered_clients_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_guesses, "DELAY", 3600.0)
    monkeypatch.setattr(key_guesses, "MAX_CLIENTS", 5)
    guesses = KeyGuesses()
    for _ in range(FREE_GUESSES):
        await guesses.answer("first")
    answers = [asyncio.ensure_future(guesses.answer("first")) for _ in range(MAX_DELAYED + 2)]
    done, waiting = await asyncio.wait(answers, timeout=0.5)
    assert (len(done), len(waiting)) == (2, MAX_DELAYED)
    for answer in waiting:
        answer.cancel()
    for client in range(20):
        await guesses.answer(str(client))
    assert len(guesses._guesses) == 5
