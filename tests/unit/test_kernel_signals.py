"""The signals that a thread of this process is deaf to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from signal import SIGCHLD, SIGRTMIN, SIGTERM

from accel._kernel import signals

#: Of a mask in /proc: those that nobody can block (SIGKILL, SIGSTOP), and libc's own.
UNBLOCKABLE = {9, 19}
OF_LIBC = set(range(32, SIGRTMIN))
ALL = set(range(1, 65)) - UNBLOCKABLE


def blocked_now() -> set[int]:
    """Tell what the calling thread blocks, as the kernel sees it."""
    lines = Path("/proc/thread-self/status").read_text().splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigBlk:"))
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def in_a_thread(work: Callable[[], object]) -> None:
    """Do it where it hurts nobody; raise what it raises."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def test_all_signals_are_blocked_but_one_and_those_of_libc() -> None:
    """setuid(2) makes every thread handle one of libc's: it would wait for ever."""

    def check() -> None:
        signals.block(but=SIGCHLD)
        assert blocked_now() == ALL - OF_LIBC - {SIGCHLD}
        signals.block(but=SIGTERM)
        assert blocked_now() == ALL - OF_LIBC

    in_a_thread(check)


def test_all_signals_are_blocked_for_a_while() -> None:
    """What was blocked before is blocked afterwards, and nothing else, whatever happens."""

    def check() -> None:
        signals.block(but=SIGTERM)
        before = blocked_now()
        with signals.blocked():
            assert blocked_now() == ALL
        assert blocked_now() == before
        with contextlib.suppress(KeyError), signals.blocked():
            del {}["nothing"]
        assert blocked_now() == before

    in_a_thread(check)
