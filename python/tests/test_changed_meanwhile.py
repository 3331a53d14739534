"""What is being stored may be changed by what its own conversion runs: then it is refused, or stored as it is by then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from oocmap import OOCMap

Act = Callable[[], object]


class Acting:
    """Does something when it is stored, as an empty list."""

    def __init__(self, act: Act) -> None:
        self.act = act

    def __reduce__(self) -> tuple[type[list[Any]], tuple[()]]:
        self.act()
        return list, ()


@pytest.fixture
def m(tmp_path: Path) -> Iterator[OOCMap]:
    """Make a map that takes anything."""
    with OOCMap(tmp_path / "x.ooc", allow_pickle=True) as m:
        yield m


def change_size(container: Any, grow: bool) -> None:
    """Add an element or take one away."""
    if not grow:
        container.pop(0) if isinstance(container, list) else container.pop(next(iter(container)))
    elif isinstance(container, list):
        container.append(1)
    else:
        container[f"new {len(container)}"] = 1


@pytest.mark.parametrize("count", [3, 1000])
@pytest.mark.parametrize("kind", [list, dict.fromkeys])
@pytest.mark.parametrize("grow", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_another_size_is_refused(
    m: OOCMap, kind: Callable[[list[str]], Any], count: int, grow: bool, nested: bool
) -> None:
    x = kind([str(number) for number in range(count)])
    acting: Any = Acting(lambda: change_size(x, grow))
    with pytest.raises(RuntimeError, match="changed its size while it was being stored"):
        m["k"] = [[acting], x] if nested else [x, acting]
    with (
        pytest.raises(RuntimeError, match="changed its size while it was being stored"),
        m.transaction() as tx,
    ):
        tx["k"] = {"a": {"c": Acting(lambda: change_size(x, grow))}, "b": x}
    assert len(m) == 0
    assert m.check() == []


@pytest.mark.parametrize("count", [3, 1000])
def test_a_list_that_holds_what_changes_it(m: OOCMap, count: int) -> None:
    x: list[Any] = list(range(count))
    x[1] = Acting(lambda: x.append(1))
    with pytest.raises(RuntimeError, match="a list changed its size"):
        m["k"] = x
    x[1] = Acting(x.clear)
    with pytest.raises(RuntimeError, match="a list changed its size"):
        m["k"] = {"x": x}
    assert len(m) == 0


def test_a_later_container_is_stored_as_it_is_by_then(m: OOCMap) -> None:
    x: list[Any] = [1, [2], {"three": 3}]
    y: dict[str, Any] = {"a": 1, "b": 2}

    def change() -> None:
        x[0], x[1] = "one", [[2]]
        y["b"] = [3]

    m["k"] = {"first": {"acting": Acting(change)}, "x": x, "y": y, "again": [x, y]}
    expected = {"x": ["one", [[2]], {"three": 3}], "y": {"a": 1, "b": [3]}}
    stored = m["k"]
    assert {name: stored[name].eager(deep=True) for name in expected} == expected
    assert stored["again"][0].same_as(stored["x"])
    assert stored["again"][1].same_as(stored["y"])
    assert m.check() == []


def test_what_is_taken_out_may_come_back_elsewhere(m: OOCMap) -> None:
    x: list[Any] = [[1], [2]]
    y: list[Any] = [0]

    def move() -> None:
        y[0] = x[1]
        x[1] = None

    m["k"] = [x, [Acting(move)], y, y]
    assert m["k"].eager(deep=True) == [[[1], [2]], [[]], [[2]], [[2]]]
    assert m["k"][2].same_as(m["k"][3])


def test_code_runs_here_and_there(m: OOCMap) -> None:
    """Enough containers that they are taken in several goes, some of which are interrupted."""
    seen: list[int] = []
    shared = ["shared"]

    def element(number: int) -> dict[str, Any]:
        own: Any = number
        if number % 7 == 3:
            own = Acting(lambda: seen.append(number))
        elif number % 5 == 1:
            own = datetime(2024, 1, 1 + number % 28)
        return {
            "number": number,
            "own": own,
            "list": [number, [number]],
            "shared": shared,
            "bytes": b"x" * number,
        }

    m["k"] = value = [element(number) for number in range(300)]
    assert seen == [number for number in range(300) if number % 7 == 3]
    stored = m["k"]
    for number, expected in enumerate(value):
        own = [] if number % 7 == 3 else expected["own"]
        assert stored[number].eager(deep=True) == expected | {"own": own}
        assert stored[number]["shared"].same_as(stored[0]["shared"])
    assert m.check() == []
