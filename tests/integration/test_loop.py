"""The loop that answers stops without Python: the same statistics, whoever answers."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import accel
from accel import Decision, SyscallEntryStop, Tracer
from accel.mechanisms import loop_choice, ptrace_loop
from accel.mechanisms.loop_choice import LoopChoice
from accel.mechanisms.twin_loop import next_change
from tests.support import compiled, require

COUNT = 300
GETPPID = 110
LOOPS = ("python", "numba")


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both loops in turn."""
    if request.param == "numba":
        require(importlib.util.find_spec("numba"), "numba is not installed")
    monkeypatch.setenv("ACCEL_LOOP", request.param)
    return request.param


def answered(tracer: Tracer) -> int:
    """How many stops came to no Python code but the loop's own."""
    assert tracer._run is not None
    return tracer._run.loop.tables.answered


@pytest.mark.usefixtures("loop")
def test_counting_needs_no_python() -> None:
    """A mask alone: one stop a call, all answered by the loop."""
    tracer = Tracer([compiled("getppid_loop"), str(COUNT)], mask="getppid", capture_output=True)
    assert tracer.run().stdout == b"%d\n" % os.getpid()
    getppid = tracer.statistics().calls["getppid"]
    assert (getppid.calls, getppid.stops, getppid.errors) == (COUNT, COUNT, 0)
    assert answered(tracer) == COUNT


@pytest.mark.usefixtures("loop")
def test_an_observer_of_events_leaves_calls_to_the_loop() -> None:
    """calls=False: it hears of ends, results are counted with their errors and time."""
    tracer = Tracer(["cat", "/nonexistent/file"], mask="openat", capture_output=True)
    seen: list[accel.Stop] = []
    tracer.observe(seen.append, calls=False)
    assert tracer.run().returncode == 1
    openat = tracer.statistics().calls["openat"]
    assert openat.errors >= 1
    assert openat.stops == 2 * openat.calls
    assert openat.seconds > 0
    assert answered(tracer) == openat.stops
    assert isinstance(seen[-1], accel.Exited)
    assert not any(isinstance(s, (accel.SyscallEntryStop, accel.SyscallExitStop)) for s in seen)


@pytest.mark.usefixtures("loop")
def test_an_observer_of_calls_gets_every_stop() -> None:
    """Then the loop answers none."""
    tracer = Tracer([compiled("getppid_loop"), str(COUNT)], mask="getppid", capture_output=True)
    seen: list[accel.Stop] = []
    tracer.observe(seen.append)
    tracer.run()
    assert sum(isinstance(stop, accel.SyscallExitStop) for stop in seen) == COUNT
    assert answered(tracer) == 0


@pytest.mark.usefixtures("loop")
def test_rules_with_and_without_python_live_together() -> None:
    """A handler for one call, constants for others: each call counted once."""
    script = "import os; print([(os.getppid(), os.getuid(), os.getgid()) for _ in range(100)])"
    tracer = Tracer([sys.executable, "-c", script], capture_output=True)
    tracer.decide("getppid", Decision.skip(4242))
    tracer.on_entry("getuid")(lambda _stop: Decision.skip(17))
    tracer.on_exit("getgid")(lambda _stop: 18)
    assert eval(tracer.run().stdout or b"") == [(4242, 17, 18)] * 100
    calls = tracer.statistics().calls
    assert calls["getppid"].stops == 100
    assert calls["getppid"].handler_calls == 0
    assert calls["getuid"].handler_calls >= 100
    assert calls["getgid"].stops == 2 * calls["getgid"].calls


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize(
    "words", ["spawn_kinds", "threads 8 100", "exec_from_thread", "interruptions"]
)
def test_everything_stopped_twice_behaves_as_untraced(words: str) -> None:
    """All calls inspected by the loop, across fork, clone, exec, signals and deaths."""
    program, *arguments = words.split()
    command = [compiled(program), *arguments]
    native = subprocess.run(command, capture_output=True, check=False, timeout=60)
    tracer = Tracer(command, mask="all", capture_output=True)
    tracer.observe(lambda _stop: None, calls=False)
    result = tracer.run(timeout=60)
    assert result.returncode == native.returncode
    assert len((result.stdout or b"").splitlines()) == len(native.stdout.splitlines())
    statistics = tracer.statistics()
    by_call = sum(call.stops for call in statistics.calls.values())
    kinds = statistics.stops_by_kind
    assert by_call == kinds["seccomp"] + kinds["exit"]
    assert answered(tracer) > by_call / 2


