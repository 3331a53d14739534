"""py-lmdb with pickled values and 8-byte keys: what one would write oneself."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from data import Pair
from engine import Cannot, Engine, Promise


class LmdbEngine(Engine):
    """A transaction for each get: what others commit is seen."""

    name = "lmdb"
    title = "LMDB + pickle"
    module = "lmdb"
    promise = Promise("every commit", "at once", "yes, across processes", "is lost")

    def open(self, *, readonly: bool = False) -> None:
        self._open(sync=True, readonly=readonly)

    def _open(self, *, sync: bool, readonly: bool = False) -> None:
        import lmdb

        self.env: Any = lmdb.open(str(self.directory), map_size=1 << 36, sync=sync, readonly=readonly)

    def close(self) -> None:
        self.env.close()

    def load(self, entries: Iterable[Pair], *, ascending: bool = False) -> None:
        dumps = pickle.dumps
        with self.env.begin(write=True) as txn, txn.cursor() as cursor:
            cursor.putmulti(
                ((key.to_bytes(8, "big"), dumps(value, protocol=5)) for key, value in entries),
                append=ascending,
            )

    def reader(self) -> Any:
        begin, loads = self.env.begin, pickle.loads

        def read(key: int) -> Any:
            with begin(buffers=True) as txn:
                return loads(txn.get(key.to_bytes(8, "big")))

        return read

    def getter(self) -> Callable[[int], Any]:
        begin, loads = self.env.begin, pickle.loads

        def read(key: int) -> Any:
            with begin(buffers=True) as txn:
                found = txn.get(key.to_bytes(8, "big"))
                return None if found is None else loads(found)

        return read

    def container(self) -> Any:
        begin = self.env.begin

        def contains(key: int) -> bool:
            with begin(buffers=True) as txn:
                return txn.get(key.to_bytes(8, "big")) is not None

        return contains

    def items(self) -> Iterable[Pair]:
        loads = pickle.loads
        with self.env.begin(buffers=True) as txn, txn.cursor() as cursor:
            for key, value in cursor:
                yield int.from_bytes(key, "big"), loads(value)

    def writer(self) -> Any:
        self.env.close()
        self._open(sync=False)
        return self.durable_writer()

    def durable_writer(self) -> Callable[[int, Any], None]:
        begin, dumps = self.env.begin, pickle.dumps

        def write(key: int, value: Any) -> None:
            with begin(write=True) as txn:
                txn.put(key.to_bytes(8, "big"), dumps(value, protocol=5))

        return write

    def thread_writer(self) -> Callable[[int, str], None]:
        return self.durable_writer()

    def change(self, keys: Sequence[int], count: int) -> None:
        with self.env.begin(write=True, buffers=True) as txn:
            for key in keys:
                name = key.to_bytes(8, "big")
                found = pickle.loads(txn.get(name))
                found["items"][3]["count"] = count
                txn.put(name, pickle.dumps(found, protocol=5))


class LmdbLongEngine(LmdbEngine):
    """One read transaction for all the gets: nothing newer is seen."""

    name = "lmdb-long"
    title = "LMDB, one transaction"
    reads_only = True
    promise = Promise("every commit", "no", "yes, across processes", "is lost")

    def reader(self) -> Any:
        self.txn = self.env.begin(buffers=True)
        get, loads = self.txn.get, pickle.loads
        return lambda key: loads(get(key.to_bytes(8, "big")))

    def getter(self) -> Callable[[int], Any]:
        self.txn = self.env.begin(buffers=True)
        get, loads = self.txn.get, pickle.loads

        def read(key: int) -> Any:
            found = get(key.to_bytes(8, "big"))
            return None if found is None else loads(found)

        return read

    def container(self) -> Any:
        self.txn = self.env.begin(buffers=True)
        get = self.txn.get
        return lambda key: get(key.to_bytes(8, "big")) is not None

    def snapshot(self) -> Any:
        return self.reader()

    def writer(self) -> Any:
        raise Cannot

    def change(self, keys: Sequence[int], count: int) -> None:
        raise Cannot
