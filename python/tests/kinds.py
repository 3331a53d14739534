"""The kinds of mutable containers, for tests that hold for all of them."""

from __future__ import annotations

from typing import Any

import pytest


def put_something_in(x: Any) -> None:
    """Change a container of any kind."""
    match type(x).__name__:
        case "LazyList" | "list":
            x.append("new")
        case "LazyDict" | "dict":
            x["new"] = "new"
        case "LazySet" | "set":
            x.add("new")
        case _:
            x.append(110)


KINDS: list[Any] = [[1, 2], {"a": 1}, {1, 2}, bytearray(b"ab")]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
