"""Whoever is killed, at whatever moment: the others go on, and what was acknowledged is there, once."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import oocmap
import pytest
from killing import Team, commit, forget, verify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

KILLS = int(os.environ.get("OOCMAP_KILLS", "1000"))
ALIVE = 3


def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with oocmap.OOCMap(path, durability="nometasync", lock_timeout=10) as m:
        m["total"] = ours = 0
        team = Team(path, [commit] * ALIVE)
        dead: dict[int, int] = {}
        tidy: set[int] = set()
        counted = acknowledged = begun = late = 0
        try:
            for slot in range(ALIVE):
                team.start(slot)
            for kill in range(KILLS):
                time.sleep(chance.random() ** 2 * 0.04)
                slot = chance.randrange(ALIVE)
                if kill % 8 == 0:
                    tx = m.transaction()  # those who wait are killed, too
                    tx["ours"] = ours = ours + 1
                    worker, current = team.kill(slot)
                    tx.commit()
                else:
                    worker, current = team.kill(slot)
                with m.snapshot() as s:
                    before = verify(s, worker, current)
                m["ours"] = ours = ours + 1  # this process goes on
                with m.snapshot() as s:
                    dead[worker] = verify(s, worker, current)
                    # What it was committing may be found by the next who writes only: it was not acknowledged.
                    assert before <= dead[worker] <= before + 1
                    late += dead[worker] - before
                counted += dead[worker]
                acknowledged += max(current, 0)
                begun += current > 0
                assert m["ours"] == ours
                team.start(slot)
                if kill % 10 == 9:  # and so does another
                    other = (slot + 1) % ALIVE
                    before, patience = team.listen(other), time.monotonic() + 10
                    while team.listen(other) <= before:
                        assert time.monotonic() < patience, "another process does not go on"
                        time.sleep(0.001)
                if kill % 50 == 49:
                    forget(m, dead.keys() - tidy)
                    tidy.update(dead)
            for slot in range(ALIVE):
                worker, current = team.kill(slot)
                m["ours"] = ours = ours + 1
                with m.snapshot() as s:
                    dead[worker] = verify(s, worker, current)
                counted += dead[worker]
        finally:
            team.end()
        print(f"{acknowledged} acknowledged commits of {begun} workers, {late} seen late")
        assert begun > KILLS // 4
        assert m["total"] == counted
        assert {worker: m.get(("count", worker), 0) for worker in dead} == dead
        assert m.check() == []
    with oocmap.OOCMap(path) as again:
        assert again["ours"] == ours
