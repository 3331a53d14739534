"""Fixtures, Hypothesis profiles, and the seed that a run prints."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from oocmap import OOCMap, _classes

COMMON = settings(
    deadline=None,
    print_blob=True,
    database=None,  # the printed blob repeats a failure; nothing is left in the working tree
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("fast", COMMON, max_examples=100, stateful_step_count=40)
settings.register_profile("slow", COMMON, max_examples=3000, stateful_step_count=100)
settings.load_profile("fast")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed of this run, unless the command line did."""
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(secrets.randbelow(2**32))


def pytest_report_header(config: pytest.Config) -> str:
    """Say how to repeat what was generated."""
    return f"to repeat what was generated: --hypothesis-seed={config.getoption('hypothesis_seed')}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a map may be made; nothing is there yet."""
    return tmp_path / "map.ooc"


@pytest.fixture
def registry() -> Iterator[None]:
    """Forget afterwards which classes a test registered, and remember those that it forgot."""
    recipes: list[dict[Any, Any]] = [_classes.by_class, _classes.by_name]
    before = [dict(known) for known in recipes]
    yield
    for known, then in zip(recipes, before, strict=True):
        known.clear()
        known.update(then)


@pytest.fixture
def m(path: Path) -> Iterator[OOCMap]:
    """Open an empty map."""
    with OOCMap(path) as opened:
        yield opened
