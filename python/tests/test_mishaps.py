"""What goes wrong in the middle of something is seen, ends in time, and loses nothing that was not told.

Each test is the story of a fault that was found and mended.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from interrupting import handle_while_waiting, needs_timers
from oocmap import (
    LockTimeoutError,
    MapFullError,
    OOCMap,
    TransactionClosedError,
    TransactionError,
    UnsupportedTypeError,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_a_transaction_that_was_not_waited_for_holds_nobody_up(path: Path) -> None:
    """Its begin was answered while the caller gave up, and LMDB's lock stayed with it for ever."""
    with OOCMap(path) as m:
        ended = threading.Event()
        busy = threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(ended.is_set, True)])
        busy.start()
        try:
            for turn in range(30):
                with contextlib.suppress(LockTimeoutError):
                    m.transaction(lock_timeout=0).rollback()
                m["k"] = turn
        finally:
            ended.set()
            busy.join()
        assert m["k"] == 29


def test_no_patience_is_enough_for_a_free_map(m: OOCMap) -> None:
    for turn in range(20):
        with m.transaction(lock_timeout=0) as tx:
            tx[turn] = turn
    assert len(m) == 20


@needs_timers
def test_a_signal_handler_that_writes_while_its_thread_waits(m: OOCMap) -> None:
    """It queued behind its own thread, which could not go on before it returned."""
    raised: list[BaseException] = []

    def handle() -> None:
        try:
            m["handler"] = 1
        except TransactionError as error:
            raised.append(error)

    handle_while_waiting(m, "other", lambda: m.__setitem__("main", 1), handle)
    assert len(raised) == 1
    assert m == {"main": 1, "other": 1}


def test_closing_one_handle_leaves_what_another_began(path: Path) -> None:
    with OOCMap(path) as m:
        with m.transaction() as tx:
            tx[1] = 1
            with OOCMap(path) as other:
                assert other[1] == 1
            m[2] = 2
        assert m == {1: 1, 2: 2}
        tx = m.transaction()
        tx[3] = 3
        m.close()
        with pytest.raises(TransactionClosedError):
            tx[3]
    with OOCMap(path) as m:
        assert m == {1: 1, 2: 2}


def test_a_block_whose_room_ran_out_does_not_end_well(path: Path) -> None:
    """The exception was caught inside, what followed was committed alone, and the block ended as if all was well."""
    with OOCMap(path, max_size=1 << 20) as m:
        m["before"] = 1
        with pytest.raises(TransactionClosedError), m.transaction() as tx:
            tx["kept"] = 1
            with pytest.raises(MapFullError):
                tx["large"] = b"x" * (3 << 20)
            with pytest.raises(TransactionClosedError):
                m["later"] = 1
        assert m == {"before": 1}
        with m.transaction() as tx:
            with pytest.raises(MapFullError):
                tx["large"] = b"x" * (3 << 20)
            tx.rollback()
        with pytest.raises(ZeroDivisionError), m.transaction() as tx:
            with pytest.raises(MapFullError):
                tx["large"] = b"x" * (3 << 20)
            raise ZeroDivisionError
        m["after"] = 1
        assert m == {"before": 1, "after": 1}


def test_a_parent_is_not_written_to_while_a_nested_transaction_is_open(m: OOCMap) -> None:
    """What went in through the parent was lost with the nested one."""
    with m.transaction() as tx:
        nested = tx.transaction()
        nested["nested"] = 1
        for change in (lambda: tx.update(parent=1), lambda: tx.pop("nested"), tx.clear, tx.transaction):
            with pytest.raises(TransactionError, match="nested"):
                change()
        assert tx["nested"] == 1
        del nested
        gc.collect()
        tx["parent"] = 1
    assert m == {"parent": 1}


def test_a_map_that_was_opened_for_reading_can_be_opened_for_writing(path: Path) -> None:
    OOCMap(path).close()
    with OOCMap(path, readonly=True) as reader, OOCMap(path) as writer:
        writer["k"] = 1
        assert reader["k"] == 1
        with pytest.raises(OSError, match="readonly"):
            reader["k"] = 2


def test_a_value_that_can_not_be_made_is_not_popped(m: OOCMap, monkeypatch: pytest.MonkeyPatch) -> None:
    zoneinfo = pytest.importorskip("zoneinfo")
    value = dt.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    m["z"] = value

    zoneinfo.ZoneInfo.clear_cache()
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.reset_tzpath(to=())
    try:
        with pytest.raises(zoneinfo.ZoneInfoNotFoundError):
            m.pop("z")
        with pytest.raises(zoneinfo.ZoneInfoNotFoundError):
            m.popitem()
    finally:
        zoneinfo.reset_tzpath()
    assert m.pop("z") == value
    assert "z" not in m


def test_a_pop_takes_what_is_there_when_others_write(path: Path) -> None:
    with OOCMap(path, durability="nometasync") as m:
        m["n"] = 0
        popped: list[int] = []
        ended = threading.Event()

        def popper() -> None:
            while not ended.is_set() or "n" in m:
                found = m.pop("n", None)
                if found is not None:
                    popped.append(found)

        threads = [threading.Thread(target=popper) for _ in range(3)]
        for thread in threads:
            thread.start()
        for turn in range(1, 60):
            m["n"] = turn
            time.sleep(0.001)
        ended.set()
        for thread in threads:
            thread.join()
        assert len(popped) == len(set(popped))
        assert max(popped) == 59


def test_sets_that_share_their_members_are_refused_in_time(m: OOCMap) -> None:
    """Their bytes double with every level, and so did time and memory."""
    small = shared = frozenset[Any]()
    for level in range(60):
        shared = frozenset([(shared, 1), (shared, 2)])
        small = shared if level == 9 else small
    for entries in ({"f": shared}, {shared: 1}, {"d": {shared: 1}}):
        with pytest.raises(ValueError, match="parts"):
            m.update(entries)
    m["f"] = small
    assert m["f"].eager(deep=True) == small
    assert m.check() == []


def test_a_class_with_an_odd_module_is_refused_like_any_other(m: OOCMap) -> None:
    class Odd:
        pass

    Odd.__module__ = 3  # type: ignore[assignment]
    with pytest.raises(UnsupportedTypeError):
        m["k"] = Odd()
    assert len(m) == 0
