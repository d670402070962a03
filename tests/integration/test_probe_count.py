"""The kernel's counts against those that programs and tracers know themselves."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from accel import Decision, Tracer
from accel._kernel import ptrace
from bpf import Arch, ProbesUnavailable
from bpf.probes import Count, Counts
from tests.support import compiled, require, require_program

CALLS = 1234
GETPPID, WAIT4, EXIT_GROUP = 110, 61, 231
I386_GETPPID = 64


@pytest.fixture
def count() -> Iterator[Count]:
    """A count that nobody is followed by yet."""
    try:
        counting = Count()
    except ProbesUnavailable as error:
        require(False, str(error))
        raise
    with counting:
        yield counting
        assert counting.read().lost == 0


@contextlib.contextmanager
def waiting(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a shell that executes ``command`` when standard input ends."""
    script = 'echo ready; read line; exec "$0" "$@"'
    with subprocess.Popen(
        ["sh", "-c", script, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        yield program


def run(count: Count, *command: str, status: int = 0) -> bytes:
    """Follow a command from its execve on; return what it printed."""
    with waiting(command) as program:
        count.follow(program.pid)
        printed, _ = program.communicate()
    assert program.returncode == status
    return printed


def made(counts: Counts, number: int, arch: Arch = Arch.X86_64) -> int:
    return counts.system_calls.get((arch, number), 0)


# ------------------------------------------------------------------------------- system calls


def test_the_calls_of_a_program_are_counted_by_number(count: Count) -> None:
    """As many as it makes, and no tracer is seen where there is none."""
    run(count, compiled("getppid_loop"), str(CALLS))
    counts = count.read()
    assert made(counts, GETPPID) == CALLS
    assert made(counts, EXIT_GROUP) == 1
    assert counts.total_system_calls == sum(counts.system_calls.values()) > CALLS
    assert (counts.tracees, counts.stops, counts.signalled_stops) == (1, 0, 0)
    assert counts.notifications is counts.tracer_migrations is None
    assert counts.tracer_context_switches is None


def test_calls_of_32_bit_programs_have_their_own_numbers(count: Count) -> None:
    """What the number would be on x86_64 is another call."""
    run(count, compiled("getppid_loop", "-m32"), str(CALLS))
    counts = count.read()
    assert made(counts, I386_GETPPID, Arch.I386) == CALLS
    assert made(counts, GETPPID) == made(counts, I386_GETPPID) == 0


def test_threads_are_followed_and_lose_no_call(count: Count) -> None:
    """Eight of them count at the same time, on whatever CPU they are."""
    run(count, compiled("threads"), "8", "2000")
    counts = count.read()
    assert made(counts, GETPPID) == 8 * 2001
    assert counts.tracees == 1 + 8


def test_threads_that_ran_before_are_followed_too(count: Count) -> None:
    """All of a process: also those that wait, in a call that is not counted any more."""
    script = (
        "import os, sys, threading\n"
        "reading, writing = os.pipe()\n"
        "def work():\n"
        "    os.read(reading, 1)\n"
        "    for _ in range(500): os.getppid()\n"
        "threads = [threading.Thread(target=work) for _ in range(6)]\n"
        "for thread in threads: thread.start()\n"
        "print('ready', flush=True); sys.stdin.read()\n"
        "os.write(writing, b'123456')\n"
        "for thread in threads: thread.join()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        count.follow(program.pid)
        program.communicate()
    counts = count.read()
    assert made(counts, GETPPID) == 6 * 500
    assert counts.tracees == 1 + 6


def test_every_fork_of_a_storm_is_followed(count: Count) -> None:
    """Four parents at once, whose children end at once: none is lost, and none counted twice."""
    storm = compiled("forks_many")
    run(count, "sh", "-c", 'for i in 1 2 3 4; do "$0" 500 >/dev/null & done; wait', storm)
    counts = count.read()
    assert counts.tracees == 1 + 4 + 4 * 500
    assert made(counts, EXIT_GROUP) == counts.tracees
    assert made(counts, WAIT4) >= 4 * 500


def test_a_thread_that_executes_a_program_stays_in_the_tree(count: Count) -> None:
    """It takes its leader's tid, and all other threads vanish."""
    printed = run(count, compiled("exec_from_thread"), status=7)
    assert printed == b"same process: yes\nleader: yes\n"
    counts = count.read()
    assert (made(counts, GETPPID), made(counts, EXIT_GROUP), counts.tracees) == (1, 1, 1 + 4)


def test_other_processes_are_not_counted(count: Count) -> None:
    """Neither those that ran before, nor what this process starts unless it is followed."""
    others = [
        subprocess.Popen([compiled("getppid_loop"), "100000"], stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    run(count, "true")
    assert [other.wait() for other in others] == [0, 0]
    counts = count.read()
    assert made(counts, GETPPID) == 0
    assert counts.tracees == 1


def test_a_reset_begins_at_zero_and_the_end_of_the_block_keeps_the_counts(count: Count) -> None:
    """What was followed stays followed."""
    program = compiled("getppid_loop")
    count.follow_tracer(os.getpid())
    subprocess.run([program, "100"], stdout=subprocess.DEVNULL, check=True)
    assert made(count.read(), GETPPID) == 100
    count.reset()
    counts = count.read()
    assert (dict(counts.system_calls), counts.stops, counts.tracees) == ({}, 0, 0)
    subprocess.run([program, "23"], stdout=subprocess.DEVNULL, check=True)
    count.close()
    subprocess.run([program, "1000"], stdout=subprocess.DEVNULL, check=True)
    assert made(count.read(), GETPPID) == 23
    count.close()


def test_a_process_that_is_not_there_cannot_be_followed(count: Count) -> None:
    """The error says which."""
    with subprocess.Popen(["true"]) as program:
        pass
    with pytest.raises(ProcessLookupError, match=f"no process {program.pid}"):
        count.follow(program.pid)


# ------------------------------------------------------------------------------- stops


def resume(tracer: Tracer) -> None:
    """SKIPEXIT: stop before getppid."""
    tracer.on_entry("getppid")(lambda _stop: Decision.resume())


def skip(tracer: Tracer) -> None:
    """SKIPCALL: stop before getppid, and instead of it."""
    tracer.on_entry("getppid")(lambda _stop: Decision.skip(1))


def inspect(tracer: Tracer) -> None:
    """Stop before getppid and after it."""
    tracer.on_exit("getppid")(lambda _stop: None)


DECISIONS = [(resume, 1), (skip, 1), (inspect, 2)]


@pytest.mark.parametrize("mechanism", ["seccomp-trace", "ptrace-syscall"])
@pytest.mark.parametrize(("configure", "per_call"), DECISIONS)
def test_the_kernel_counts_the_stops_of_the_tracer(
    count: Count, configure: Callable[[Tracer], None], per_call: int, mechanism: str
) -> None:
    """By the sleep of the tracee and by the tracer's SIGCHLD; for every call, where all stop."""
    tracer = Tracer(
        [compiled("getppid_loop"), str(CALLS)],
        capture_output=True,
        mechanism=mechanism,  # type: ignore[arg-type]
    )
    configure(tracer)
    count.follow_tracer(os.getpid())
    tracer.run()
    counts = count.read()
    assert counts.stops == counts.signalled_stops == counts.told_stops
    assert counts.told_stops == tracer.statistics().stops
    if mechanism == "seccomp-trace":
        assert counts.stops == per_call * CALLS + 2
    else:
        assert counts.stops > 2 * CALLS
    assert made(counts, GETPPID) == (0 if configure is skip else CALLS)
    assert counts.tracer_context_switches is not None
    assert counts.tracer_context_switches > 0


def test_a_call_that_is_made_minus_one_is_counted_as_that(count: Count) -> None:
    """The kernel looks for the call -1, where a tracer that stops at all calls has left one out."""
    tracer = Tracer(
        [compiled("getppid_loop"), "100"], mechanism="ptrace-syscall", capture_output=True
    )
    skip(tracer)
    count.follow_tracer(os.getpid())
    tracer.run()
    assert made(count.read(), -1) == 100


def test_stops_of_signals_events_and_job_control_are_counted(count: Count) -> None:
    """Every kind of stop, in many processes; a group-stop is signalled otherwise."""
    script = "for i in 1 2 3; do ls / | cat | wc; done; (kill -STOP $$; kill -CONT $$) & wait"
    tracer = Tracer(["bash", "-c", script], mask="openat,write", capture_output=True)
    tracer.observe(lambda _stop: None)
    count.follow_tracer(os.getpid())
    tracer.run()
    statistics, counts = tracer.statistics(), count.read()
    assert {"seccomp", "exit", "event", "signal"} <= statistics.stops_by_kind.keys()
    assert counts.stops == counts.signalled_stops == counts.told_stops == statistics.stops
    assert counts.tracees >= statistics.tracees


def test_the_stops_of_an_untraced_job_are_none(count: Count) -> None:
    """Its parent gets the same SIGCHLD as a tracer at a group-stop."""
    with waiting(["sh", "-c", "kill -STOP $$"]) as program:
        assert program.stdin is not None
        count.follow(program.pid)
        program.stdin.close()
        _, status = os.waitpid(program.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        program.send_signal(signal.SIGCONT)
    counts = count.read()
    assert (counts.stops, counts.signalled_stops, counts.tracees) == (0, 0, 1)


def test_the_stops_of_another_tracer_are_counted(count: Count) -> None:
    """strace's, which is followed as what it is: its command is the tracee."""
    command = [require_program("strace"), "-o", os.devnull, compiled("getppid_loop"), "1000"]
    with waiting(command) as strace:
        count.follow_tracer(strace.pid)
        strace.communicate()
    counts = count.read()
    assert counts.stops == counts.signalled_stops == counts.told_stops
    assert made(counts, GETPPID) == 1000
    assert counts.stops > 2000
    assert counts.tracer_context_switches
    assert counts.tracees >= 1


@pytest.mark.parametrize("waits", ["waitpid", "waitid", ""])
def test_stops_that_a_kill_ends_before_the_tracer_knew_are_told_apart(
    count: Count, waits: str
) -> None:
    """Their tracer cannot count them, and is not to blame."""
    count.follow_tracer(os.getpid())
    with waiting(["sh", "-c", "kill -USR1 $$"]) as program:
        ptrace.seize(program.pid, ptrace.PTRACE_O_EXITKILL)
        assert program.stdin is not None
        program.stdin.close()
        if waits == "waitpid":
            _, status = os.waitpid(program.pid, 0)
            assert os.WSTOPSIG(status) == signal.SIGUSR1
        elif waits == "waitid":
            change = os.waitid(os.P_PID, program.pid, os.WSTOPPED)
            assert change is not None
            assert (change.si_code, change.si_status) == (os.CLD_TRAPPED, signal.SIGUSR1)
        else:
            while state(program.pid) != "t":
                os.sched_yield()
        subprocess.run(["sh", "-c", f"kill -KILL {program.pid}"], check=True)
    counts = count.read()
    assert program.returncode == -signal.SIGKILL
    assert (counts.stops, counts.signalled_stops) == (1, 1)
    assert counts.told_stops == (1 if waits else 0)


def state(pid: int) -> str:
    """Ask for the state of a process; proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


# ------------------------------------------------------------------------------- notifications


def test_user_notifications_are_counted_where_they_are_received(count: Count) -> None:
    """By a tracer that is followed; no stop comes of them, and the calls are not made."""
    with subprocess.Popen([compiled("notified"), "500"], stdin=subprocess.PIPE) as program:
        count.follow_tracer(program.pid)
        program.communicate()
    assert program.returncode == 0
    counts = count.read()
    assert (counts.notifications, counts.stops, made(counts, GETPPID)) == (500, 0, 0)


def test_the_tracers_notifications_are_those_that_the_kernel_counts(count: Count) -> None:
    """Mechanism user-notify takes no stop."""
    tracer = Tracer([compiled("getppid_loop"), "500"], mechanism="user-notify", capture_output=True)
    skip(tracer)
    count.follow_tracer(os.getpid())
    tracer.run()
    statistics, counts = tracer.statistics(), count.read()
    assert counts.notifications == statistics.notifications == 500
    assert counts.stops == statistics.stops == 0


def test_observing_takes_no_stop(count: Count) -> None:
    """And tells of as many calls as the kernel has counted."""
    tracer = Tracer([compiled("getppid_loop"), "500"], mask="all", mechanism="observe",
                    stdout=subprocess.DEVNULL)  # fmt: skip
    tracer.observe(lambda _stop: None, calls=False)
    count.follow_tracer(os.getpid())
    tracer.run()
    statistics, counts = tracer.statistics(), count.read()
    assert counts.stops == counts.signalled_stops == statistics.stops == 0
    assert statistics.calls["getppid"].calls == made(counts, GETPPID) == 500


# ------------------------------------------------------------------------------- switches


def test_context_switches_are_those_of_the_kernels_own_count(count: Count) -> None:
    """getrusage(2) has all but that which ends a process."""
    script = "for i in 1 2 3 4 5; do ls | cat; done"
    count.follow_tracer(os.getpid())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["sh", "-c", script], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    counts = count.read()
    switched = sum(
        getattr(after, name) - getattr(before, name) for name in ("ru_nvcsw", "ru_nivcsw")
    )
    assert 0 < switched <= counts.context_switches <= switched + counts.tracees


def test_moves_to_another_cpu_are_counted(count: Count) -> None:
    """A program that is bound to one CPU and then to another moves each time."""
    require(len(os.sched_getaffinity(0)) > 1, "moving takes two CPUs")
    script = (
        "import os, sys\n"
        "first, second, *_ = os.sched_getaffinity(0)\n"
        "os.sched_setaffinity(0, [first])\n"
        "print('ready', flush=True); sys.stdin.read()\n"
        "for _ in range(50):\n"
        "    os.sched_setaffinity(0, [second])\n"
        "    os.sched_setaffinity(0, [first])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        count.follow(program.pid)
        program.communicate()
    assert count.read().migrations == 100


# ------------------------------------------------------------------------------- kills


@pytest.mark.parametrize("loop", ["python", "numba"])
@pytest.mark.parametrize("mechanism", ["seccomp-trace", "ptrace-syscall", "exit-event"])
def test_the_tracer_counts_every_stop_that_it_was_told_of_while_threads_are_killed(
    count: Count, monkeypatch: pytest.MonkeyPatch, mechanism: str, loop: str
) -> None:
    """An exit_group ends sixteen threads in stops, or on their way there: the kernel has more."""
    monkeypatch.setenv("ACCEL_LOOP", loop)
    count.follow_tracer(os.getpid())
    for _ in range(5):
        count.reset()
        tracer = Tracer(
            [compiled("threads"), "16", "100000", "3"],
            mask="getppid",
            mechanism=mechanism,  # type: ignore[arg-type]
        )
        if mechanism == "exit-event":
            tracer.decide("getppid", Decision.exit_only())
        tracer.observe(lambda _stop: None)
        assert tracer.run().returncode == 3
        counts = count.read()
        assert tracer.statistics().stops == counts.told_stops
        assert counts.stops >= counts.told_stops
        assert counts.signalled_stops >= counts.stops
