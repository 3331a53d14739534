"""Commits what was deferred when a process of `multiprocessing` ends, which runs no other hooks."""

from __future__ import annotations

from oocmap._oocmap import flush_all

__all__ = ["arrange"]


class _Anchor:
    """What the hook for forked children is registered for."""


_anchor: _Anchor | None = None


def arrange() -> None:
    """Arrange it, once for this process and its children."""
    global _anchor
    if _anchor is not None:
        return
    _anchor = _Anchor()
    from multiprocessing import util

    def finalize(_: object) -> None:
        util.Finalize(None, flush_all, exitpriority=0)

    # A child forgets the finalizers of its parent, and this when it has begun.
    util.register_after_fork(_anchor, finalize)
    finalize(None)
