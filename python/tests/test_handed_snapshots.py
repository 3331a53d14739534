"""A snapshot that is handed to another process is the same version there, or an error, and never anything else."""

from __future__ import annotations

import copy
import hashlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from oocmap import ClosedError, OOCMap, Snapshot, SnapshotExpiredError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

ENTRIES = 1000


def fill(m: OOCMap, turn: int) -> None:
    """Overwrite everything, so that pages are used again that nobody needs."""
    with m.transaction() as tx:
        for key in range(ENTRIES):
            tx[key] = {"turn": turn, "padding": "x" * (key % 97), "list": list(range(key % 13))}


def digest(s: Any) -> str:
    """Return a digest of all entries."""
    found = hashlib.sha256()
    for key, value in s.items():
        found.update(repr((key, value.eager(deep=True))).encode())
    return found.hexdigest()


@pytest.fixture
def busy(m: OOCMap, path: Path) -> Iterator[OOCMap]:
    """Let another process commit continuously."""
    fill(m, 0)
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from oocmap import OOCMap; from test_handed_snapshots import fill\n"
        "m = OOCMap(sys.argv[1], durability='nometasync'); turn = 0\n"
        "while True: turn += 1; fill(m, turn)"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, path, os.path.dirname(__file__)])  # noqa: PTH120
    try:
        version = m.snapshot().version
        wait_for(lambda: m.snapshot().version > version + 3)
        yield m
    finally:
        writer.kill()
        writer.wait()


def wait_for(true: Any) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def receive(handed: bytes, pipe: Connection) -> None:
    """Open a snapshot; send two digests, the second when asked for it."""
    with pickle.loads(handed) as s:
        pipe.send((s.version, digest(s)))
        pipe.recv()
        pipe.send((s.version, digest(s)))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_eight_processes_have_the_same_version(busy: OOCMap, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    s = busy.snapshot()
    expected = (s.version, digest(s))
    handed = pickle.dumps(s)
    receivers = []
    for _ in range(8):
        own, theirs = context.Pipe()
        receiver = context.Process(target=receive, args=(handed, theirs))
        receiver.start()
        theirs.close()
        receivers.append((receiver, own))
    assert [own.recv() for _, own in receivers] == [expected] * 8
    s.close()
    version = busy.snapshot().version
    wait_for(lambda: busy.snapshot().version > version + 10)
    # The sender has let go of it; another process can still get it from the receivers.
    late = pickle.loads(handed)
    assert (late.version, digest(late)) == expected
    late.close()
    for _, own in receivers:
        own.send(None)
    assert [own.recv() for _, own in receivers] == [expected] * 8
    for receiver, _ in receivers:
        receiver.join(60)
        assert receiver.exitcode == 0
    with pytest.raises(SnapshotExpiredError):
        pickle.loads(handed)


SENDER = """
import os, pickle, sys, time
from oocmap import OOCMap

m = OOCMap(sys.argv[1])
s = m.snapshot()
sys.stdout.buffer.write(pickle.dumps(s))
sys.stdout.buffer.flush()
os.close(1)
time.sleep(600)
"""


def test_the_sender_is_killed_before_anyone_has_it(m: OOCMap, path: Path) -> None:
    fill(m, 0)
    sender = subprocess.Popen([sys.executable, "-c", SENDER, path], stdout=subprocess.PIPE)
    assert sender.stdout is not None
    handed = sender.stdout.read()
    sender.stdout.close()
    fill(m, 1)
    with pickle.loads(handed) as s:
        assert s[1]["turn"] == 0
    sender.send_signal(signal.SIGKILL)
    sender.wait()
    for turn in range(2, 10):
        fill(m, turn)
    with pytest.raises(SnapshotExpiredError):
        pickle.loads(handed)
    assert issubclass(SnapshotExpiredError, LookupError)


def test_the_sender_is_killed_afterwards(m: OOCMap, path: Path) -> None:
    fill(m, 0)
    sender = subprocess.Popen([sys.executable, "-c", SENDER, path], stdout=subprocess.PIPE)
    assert sender.stdout is not None
    handed = sender.stdout.read()
    sender.stdout.close()
    with pickle.loads(handed) as s:
        expected = digest(s)
        sender.send_signal(signal.SIGKILL)
        sender.wait()
        for turn in range(1, 20):
            fill(m, turn)
        assert digest(s) == expected
        assert s[1]["turn"] == 0


def test_the_newest_version_needs_nobody(m: OOCMap) -> None:
    m["a"] = [1]
    s = m.snapshot()
    handed = pickle.dumps(s)
    s.close()
    with pickle.loads(handed) as again:
        assert again["a"] == [1]
        m["a"] = 2
        assert again["a"] == [1]
        with pytest.raises(OSError, match="snapshot"):
            again["a"] = 3


def test_in_one_process(m: OOCMap) -> None:
    m["a"] = [1]
    with m.snapshot() as s:
        m["a"] = 2
        for again in (pickle.loads(pickle.dumps(s)), copy.copy(s), copy.deepcopy(s)):
            assert type(again) is Snapshot
            assert again.version == s.version
            assert again == {"a": [1]}
            again.close()
        assert s["a"] == [1]
    with pytest.raises(ClosedError):
        pickle.dumps(s)


def test_another_file_under_the_same_name(m: OOCMap, path: Path) -> None:
    """A file that was made anew can have the same inode and the same number of commits."""
    m["a"] = 1
    handed = pickle.dumps(m.snapshot())
    m.close()
    for beside in path.parent.iterdir():
        beside.unlink()
    with OOCMap(path) as other:
        other["a"] = 2
        with pytest.raises(SnapshotExpiredError):
            pickle.loads(handed)


def test_bytes_that_name_nothing(m: OOCMap) -> None:
    from oocmap._oocmap import follow

    m["a"] = 1
    reduced: Any = m.snapshot().__reduce__()
    handed: bytes = reduced[1][2]
    for wrong in (b"", handed[:-1], handed + b"x", b"\xff" * len(handed)):
        with pytest.raises((SnapshotExpiredError, TypeError, OSError)):
            follow(m, wrong)
    with follow(m, handed) as s:
        assert s["a"] == 1


def test_versions_come_and_go_in_many_threads(busy: OOCMap) -> None:
    """Hands versions over between threads while they let go of them at the same moment."""
    raised: list[BaseException] = []
    opened = expired = 0

    def work() -> None:
        nonlocal opened, expired
        try:
            for _ in range(150):
                s = busy.snapshot()
                handed, expected = pickle.dumps(s), s[7]["turn"]
                closer = threading.Thread(target=s.close)
                closer.start()
                try:
                    with pickle.loads(handed) as again:
                        opened += 1
                        assert {again[key]["turn"] for key in range(0, ENTRIES, 50)} == {expected}
                except SnapshotExpiredError:
                    expired += 1
                closer.join()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    assert opened > 0
    print(opened, "opened,", expired, "expired")


def test_what_a_snapshot_holds_is_seen_by_others(m: OOCMap) -> None:
    m["a"] = 1
    with m.snapshot():
        m["a"] = 2
        m["a"] = 3
        readers = m.stats()["readers"]
        oldest = max(readers, key=lambda reader: reader["behind"])
        assert oldest["behind"] == 2
        assert oldest["pid"] == os.getpid()
        assert oldest["thread"] == threading.get_native_id()
        assert oldest["age"] is not None
        time.sleep(0.01)
        again = max(m.stats()["readers"], key=lambda reader: reader["behind"])
        assert again["age"] is not None
        assert again["age"] > oldest["age"]
