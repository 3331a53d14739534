"""One pickle file that holds the whole dict, which is loaded before anything is read."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from data import Pair
from engine import Cannot, MappingEngine, Promise


class PickleEngine(MappingEngine):
    """A dict, and a file that is written as a whole."""

    name = "pickle"
    title = "pickle file"
    module = "pickle"
    home = "own"
    promise = Promise("every save of all", "no", "no", "is changed, saved with all")

    def open(self, *, readonly: bool = False) -> None:
        self.path = self.directory / "data.pickle"
        self.m: dict[int, Any] = pickle.loads(self.path.read_bytes()) if self.path.exists() else {}

    def close(self) -> None:
        pass

    def _save(self) -> None:
        with self.path.open("wb") as file:
            pickle.dump(self.m, file, protocol=5)
            file.flush()
            os.fsync(file.fileno())

    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        self.m = dict(entries)
        self._save()

    def writer(self) -> Any:
        raise Cannot

    def change(self, keys: Sequence[int], count: int) -> None:
        for key in keys:
            self.m[key]["items"][3]["count"] = count
        self._save()

    def list_appender(self) -> Callable[[int], object]:
        raise Cannot