def all_stop(pid: int, but: int) -> int:
    """Wait until all threads of a process but one are in stops; return when, by CLOCK_MONOTONIC."""
    tasks = [task for task in Path(f"/proc/{pid}/task").iterdir() if task.name != str(but)]
    while not all(
        (task / "stat").read_text().rpartition(")")[2].split()[0] == "t" for task in tasks
    ):
        os.sched_yield()
    return time.monotonic_ns()


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("python", [False, True], ids=["no python", "handler"])
def test_no_thread_starves_another(python: bool) -> None:
    """All that have stopped are served before any is served a third time, whoever answers.

    wait(2) finds the first of its list that has stopped: a tracer that takes one at a time serves
    the same few for ever, which have stopped anew by then, on the other CPU.
    """
    count, first, last = 16, min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(last), compiled("fair"), str(count), "100"]
    tracer = Tracer(command, mask="getppid", placement="none")
    since: list[int] = []

    @tracer.on_entry("getpid")
    def wait_for_all(stop: SyscallEntryStop) -> Decision:
        if stop.tid == stop.pid:
            since.append(all_stop(stop.pid, stop.tid))
        return Decision.resume()

    if python:
        tracer.on_entry("getppid")(lambda _stop: Decision.resume())
    recorded = tracer.record(exits=False)
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {first})
    try:
        assert tracer.run(timeout=60).returncode == 0
    finally:
        os.sched_setaffinity(0, allowed)
    calls = recorded.array()
    served = calls["tid"][(calls["number"] == GETPPID) & (calls["entered_ns"] > since[-1])]
    assert len(served) >= 100 * count
    assert len(set(served[: 2 * count].tolist())) == count


def test_the_loop_changes_without_losing_a_stop(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every beat the other loop goes on; results and counts are exact."""
    other = LoopChoice().next_change if loop == "numba" else next_change
    beats: list[int] = []

    class Alternating(LoopChoice):
        def consider(self, answered: int) -> None:
            beats.append(answered)
            self.may_change = True
            self.next_change = next_change if len(beats) % 2 else other

    monkeypatch.setattr(ptrace_loop, "LoopChoice", Alternating)
    count = 5000
    tracer = Tracer([compiled("getppid_loop"), str(count)], capture_output=True)
    tracer.decide("getppid", Decision.inspect())
    tracer.run()
    getppid = tracer.statistics().calls["getppid"]
    assert (getppid.calls, getppid.stops) == (count, 2 * count)
    assert len(beats) > 50


def test_the_compiled_loop_takes_over_while_the_command_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Auto, no machine code yet: the twin begins, numba compiles beside, the count is exact."""
    require(importlib.util.find_spec("numba"), "numba is not installed")
    monkeypatch.setenv("ACCEL_LOOP", "auto")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(loop_choice, "_compiled", loop_choice.Compiled())
    defaults = LoopChoice.__init__.__kwdefaults__ | {"worth_compiling": 256}
    monkeypatch.setattr(LoopChoice.__init__, "__kwdefaults__", defaults)
    count = 400_000
    tracer = Tracer([compiled("getppid_loop"), str(count)], mask="getppid", capture_output=True)
    tracer.run()
    assert tracer._run is not None
    assert tracer._run.loop._choice.next_change is not next_change
    assert tracer.statistics().calls["getppid"].stops == count


def test_leaving_while_numba_is_being_loaded_is_silent(tmp_path: Path) -> None:
    """The import dies with the process; the exit status is the script's."""
    require(importlib.util.find_spec("numba"), "numba is not installed")
    script = (
        "import sys\n"
        "from accel.mechanisms.loop_choice import LoopChoice\n"
        "LoopChoice(worth_compiling=1).consider(1)\n"
        "while 'numba.core' not in sys.modules: pass\n"
        "sys.exit(5)\n"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "ACCEL_LOOP": "auto"}
    for _ in range(3):
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, check=False, env=environment)
        assert (done.returncode, done.stderr) == (5, b"")
