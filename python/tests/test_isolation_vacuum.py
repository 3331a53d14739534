"""Transactions stay strictly serialisable while another process vacuums in a loop and swaps the file under them."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from isolation_runs import recorded

if TYPE_CHECKING:
    from pathlib import Path

TRANSACTIONS = int(os.environ.get("OOCMAP_TRANSACTIONS", "200000")) // 10
PROCESSES = 4


def test_every_history_has_an_order_while_the_file_is_swapped(tmp_path: Path) -> None:
    history = recorded(tmp_path, "nometasync", PROCESSES, TRANSACTIONS, vacuums=True)
    kinds = Counter(record.kind for record in history.records)
    report = history.check()
    print(f"{dict(kinds)}; {history.swaps} swaps; at most {report.widest} outcomes were possible at once")
    assert report.anomalies == []
    assert kinds["vacuum"] > 10
    assert history.swaps > kinds["vacuum"] // 4
