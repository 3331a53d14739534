"""`bulk_load` and large updates leave what a loop of assignments leaves, all of it or nothing."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import oocmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oocmap import OOCMap, bulk_load
from strategies import keys, values

if TYPE_CHECKING:
    from collections.abc import Iterator

TIGHT = 1
"""So little memory that a few hundred entries are several runs."""


def one_by_one(path: Path, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    with OOCMap(path) as m:
        with m.transaction() as tx:
            for key, value in pairs:
                tx[key] = value
        return plain(m)


def plain(m: Any) -> list[tuple[Any, Any]]:
    return [(repr(key), repr(value)) for key, value in m.items()]


@given(
    before=st.lists(st.tuples(keys, values), max_size=20),
    pairs=st.lists(st.tuples(keys, values), max_size=60),
    padding=st.sampled_from([0, 3000]),
)
def test_it_leaves_what_assignments_leave(
    tmp_path_factory: pytest.TempPathFactory, before: Any, pairs: Any, padding: int
) -> None:
    directory = tmp_path_factory.mktemp("bulk")
    # What pads the entries to several runs, so that equal keys are in different ones.
    pairs = [pair for pair in pairs for pair in (pair, (("pad", len(repr(pair))), bytes(padding)))]
    expected = one_by_one(directory / "model.ooc", before + pairs)
    for name, load in (
        ("path", lambda m: bulk_load(m, pairs, memory=TIGHT)),
        ("iterator", lambda m: bulk_load(m, iter(pairs), memory=TIGHT, workers=3)),
        ("update", lambda m: m.update(pairs)),
    ):
        with OOCMap(directory / f"{name}.ooc") as m:
            m.update(before)
            load(m)
            assert plain(m) == expected
            assert m.check() == []


@st.composite
def ascending(draw: st.DrawFn) -> list[tuple[Any, Any]]:
    """Mostly leaves in the order of their keys; now and then one is out of order, there twice, long or a container."""
    start = draw(st.integers(-20, 2000))
    pairs: list[tuple[Any, Any]] = [
        (n, f"value number {n}") for n in range(start, start + draw(st.integers(0, 500)))
    ]
    others = st.sampled_from(["again", None, 2.5, "x" * 3000, "shared" * 50, [1, [2]], b"b" * 120, {"a": 1}])
    for at, key, value in draw(
        st.lists(st.tuples(st.integers(0, 500), st.integers(-30, 2600), others), max_size=6)
    ):
        pairs.insert(at, (draw(st.sampled_from([key, float(key), f"{key}", "long" * 200 + str(key)])), value))
    return pairs


@given(
    updates=st.lists(ascending(), min_size=1, max_size=4), way=st.sampled_from(["alone", "inside", "nested"])
)
def test_updates_in_the_order_of_the_keys_leave_what_a_dict_holds(
    tmp_path_factory: pytest.TempPathFactory, updates: list[list[tuple[Any, Any]]], way: str
) -> None:
    model: dict[Any, Any] = {}
    with OOCMap(tmp_path_factory.mktemp("ascending") / "m.ooc") as m:
        for pairs in updates:
            model.update(pairs)
            if way == "alone":
                m.update(iter(pairs))
            else:
                with m.transaction() as tx:
                    if way == "nested":
                        with pytest.raises(KeyError), tx.transaction() as inner:
                            inner.update((n, "taken back") for n in range(3000))
                            raise KeyError
                        with tx.transaction() as inner:
                            inner.update(pairs)
                    else:
                        tx.update(pairs)
            assert m == model
            assert sorted(plain(m)) == sorted((repr(key), repr(value)) for key, value in model.items())
            assert m.check() == []
        for key in model:
            del m[key]
        assert m.check() == []


def test_what_comes_in_order_fills_its_pages(path: Path) -> None:
    """LMDB splits a full page in the middle unless it is told that keys are appended."""
    with OOCMap(path) as m:
        for start in (0, 20_000):
            m.update((n, f"value number {n}") for n in range(start, start + 20_000))
            assert m.stats()["file_size"] < 50 * (start + 20_000)
        assert m.check() == []


def test_pairs_of_every_kind_are_taken(path: Path) -> None:
    class Pair(tuple[Any, ...]):
        pass

    with OOCMap(path) as m:
        pairs: list[Any] = [(1, 2), [3, 4], "56", Pair((7, 8)), iter((9, 10))]
        m.update(pairs)
        assert m == {1: 2, 3: 4, "5": "6", 7: 8, 9: 10}
        others: list[Any] = [(1,), (1, 2, 3), (), [1], "123"]
        for wrong in others:
            with pytest.raises(ValueError, match=f"#1 has length {len(wrong)}; 2 is required"):
                m.update([(11, 12), wrong])
        with pytest.raises(TypeError):
            m.update([(11, 12), 5])  # type: ignore[list-item]
        assert 11 not in m


def test_the_first_form_and_the_last_value_stay(path: Path) -> None:
    pairs: list[tuple[Any, Any]] = [(1.0, "a"), (True, "b"), (Decimal(2), "c"), (2, "d"), (1, "e")]
    padded = [pair for pair in pairs for pair in (pair, *(((n, pair[1]), bytes(5000)) for n in range(40)))]
    assert bulk_load(path, padded, memory=TIGHT) == 2 + 40 * 5
    with OOCMap(path) as m:
        assert repr([(key, m[key]) for key in (1, 2)]) == "[(1, 'e'), (2, 'd')]"
        assert repr(list(m.range(1, 3).items())) == "[(1.0, 'e'), (Decimal('2'), 'd')]"


def test_sources_of_every_kind(path: Path) -> None:
    with OOCMap(path) as m:
        assert bulk_load(m, {1: "one"}) == 1
        assert bulk_load(m, [(2, "two"), [3, "three"], "45"]) == 3
        assert bulk_load(m, ()) == bulk_load(m, iter(())) == bulk_load(m, {}) == 0
        with OOCMap(path.with_name("other.ooc")) as other:
            assert bulk_load(other, m) == 4
            assert bulk_load(other, m.snapshot()) == 4
            assert other == m == {1: "one", 2: "two", 3: "three", "4": "5"}
        with pytest.raises(TypeError):
            bulk_load(m, iter([None]))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="length 3"):
            bulk_load(m, [(1, 2, 3)])
        for wrong in ({"key": "k"}, {"format": "csv"}):
            with pytest.raises(TypeError, match="source is not one"):
                bulk_load(m, {}, **wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="workers"):
            bulk_load(m, {}, workers=0)
        with pytest.raises(TypeError, match="callable"):
            bulk_load(m, {}, progress=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="OOCMap"):
        bulk_load(5, {})  # type: ignore[arg-type]


def test_handles_are_references_and_those_of_other_maps_are_copied(path: Path) -> None:
    with OOCMap(path) as m, OOCMap(path.with_name("other.ooc")) as other:
        m["list"] = [1]
        other["list"] = [2]
        padding = [(("pad", n), bytes(5000)) for n in range(50)]
        bulk_load(m, [("same", m["list"]), *padding, ("copy", other["list"])], memory=TIGHT)
        m["list"].append("more")
        other["list"].append("more")
        assert m["same"] == [1, "more"]
        assert m["same"].same_as(m["list"])
        assert m["copy"] == [2]
        assert m.check() == []


def test_nothing_happens_when_the_source_fails(path: Path) -> None:
    def source(bad: Any) -> Iterator[tuple[Any, Any]]:
        for n in range(1000):
            yield n, bytes(1000)
        yield bad

    with OOCMap(path) as m:
        m["kept"] = 1
        version = m.stats()["version"]
        bad: Any
        for bad in ((1, object()), ([], 1), (float("nan"), 1), (1, 2, 3)):
            with pytest.raises((TypeError, ValueError)):
                bulk_load(m, source(bad), memory=TIGHT)
        assert dict(m) == {"kept": 1}
        assert m.stats()["version"] == version


def test_maps_that_may_not_be_changed_or_have_no_room(path: Path) -> None:
    with OOCMap(path) as m:
        m["kept"] = 1
        with pytest.raises(oocmap.ReadOnlyError):
            bulk_load(m.snapshot(), {})  # type: ignore[arg-type]
    with OOCMap(path, readonly=True) as m, pytest.raises(io.UnsupportedOperation):
        bulk_load(m, (pytest.fail("the source is not touched") for _ in range(1)))
    with pytest.raises(oocmap.ClosedError):
        bulk_load(m, {})
    with OOCMap(path, max_size=1 << 20) as m:
        with pytest.raises(oocmap.MapFullError):
            bulk_load(m, ((n, b"%d" % n * 300) for n in range(2000)), memory=TIGHT)
        assert dict(m) == {"kept": 1}
        m["more"] = 2
        assert m.check() == []


def test_it_is_a_part_of_the_transaction_that_is_open(path: Path) -> None:
    with OOCMap(path) as m:
        with m.transaction() as tx:
            tx["a"] = 1
            assert bulk_load(m, {n: bytes(5000) for n in range(50)}, memory=TIGHT) == 50
            with tx.transaction() as nested:
                bulk_load(nested, {"b": 2})
                nested.rollback()
            with pytest.raises(TypeError):
                bulk_load(tx, [(1, 2), (3, object())])
        assert m.keys() == {"a", *range(50)}
        with pytest.raises(ZeroDivisionError), m.transaction():
            m.update((n, bytes(2000)) for n in range(40_000))  # more than stays in memory
            assert len(m) == 40_001
            raise ZeroDivisionError
        assert m.keys() == {"a", *range(50)}
        assert m.check() == []


@pytest.mark.parametrize("durability", ["sync", "nometasync", "deferred"])
def test_it_comes_behind_what_was_deferred(path: Path, durability: Any) -> None:
    with OOCMap(path, durability=durability, flush_interval=60) as m:
        m["x"] = 1
        bulk_load(m, {"x": 2, "y": 3})
        m["y"] = 4
        assert dict(m) == {"x": 2, "y": 4}


def test_others_write_while_the_source_is_read(path: Path) -> None:
    with OOCMap(path) as m:

        def source() -> Iterator[tuple[int, bytes]]:
            for n in range(300):
                if n % 100 == 50:
                    writer = threading.Thread(target=m.update, args=({"other": n},))
                    writer.start()
                    writer.join(60)
                    assert m["other"] == n
                    m["own"] = n
                yield n, bytes(1000)

        assert bulk_load(m, source(), memory=TIGHT) == 300
        assert len(m) == 302
        assert m.check() == []


def test_progress_is_told_and_may_end_it(path: Path) -> None:
    with OOCMap(path) as m:
        told: list[tuple[int, int]] = []
        bulk_load(m, {n: n for n in range(3000)}, progress=lambda done, total: told.append((done, total)))
        assert told[-1] == (3000, 3000)

        def stop(*_: int) -> None:
            assert m.keys() == set(range(3000))  # what is half written is not seen
            with pytest.raises(oocmap.TransactionError):
                m["x"] = 1
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            bulk_load(m, {"x": 1}, progress=stop)
        assert m.keys() == set(range(3000))
        m["x"] = 1
        assert m.check() == []


def test_a_large_update_is_one_transaction_and_leaves_no_files(path: Path) -> None:
    order = list(range(40_000))
    random.Random(1).shuffle(order)
    with OOCMap(path) as m:
        m[5] = "old"
        version = m.stats()["version"]
        m.update((n, b"%d" % n * 400) for n in order)  # more than stays in memory
        assert m.stats()["version"] == version + 1
        assert [*m] == sorted(order)
        assert m.get_many([7, 39_999]) == [b"7" * 400, b"39999" * 400]
        m.update((n, {"of": n, "bytes": b"%d" % n * 400} if n % 3 else n) for n in [*order, *order[:50]])
        assert m.stats()["version"] == version + 2
        assert all(m[n] == ({"of": n, "bytes": b"%d" % n * 400} if n % 3 else n) for n in order)
        assert m.check() == []
        assert all(
            name.name.startswith(path.name) and "load" not in name.name for name in path.parent.iterdir()
        )


PEAK = """
import re, sys, oocmap
def peak():  # ru_maxrss would begin with that of the process which started this one
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1])
count = int(sys.argv[2])
text = "some text " * 20
pairs = ((n * 7919 % 1_000_003, {"number": n, "text": text + str(n)}) for n in range(count))
oocmap.bulk_load(sys.argv[1], ((-n, n) for n in range(1000)), memory=8 << 20)
before, sorted_ = peak(), 0
def tell(done, total):
    global sorted_
    if total and not sorted_:
        sorted_ = peak() - before
oocmap.bulk_load(sys.argv[1], pairs, memory=8 << 20, progress=tell)
print(sorted_)
"""


def test_sorting_takes_no_more_memory_for_more_entries(path: Path) -> None:
    def peak(count: int) -> int:
        command = [sys.executable, "-c", PEAK, str(path.with_name(f"{count}.ooc")), str(count)]
        return int(subprocess.run(command, check=True, capture_output=True, timeout=250).stdout)

    few, many = peak(40_000), peak(160_000)  # 12 MB and 48 MB
    assert 0 < many < few + (10 << 10), f"{few} and {many} KiB"


def test_an_interrupt_ends_it_and_leaves_nothing(path: Path) -> None:
    code = """
import signal, sys, oocmap, os
with oocmap.OOCMap(sys.argv[1]) as m:
    def source():
        for n in range(2000):
            yield n, bytes(1000)
    seen = []
    def tell(done, total):
        if total == 2000 and not seen:  # it stores
            seen.append(total)
            os.kill(os.getpid(), signal.SIGINT)
    try:
        oocmap.bulk_load(m, source(), memory=1, progress=tell)
    except KeyboardInterrupt:
        print(len(m), seen)
"""
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=100, text=True)
    assert done.stdout == "0 [2000]\n"
