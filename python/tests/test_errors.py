"""Every exception is an `oocmap.Error`, and also what Python itself would raise there."""

from __future__ import annotations

import builtins
import io
import pickle

import oocmap
import pytest

BASES: dict[str, tuple[type[BaseException], ...]] = {
    "Error": (Exception,),
    "MapFullError": (oocmap.Error, OSError),
    "CorruptedError": (oocmap.Error, OSError),
    "FormatError": (oocmap.Error, OSError),
    "LockTimeoutError": (oocmap.Error, TimeoutError),
    "ReadOnlyError": (oocmap.Error, io.UnsupportedOperation),
    "StaleObjectError": (oocmap.Error, ReferenceError),
    "TransactionClosedError": (oocmap.Error, ValueError),
    "ClosedError": (oocmap.Error, ValueError),
    "TransactionError": (oocmap.Error, RuntimeError),
    "SnapshotExpiredError": (oocmap.Error, LookupError),
    "CommitOutcomeUnknownError": (oocmap.Error, OSError),
    "UnsupportedTypeError": (oocmap.Error, TypeError, ValueError),
    "UnsafePickleError": (oocmap.Error, ValueError),
}


@pytest.mark.parametrize("name", BASES)
def test_has_the_bases_that_are_documented(name: str) -> None:
    error = getattr(oocmap, name)
    assert error.__bases__ == BASES[name]
    assert error.__name__ == name
    assert error.__module__ == "oocmap"
    assert name in oocmap.__all__
    assert error.__doc__


@pytest.mark.parametrize("name", BASES)
def test_travels_between_processes(name: str) -> None:
    error = getattr(oocmap, name)("what happened")
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error)
    assert copied.args == error.args


def test_nothing_else_is_an_exception() -> None:
    found = {
        name
        for name in dir(oocmap)
        if isinstance(getattr(oocmap, name), type) and issubclass(getattr(oocmap, name), BaseException)
    }
    assert found == {*BASES, "HeldBackWarning", "VacuumWarning"}
    assert not found & set(dir(builtins))
