"""The workloads that write, each into a store of its own, and those that look at what is on disk then."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from data import Pair, pairs, shuffled, small
from engine import Cannot, Engine, as_function, as_writer
from reading import expect
from timing import FEWEST, Figure, Run, in_parts, seconds, write_each

THREADS = 8


def load_random(run: Run, engine: Engine) -> Figure:
    """Store small entries in one transaction, in random order."""
    return _load(run, engine, list(pairs("small", run.count)))


def load_sorted(run: Run, engine: Engine) -> Figure:
    """Store small entries in one transaction, in the order of their keys."""
    return _load(run, engine, list(pairs("small", run.count, ascending=True)), ascending=True)


def load_documents(run: Run, engine: Engine) -> Figure:
    """Store documents in one transaction, in random order."""
    return _load(run, engine, list(pairs("documents", run.count)))


def load_lines(run: Run, engine: Engine) -> Figure:
    """Store small entries from a file of lines of JSON, in random order, and the same by one transaction."""
    lines = run.directory / "entries.jsonl"
    with lines.open("w", encoding="utf-8") as file:
        for entry in pairs("small", run.count):
            file.write(json.dumps(entry) + "\n")
    took = seconds(lambda: engine.load_lines(lines))
    plain = type(engine)(run.directory / "plain")
    plain.directory.mkdir()
    plain.open()

    def in_one_transaction() -> None:
        with plain.transaction(), lines.open(encoding="utf-8") as file:
            write = as_writer(plain.reader())
            for line in file:
                write(*json.loads(line))

    reference = seconds(in_one_transaction)
    for either in (engine, plain):
        read = as_function(either.reader())
        for key in (0, run.count // 2, run.count - 1):
            expect(either, read(key), small(key))
    plain.close()
    return Figure(took / run.count, run.count, reference=reference / run.count)


def _load(run: Run, engine: Engine, entries: list[Pair], *, ascending: bool = False) -> Figure:
    took = seconds(lambda: engine.load(entries, ascending=ascending))
    read = as_function(engine.reader())
    key, value = entries[len(entries) // 2]
    expect(engine, engine.whole(read(key)) if isinstance(value, dict) else read(key), value)
    return Figure(took / run.count, run.count, reduced=run.count < run.wanted)


def write_durable(run: Run, engine: Engine) -> Figure:
    """Write small entries one by one, each safely on disk before the next."""
    write = engine.durable_writer()
    entries = [(key, small(key)) for key in shuffled(run.reads)]
    figure = in_parts(run, write_each(write), entries)
    _check(engine, entries)
    return figure


def write_threads(run: Run, engine: Engine) -> Figure:
    """Write small entries, each safely on disk before its thread's next, in eight threads at once and in one."""
    each = max(FEWEST, run.reads // THREADS)
    alone = _in_threads([engine.thread_writer()], each)
    together = _in_threads([engine.thread_writer() for _ in range(THREADS)], each)
    read = as_function(engine.reader())
    for key in (0, THREADS * each - 1):
        expect(engine, read(key), small(key))
    return Figure(together / (THREADS * each), THREADS * each, reference=alone / each)


def _in_threads(writers: list[Callable[[int, str], None]], each: int) -> float:
    failures: list[BaseException] = []
    together = threading.Barrier(len(writers) + 1)

    def work(write: Callable[[int, str], None], first: int) -> None:
        try:
            together.wait()
            for key in range(first, first + each):
                write(key, small(key))
        except BaseException as error:  # it is raised in the main thread
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(write, turn * each)) for turn, write in enumerate(writers)]
    for thread in threads:
        thread.start()

    def wait() -> None:
        together.wait()
        for thread in threads:
            thread.join()

    took = seconds(wait)
    if failures:
        raise failures[0]
    return took


def write_deferred(run: Run, engine: Engine) -> Figure:
    """Write small entries one by one, without waiting for the disk."""
    writer = engine.writer()
    entries = [(key, small(key)) for key in shuffled(run.reads)]
    figure = in_parts(run, write_each(writer), entries)
    engine.settle()
    _check(engine, entries)
    return figure


def _check(engine: Engine, entries: list[Pair]) -> None:
    read = as_function(engine.reader())
    for key, value in entries[:FEWEST]:
        expect(engine, read(key), value)


def size_small(run: Run, engine: Engine) -> Figure:
    """Tell how many bytes on disk a small entry takes."""
    return _size(run, engine, pairs("small", run.count))


def size_documents(run: Run, engine: Engine) -> Figure:
    """Tell how many bytes on disk a document takes."""
    return _size(run, engine, pairs("documents", run.count))


def size_repeated(run: Run, engine: Engine) -> Figure:
    """Tell how many bytes on disk an entry takes whose text of 400 bytes is that of many others."""
    return _size(run, engine, pairs("repeated", run.count))


def _size(run: Run, engine: Engine, entries: Iterable[Pair]) -> Figure:
    if not engine.keeps:
        raise Cannot
    engine.load(entries)
    engine.close()
    return Figure(on_disk(run.directory) / run.count, run.count, reduced=run.count < run.wanted)


def on_disk(directory: Path) -> int:
    """Return how many bytes the files below a directory take, without their holes."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
