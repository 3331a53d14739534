"""A vacuum begins by itself after so many deletions, when the map says so, and is in nobody's way."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from oocmap import (
    ClosedError,
    CorruptedError,
    LockTimeoutError,
    OOCMap,
    ReadOnlyError,
    TransactionError,
    VacuumWarning,
)
from vacuuming import EACH, PATIENCE, objects, run_program, strand, writing

if TYPE_CHECKING:
    from collections.abc import Callable

SPAWN = multiprocessing.get_context("spawn")


def wait_for(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "a vacuum should have begun by itself"
        time.sleep(0.01)


def deletions(m: OOCMap) -> int:
    """Return how many deletions are counted."""
    return m.stats()["deletions"]


def threshold(m: OOCMap) -> int | None:
    """Return after how many deletions a vacuum begins."""
    return m.stats()["auto_vacuum"]


# --- when it begins ---


def delete_entries(m: OOCMap, count: int) -> None:
    for number in range(count):
        m[number] = number
    for number in range(count):
        del m[number]


def overwrite(m: OOCMap, count: int) -> None:
    for number in range(count + 1):
        m["k"] = number


def update(m: OOCMap, count: int) -> None:
    m.update((number, 1) for number in range(count))
    m.update((number, 2) for number in range(count))


def clear(m: OOCMap, count: int) -> None:
    m.update((number, 1) for number in range(count))
    m.clear()


def pop_nested(m: OOCMap, count: int) -> None:
    m["list"] = list(range(count))
    for _ in range(count):
        m["list"].pop()


def replace_nested(m: OOCMap, count: int) -> None:
    m["dict"] = {"inner": [0]}
    for number in range(count):
        m["dict"]["inner"][0] = number


def delete_slice(m: OOCMap, count: int) -> None:
    m["list"] = list(range(count + 10))
    del m["list"][5 : 5 + count]


def discard(m: OOCMap, count: int) -> None:
    m["set"] = set(range(count))
    for number in range(count):
        m["set"].discard(number)


def in_a_transaction(m: OOCMap, count: int) -> None:
    with m.transaction() as tx:
        overwrite(m, count)
        assert tx["k"] == count


WAYS = [
    delete_entries,
    overwrite,
    update,
    clear,
    pop_nested,
    replace_nested,
    delete_slice,
    discard,
    in_a_transaction,
]


@pytest.mark.parametrize("way", WAYS)
def test_deletions_are_counted(path: Path, way: Callable[[OOCMap, int], None]) -> None:
    with OOCMap(path, durability="nometasync") as m:
        strand(m, 5)
        m.vacuum()
        way(m, 30)
        assert 30 <= deletions(m) <= 32


@pytest.mark.parametrize("way", WAYS)
def test_it_begins_after_so_many(path: Path, way: Callable[[OOCMap, int], None]) -> None:
    with OOCMap(path, durability="nometasync", auto_vacuum=100) as m:
        strand(m, 10)
        assert objects(m) == 10 * EACH
        way(m, 95 - deletions(m))
        time.sleep(0.2)
        assert 95 <= deletions(m) < 100
        way(m, 20)
        wait_for(lambda: deletions(m) < 95 and objects(m) < 10 * EACH)
        assert m.check() == []


def test_what_was_taken_back_does_not_count(m: OOCMap) -> None:
    m["k"] = 1
    with m.transaction() as tx:
        tx["k"] = 2
        with tx.transaction() as nested:
            del nested["k"]
            nested.rollback()
        tx.rollback()
    assert deletions(m) == 0


def test_insertions_do_not_count(m: OOCMap) -> None:
    m.update((number, [number]) for number in range(100))
    m["list"] = []
    m["list"].extend(range(100))
    m["new"] = m["list"]
    m[0].append(1)
    assert deletions(m) == 0


def test_again_and_again(path: Path) -> None:
    with OOCMap(path, durability="nometasync", auto_vacuum=10) as m:
        for _ in range(5):
            strand(m, 20)
            wait_for(lambda: objects(m) == 0)
        assert m.check() == []


def test_the_file_stays_small(path: Path) -> None:
    with OOCMap(path, durability="nometasync", auto_vacuum=40) as m:
        for _ in range(100):
            strand(m, 10, size=20_000)
            wait_for(lambda: objects(m) < 400)
        wait_for(lambda: deletions(m) < 40)
        assert path.stat().st_size < 20_000_000
        assert m.check() == []


def test_handles_and_snapshots_are_as_safe_as_ever(path: Path) -> None:
    with OOCMap(path, durability="nometasync", auto_vacuum=5) as m:
        m["a"] = {"x": [1]}
        m["b"] = m["a"]
        x = m["a"]["x"]
        with m.snapshot() as s:
            del m["a"], m["b"]
            for _ in range(20):
                strand(m, 10)
            wait_for(lambda: deletions(m) < 5)
            assert x == [1]
            assert s["a"].same_as(s["b"])
            assert s["a"] == {"x": [1]}
        x.append(2)
        m["again"] = x
        assert m["again"] == [1, 2]
        assert m.check() == []


def test_deferred_deletions(path: Path) -> None:
    with OOCMap(path, durability="deferred", auto_vacuum=50) as m:
        for _ in range(30):
            m["a"] = [1]
            m["b"] = m["a"]
            del m["a"], m["b"]
            gc.collect()
        m.sync()
        wait_for(lambda: deletions(m) < 50)
        assert m.check() == []


# --- how it is configured ---


def test_the_map_remembers_it(path: Path) -> None:
    with OOCMap(path) as m:
        assert threshold(m) is None
        m.configure_auto_vacuum(1000)
        assert threshold(m) == 1000
    with OOCMap(path) as m:
        assert threshold(m) == 1000
        with OOCMap(path, auto_vacuum=7) as other:
            assert threshold(m) == threshold(other) == 7
        with OOCMap(path, auto_vacuum=None):
            assert threshold(m) == 7
        with OOCMap(path, readonly=True) as reader:
            assert threshold(reader) == 7
        m.configure_auto_vacuum(delete_threshold=2**63)
        assert threshold(m) == 2**63
        with m.snapshot() as s:
            assert s.stats()["auto_vacuum"] == 2**63


@pytest.mark.parametrize("off", [None, 0])
def test_it_can_be_turned_off(path: Path, off: int | None) -> None:
    with OOCMap(path, auto_vacuum=10) as m:
        m.configure_auto_vacuum(off)
        assert threshold(m) is None
        strand(m, 20)
        time.sleep(0.3)
        assert objects(m) == 20 * EACH
        m.configure_auto_vacuum(10)
    with OOCMap(path, auto_vacuum=0) as m:
        assert threshold(m) is None


def test_what_was_deleted_before_counts_too(m: OOCMap) -> None:
    strand(m, 20)
    m.configure_auto_vacuum(10)
    m["k"] = 1
    del m["k"]
    wait_for(lambda: objects(m) == 0)


@pytest.mark.parametrize("given", [True, False, 1.0, "10", b"10", [1], 1j])
def test_what_is_no_number_of_deletions(m: OOCMap, path: Path, given: Any) -> None:
    with pytest.raises(TypeError, match="delete_threshold has to be an int or None"):
        m.configure_auto_vacuum(given)
    with pytest.raises(TypeError, match="auto_vacuum has to be an int or None"):
        OOCMap(path, auto_vacuum=given)
    assert threshold(m) is None


@pytest.mark.parametrize("given", [-1, -(2**70), 2**63 + 1, 2**64, 2**200])
def test_numbers_that_make_no_sense(m: OOCMap, path: Path, given: int) -> None:
    with pytest.raises(ValueError, match="delete_threshold is"):
        m.configure_auto_vacuum(given)
    with pytest.raises(ValueError, match="auto_vacuum is"):
        OOCMap(path, auto_vacuum=given)
    assert threshold(m) is None


def test_a_map_that_may_only_be_read(m: OOCMap, path: Path) -> None:
    m["k"] = 1
    with OOCMap(path, readonly=True) as reader, pytest.raises(ReadOnlyError):
        reader.configure_auto_vacuum(10)
    for given in (10, 0):
        with pytest.raises(ReadOnlyError, match="auto_vacuum"):
            OOCMap(path, readonly=True, auto_vacuum=given)
    assert threshold(m) is None


def test_a_map_that_is_not_made(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        OOCMap(path, create=False, auto_vacuum=10)
    with pytest.raises(ValueError, match="auto_vacuum"):
        OOCMap(path, auto_vacuum=-1)
    assert not path.exists()


def test_inside_a_transaction_and_when_closed(m: OOCMap, path: Path) -> None:
    with m.transaction() as tx:
        tx["k"] = 1
        with pytest.raises(TransactionError):
            m.configure_auto_vacuum(10)
        with pytest.raises(TransactionError):
            OOCMap(path, auto_vacuum=10)
    assert threshold(m) is None
    m.close()
    with pytest.raises(ClosedError):
        m.configure_auto_vacuum(10)


def test_it_waits_for_who_writes(path: Path) -> None:
    with OOCMap(path, lock_timeout=0.05) as m, writing(m):
        with pytest.raises(LockTimeoutError):
            m.configure_auto_vacuum(10)
        with pytest.raises(LockTimeoutError):
            OOCMap(path, lock_timeout=0.05, auto_vacuum=10)
        # There is nothing to remember.
        m.configure_auto_vacuum(None)


def test_a_pickled_map_does_not_bring_its_old_one_back(path: Path) -> None:
    with OOCMap(path, auto_vacuum=10) as m:
        pickled = pickle.dumps(m)
        m.configure_auto_vacuum(20)
        with pickle.loads(pickled) as again:
            assert threshold(again) == 20


# --- several processes, and the end ---


def delete(path: str, count: int) -> None:
    """Delete in a process of its own."""
    with OOCMap(path) as m:
        strand(m, count)


def run(target: Callable[..., None], *args: Any) -> None:
    """Run something in another process."""
    process = SPAWN.Process(target=target, args=args)
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0


def test_processes_count_together(m: OOCMap, path: Path) -> None:
    m.configure_auto_vacuum(50)
    run(delete, str(path), 10)
    assert deletions(m) == 20
    assert objects(m) == 10 * EACH
    strand(m, 12)
    time.sleep(0.2)
    assert objects(m) == 22 * EACH
    strand(m, 10)
    wait_for(lambda: objects(m) == 0)
    assert m.check() == []


def test_what_a_process_left_is_vacuumed_by_the_next(path: Path) -> None:
    with OOCMap(path, auto_vacuum=10):
        pass
    run(delete, str(path), 500)
    with OOCMap(path) as m:
        m["k"] = 1
        del m["k"]
        wait_for(lambda: objects(m) == 0)
        assert m.check() == []


@pytest.mark.parametrize("end", ["", "m.close()", "del m", "time.sleep(0.02)", "time.sleep(0.02); m.close()"])
def test_the_end_is_not_delayed(path: Path, end: str) -> None:
    program = f"""
