"""A signal handler that runs while its thread waits for the right to write."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from oocmap import OOCMap

needs_timers = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")


def handle_while_waiting(m: OOCMap, held: Any, write: Callable[[], Any], handle: Callable[[], Any]) -> None:
    """Hold the right to write in another thread, which stores under `held`, until `handle` was called during `write`."""
    begun, ended = threading.Event(), threading.Event()

    def hold() -> None:
        with m.transaction() as tx:
            tx[held] = 1
            begun.set()
            ended.wait(60)

    def handler(*_: Any) -> None:
        handle()
        ended.set()

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(60)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        write()
    finally:
        signal.signal(signal.SIGALRM, before)
        thread.join()
