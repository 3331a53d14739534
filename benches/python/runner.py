"""Runs the rows: each engine in a process of its own for each measurement, rounds interleaved, in shuffled order."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data import SEED
from engines import ENGINES, OURS
from results import Cell, Results, Row
from timing import FIRST, Run
from works import COUNT, STORES, Store, Work

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("worker.py")
HOMES = {"peers": ROOT / ".venv-peers/bin/python", "predecessor": ROOT / ".venv-predecessor/bin/python"}
LONGEST = 300.0
"""After so many seconds a worker is ended."""
LONGEST_LARGE = 3600.0
TURNS = 4
"""So many turns have the engines that a bar compares in each round."""


def say(line: str) -> None:
    """Tell how far it is, at once."""
    print(line, flush=True)


@dataclass
class Settings:
    """How much is measured."""

    count: int = COUNT
    rounds: int = 5
    patience: float = 20.0
    longest: float = LONGEST
    say: Callable[[str], None] = say


@dataclass
class Runner:
    """Measures rows in a scratch directory of its own, which it leaves empty."""

    settings: Settings
    scratch: Path
    engines: list[str]
    results: Results = field(default_factory=Results)
    pythons: dict[str, Path] = field(default_factory=dict)
    afforded: dict[tuple[str, str, int], dict[str, Any]] = field(default_factory=dict)
    stores: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def find_engines(self) -> None:
        """Find out which engines are installed, where, and in which version."""
        code = (
            "import importlib.metadata as m, importlib, sys; importlib.import_module(sys.argv[1])\n"
            "try: print(m.version(sys.argv[1].split('.')[0]))\n"
            "except m.PackageNotFoundError: print('')"
        )
        for name in self.engines:
            engine = ENGINES[name]
            reason = "not installed"
            for python in self._pythons(engine.home):
                done = subprocess.run(
                    [str(python), "-c", code, engine.module], capture_output=True, text=True, check=False
                )
                if not done.returncode:
                    self.pythons[name] = python
                    self.results.versions[name] = done.stdout.strip()
                    self.results.absent.pop(name, None)
                    break
                reason = (done.stderr.strip().splitlines() or [reason])[-1]
            else:
                self.results.absent[name] = reason
                self.settings.say(f"{name} is left out: {reason}")

    @staticmethod
    def _pythons(home: str) -> list[Path]:
        own = Path(sys.executable)
        if home == "own":
            return [own]
        there = [HOMES[home]] if HOMES[home].exists() else []
        # The development environment has some of the peers. The predecessor has our name, and would be us.
        return there + ([own] if home == "peers" else [])

    def run(self, works: list[Work], keep: Callable[[str, Row], None]) -> None:
        """Measure rows, and hand each over when it is done."""
        order = list(STORES)
        works = sorted(works, key=lambda work: order.index(work.store) if work.store else len(order))
        for turn, work in enumerate(works):
            keep(work.name, self.measure(work))
            if work.store and all(later.store != work.store for later in works[turn + 1 :]):
                self._remove_stores(work.store)

    def measure(self, work: Work) -> Row:
        """Measure one row."""
        rounds = min(work.rounds or self.settings.rounds, self.settings.rounds)
        row = Row(
            time.strftime("%Y-%m-%d"),
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
            f"{platform.python_implementation()} {platform.python_version()}",
            file_system(self.scratch),
            self.settings.count,
            rounds,
        )
        names = [
            name
            for name in self.engines
            if name in self.pythons
            and name in (work.engines or self.engines)
            and (work.store or not ENGINES[name].reads_only)
        ]
        row.cells = {name: Cell() for name in names}
        compared = [name for name in names if name in self._compared(work)]
        for number in range(rounds):
            order = random.Random(SEED + number)
            for among in [names, *[compared] * (TURNS - 1)]:
                for name in order.sample(among, len(among)):  # nobody always comes first
                    cell = row.cells[name]
                    if cell.cannot is None and cell.failed is None:
                        self._measure_one(work, name, cell)
            self.settings.say(f"{work.name}: round {number + 1} of {rounds}")
        return row

    @staticmethod
    def _compared(work: Work) -> set[str]:
        """Return the engines whose times a bar compares."""
        if not work.bars or work.unit != "time" or work.rounds:
            return set()
        return {OURS, *(bar.against for bar in work.bars)}

    def _measure_one(self, work: Work, name: str, cell: Cell) -> None:
        wanted = (STORES[work.store].entries if work.store else work.entries).of(self.settings.count)
        if work.store:
            found = self._store(name, work.store, STORES[work.store])
        elif work.kind:
            found = self._afford(name, work.kind, wanted)
        else:
            found = {"count": wanted, "directory": None}
        if "count" in found:
            directory = found.get("directory") or self._fresh(f"{name}-{work.name}")
            run = Run(
                Path(directory),
                found["count"],
                wanted,
                work.reads.of(self.settings.count),
                self.settings.patience,
            )
            longest = LONGEST_LARGE if work.store and STORES[work.store].large else self.settings.longest
            found = self._ask("measure", name, work.name, run, longest)
            if not work.store:
                shutil.rmtree(directory)
        if "figure" not in found:
            cell.cannot, cell.failed = found.get("cannot"), found.get("failed")
            return
        figure = found["figure"]
        cell.values.append(figure["value"])
        cell.operations = figure["operations"]
        cell.reduced = cell.reduced or figure["reduced"] or run.count < wanted
        cell.entries = run.count if run.count < wanted else None
        if figure["reference"] is not None:
            cell.references.append(figure["reference"])

    def _afford(self, name: str, kind: str, wanted: int) -> dict[str, Any]:
        """Find out how many entries an engine can load, once."""
        key = name, kind, wanted
        if key not in self.afforded:
            directory = self._fresh(f"{name}-afford")
            run = Run(directory, wanted, wanted, 0, self.settings.patience)
            if kind == "list" or wanted <= FIRST:
                self.afforded[key] = {"count": wanted}
            else:
                self.afforded[key] = self._ask("afford", name, kind, run, self.settings.longest)
            shutil.rmtree(directory)
        return self.afforded[key]

    def _store(self, name: str, title: str, store: Store) -> dict[str, Any]:
        """Make a store, once, and tell where it is."""
        key = name, title
        if key not in self.stores:
            wanted = store.entries.of(self.settings.count)
            found: dict[str, Any] = (
                {"count": wanted} if store.large else dict(self._afford(name, store.kind, wanted))
            )
            if "count" in found:
                directory = self._fresh(f"{name}-{title}")
                run = Run(directory, found["count"], wanted, 0, self.settings.patience)
                if ENGINES[name].keeps:
                    longest = LONGEST_LARGE if store.large else self.settings.longest
                    found = {**found, **self._ask("prepare", name, title, run, longest)}
                found["directory"] = str(directory)
                if "cannot" in found or "failed" in found:
                    shutil.rmtree(directory)
                    del found["count"]
            self.stores[key] = found
        return self.stores[key]

    def _remove_stores(self, title: str) -> None:
        for name, store in list(self.stores):
            if store == title:
                shutil.rmtree(self.scratch / f"{name}-{title}", ignore_errors=True)
                del self.stores[name, store]

    def _fresh(self, name: str) -> Path:
        directory = self.scratch / name
        directory.mkdir()
        return directory

    def _ask(self, step: str, name: str, what: str, run: Run, longest: float) -> dict[str, Any]:
        """Have a worker do one step, and return its answer, or why there is none."""
        request = {
            "step": step,
            "engine": name,
            "what": what,
            "run": {**asdict(run), "directory": str(run.directory)},
        }
        with tempfile.TemporaryFile("w+", dir=self.scratch, errors="replace") as complaints:
            worker = subprocess.Popen(
                [str(self.pythons[name]), str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                env={**os.environ, "PYTHONHASHSEED": "0"},
                start_new_session=True,
            )
            try:
                answer, _ = worker.communicate(json.dumps(request), timeout=longest)
            except subprocess.TimeoutExpired:
                return {"failed": f"did not finish within {longest:.0f} seconds"}
            finally:
                self._end(worker)
            if worker.returncode:
                complaints.seek(0)
                lines = complaints.read().strip().splitlines()
                reason = lines[-1] if lines else f"ended with status {worker.returncode}"
                self.settings.say(f"{name}, {what}: " + "\n".join(lines[-20:]))
                return {"failed": reason[:200]}
        found: dict[str, Any] = json.loads(answer.strip().splitlines()[-1])
        return found

    @staticmethod
    def _end(worker: subprocess.Popen[str]) -> None:
        """End a worker and what it started, if they are still there."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate()


def file_system(directory: Path) -> str:
    """Return the kind of file system that a directory is on."""
    found, longest = "unknown", -1
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split()
        place = place.replace("\\040", " ")
        if directory.resolve().is_relative_to(place) and len(place) > longest:
            found, longest = kind, len(place)
    return found