m = oocmap.OOCMap(sys.argv[1], durability="nometasync", auto_vacuum=100)
strand(m, 3000)
m["done"] = time.time()
{end}
"""
    run_program(program, path)
    now = time.time()
    with OOCMap(path) as m:
        assert now - m["done"] < 10
        assert m.check() == []
        m.vacuum()
        assert objects(m) == 0


def test_it_does_not_keep_the_map_open(path: Path) -> None:
    for _ in range(10):
        with OOCMap(path, durability="nometasync", auto_vacuum=10) as m:
            strand(m, 500)
            begun = time.monotonic()
        assert time.monotonic() - begun < 10
    with OOCMap(path, auto_vacuum=0) as m:
        assert m.check() == []
        m.vacuum()
        assert objects(m) == 0


# --- when it fails ---


def test_one_that_fails_is_told_once(path: Path) -> None:
    with OOCMap(path) as m:
        m["damaged"] = [f"unmistakable {number}" for number in range(20)]
        m["second"] = m["damaged"]
        for number in range(2000):
            m["padding", number] = "x" * 50
    content = bytearray(path.read_bytes())
    page = content.index(b"unmistakable") // 4096 * 4096
    content[page : page + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    with OOCMap(path, auto_vacuum=10) as m, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        def is_told() -> bool:
            with m.transaction() as tx:
                for number in range(20):
                    tx["k"] = number
            return bool(caught)

        wait_for(is_told)
        for _ in range(10):
            is_told()
        with pytest.raises(CorruptedError):
            m.vacuum()
        # Another one may have begun and failed, a second later.
        assert {warning.category for warning in caught} == {VacuumWarning}
        assert len(caught) <= 4
        assert "configure_auto_vacuum" in str(caught[0].message)
        assert str(path) in str(caught[0].message)
