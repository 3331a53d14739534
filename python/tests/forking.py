"""Children that are forked to do something, and have to come to a good end by themselves."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def forked(work: Callable[[], Any], patience: int) -> int:
    """Run `work` in a forked child, which is killed when it takes more than so many seconds; return its number."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(patience)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


def expect_success(child: int) -> None:
    """Wait for a child, which has to have done its work."""
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
