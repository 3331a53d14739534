"""What is stored and read: the same for every engine, and the same in every run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, TypeAlias

SEED = 20240229
REPEATED = 100
"""How many different texts there are among those that repeat."""

Pair: TypeAlias = tuple[int, Any]


def small(number: int) -> str:
    """Return a small value."""
    return f"value number {number}"


def document(number: int) -> dict[str, Any]:
    """Return a nested document of about 60 leaves and 1 KB."""
    return {
        "id": number,
        "user": {
            "name": f"user {number}",
            "mail": f"user{number}@example.org",
            "roles": ["reader", "editor"],
            "address": {
                "street": f"{number} Main Street",
                "city": "Springfield",
                "geo": [51.5 + number, -0.12],
            },
        },
        "items": [
            {"sku": f"sku-{number}-{n}", "count": n, "price": n * 1.25, "tags": ["a", f"t{n}"]}
            for n in range(10)
        ],
        "active": bool(number % 2),
        "note": None,
    }


def repeated(number: int) -> str:
    """Return a text of 400 bytes of which there are only a hundred different ones."""
    return f"{number % REPEATED:04d}" * 100


def page(number: int) -> str:
    """Return a text of 4,000 bytes of its own, as much as fits a page of LMDB."""
    return f"{number:010d}" * 400


KINDS = {"small": small, "documents": document, "repeated": repeated, "pages": page}


def pairs(kind: str, count: int, *, ascending: bool = False) -> Iterator[Pair]:
    """Generate the entries of a kind, in random order or in that of the keys."""
    value = KINDS[kind]
    for number in range(count) if ascending else shuffled(count):
        yield number, value(number)


def shuffled(count: int) -> list[int]:
    """Return the numbers up to a count, in random order."""
    numbers = list(range(count))
    random.Random(SEED).shuffle(numbers)
    return numbers


def random_keys(count: int, reads: int) -> list[int]:
    """Return keys to read."""
    chance = random.Random(SEED + 1)
    return [chance.randrange(count) for _ in range(reads)]


def numbers(count: int) -> list[int]:
    """Return the elements of the long list, in no order."""
    chance = random.Random(SEED + 2)
    return [chance.randrange(1 << 40) for _ in range(count)]
