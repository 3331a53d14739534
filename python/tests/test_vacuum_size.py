"""A vacuum makes the file about as small as a new one, with readers and writers about, or leaves all as it was."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import resource
import time
from typing import TYPE_CHECKING, Any

import pytest
from oocmap import OOCMap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Event
    from pathlib import Path

SPAWN = multiprocessing.get_context("spawn")
MEGABYTES = int(os.environ.get("OOCMAP_VACUUM_MEGABYTES", "40"))
PATIENCE = 300
ENTRY = 1000
"""About how many bytes each entry has."""
WRITTEN = 100
"""How many entries the writer has, which it writes again and again."""


def fill(m: OOCMap, entries: int, seed: int) -> None:
    """Store entries that are nested and don't compress."""
    chance = random.Random(seed)
    for start in range(0, entries, 10_000):
        with m.transaction() as tx:
            for key in range(start, min(start + 10_000, entries)):
                tx["entry", key] = {"number": key, "data": [chance.randbytes(ENTRY), [key]]}


def digest(source: Any) -> str:
    """Return a digest of all entries, in order."""
    found = hashlib.sha256()
    for key, value in source.prefix(("entry",)).items():
        found.update(b"%d %d " % (key[1], value["number"]))
        found.update(value["data"][0])
    return found.hexdigest()


def read(path: str, pipe: Connection, over: Event) -> None:
    """Read a snapshot of the old state from its first to its last entry until it is over."""
    with OOCMap(path, readonly=True) as m, m.snapshot() as s:
        first = digest(s)
        pipe.send(first)
        times = 0
        while not over.is_set() or times < 2:
            assert digest(s) == first
            times += 1
    pipe.send(times)


def write(path: str, pipe: Connection, over: Event) -> None:
    """Write all the time, and tell when each write began and ended."""
    times: list[tuple[float, float]] = []
    with OOCMap(path, durability="nometasync", held_back_warning=None) as m:
        pipe.send(None)
        while not over.is_set():
            begun = time.monotonic()
            m["written", len(times) % WRITTEN] = [len(times), "x" * 100]
            times.append((begun, time.monotonic()))
            time.sleep(0.001)
    pipe.send(times)


@pytest.fixture
def m(path: Path) -> Iterator[OOCMap]:
    """Open a map that doesn't mind what the snapshot of the old state holds back."""
    with OOCMap(path, held_back_warning=None) as opened:
        yield opened


def test_the_file_is_about_as_small_as_a_new_one(path: Path, m: OOCMap, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    entries = MEGABYTES * 1_000_000 // ENTRY
    fill(m, entries, seed)
    m["shared"] = m["entry", 0]["data"]
    full = path.stat().st_size
    over = SPAWN.Event()
    processes, pipes = [], []
    for work in (read, write):
        own, theirs = SPAWN.Pipe()
        processes.append(SPAWN.Process(target=work, args=(str(path), theirs, over)))
        pipes.append(own)
        processes[-1].start()
        theirs.close()
    assert pipes[0].poll(PATIENCE)
    assert pipes[0].recv() == digest(m)
    assert pipes[1].poll(PATIENCE)
    pipes[1].recv()
    for start in range(0, entries, 10_000):
        with m.transaction() as tx:
            for key in range(start, min(start + 10_000, entries)):
                if key % 10:
                    del tx["entry", key]
    left = digest(m)
    begin = time.monotonic()
    result = m.vacuum()
    end = time.monotonic()
    over.set()
    times, writes = (pipe.recv() for pipe in pipes)
    during = [ended - begun for begun, ended in writes if ended > begin and begun < end]
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert digest(m) == left
    assert m["shared"].same_as(m["entry", 0]["data"])
    assert m.check() == []
    size = path.stat().st_size
    with OOCMap(tmp_path / "new.ooc") as new:
        new.update(m.items())
        new["shared"] = new["entry", 0]["data"]
        fresh = new.path.stat().st_size
    print(
        f"{full} bytes, then {size}, {size / fresh:.3f} times those of a new map; {result}; a snapshot was read {times} "
        f"times; {len(during)} writes meanwhile took {max(during) * 1000:.1f} ms at most"
    )
    assert during, "nobody wrote meanwhile"
    assert size <= 1.15 * fresh
    assert size < full / 5
    assert 0 <= result.swap_wait <= result.longest_wait


def vacuum_without_room(path: str, size: int, tell: Connection) -> None:
    """Vacuum where no file may get longer than so many bytes, and use the map afterwards."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    with OOCMap(path, durability="nometasync") as m:
        before = digest(m)
        with pytest.raises(OSError, match="compacting"):
            m.vacuum()
        m["afterwards"] = [1]
        m["afterwards"].append(2)
        tell.send((before, digest(m), m.check()))


def test_no_room_for_the_copy_changes_nothing(path: Path) -> None:
    """The pages that are free are at the start of the file, so that only the copy gets too long."""
    with OOCMap(path) as m:
        with m.transaction() as tx:
            for key in range(5000):
                tx["free", key] = bytes(ENTRY)
        fill(m, 20_000, 1)
        with m.transaction() as tx:
            for key in range(5000):
                del tx["free", key]
        m["garbage"] = [[]]
        m["other"] = m["garbage"]
        del m["garbage"], m["other"]
    file, size = path.stat().st_ino, path.stat().st_size
    hear, tell = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=vacuum_without_room, args=(str(path), 4_000_000, tell))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    before, after, problems = hear.recv()
    assert after == before
    assert problems == []
    assert (path.stat().st_ino, path.stat().st_size) == (file, size)
    assert not path.with_name(path.name + "-vac").exists()
    with OOCMap(path) as m:
        assert digest(m) == before
        assert m["afterwards"] == [1, 2]
        assert m.check() == []
        result = m.vacuum()  # and with room it can be done
        assert result.size_after < result.size_before
        assert digest(m) == before
        assert m.stats()["objects"] == 0
