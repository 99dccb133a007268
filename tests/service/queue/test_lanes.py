"""Places of a pool: hosts that never answer take a share of them."""

from __future__ import annotations

from acestep_xl.service.queue.background.lanes import Lanes

SIZE = 64


def fill(lanes: Lanes, hosts: list[str], first: int = 0) -> list[int]:
    """Start as much as has room, host by host. Returns the keys."""
    keys: list[int] = []
    for host in hosts:
        while lanes.room(host) > 0:
            keys.append(first + len(keys))
            lanes.start(keys[-1], host)
    return keys


def test_one_host_leaves_room_for_others() -> None:
    lanes = Lanes(SIZE)
    assert len(fill(lanes, ["bad"])) == SIZE // 2
    assert lanes.room("bad") == 0 and lanes.room("good") > 0


def test_unknown_hosts_leave_room_for_those_that_answer() -> None:
    lanes = Lanes(SIZE)
    lanes.start(10**6, "good")
    lanes.end(10**6, answered=True)
    assert len(fill(lanes, [f"unknown {n}" for n in range(500)])) == SIZE * 3 // 4
    assert lanes.room("good") == SIZE // 4


def test_silent_hosts_leave_room_for_unknown_ones() -> None:
    lanes = Lanes(SIZE)
    hosts = [f"silent {n}" for n in range(500)]
    for key, host in enumerate(hosts):
        lanes.start(key, host)
        lanes.end(key, answered=False)
    assert len(fill(lanes, hosts)) == SIZE // 4
    assert lanes.room("new") == SIZE // 2
    lanes.end(0, answered=True)
    assert lanes.room(hosts[0]) > 0, "it answers again"


def test_every_place_is_given_back() -> None:
    lanes = Lanes(SIZE)
    for _ in range(3):
        keys = fill(lanes, [f"host {n}" for n in range(10)])
        assert keys and sum(lanes.room(f"host {n}") for n in range(10)) == 0
        for key in keys:
            lanes.end(key, answered=True)
    assert len(fill(lanes, ["host 1"])) == SIZE // 2


def test_the_smallest_pool_works() -> None:
    lanes = Lanes(1)
    lanes.start(1, "a")
    assert lanes.room("b") == 0
    lanes.end(1, answered=False)
    assert lanes.room("a") == 1
