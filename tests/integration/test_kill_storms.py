"""SIGKILL at random moments, to traced and tracer: nobody stays behind, no line is torn."""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.strace_comparison import ACCEL, environment
from tests.support import compiled

RUNS = 100
#: Far above what a run takes; one that reaches it hangs.
LIMIT_SECONDS = 30
#: How long the crowd works: longer than the killer waits.
ROUNDS = 16
#: From the first sign of the crowd to the kill of a member, at most.
MEMBER_LIVES_SECONDS = 0.06
#: From accel's start, or from the first sign of the crowd, to accel's own, at most.
TRACER_LIVES_SECONDS = 0.2

MASK = "getppid,openat,%process,rt_sigprocmask"

_PR_SET_CHILD_SUBREAPER = 36
_WALL = 0x40000000


@pytest.fixture(autouse=True)
def subreaper() -> Iterator[None]:
    """Make orphans of the runs children of this process, so that none can hide."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@contextmanager
def limited(what: str) -> Iterator[None]:
    """Interrupt what hangs; then whoever is left is killed, too."""

    def give_up(_signal: int, _frame: object) -> None:
        raise TimeoutError(what)

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def crowd_under_accel(log: Path, *, rounds: int = ROUNDS) -> subprocess.Popen[bytes]:
    """Start the crowd under accel."""
    options = ["-e", f"trace={MASK}", "--json", "-o", str(log), "--"]
    return subprocess.Popen(
        [*ACCEL, *options, compiled("crowd"), str(rounds)],
        stdout=subprocess.PIPE,
        env=environment(log.parent),
    )


def nobody_is_left(accel: subprocess.Popen[bytes]) -> bytes:
    """Wait until all tracees and all other descendants have ended; return what they still wrote."""
    assert accel.stdout is not None
    with limited("somebody still holds the crowd's standard output"):
        # Every member holds the pipe: it ends with the last of them.
        rest = accel.stdout.read()
    accel.stdout.close()
    with limited("accel has not ended, but its tracees have"):
        accel.wait()
    with limited("accel has ended, but not all that it had started"):
        try:
            while True:
                os.waitpid(-1, _WALL)
        except ChildProcessError:
            return rest


def whole_lines(log: Path) -> tuple[list[dict[str, object]], bytes]:
    """Parse every line that ends; return them with what follows the last end of line."""
    text = log.read_bytes() if log.exists() else b""
    *lines, rest = text.split(b"\n")
    return [json.loads(line) for line in lines], rest


def test_a_crowd_that_lives_is_traced_to_its_end(tmp_path):
    """What the storms below interrupt: without them everything is seen and nobody is left."""
    log = tmp_path / "log"
    accel = crowd_under_accel(log)
    assert len(nobody_is_left(accel).split()) == 3
    records, rest = whole_lines(log)
    assert accel.returncode == 0
    assert rest == b""
    # Three processes of three threads, and two grandchildren of three processes in every 16 rounds.
    calls = [record for record in records if record.get("name") == "getppid"]
    assert len(calls) == 9 * ROUNDS


def test_members_killed_at_random_moments(tmp_path):
    """The rest runs on, everything ends, and every line of the log is whole."""
    luck = random.Random(2008)
    log = tmp_path / "log"
    statuses = set()
    for _run in range(RUNS):
        accel = crowd_under_accel(log)
        assert accel.stdout is not None
        root = int(accel.stdout.readline())
        victim = kill_a_member(luck, root, accel)
        nobody_is_left(accel)
        if victim in (root, -root):
            # As the command did: by the same signal.
            assert accel.returncode in (0, -signal.SIGKILL)
        else:
            assert accel.returncode == 0
        statuses.add(accel.returncode)
        records, rest = whole_lines(log)
        assert records
        assert rest == b""
    # A storm that never killed anybody in time would prove nothing.
    assert -signal.SIGKILL in statuses


def kill_a_member(luck: random.Random, root: int, accel: subprocess.Popen[bytes]) -> int:
    """Kill the crowd's first process, another one, or all at once, after a random time."""
    assert accel.stdout is not None
    others = [int(accel.stdout.readline()) for _other in range(luck.randrange(3))]
    # The crowd is the process group of its first member.
    victim = luck.choice([root, *others, -root])
    # The moment is the point: it must not depend on what the tracer or the crowd does.
    time.sleep(luck.random() * MEMBER_LIVES_SECONDS)
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        # Already over; it may not be a zombie either, for its parent waits for it.
        return 0
    return victim


def test_accel_killed_at_random_moments(tmp_path):
    """No tracee outlives it, and at most the last line of the log is torn."""
    luck = random.Random(1999)
    log = tmp_path / "log"
    interrupted = 0
    for run in range(RUNS):
        log.unlink(missing_ok=True)
        accel = crowd_under_accel(log, rounds=100_000)
        assert accel.stdout is not None
        if run % 2:
            # While it traces; else while it starts, too.
            accel.stdout.readline()
        time.sleep(luck.random() * TRACER_LIVES_SECONDS)
        accel.kill()
        nobody_is_left(accel)
        assert accel.returncode == -signal.SIGKILL
        records, _torn = whole_lines(log)
        interrupted += bool(records)
    # A storm that always came before the first line would prove nothing.
    assert interrupted
