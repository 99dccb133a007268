"""After the `ttl` of a result nothing hands out its URL any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from local_service import Local, serving
from service_socket import poll, socket
from service_tools import body, in_loop

from acestep_xl.service.http.context import CONTEXT


async def expire(local: Local, *, swept: bool) -> None:
    """Let the time of every result end, with or without the sweep that deletes files."""
    tasks = await local.runner.app[CONTEXT].tasks()
    await tasks._database.transact(lambda connection: connection.execute("UPDATE results SET expires = 1") and None)
    if swept:
        await tasks._files.delete_expired()


@in_loop
async def test_an_expired_url_is_not_shown(tmp_path: Path) -> None:
    async with serving(tmp_path) as local, socket(local) as client:
        task = body(ttl=60, numberResults=2)
        _, answer = await local.send(task)
        assert all("audioURL" in entry for entry in answer["data"])
        assert (await local.send(poll(task)))[1] == {"data": [{**one, "status": "success"} for one in answer["data"]]}
        for swept in (False, True):
            await expire(local, swept=swept)
            for expired in ((await local.send(poll(task)))[1], await client.ask(poll(task))):
                assert "data" not in expired
                assert [error["code"] for error in expired["errors"]] == ["resultExpired"] * 2
            _, details = await local.send({"taskType": "getTaskDetails", "taskUUID": task["taskUUID"]})
            response: dict[str, Any] = details["data"][0]["response"]
            assert response["data"] == [] and len(response["errors"]) == 2
            assert (await local.get(answer["data"][0]["audioURL"].removeprefix(local.url)))[0] == 404


@in_loop
async def test_a_file_that_someone_deleted_is_not_shown_either(tmp_path: Path) -> None:
    async with serving(tmp_path) as local:
        task = body()
        await local.send(task)
        for path in (tmp_path / "results").iterdir():
            path.unlink()
        assert (await local.send(poll(task)))[1]["errors"][0]["code"] == "resultExpired"
