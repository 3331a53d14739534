"""What a vacuum tells: how far it is, and what it did."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["VacuumProgress", "VacuumResult"]


class VacuumProgress(NamedTuple):
    """How far a vacuum is.

    Attributes
    ----------
    step : {"waiting", "marking", "sweeping", "compacting"}
        Whether it waits for another vacuum, looks for what nothing leads to, deletes that, or copies what is left.
    done : int
        How much of that step is done, in entries and records.
    total : int
        How much there is to do in that step, as far as is known.
    """

    step: Literal["waiting", "marking", "sweeping", "compacting"]
    done: int
    total: int


class VacuumResult(NamedTuple):
    """What a vacuum did.

    Attributes
    ----------
    objects : int
        How many lists, dicts, sets and byte arrays were deleted that nothing led to.
    bytes : int
        How many bytes of the file are free, or gone, that were in use before.
    size_before : int
        The size of the data file before, in bytes.
    size_after : int
        The size of the data file afterwards, in bytes.
    seconds : float
        How long it took.
    longest_wait : float
        For how many seconds it kept writers waiting without a break, at most.
    swap_wait : float
        For how many seconds it kept writers waiting to put the smaller file in the place of the other; 0 if it did not.
    """

    objects: int
    bytes: int
    size_before: int
    size_after: int
    seconds: float
    longest_wait: float
    swap_wait: float


for _class in (VacuumProgress, VacuumResult):
    # They are known, and pickled, by the name under which users import them.
    _class.__module__ = "oocmap"
