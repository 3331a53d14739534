"""rocksdict: RocksDB for Python objects, which it stores itself or pickles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from data import Pair
from engine import MappingEngine, Promise


class RocksdictEngine(MappingEngine):
    """Its defaults; a batch for a load."""

    name = "rocksdict"
    title = "rocksdict"
    module = "rocksdict"
    promise = Promise(
        "when the system writes it, or at once where asked for", "no", "batches of writes", "is lost"
    )

    def open(self, *, readonly: bool = False) -> None:
        from rocksdict import AccessType, Rdict

        access = AccessType.read_only() if readonly else AccessType.read_write()
        self.m = Rdict(str(self.directory / "data"), access_type=access)

    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        from rocksdict import WriteBatch

        batch = WriteBatch()
        for key, value in entries:
            batch.put(key, value)
        self.m.write(batch, self._synced())

    def snapshot(self) -> Any:
        return self.m.snapshot()

    def _synced(self) -> Any:
        from rocksdict import WriteOptions

        options = WriteOptions()
        options.sync = True
        return options

    def durable_writer(self) -> Callable[[int, str], None]:
        options, put = self._synced(), self.m.put
        return lambda key, value: put(key, value, options)

    def thread_writer(self) -> Callable[[int, str], None]:
        return self.durable_writer()
