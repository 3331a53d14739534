"""Containers far too long for one record are as right as short ones, and cost no more than what they hold."""

from __future__ import annotations

import array
import gc
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from oocmap import OOCMap

MILLION = 1_000_000

# Iterates over the list under "k", and prints its sum and by how much this process' own memory grew meanwhile.
ITERATE = """
import sys
from oocmap import OOCMap

def own():
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))

with OOCMap(sys.argv[1], readonly=True) as m:
    stored = m["k"]
    next(iter(stored))
    before = own()
    total = largest = 0
    for number, element in enumerate(stored):
        total += element
        if number % 100_000 == 0:
            largest = max(largest, own())
    print(len(stored), total, max(largest, own()) - before)
"""


def test_a_list_of_ten_million_ints(path: Path) -> None:
    generator = random.Random(10)
    with OOCMap(path, durability="nometasync") as m:
        with m.transaction() as tx:
            tx["k"] = list(range(10 * MILLION))
        assert path.stat().st_size < 100_000_000
        model = array.array("q", range(10 * MILLION))
        stored = m["k"]
        with m.transaction():
            for turn in range(1000):
                at = generator.randrange(len(model))
                if generator.random() < 0.5:
                    stored.insert(at, -turn)
                    model.insert(at, -turn)
                else:
                    assert stored.pop(at) == model.pop(at)
        assert len(stored) == len(model)
        for _ in range(1000):
            at = generator.randrange(len(model))
            assert stored[at] == model[at]
            assert stored[at : at + 10] == model[at : at + 10].tolist()
        for start in range(0, len(model), MILLION):
            assert stored[start : start + MILLION] == model[start : start + MILLION].tolist()
        assert m.check() == []
        total = sum(model)
        length = len(model)
    assert path.stat().st_size < 100_000_000
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("this system does not tell what memory is a process' own")
    run = subprocess.run([sys.executable, "-c", ITERATE, path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found_length, found_total, growth = map(int, run.stdout.split())
    assert (found_length, found_total) == (length, total)
    assert growth < 100_000_000


def test_each_change_of_a_long_list_is_a_small_commit(path: Path) -> None:
    """Were the list written anew each time, the file would be full of it."""
    with OOCMap(path, durability="nometasync") as m:
        m["k"] = list(range(MILLION))
        size = path.stat().st_size
        for turn in range(2000):
            m["k"].insert(turn * 400, turn)
            m["k"].append(turn)
            del m["k"][-turn * 100 - 1]
        assert len(m["k"]) == MILLION + 2000
        assert path.stat().st_size < 3 * size  # leaves split, and some pages wait to be used again
        assert m.check() == []


def test_a_dict_of_300_000(path: Path) -> None:
    generator = random.Random(3)
    twin: dict[Any, Any] = {f"key {n}" if n % 2 else n: (n, str(n)) for n in range(300_000)}
    with OOCMap(path, durability="nometasync") as m:
        m["k"] = twin
        stored = m["k"]
        assert len(stored) == 300_000
        keys = list(twin)
        with m.transaction():
            for turn in range(3000):
                key = generator.choice(keys)
                match turn % 3:
                    case 0:
                        assert stored.pop(key, None) == twin.pop(key, None)
                    case 1:
                        stored[key] = twin[key] = turn
                    case 2:
                        stored["new", turn] = twin["new", turn] = None
            assert stored.popitem() == twin.popitem()
        assert len(stored) == len(twin)
        assert list(stored) == list(twin)
        assert list(reversed(stored))[:1000] == list(reversed(twin))[:1000]
        assert all(stored[key] == value for key, value in twin.items())
        assert "missing" not in stored
        assert stored == twin
        assert m.check() == []


def test_a_set_of_300_000(path: Path) -> None:
    twin: set[Any] = {f"member {n}" if n % 2 else n for n in range(300_000)}
    with OOCMap(path, durability="nometasync") as m:
        m["k"] = twin
        stored = m["k"]
        changes = set(range(100_000, 400_000))
        stored ^= changes
        twin ^= changes
        with m.transaction():
            for number in range(0, 3000, 2):
                stored.discard(number)
                twin.discard(number)
                stored.add((number,))
                twin.add((number,))
            taken = stored.pop()
            twin.remove(taken)
        assert len(stored) == len(twin)
        assert set(stored) == twin
        assert all(member in stored for member in twin)
        assert taken not in stored
        assert stored == twin
        assert m.check() == []


def test_a_bytearray_of_20_megabytes(path: Path) -> None:
    generator = random.Random(20)
    twin = bytearray(generator.randbytes(20 * MILLION))
    with OOCMap(path, durability="nometasync") as m:
        m["k"] = twin
        size = path.stat().st_size
        assert size < 30 * MILLION
        stored = m["k"]
        with m.transaction():
            for turn in range(300):
                at = generator.randrange(len(twin))
                for each in (stored, twin):
                    match turn % 5:
                        case 0:
                            each[at] = turn % 256
                        case 1:
                            each.insert(at, turn % 256)
                        case 2:
                            del each[at : at + 10]
                        case 3:
                            each[at : at + 5] = b"more than five"
                        case 4:
                            each += b"end"
        assert len(stored) == len(twin)
        for _ in range(300):
            at = generator.randrange(len(twin))
            assert stored[at] == twin[at]
            assert stored[at : at + 100] == twin[at : at + 100]
        assert bytes(stored) == twin
        for turn in range(300):  # each a commit of its own, of a part
            stored[turn * 1000] = 1
        assert path.stat().st_size < size + 10 * MILLION
        assert m.check() == []


def test_a_list_of_100_000_dicts(path: Path) -> None:
    count = 100_000
    with OOCMap(path, durability="nometasync") as m:
        m["other"] = [1]
        empty = m.stats()
        m["k"] = [{"id": number, "name": f"name {number}"} for number in range(count)]
        full = m.stats()
        stored = m["k"]
        kept = stored[77]
        with m.transaction():
            for number in range(0, count, 1000):
                stored[number]["name"] = "changed"
                stored[number]["more"] = [number]
            stored.insert(0, {"id": -1, "name": "first"})
            del stored[50_001]
        assert kept.same_as(stored[78])
        assert kept == {"id": 77, "name": "name 77"}
        assert stored[1].same_as(m["k"][1])
        assert not stored[1].same_as(stored[2])
        position = 0
        for each in stored:
            number = each["id"]
            assert number == (position - 1 if position <= 50_000 else position)
            if number >= 0 and number % 1000 == 0:
                assert each == {"id": number, "name": "changed", "more": [number]}
            elif number >= 0:
                assert each["name"] == f"name {number}"
            position += 1
        assert position == count
        assert m.check() == []

        del stored, each, kept
        gc.collect()
        del m["k"]
        m["other"].append(2)
        after = m.stats()
        used = full["file_size"] - full["free_bytes"] - (empty["file_size"] - empty["free_bytes"])
        left = after["file_size"] - after["free_bytes"]
        assert left < 0.05 * used + 200_000
        assert m.check() == []
        m["k"] = [{"id": number, "name": f"name {number}"} for number in range(count)]
        assert m.stats()["file_size"] < after["file_size"] + 0.3 * used
