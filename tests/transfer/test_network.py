"""Names, connections and certificates: every address is checked when it is connected to."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import replace

import pytest
from fetching import KEY, POLICY, SONG, URL, fetch_from, redirecting
from hostile_server import PUBLIC, Stage, responding, response, serving, trusting

from acestep_xl.transfer.errors import Failed, Refused
from acestep_xl.transfer.fetch import FetchResult, fetch
from acestep_xl.transfer.network import INTERNET, CheckedResolver, Network, system_lookup

FORBIDDEN_ANSWERS = {
    "private": ["192.168.1.1"],
    "loopback": ["127.0.0.1"],
    "loopback 6": ["::1"],
    "link-local with a zone": ["fe80::1%lo"],
    "unique local": ["fd00::1"],
    "unspecified": ["0.0.0.0"],
    "mapped": ["::ffff:10.0.0.1"],
    "translated": ["64:ff9b::7f00:1"],
    "6to4": ["2002:7f00:1::"],
    "shared": ["100.64.0.1"],
    "metadata": ["169.254.169.254"],
    "public and private": [PUBLIC, "10.0.0.1"],
    "many public and a private": [*(f"93.184.216.{last}" for last in range(40)), "10.0.0.1"],
}


@pytest.mark.parametrize("answers", FORBIDDEN_ANSWERS.values(), ids=FORBIDDEN_ANSWERS)
def test_names_with_forbidden_addresses(answers: list[str]) -> None:
    stage = Stage(0, answers={"song.example": [answers]})
    with pytest.raises(
        Refused, match=r"http://song.example/a.wav: its name leads to (an?|the) .*, which is not allowed"
    ):
        fetch_from(responding(response(200, SONG)), f"{URL}?{KEY}", stage=stage)
    assert stage.connections == []


def test_a_name_is_resolved_once_per_connection() -> None:
    stage = Stage(0, answers={"song.example": [[PUBLIC], ["127.0.0.1"]]})
    assert fetch_from(responding(response(200, SONG)), stage=stage)[0].data == SONG
    assert stage.lookups == ["song.example"] and stage.connections == [(PUBLIC, 80)]


def test_a_name_is_checked_again_after_a_redirect() -> None:
    stage = Stage(0, answers={"song.example": [[PUBLIC], ["127.0.0.1"]]})
    with pytest.raises(Refused, match="its name leads to a loopback address"):
        fetch_from(redirecting("/b"), stage=stage)
    assert stage.lookups == ["song.example"] * 2 and stage.connections == [(PUBLIC, 80)]


def test_private_addresses_can_be_allowed() -> None:
    stage = Stage(0, answers={"song.example": [["10.0.0.1", "fd00::1"]]})
    policy = replace(POLICY, allow_private=True)
    assert fetch_from(responding(response(200, SONG)), policy=policy, stage=stage)[0].data == SONG
    assert stage.connections == [("10.0.0.1", 80), ("fd00::1", 80)]
    stage.answers["song.example"] = [["10.0.0.1", "169.254.169.254"]]
    with pytest.raises(Refused, match="metadata"):
        fetch_from(responding(response(200, SONG)), policy=policy, stage=stage)


def test_names_without_addresses() -> None:
    async def unknown_name(host: str) -> list[str]:
        raise OSError(f"unknown {host}")

    async def no_addresses(host: str) -> list[str]:
        return []

    for lookup in (unknown_name, no_addresses):
        with pytest.raises(Failed, match="its name cannot be resolved"):
            asyncio.run(fetch(URL, POLICY, network=Network(lookup=lookup)))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433"])
def test_the_real_network(host: str) -> None:
    """Real names and sockets of this machine, without a Stage."""

    async def main() -> None:
        async with serving(responding(response(200, SONG))) as served:
            url = f"http://{host}:{served.port}/a.wav"
            assert (await fetch(url, replace(POLICY, allow_private=True))).data == SONG
            with pytest.raises(Refused):
                await fetch(url, POLICY)
            assert served.paths == ["/a.wav"]

    asyncio.run(main())


def test_the_system_s_answers_are_checked() -> None:
    async def main() -> None:
        assert set(await system_lookup("localhost")) & {"127.0.0.1", "::1"}
        with pytest.raises(Refused, match="leads to a loopback address"):
            await CheckedResolver(POLICY, INTERNET).resolve("localhost", 80)
        entries = await CheckedResolver(replace(POLICY, allow_private=True), INTERNET).resolve("localhost", 80)
        assert all(entry["port"] == 80 and entry["host"] in ("127.0.0.1", "::1") for entry in entries)

    asyncio.run(main())


def test_certificates_are_verified() -> None:
    script = responding(response(200, SONG))
    url = "https://song.example/a.wav"
    with pytest.raises(Failed, match="its certificate cannot be verified"):
        fetch_from(script, url, tls=True)
    assert fetch_from(script, url, stage=Stage(0, tls=trusting()), tls=True)[0] == FetchResult(SONG, None, url)
    with pytest.raises(Failed, match="its certificate cannot be verified"):
        fetch_from(script, "https://other.example/a.wav", stage=Stage(0, tls=trusting()), tls=True)


def test_a_server_without_tls() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            stage = Stage(server.sockets[0].getsockname()[1])
            with pytest.raises(Failed, match="no TLS connection can be made"):
                await fetch("https://song.example/", POLICY, network=stage.network)

    asyncio.run(main())


def test_a_closed_port() -> None:
    async def main() -> None:
        async with serving(responding(b"")) as served:
            port = served.port
        stage = Stage(port)
        with pytest.raises(Failed, match="no connection can be made") as caught:
            await fetch(f"{URL}?{KEY}", POLICY, network=stage.network)
        assert KEY not in "".join(traceback.format_exception(caught.value))

    asyncio.run(main())


@pytest.mark.parametrize("hang", ["lookup", "connect"])
def test_connecting_is_limited_in_time(hang: str) -> None:
    async def slow_lookup(host: str) -> list[str]:
        await asyncio.sleep(60)
        return [PUBLIC]

    async def main() -> None:
        async with serving(responding(b""), None) as served:
            network = Stage(served.port).network
            if hang == "lookup":
                network = replace(network, lookup=slow_lookup)
            url = URL if hang == "lookup" else "https://song.example/"  # a TLS handshake without a reply
            with pytest.raises(Failed, match="no connection within the connect timeout"):
                await fetch(url, replace(POLICY, connect_timeout=0.3), network=network)

    asyncio.run(main())
