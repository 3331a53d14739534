"""Money moves between accounts deep inside objects, writers are killed, and every version has all of it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from oocmap import OOCMap

if TYPE_CHECKING:
    from pathlib import Path

SPAWN = multiprocessing.get_context("spawn")
BRANCHES = 20
ACCOUNTS = 50
START = 100
TOTAL = BRANCHES * ACCOUNTS * START
WRITERS = 4
SECONDS = float(os.environ.get("OOCMAP_BANK_SECONDS", "20"))


class Overdrawn(Exception):  # noqa: N818
    """What undoes a transfer."""


def branch(number: int) -> dict[str, Any]:
    """Return a branch: some have their accounts in a list of dicts, the others in a dict of lists."""
    if number % 2:
        return {"accounts": [{"balance": START, "moves": 0} for _ in range(ACCOUNTS)]}
    return {"accounts": {f"no {account}": [START, 0] for account in range(ACCOUNTS)}}


def find(bank: Any, number: int, account: int) -> tuple[Any, Any, Any]:
    """Return an account, with the names of its balance and of its number of moves."""
    accounts = bank["branch", number]["accounts"]
    if number % 2:
        return accounts[account], "balance", "moves"
    return accounts[f"no {account}"], 0, 1


def transfer(bank: Any, chance: random.Random) -> None:
    """Move money in two steps; the second may be refused when the first is done."""
    ends = [(chance.randrange(BRANCHES), chance.randrange(ACCOUNTS)) for _ in range(2)]
    (target, balance, moves), (source, source_balance, source_moves) = (find(bank, *end) for end in ends)
    amount = chance.randint(1, 60)
    target[balance] += amount
    target[moves] += 1
    if source[source_balance] < amount:
        raise Overdrawn
    source[source_balance] -= amount
    source[source_moves] += 1
    bank["transfers"] += 1


def write(path: str, seed: int, running: ctypes.c_bool) -> None:
    """Move money until it is over."""
    chance = random.Random(seed)
    with OOCMap(path, durability="nometasync") as m:
        while running.value:
            try:
                with m.transaction() as tx:
                    for _ in range(chance.randint(0, 2)):
                        try:
                            with tx.transaction() as nested:
                                transfer(nested, chance)
                        except Overdrawn:
                            pass
                    transfer(tx, chance)
            except Overdrawn:
                pass


def count(source: Any) -> tuple[int, int, int]:
    """Return the sum of all balances, of all moves, and the number of transfers."""
    money = moves = 0
    for key, value in source.items():
        if key == "transfers":
            transfers = value
            continue
        accounts = value["accounts"]
        if key[1] % 2:
            for account in accounts:
                money += account["balance"]
                moves += account["moves"]
        else:
            for balance, times in accounts.values():
                money += balance
                moves += times
    return money, moves, transfers


def audit(path: str, running: ctypes.c_bool, told: Any) -> None:
    """Sum up one snapshot after the other, and tell how many there were and which of them were wrong."""
    wrong, times, before = [], 0, 0
    with OOCMap(path, readonly=True) as m:
        while running.value or not times:
            with m.snapshot() as s:
                money, moves, transfers = count(s)
            times += 1
            if (money, moves) != (TOTAL, 2 * transfers) or transfers < before:
                wrong.append((money, moves, transfers, before))
            before = transfers
    told.send((times, wrong))


def test_no_money_is_made_or_lost(m: OOCMap, path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with m.transaction() as tx:
        for number in range(BRANCHES):
            tx["branch", number] = branch(number)
        tx["transfers"] = 0
    # Not an event: whoever is killed while looking at one leaves it locked for ever.
    running = SPAWN.RawValue(ctypes.c_bool, True)

    def writer() -> Any:
        process = SPAWN.Process(target=write, args=(str(path), chance.randrange(2**32), running))
        process.start()
        return process

    hear, tell = SPAWN.Pipe(duplex=False)
    auditor = SPAWN.Process(target=audit, args=(str(path), running, tell))
    auditor.start()
    writers = [writer() for _ in range(WRITERS)]
    kills = sums = 0
    now = next_kill = time.monotonic()
    over = now + SECONDS
    with ThreadPoolExecutor(2) as pool:
        while (now := time.monotonic()) < over or m["transfers"] < 1000 or kills < 10:
            with m.snapshot() as s:
                first, second = pool.map(count, [s, s])
                assert first == second == count(s)
                assert (first[0], first[1]) == (TOTAL, 2 * first[2])
            sums += 1
            if now > next_kill:
                next_kill = now + chance.random() * 0.5
                victim = chance.randrange(WRITERS)
                before = m["transfers"]
                writers[victim].kill()
                writers[victim].join()
                assert writers[victim].exitcode == -signal.SIGKILL
                kills += 1
                patience = time.monotonic() + 60
                while m["transfers"] == before:  # the others go on
                    assert time.monotonic() < patience, "nobody writes any more"
                    time.sleep(0.001)
                writers[victim] = writer()
    running.value = False
    for process in writers:
        process.join(60)
        assert process.exitcode == 0
    times, wrong = hear.recv()
    auditor.join(60)
    assert auditor.exitcode == 0
    assert wrong == []
    assert m.check() == []
    money, moves, transfers = count(m)
    print(f"{transfers} transfers, {kills} kills, {sums} sums here and {times} there")
    assert (money, moves) == (TOTAL, 2 * transfers)
    assert times > 1
