"""hugedict: RocksDB with functions for keys and values."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterable

from data import Pair
from engine import MappingEngine, Promise


def _number(key: bytes | memoryview) -> int:
    return int.from_bytes(key, "little", signed=True)


class HugedictEngine(MappingEngine):
    """Values are pickled; numbers are keys of eight bytes."""

    name = "hugedict"
    title = "hugedict"
    module = "hugedict.prelude"
    promise = Promise("when the system writes it", "no", "no", "is lost")

    def open(self, *, readonly: bool = False) -> None:
        from hugedict.prelude import RocksDBDict, RocksDBOptions

        self.m = RocksDBDict(
            str(self.directory / "data"),
            RocksDBOptions(create_if_missing=True),
            _number,
            pickle.loads,
            lambda value: pickle.dumps(value, protocol=5),
            readonly=readonly,
        )

    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        m = self.m
        for key, value in entries:
            m[key] = value

    def close(self) -> None:
        # It has no such method, and closes when nothing refers to it.
        del self.m
        gc.collect()
