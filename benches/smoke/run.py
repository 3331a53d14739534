"""Count what the main operations cost, and fail when one costs over 10 % more than recorded.

`make bench-smoke` compares; `make bench-baseline` runs it with `--record`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import counting
import figures

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"


def count() -> figures.Recorded:
    """Count all operations, in a process whose hashes are always the same."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, str(HERE / "operations.py"), str(counting.build())],
        env={**environment, "PYTHONHASHSEED": "0", "PYTHONPATH": str(HERE.parent / "python")},
        check=True,
        stdout=subprocess.PIPE,
    )
    result = json.loads(done.stdout)
    return figures.Recorded(result["versions"], figures.by_operation(result["stretches"]))


def main() -> int:
    """Record, or compare and say whether all is as recorded."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--record", action="store_true", help="record what is counted now, instead of comparing"
    )
    options = parser.parse_args()
    if platform.machine() != "x86_64":
        print(
            f"NOT COMPARED: only x86-64 lets a program step through itself, and this is {platform.machine()}."
        )
        return 0
    if options.record:
        figures.write(BASELINE, count())
        print(f"recorded in {BASELINE}")
        return 0
    if not BASELINE.exists():
        print(
            f"There is no {BASELINE} to compare with. Where all is well, run `make bench-baseline`, and commit it."
        )
        return 1
    text, is_fine = figures.compare(figures.read(BASELINE), count())
    print(text)
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
