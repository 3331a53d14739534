"""Whoever changes a container that others change all the time gets their turn."""

from __future__ import annotations

import threading
from pathlib import Path

from oocmap import OOCMap


def test_threads_that_change_one_container(path: Path) -> None:
    """With more than a few of them, someone else was faster each time, and methods gave up."""
    with OOCMap(path, durability="nometasync") as m:
        m["list"] = list(range(3000))
        m["taken"] = []
        failures: list[BaseException] = []

        def work() -> None:
            try:
                stored = m["list"]
                for _ in range(300):
                    stored.insert(0, stored.pop())
                    m["taken"].append(stored.pop())
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert sorted([*m["list"], *m["taken"]]) == list(range(3000))
        assert m.check() == []
