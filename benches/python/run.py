"""Measure oocmap against dict, pickle and LMDB with pickle, and write the ratios as a page.

Each engine runs in a process of its own, for one workload at a time, in rounds that are interleaved: all
engines do a workload once before any does it again. What counts is the best of the rounds. Only ratios
of one run are written, as absolute times say more about the machine than about the engines.

    python benches/python/run.py --write docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import json
import pickle
import platform
import random
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

SEED = 20240229
COMMAND = "make bench"


def document(number: int) -> dict[str, Any]:
    """Return a nested document of about 60 leaves and 1 KB."""
    return {
        "id": number,
        "user": {
            "name": f"user {number}",
            "mail": f"user{number}@example.org",
            "roles": ["reader", "editor"],
            "address": {
                "street": f"{number} Main Street",
                "city": "Springfield",
                "geo": [51.5 + number, -0.12],
            },
        },
        "items": [
            {"sku": f"sku-{number}-{n}", "count": n, "price": n * 1.25, "tags": ["a", f"t{n}"]}
            for n in range(10)
        ],
        "active": bool(number % 2),
        "note": None,
    }


class Engine(ABC):
    """A store to be measured: opened at a path, loaded at once, then read."""

    title: str
    durable = True

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def load(self, entries: Iterable[tuple[int, Any]]) -> None:
        """Store all the entries, in one transaction where there are any, safely on disk where there is one."""

    @abstractmethod
    def reader(self) -> Callable[[int], Any]:
        """Return what reads one value by its key, as users of the engine would."""

    def whole(self, value: Any) -> Any:
        """Make a plain Python object of what was read."""
        return value


class DictEngine(Engine):
    """A dict in memory: what nothing on disk can reach."""

    title = "dict"
    durable = False

    def load(self, entries: Iterable[tuple[int, Any]]) -> None:
        self.data = dict(entries)

    def reader(self) -> Callable[[int], Any]:
        return self.data.__getitem__


class OocmapEngine(Engine):
    """oocmap, plain reads outside a transaction."""

    title = "oocmap"

    def load(self, entries: Iterable[tuple[int, Any]]) -> None:
        from oocmap import OOCMap

        self.m = OOCMap(self.path)
        self.m.update(entries)

    def reader(self) -> Callable[[int], Any]:
        return self.m.__getitem__

    def whole(self, value: Any) -> Any:
        return value.eager(deep=True)


class PickleEngine(Engine):
    """One file that holds the whole dict, which is loaded before anything is read."""

    title = "pickle file"

    def load(self, entries: Iterable[tuple[int, Any]]) -> None:
        import os

        with self.path.open("wb") as file:
            pickle.dump(dict(entries), file, protocol=5)
            file.flush()
            os.fsync(file.fileno())

    def reader(self) -> Callable[[int], Any]:
        with self.path.open("rb") as file:
            return cast(dict[int, Any], pickle.load(file)).__getitem__


class LmdbEngine(Engine):
    """py-lmdb with pickled values and 8-byte keys, a transaction for each get."""

    title = "LMDB + pickle"

    def load(self, entries: Iterable[tuple[int, Any]]) -> None:
        import lmdb

        self.env = lmdb.open(str(self.path), subdir=False, map_size=1 << 36)
        with self.env.begin(write=True) as txn:
            for key, value in entries:
                txn.put(key.to_bytes(8, "big"), pickle.dumps(value, protocol=5))

    def reader(self) -> Callable[[int], Any]:
        env = self.env
        loads = pickle.loads

        def read(key: int) -> Any:
            with env.begin(buffers=True) as txn:
                return loads(cast(Any, txn.get(key.to_bytes(8, "big"))))

        return read


class LmdbLongEngine(LmdbEngine):
    """The same, with one read transaction for all the gets: nothing newer is seen."""

    title = "LMDB + pickle, one transaction"

    def reader(self) -> Callable[[int], Any]:
        self.txn = self.env.begin(buffers=True)
        get, loads = self.txn.get, pickle.loads

        def read(key: int) -> Any:
            return loads(cast(Any, get(key.to_bytes(8, "big"))))

        return read


ENGINES: dict[str, type[Engine]] = {
    "oocmap": OocmapEngine,
    "dict": DictEngine,
    "pickle": PickleEngine,
    "lmdb": LmdbEngine,
    "lmdb-long": LmdbLongEngine,
}


# --- workloads: each returns the seconds of what it measures ---


def seconds(action: Callable[[], Any]) -> float:
    """Return how long an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def small_entries(count: int) -> list[tuple[int, str]]:
    """Return `i -> "value number i"`, in random order."""
    entries = [(number, f"value number {number}") for number in range(count)]
    random.Random(SEED).shuffle(entries)
    return entries


def documents(count: int) -> list[tuple[int, Any]]:
    """Return documents, in random order."""
    entries = [(number, document(number)) for number in range(count)]
    random.Random(SEED).shuffle(entries)
    return entries


def random_keys(count: int, reads: int) -> list[int]:
    """Return keys to read, the same for every engine."""
    chance = random.Random(SEED + 1)
    return [chance.randrange(count) for _ in range(reads)]


def bulk_load(engine: Engine, count: int) -> float:
    """Store small entries in random order in one transaction."""
    entries = small_entries(count)
    return seconds(lambda: engine.load(entries))


