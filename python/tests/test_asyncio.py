"""A transaction of one asyncio task is none of another's, although they share a thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from oocmap import TransactionError

if TYPE_CHECKING:
    from oocmap import OOCMap


def test_another_task_sees_what_is_committed_and_can_not_write(m: OOCMap) -> None:
    """It nested into the first one's transaction, and was rolled back with it."""
    m["before"] = 1

    async def first(begun: asyncio.Event, go_on: asyncio.Event) -> None:
        with m.transaction() as tx:
            tx["first"] = 1
            begun.set()
            await go_on.wait()
            assert m["first"] == 1  # this task takes part
            with m.transaction() as nested:
                nested["nested"] = 1
            raise ZeroDivisionError

    async def second(begun: asyncio.Event, go_on: asyncio.Event) -> None:
        await begun.wait()
        try:
            assert m == {"before": 1}
            assert "first" not in m
            for write in (lambda: m.update(second=2), m.transaction, m.clear, lambda: m.pop("before")):
                with pytest.raises(TransactionError, match="another task"):
                    write()
        finally:
            go_on.set()

    async def both() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()
        results = await asyncio.gather(first(begun, go_on), second(begun, go_on), return_exceptions=True)
        assert isinstance(results[0], ZeroDivisionError)
        assert results[1] is None, results[1]
        m["after"] = 1

    asyncio.run(both())
    assert m == {"before": 1, "after": 1}


def test_a_transaction_around_a_loop_is_that_of_its_tasks(m: OOCMap) -> None:
    async def store(key: int) -> None:
        await asyncio.sleep(0)
        m[key] = key

    async def store_all() -> None:
        await asyncio.gather(*(store(key) for key in range(10)))

    with m.transaction() as tx:
        asyncio.run(store_all())
        assert len(tx) == 10
    assert len(m) == 10


def test_tasks_that_keep_apart_all_write(m: OOCMap) -> None:
    async def add(lock: asyncio.Lock) -> None:
        async with lock:
            with m.transaction() as tx:
                before = tx.get("n", 0)
                await asyncio.sleep(0)
                tx["n"] = before + 1

    async def add_all() -> None:
        lock = asyncio.Lock()
        await asyncio.gather(*(add(lock) for _ in range(20)))

    asyncio.run(add_all())
    assert m["n"] == 20
