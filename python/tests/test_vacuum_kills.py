"""Whoever is killed while the file is vacuumed and swapped, also who vacuums: nothing is lost, others go on."""

from __future__ import annotations

import os
import random
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from killing import NUMBER, Team, commit, forget, verify
from oocmap import OOCMap

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

KILLS = int(os.environ.get("OOCMAP_KILLS", "1000")) * 3 // 10


def vacuum(path: str, worker: int, acknowledge: int) -> None:
    """Be one who vacuums, with enough garbage each time that the file is worth a copy."""
    chance = random.Random(worker)
    with OOCMap(path, durability="nometasync" if worker % 2 else "sync", lock_timeout=60) as m:
        for number in count():
            os.write(acknowledge, NUMBER.pack(number))
            with m.transaction() as tx:
                tx["a", worker], tx["b", worker] = [chance.randbytes(100_000)], [[] for _ in range(200)]
                tx["a", worker].append(tx["b", worker])
                tx["b", worker].append(tx["a", worker])
                del tx["a", worker], tx["b", worker]
            m.vacuum(compact=chance.random() < 0.8)


def read(path: str, worker: int, acknowledge: int) -> None:
    """Be one who reads: each snapshot has all of each commit, and stays as it is."""
    chance = random.Random(worker)
    with OOCMap(path, readonly=worker % 2 == 0) as m:
        for number in count():
            os.write(acknowledge, NUMBER.pack(number))
            with m.snapshot() as s:
                first = sums(s)
                assert first[0] == first[1]
                time.sleep(chance.random() * 0.02)
                assert sums(s) == first
                if number % 5 == 4:
                    assert s.check() == []


def sums(s: Any) -> tuple[int, int, int]:
    """Return the sum of all commits that count, as they say and as the workers do, and how many workers there were."""
    counts = [value for _, value in s.prefix(("count",)).items()]
    return s["total"], sum(counts), len(counts)


ROLES = [commit, commit, read, vacuum, vacuum]


def test_what_was_acknowledged_survives_kills_and_swaps(path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    file = path.stat().st_ino if path.exists() else 0
    dead: dict[int, int] = {}
    tidy: set[int] = set()
    copies = swaps = ours = acknowledged = 0
    with OOCMap(path, durability="nometasync", lock_timeout=10) as m:
        m["total"] = m["ours"] = 0
        m["kept"] = [[number] for number in range(500)]
        kept = m["kept"][250]
        team = Team(path, ROLES)

        def kill(slot: int) -> None:
            """Kill a worker; what it acknowledged is there, and at most what it was committing besides."""
            nonlocal ours, acknowledged
            worker, current = team.kill(slot)
            is_committer = ROLES[slot] is commit
            with m.snapshot() as s:
                before = verify(s, worker, current) if is_committer else 0
            m["ours"] = ours = ours + 1  # this process goes on
            if is_committer:
                with m.snapshot() as s:
                    dead[worker] = verify(s, worker, current)
                assert before <= dead[worker] <= before + 1
                acknowledged += max(current, 0)

        try:
            for slot in range(len(ROLES)):
                team.start(slot)
            for number in range(KILLS):
                time.sleep(chance.random() ** 2 * 0.06)
                slot = chance.choice([0, 1, 2, 3, 3, 4, 4])
                kill(slot)
                copies += path.with_name(path.name + "-vac").exists()
                now = path.stat().st_ino
                swaps, file = swaps + (now != file), now
                assert m["ours"] == ours
                assert m["total"] >= sum(dead.values())
                team.start(slot)
                if number % 10 == 9:  # and so does another
                    other = (slot + 1) % len(ROLES)
                    before, patience = team.listen(other), time.monotonic() + 20
                    while team.listen(other) <= before:
                        assert time.monotonic() < patience, f"{ROLES[other].__name__} does not go on"
                        time.sleep(0.001)
                if number % 50 == 49:
                    assert m.check() == []
                    kept.append(number)
                    forget(m, dead.keys() - tidy)
                    tidy.update(dead)
            for slot in range(len(ROLES)):
                kill(slot)
        finally:
            team.end()
        print(
            f"{acknowledged} acknowledged commits, {copies} copies were left, the file was another one {swaps} times"
        )
        assert m["total"] == sum(dead.values())
        assert {worker: m.get(("count", worker), 0) for worker in dead} == dead
        assert m["kept"][250].same_as(kept)
        assert [each[0] for each in m["kept"]] == list(range(500))
        assert kept[1:] == list(range(49, KILLS, 50))
        assert m.check() == []
    with OOCMap(path) as again:
        lock_file = f"{path.name}-{path.stat().st_ino:x}-lock"
        assert {each.name for each in path.parent.iterdir()} == {path.name, path.name + "-lock", lock_file}
        assert again["ours"] == ours
        again.vacuum()
        assert again.vacuum().objects == 0
        again.clear()
        again.vacuum()
        assert again.stats()["objects"] == 0
        assert again.check() == []
    assert swaps > KILLS // 10
    assert copies > 0
