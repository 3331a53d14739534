"""Measure oocmap beside its peers: `make bench`, or `python benches/python --help`."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rust
from engines import ENGINES
from report import lines_of, page, rust_lines
from results import Results, Row
from runner import HOMES, ROOT, Runner, Settings
from works import WORKS, chosen

RESULTS = ROOT / "target/bench/results.json"
DOCS = ROOT / "docs"


def options_of() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure oocmap beside its peers.")
    parser.add_argument("--work", metavar="ROWS", default="*", help="rows, with commas: get,load-* (all)")
    parser.add_argument("--engines", metavar="NAMES", help="engines, with commas (all)")
    parser.add_argument("--count", type=int, help="how many small entries; all else grows with it (200000)")
    parser.add_argument("--rounds", type=int, help="how many rounds (5)")
    parser.add_argument(
        "--patience",
        type=float,
        metavar="SECONDS",
        help="how long one measurement may take, for which slow engines do fewer operations (20)",
    )
    parser.add_argument("--quick", action="store_true", help="a tiny run, to see whether all works")
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR", help="where stores are made, best on a disk (temporary)"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="what was measured; rows that are measured again are replaced "
        f"({RESULTS.relative_to(ROOT)}, if neither --engines nor --quick is given)",
    )
    parser.add_argument("--docs", type=Path, metavar="DIR", help="write benchmarks.md and its charts there")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="measure nothing, report what is in this file"
    )
    options = parser.parse_args()
    options.whole = not options.quick and not options.engines
    try:
        options.rows = chosen(options.work, [*WORKS, rust.NAME])
        options.engines = chosen(options.engines or "*", ENGINES)
    except ValueError as error:
        parser.error(str(error))
    if options.docs and options.docs.resolve() == DOCS and not (options.whole or options.report):
        parser.error("the report of the project is made from whole runs: without --engines and --quick")
    settings = Settings(200, 1, 0.5, 60.0) if options.quick else Settings()
    settings.count = options.count or settings.count
    settings.rounds = options.rounds or settings.rounds
    settings.patience = options.patience or settings.patience
    if settings.count < 100 or settings.rounds < 1 or settings.patience < 0.1:
        parser.error("--count must be 100 or more, --rounds 1 or more, and --patience 0.1 or more")
    options.settings = settings
    options.json = options.json or (RESULTS if options.whole else None)
    return options


def measure(options: argparse.Namespace) -> Results:
    """Measure rows, and keep each of them as soon as it is there."""
    results = Results.read(options.json) if options.json else Results()

    def keep(name: str, row: Row) -> None:
        results.rows[name] = row
        if options.json:
            results.write(options.json)
        print("\n".join(lines_of(WORKS[name], row)), flush=True)

    works = [WORKS[name] for name in options.rows if name in WORKS]
    if works:
        with tempfile.TemporaryDirectory(prefix="oocmap-bench-", dir=options.scratch) as scratch:
            runner = Runner(options.settings, Path(scratch), options.engines, results)
            runner.find_engines()
            runner.run(works, keep)
    if rust.NAME in options.rows and options.whole:
        results.rust = rust.measure(time.strftime("%Y-%m-%d"))
        results.write(options.json)
        print("\n".join(rust_lines(results.rust["ratios"])))
    return results


def write(results: Results, docs: Path) -> None:
    """Write the report and its charts."""
    docs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        measured = Path(directory) / "results.json"
        results.write(measured)
        (docs / "benchmarks.md").write_text(
            page(results, draw(measured, docs / "benchmarks")), encoding="utf-8"
        )


def draw(measured: Path, charts: Path) -> bool:
    """Draw the charts with a Python that has matplotlib, and tell whether there was one."""
    python = HOMES["peers"] if HOMES["peers"].exists() else Path(sys.executable)
    if subprocess.run([python, "-c", "import matplotlib"], capture_output=True, check=False).returncode:
        print(f"no charts: {python} has no matplotlib")
        return False
    subprocess.run([python, Path(__file__).with_name("plots.py"), measured, charts], check=True)
    return True


def main() -> None:
    """Measure, and write the report."""
    # Whoever ends this ends its workers with it, and leaves no files behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = options_of()
    if options.report and not options.report.exists():
        raise SystemExit(f"{options.report} does not exist")
    results = Results.read(options.report) if options.report else measure(options)
    if options.docs:
        write(results, options.docs)
    elif options.report:
        print(page(results, charts=False))
    if failed := [name for name, row in results.rows.items() if row.broken and name in options.rows]:
        raise SystemExit(f"oocmap failed in {', '.join(failed)}")


if __name__ == "__main__":
    main()
