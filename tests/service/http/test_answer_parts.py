"""Audio in answers is read from its file while it is sent: over HTTP and in frames of a WebSocket message."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType
from local_service import Gate, serving
from service_tools import TinyEngine, audio_bytes, body, in_loop

from acestep_xl.service.http.context import CONTEXT
from acestep_xl.service.http.message_writer import frame_head
from acestep_xl.service.queue import answer_parts
from acestep_xl.service.queue.answer_parts import AUDIO_BYTES, PartReader, length, split
from acestep_xl.service.queue.result_objects import AudioText

PING = {"taskType": "ping", "ping": True}


def poll(task: dict[str, Any]) -> dict[str, Any]:
    return {"taskType": "getResponse", "taskUUID": task["taskUUID"]}


async def joined(parts: list[answer_parts.Part]) -> tuple[bytes, int]:
    """The text of parts, and the bytes of its longest piece."""
    pieces = [piece async for piece in PartReader().pieces(parts)]
    return b"".join(pieces), max(map(len, pieces))


@pytest.mark.parametrize("size", [0, 1, 2, 3, AUDIO_BYTES - 1, AUDIO_BYTES, AUDIO_BYTES + 1, 4 * AUDIO_BYTES + 2])
def test_parts_join_to_the_json_of_the_whole(tmp_path: Path, size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    file = tmp_path / "song.wav"
    file.write_bytes(data[:size])
    audio = AudioText(file, "data:audio/wav;base64,")
    value = {"data": [{"audioDataURI": audio, "seed": 1, "text": 'é"'}, {"plain": None}, {"again": AudioText(file)}]}
    parts = split(value)
    text, longest = asyncio.run(joined(parts))
    encoded = base64.b64encode(data[:size]).decode()
    assert json.loads(text)["data"][0]["audioDataURI"] == f"data:audio/wav;base64,{encoded}" == audio.read()
    assert json.loads(text)["data"][2] == {"again": encoded} and json.loads(text)["data"][0]["text"] == 'é"'
    assert length(parts) == len(text) and longest <= AUDIO_BYTES * 4 // 3


def test_only_audio_may_stand_in_an_answer_that_is_no_json() -> None:
    assert split({"a": [1]}) == [b'{"a": [1]}']
    with pytest.raises(TypeError, match="Path"):
        split({"a": Path("x")})


@pytest.mark.parametrize(("kind", "key"), [("base64Data", "audioBase64Data"), ("dataURI", "audioDataURI")])
def test_many_results_with_audio_in_one_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, key: str
) -> None:
    monkeypatch.setattr(answer_parts, "AUDIO_BYTES", 30)

    @in_loop
    async def run() -> None:
        async with serving(tmp_path) as local:
            task = body(outputType=kind, seed=5, numberResults=2)
            _, sync = await local.send(task)
            status, answer = await local.send(*[poll(task)] * 40, body(steps=0), PING)
            assert status == 200 and len(answer["data"]) == 81 and answer["errors"][0]["parameter"] == "steps"
            for entries in (sync["data"], answer["data"][:80]):
                for index, entry in enumerate(entries):
                    text = entry[key].removeprefix("data:audio/mpeg;base64,")
                    assert base64.b64decode(text, validate=True) == audio_bytes(5 + index % 2)

    run()


@in_loop
async def test_an_answer_in_frames_lets_pings_through_and_no_other_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_parts, "AUDIO_BYTES", 3)
    async with serving(tmp_path) as local:
        task = body(outputType="base64Data", seed=5, numberResults=4)
        await local.send(task)
        async with local.client.ws_connect(local.socket_url, autoping=False) as raw:
            for _ in range(5):
                await raw.send_json([poll(task)])
                await raw.ping(b"now")
                await raw.send_json([PING])
            answers, pongs = [], 0
            while len(answers) < 10 or pongs < 5:
                message = await raw.receive(20)
                pongs += message.type == WSMsgType.PONG
                if message.type == WSMsgType.TEXT:
                    answers.append(json.loads(message.data)["data"])
        songs = [answer for answer in answers if len(answer) == 4]
        assert len(songs) == 5 and sum(answer == [{"taskType": "ping", "pong": True}] for answer in answers) == 5
        for answer in songs:
            data = [base64.b64decode(entry["audioBase64Data"], validate=True) for entry in answer]
            assert data == [audio_bytes(seed) for seed in range(5, 9)]


@in_loop
async def test_audio_that_vanishes_cuts_the_answer_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path) as local:
        task = body(outputType="base64Data", seed=5)
        await local.send(task)
        length_of = answer_parts.length

        def delete(parts: list[answer_parts.Part]) -> int:
            size = length_of(parts)
            for path in (tmp_path / "results").iterdir():
                path.unlink()
            return size

        monkeypatch.setattr("acestep_xl.service.http.responses.length", delete)
        caplog.set_level(logging.INFO)
        with pytest.raises(Exception):  # noqa: B017 - which one depends on when the connection breaks
            await local.send(poll(task))
        monkeypatch.undo()
        _, answer = await local.send(poll(task))
        assert [error["code"] for error in answer["errors"]] == ["resultExpired"]
    assert "cut off" in caplog.text and "Traceback" not in caplog.text


@in_loop
async def test_a_client_that_leaves_while_audio_is_sent_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local:
        gate.release()
        task = body(outputType="base64Data")
        await local.send(task)
        (path,) = (tmp_path / "results").iterdir()
        path.write_bytes(bytes(2**25))
        reader, writer = await asyncio.open_connection("127.0.0.1", int(local.url.rpartition(":")[2]))
        text = json.dumps([poll(task)]).encode()
        writer.write(b"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        writer.write(f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        while local.runner.app[CONTEXT].active_requests:
            await asyncio.sleep(0.01)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(("size", "head"), [(125, "017d"), (126, "017e007e"), (65536, "017f0000000000010000")])
def test_heads_of_frames(size: int, head: str) -> None:
    assert frame_head(1, size).hex() == head
