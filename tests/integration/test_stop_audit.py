"""accel's counters against two that know nothing of accel: the kernel's, and strace's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from accel import Decision, Tracer
from bench.audit import AuditUnavailable, KernelStopCount
from tests.support import compiled, require, require_program

CALLS = 1234
INSTANCES = Path("/sys/kernel/tracing/instances")


def skip_exit(tracer: Tracer) -> None:
    """Stop before getppid."""
    tracer.on_entry("getppid")(lambda _stop: Decision.resume())


def skip_call(tracer: Tracer) -> None:
    """Stop before getppid, and instead of it."""
    tracer.on_entry("getppid")(lambda _stop: Decision.skip(1))


def inspect(tracer: Tracer) -> None:
    """Stop before getppid and after it."""
    tracer.on_exit("getppid")(lambda _stop: None)


def skip_and_inspect(tracer: Tracer) -> None:
    """Stop before getppid, leave it out, and stop where it would have ended."""
    tracer.on_entry("getppid")(lambda _stop: Decision.skip(1, inspect=True))


@pytest.mark.parametrize(
    ("configure", "stops"),
    [(skip_exit, 1), (skip_call, 1), (inspect, 2), (skip_and_inspect, 2)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_kernel_counts_as_many_stops_as_the_tracer(
    count: KernelStopCount, configure: Callable[[Tracer], None], stops: int
) -> None:
    """SKIPEXIT and SKIPCALL take exactly one stop, an exit-stop exactly two; two more are exec
    and exit of the program."""
    tracer = Tracer([compiled("getppid_loop"), str(CALLS)], capture_output=True)
    configure(tracer)
    tracer.run()
    statistics = tracer.statistics()
    assert count.stops == statistics.stops
    assert statistics.stops == stops * CALLS + statistics.stops_by_kind["event"]
    assert statistics.stops_by_kind["event"] == 2
    assert statistics.calls["getppid"].stops == stops * CALLS


def test_an_unselected_call_never_stops(count: KernelStopCount) -> None:
    """However many calls it makes, a program stops at its exec and its exit."""
    tracer = Tracer([compiled("getppid_loop"), str(CALLS)], mask="socket", capture_output=True)
    tracer.run()
    assert count.stops == tracer.statistics().stops == 2


def test_stops_of_all_processes_signals_and_events_are_counted(count: KernelStopCount) -> None:
    """A shell with pipelines and a stopped child: every kind of stop, in many processes."""
    script = "for i in 1 2 3; do ls / | cat | wc; done; sh -c 'kill -TERM $$'; true"
    tracer = Tracer(["sh", "-c", script], mask="openat,write", capture_output=True)
    tracer.observe(lambda _stop: None)
    tracer.run()
    statistics = tracer.statistics()
    assert {"seccomp", "exit", "event", "signal"} <= statistics.stops_by_kind.keys()
    assert count.stops == statistics.stops


def test_more_stops_than_the_buffer_holds_are_counted(count: KernelStopCount) -> None:
    """Records that are overwritten count as well."""
    calls = 20_000
    tracer = Tracer([compiled("getppid_loop"), str(calls)], capture_output=True)
    skip_exit(tracer)
    tracer.run()
    assert count.stops == tracer.statistics().stops == calls + 2


def test_strace_sees_as_many_stops_reported_to_the_tracer(tmp_path: Path) -> None:
    """strace on the tracing thread, and on no other: what wait4(2) returned to it."""
    require_program("strace")
    trace = tmp_path / "wait4"
    receiving, releasing = os.pipe()
    tracer = Tracer(
        ["sh", "-c", 'read line; exec "$0" "$1"', compiled("getppid_loop"), str(CALLS)],
        stdin=receiving,
        stdout=subprocess.DEVNULL,
    )
    skip_exit(tracer)
    with tracer.start():
        os.close(receiving)
        watching = ["-e", "trace=wait4", "-o", str(trace), "-p", str(thread_of(tracer))]
        with subprocess.Popen(["strace", *watching], stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            line = strace.stderr.readline()
            require("attached" in line, line)
            before = tracer.statistics().calls["getppid"].stops  # The shell asks as well.
            os.write(releasing, b"go\n")
            os.close(releasing)
            tracer.wait()
    lines = trace.read_text().splitlines()
    reported = sum("WIFSTOPPED" in line and "PTRACE_EVENT_SECCOMP" in line for line in lines)
    assert reported == tracer.statistics().calls["getppid"].stops - before == CALLS


def thread_of(tracer: Tracer) -> int:
    """Ask the kernel which thread traces the command."""
    status = Path(f"/proc/{tracer.pid}/status").read_text()
    return int(status.partition("TracerPid:")[2].split()[0])


# ------------------------------------------------------------------------------- the counter itself


def test_only_what_starts_within_the_block_is_counted() -> None:
    """Other tracers of the machine are not: here, one that was there before."""
    require_program("strace")
    with (
        subprocess.Popen(
            ["strace", "-o", os.devnull, "sh", "-c", "echo ready; read line; ls /"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as strace,
        ExitStack() as stack,
    ):
        assert strace.stdout is not None
        assert strace.stdout.readline() == b"ready\n"
        try:
            count = stack.enter_context(KernelStopCount())
        except AuditUnavailable as error:
            require(condition=False, reason=str(error))
        strace.communicate(b"go\n")
        assert count.stops == 0
        subprocess.run(["strace", "-o", os.devnull, "true"], check=True)
        assert count.stops > 0


def test_the_instance_is_removed_by_an_interrupted_run() -> None:
    """Nothing goes on counting after Ctrl-C."""
    counter = KernelStopCount()
    before = instances()
    try:
        with counter:
            assert instances() - before
            os.kill(os.getpid(), signal.SIGINT)
    except AuditUnavailable as error:
        require(condition=False, reason=str(error))
    except KeyboardInterrupt:
        pass
    assert instances() == before


def test_the_instance_of_a_killed_process_is_removed_by_the_next() -> None:
    """SIGKILL leaves it behind; it does not stay for ever."""
    program = (
        "import os, signal\n"
        "from bench.audit import KernelStopCount\n"
        "with KernelStopCount():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
    )
    _out, err = child.communicate()
    require(child.returncode == -signal.SIGKILL, err)
    name = f"accel-{child.pid}-1"
    assert name in instances()
    with KernelStopCount():
        assert name not in instances()


def test_it_refuses_to_count_where_sigchld_is_ignored() -> None:
    """The kernel would send none: zero would be a lie."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(AuditUnavailable, match="SIGCHLD is ignored"), KernelStopCount():
            pass
    finally:
        signal.signal(signal.SIGCHLD, before)


def instances() -> set[str]:
    """List the private instances of this tool."""
    return {path.name for path in INSTANCES.glob("accel-*")}
