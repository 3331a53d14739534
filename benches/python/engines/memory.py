"""A dict in memory: what nothing on disk can reach."""

from __future__ import annotations

from typing import Any

from engine import MappingEngine, Promise


class DictEngine(MappingEngine):
    """A dict."""

    name = "dict"
    title = "dict"
    module = "builtins"
    home = "own"
    keeps = False
    promise = Promise("nothing", "no", "no", "is changed")

    def open(self, *, readonly: bool = False) -> None:
        self.m: dict[int, Any] = {}

    def close(self) -> None:
        pass