def point_get(engine: Engine, count: int) -> float:
    """Read small entries at random."""
    engine.load(small_entries(count))
    read, keys = engine.reader(), random_keys(count, count)
    if read(7) != "value number 7":
        raise AssertionError(f"{engine.title} gave back something else")

    def action() -> None:
        for key in keys:
            read(key)

    return seconds(action)


def nested_load(engine: Engine, count: int) -> float:
    """Store nested documents in one transaction."""
    entries = documents(count // 10)
    return seconds(lambda: engine.load(entries))


def nested_field(engine: Engine, count: int) -> float:
    """Read one field deep in a random document."""
    count //= 10
    engine.load(documents(count))
    read, keys = engine.reader(), random_keys(count, count)
    if read(7)["items"][3]["price"] != 3.75:
        raise AssertionError(f"{engine.title} gave back something else")

    def action() -> None:
        for key in keys:
            read(key)["items"][3]["price"]

    return seconds(action)


def nested_whole(engine: Engine, count: int) -> float:
    """Read random documents as plain Python objects."""
    count //= 10
    engine.load(documents(count))
    read, whole, keys = engine.reader(), engine.whole, random_keys(count, count)
    if whole(read(7)) != document(7):
        raise AssertionError(f"{engine.title} gave back something else")

    def action() -> None:
        for key in keys:
            whole(read(key))

    return seconds(action)


WORKLOADS: dict[str, tuple[str, Callable[[Engine, int], float]]] = {
    "bulk-load": ("bulk load, random order, one transaction", bulk_load),
    "point-get": ("point get, random", point_get),
    "nested-load": ("load nested documents, one transaction", nested_load),
    "nested-field": ("read one nested field", nested_field),
    "nested-whole": ("read a whole document", nested_whole),
}


# --- running and writing ---


def measure_here(engine: str, workload: str, count: int) -> None:
    """Do one workload with one engine in this process, and print its seconds as JSON."""
    with tempfile.TemporaryDirectory(prefix="oocmap-bench-") as directory:
        print(json.dumps(WORKLOADS[workload][1](ENGINES[engine](Path(directory) / "data"), count)))


def measure(engine: str, workload: str, count: int) -> float:
    """Do one workload with one engine in a process of its own, and return its seconds."""
    command = [sys.executable, __file__, "--one", engine, workload, "--count", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{engine}, {workload}:\n{done.stderr}")
    return float(json.loads(done.stdout))


def measure_all(count: int, rounds: int) -> dict[tuple[str, str], float]:
    """Return the best seconds of each workload and engine."""
    best: dict[tuple[str, str], float] = {}
    for workload in WORKLOADS:
        for turn in range(rounds):
            engines = list(ENGINES)
            random.Random(SEED + turn).shuffle(engines)  # nobody always comes first
            for engine in engines:
                took = measure(engine, workload, count)
                best[workload, engine] = min(took, best.get((workload, engine), took))
            print(f"{workload}: round {turn + 1} of {rounds}", flush=True)
    return best


def ratio(number: float) -> str:
    """Write a ratio with two significant digits."""
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}" if number >= 1 else f"{number:.2f}"


def page(best: dict[tuple[str, str], float], count: int, rounds: int) -> str:
    """Return the figures as a page in Markdown."""
    peers = [engine for engine in ENGINES if engine != "oocmap"]
    lines = [
        "# Benchmarks",
        "",
        f"How often oocmap does a thing in the time in which the other does it once, measured by `{COMMAND}`:",
        "above 1 oocmap is faster, below 1 it is slower. Each engine ran in a process of its own, in interleaved",
        f"rounds; the best of {rounds} counts. Only ratios of one run are given, as they depend less on the machine.",
        "",
        "| workload | " + " | ".join(f"× {ENGINES[peer].title}" for peer in peers) + " |",
        "|---|" + "---:|" * len(peers),
    ]
    for workload, (title, _) in WORKLOADS.items():
        ratios = [ratio(best[workload, peer] / best[workload, "oocmap"]) for peer in peers]
        lines.append(f"| {title} | " + " | ".join(ratios) + " |")
    lines += [
        "",
        f'Small entries are `i -> "value number i"`, {count:,} of them; documents have about 60 leaves and 1 KB,',
        f"{count // 10:,} of them. Keys are read in the same random order everywhere.",
        "",
        "What to keep in mind:",
        "",
        "- `dict` is in memory and safe from nothing; it is the limit, not a peer.",
        "- The pickle file is read as a whole before the first get, which is not counted; a change rewrites all of it.",
        "- oocmap and LMDB with a transaction for each get see what others commit in between; the dict, the pickle",
        "  file and the one long transaction do not.",
        "- Loads of oocmap, LMDB and the pickle file end when the data is safely on disk.",
        "",
        f"Measured with {platform.python_implementation()} {platform.python_version()} on {platform.system()}",
        f"({platform.machine()}).",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="Measure oocmap against its peers.")
    parser.add_argument("--count", type=int, default=200_000, help="how many small entries (200000)")
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds, of which the best counts (5)")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the page there instead of printing it"
    )
    parser.add_argument("--one", nargs=2, metavar=("ENGINE", "WORKLOAD"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.count < 100:
        parser.error("--count must be 100 or more")
    if options.one:
        engine, workload = options.one
        measure_here(engine, workload, options.count)
        return
    text = page(measure_all(options.count, options.rounds), options.count, options.rounds)
    if options.write:
        options.write.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
