"""Stops at exits alone: what strace -Z shows, at one stop a line."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import bpf
from accel import Decision, EventStop, SyscallExitStop, Tracer, arg, result
from accel._kernel import tracefs
from accel.errors import MaskError, SetupError, UnsupportedKernel
from accel.mechanisms.perf_exit_events import PerfExitEvents
from accel.records import ALONE
from bench.audit import KernelStopCount
from tests.integration.strace_comparison import (
    ACCEL,
    STRACE,
    Outcome,
    Scenario,
    compare_calls,
    compare_effects,
    environment,
    parse_log,
    run_alone,
    run_traced,
)
from tests.integration.test_real_programs import BUILT, SCENARIOS
from tests.support import compiled, require, require_program

MECHANISMS = ("exit-event:perf", "exit-event:ebpf")
FAILING = (result < 0) & (result >= -4095)


# ------------------------------------------------------------------------- against strace


@pytest.mark.parametrize(
    "scenario", [*(pytest.param(lambda s=s: s, id=s.name) for s in SCENARIOS), *BUILT]
)
def test_failing_calls_are_those_that_strace_shows(
    scenario: Callable[[], Scenario], tmp_path: Path
) -> None:
    """``-Z`` prints strace's lines, of every program, and changes nothing."""
    require_program("strace")
    given = scenario()
    # Whether a signal comes while an open of a FIFO waits is the scheduler's affair.
    given = replace(given, mask="%file", races=(*given.races, r"= \? ERESTARTSYS"))
    for program in (given.argv[0], *given.needs):
        require_program(program)
    alone = run_alone(given, tmp_path)
    accel = run_traced(given, tmp_path, (*ACCEL, "-Z", "--placement", "none"))
    assert compare_effects(alone, accel) == ""
    strace = _whole(run_traced(given, tmp_path, (*STRACE, "-Z")))
    assert compare_calls(given, strace, accel) == ""


def _whole(outcome: Outcome) -> Outcome:
    """Join the lines that strace -Z breaks, without a pid, where another process came between."""
    assert outcome.log is not None
    return replace(outcome, log=re.sub(r" <unfinished \.\.\.>\n(?!\d+ )", "", outcome.log))


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("name", ["git", "gcc", "find", "tar", "sqlite3", "perl", "make-j4"])
def test_there_is_one_stop_for_each_line(
    name: str, mechanism: str, tmp_path: Path, count: KernelStopCount
) -> None:
    """Of a real program: exit-event stops, calls told, the kernel's stops, strace's lines."""
    require_program("strace")
    scenario = next(one for one in SCENARIOS if one.name == name)
    given = Scenario(name, scenario.argv, "%file", prepare=scenario.prepare,
                     variables=scenario.variables)  # fmt: skip
    strace = _whole(run_traced(given, tmp_path, (*STRACE, "-Z")))
    assert strace.log
    lines = sum(1 for event in parse_log(strace.log) if event.call)
    work = tmp_path / "again" / "work"
    work.mkdir(parents=True)
    given.prepare(work)
    told: list[str] = []
    tracer = Tracer(
        given.argv, env=environment(work, given.variables), cwd=work, mechanism=mechanism,
        stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    tracer.decide("%file", Decision.exit_only(), where=FAILING)
    tracer.on_exit("%file")(lambda stop: told.append(stop.name))
    before = count.stops
    tracer.run(timeout=120)
    statistics = tracer.statistics()
    assert count.stops - before == statistics.stops
    assert statistics.stops_by_kind["exit-event"] == len(told) == lines > 0


# ------------------------------------------------------------------------- what a stop tells


def python(program: str) -> list[str]:
    """Make a command of a program that has ``libc.syscall`` at hand."""
    prelude = (
        "import ctypes, os, signal, threading, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "libc.syscall.restype = ctypes.c_long\n"
        "libc.syscall.argtypes = [ctypes.c_long] * 7\n"
        "def syscall(*words): return libc.syscall(*words, *[0] * (7 - len(words)))\n"
    )
    return [sys.executable, "-c", prelude + program]


def exits(
    program: list[str], mask: str, mechanism: str, where: object = None, **options: object
) -> tuple[list[SyscallExitStop], Tracer]:
    """Run a program; return the exits that were told, and its Tracer."""
    tracer = Tracer(program, mechanism=mechanism, **options)  # type: ignore[arg-type]
    tracer.decide(mask, Decision.exit_only(), where=where)  # type: ignore[arg-type]
    told: list[SyscallExitStop] = []
    tracer.observe(lambda stop: told.append(stop) if isinstance(stop, SyscallExitStop) else None)
    tracer.run(timeout=60)
    assert tracer.result is not None
    assert tracer.result.returncode == 0, tracer.result
    return told, tracer


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_stop_has_the_result_and_all_six_arguments(mechanism: str) -> None:
    """As the call was given them, though it has returned."""
    told, tracer = exits(python("syscall(9, 11, 22, 33, 44, 55, 66)"), "mmap", mechanism,
                         (result == -errno.EINVAL) & (arg[1] == 22))  # fmt: skip
    assert [stop.call.arguments for stop in told] == [(11, 22, 33, 44, 55, 66)]
    assert told[0].error == "EINVAL"
    assert told[0].alone
    assert tracer.statistics().calls["mmap"].stops == 1


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_result_can_be_replaced(mechanism: str) -> None:
    """By an exit handler, at that one stop."""
    tracer = Tracer(python("print(os.getppid())"), mechanism=mechanism, capture_output=True)
    tracer.decide("getppid", Decision.exit_only())
    tracer.on_exit("getppid")(lambda _stop: 4242)
    assert tracer.run(timeout=60).stdout == b"4242\n"
    assert tracer.statistics().stops_by_kind["exit-event"] == 1


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_calls_of_a_thread_that_blocks_sigtrap_are_told_as_they_were(mechanism: str) -> None:
    """The stop comes late, in another call: what is told is right, and in order."""
    program = (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])\n"
        "for number in range(5): syscall(8, 70 + number, number)\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTRAP])\n"
    )
    told, tracer = exits(python(program), "lseek", mechanism, result == -errno.EBADF)
    assert [stop.args[0] for stop in told] == [70, 71, 72, 73, 74]
    assert {stop.name for stop in told} == {"lseek"}
    assert tracer.statistics().stops_by_kind["exit-event"] == 1
    assert tracer.statistics().lost == 0


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_late_stop_replaces_no_result(mechanism: str) -> None:
    """It would be that of rt_sigprocmask; that the wish is not granted is reported."""
    program = (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])\n"
        "syscall(8, 77)\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTRAP])\n"
    )
    tracer = Tracer(python(program), mechanism=mechanism)
    tracer.decide("lseek", Decision.exit_only(), where=result == -errno.EBADF)
    tracer.on_exit("lseek")(lambda _stop: 5)
    events: list[str] = []
    tracer.observe(lambda stop: events.append(stop.detail) if isinstance(stop, EventStop) else None)
    assert tracer.run(timeout=60).returncode == 0
    assert any("the result of lseek stays" in detail for detail in events)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_thread_that_never_unblocks_sigtrap_is_told_of_at_its_end(mechanism: str) -> None:
    """No stop ever comes for it; its calls are not lost."""
    program = (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])\n"
        "syscall(8, 77)\nsyscall(8, 78)\n"
    )
    told, _tracer = exits(python(program), "lseek", mechanism, result == -errno.EBADF)
    assert [stop.args[0] for stop in told] == [77, 78]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_more_samples_than_the_ring_holds_are_counted_as_lost(mechanism: str) -> None:
    """Nothing is lost silently."""
    program = (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])\n"
        "for number in range(20000): syscall(8, 77)\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTRAP])\n"
        "syscall(8, 78)\n"
    )
    told, tracer = exits(python(program), "lseek", mechanism, result == -errno.EBADF)
    lost = tracer.statistics().lost
    assert lost > 0
    assert len(told) + lost == 20001
    assert told[-1].args[0] == 78


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_programs_own_breakpoints_are_its_own(mechanism: str) -> None:
    """A SIGTRAP that is no exit event's is delivered."""
    program = (
        "got = []\n"
        "signal.signal(signal.SIGTRAP, lambda *_: got.append(1))\n"
        "os.kill(os.getpid(), signal.SIGTRAP)\n"
        "syscall(8, 77)\n"
        "signal.raise_signal(signal.SIGTRAP)\n"
        "assert len(got) == 2\n"
    )
    told, _tracer = exits(python(program), "lseek", mechanism, result == -errno.EBADF)
    assert [stop.args[0] for stop in told] == [77]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_children_threads_and_programs_that_are_executed_are_followed(mechanism: str) -> None:
    """Armed again where the kernel has disarmed, or never armed."""
    again = "import ctypes; ctypes.CDLL(None).syscall(8, 73, 0, 0)"
    program = (
        "thread = threading.Thread(target=lambda: syscall(8, 71)); thread.start(); thread.join()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n    syscall(8, 72)\n    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        f"os.execv(sys.executable, [sys.executable, '-c', {again!r}])\n"
    )
    told, _tracer = exits(python(program), "lseek", mechanism,
                          (result == -errno.EBADF) & (arg.fd > 70))  # fmt: skip
    assert [stop.args[0] for stop in told] == [71, 72, 73]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_call_that_never_returns_is_not_told(mechanism: str) -> None:
    """exit_group has no exit; nor does fork return in the child that it makes."""
    program = "pid = os.fork()\nif pid: os.waitpid(pid, 0)\nos._exit(0)\n"
    told, _tracer = exits(python(program), "exit_group,clone,fork,wait4", mechanism)
    assert sorted(stop.name for stop in told if stop.tid == told[0].tid) == ["clone", "wait4"]
    assert {stop.tid for stop in told} == {told[0].tid}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_32_bit_programs_are_read_in_their_own_abi(mechanism: str, tmp_path: Path) -> None:
    """Their numbers are not those of x86_64, nor are their registers."""
    program = [compiled("files", "-m32")]
    for place in ("alone", "reference"):
        (tmp_path / place).mkdir()
    tracer = Tracer(program, mechanism=mechanism, capture_output=True, cwd=tmp_path / "alone")
    tracer.decide("openat,open,write", Decision.exit_only())
    told: list[SyscallExitStop] = []
    tracer.observe(lambda stop: told.append(stop) if isinstance(stop, SyscallExitStop) else None)
    tracer.run(timeout=60)
    reference = Tracer(
        program, mask="openat,open,write", capture_output=True, cwd=tmp_path / "reference"
    )
    expected: list[SyscallExitStop] = []
    reference.observe(
        lambda stop: expected.append(stop) if isinstance(stop, SyscallExitStop) else None
    )
    reference.run(timeout=60)
    assert [(stop.abi.value, stop.name, stop.result) for stop in told] == [
        (stop.abi.value, stop.name, stop.result) for stop in expected
    ]
    assert {stop.abi.value for stop in told} == {"i386"}
    assert (tracer.result.returncode, reference.result.returncode) == (5, 5)


@pytest.mark.parametrize("loop", ["python", "numba"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_exits_are_recorded_with_strings_and_results(
    mechanism: str, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers them: the compiled loop, its twin, or Python, as of the eBPF program."""
    if loop == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv("ACCEL_LOOP", loop)
    calls = 700  # More than the ring of samples holds at a time.
    program = (
        "libc.syscall.argtypes = None\n"
        f"for number in range({calls}): libc.syscall(257, number + 1000, b'nowhere', 0, 0)"
    )
    tracer = Tracer(python(program), mechanism=mechanism)
    tracer.decide("openat", Decision.exit_only(), where=result == -errno.EBADF)
    recorded = tracer.record()
    tracer.run(timeout=60)
    array = recorded.array()
    assert len(array) == calls == tracer.statistics().calls["openat"].stops
    assert array["arguments"][:, 0].tolist() == list(range(1000, 1000 + calls))
    assert set(array["result"].tolist()) == {-errno.EBADF}
    assert (array["flags"] & ALONE != 0).all()
    assert (array["left_ns"] == array["entered_ns"]).all()
    assert recorded.strings(calls - 1)[1] == b"nowhere\0"
    assert tracer.statistics().stops_by_kind["exit-event"] == calls


@pytest.mark.parametrize("loop", ["python", "numba"])
def test_a_compiled_handler_replaces_results_at_exits(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the loop, without Python."""
    pytest.importorskip("numba")
    monkeypatch.setenv("ACCEL_LOOP", loop)
    tracer = Tracer(python("print(os.getppid(), os.getppid())"), capture_output=True)
    tracer.decide("getppid", Decision.exit_only())

    @tracer.on_exit("getppid", jit=True)
    def count(_call, state):  # type: ignore[no-untyped-def]
        state[0] += 1
        return True, 40 + state[0]

    assert tracer.run(timeout=60).stdout == b"41 42\n"
    assert tracer.statistics().handler_calls == 0
    assert tracer.statistics().stops_by_kind["exit-event"] == 2


# ------------------------------------------------------------------------- with other rules


def test_it_is_mixed_with_all_other_decisions() -> None:
    """In one run, each call by its rule."""
    program = (
        "print(os.getppid(), os.getuid(), os.getpgrp(), os.getgid(), os.getpid() > 0)\n"
        "syscall(8, 77)"
    )
    tracer = Tracer(python(program), capture_output=True)
    tracer.decide("getuid", Decision.nullify(errno.EPERM))
    tracer.decide("getgid", Decision.emulate(11))
    tracer.decide("getpgrp", Decision.skip(12, inspect=True))
    tracer.decide("lseek", Decision.exit_only(), where=result == -errno.EBADF)
    tracer.on_entry("getppid")(lambda _stop: Decision.skip(13))
    told: list[str] = []
    tracer.on_exit("lseek,getpgrp")(lambda stop: told.append(stop.name))
    assert tracer.run(timeout=60).stdout == b"13 -1 12 11 True\n"
    assert told == ["getpgrp", "lseek"]


def test_a_call_that_an_earlier_rule_decides_is_not_told() -> None:
    """The first rule that matches holds, though the kernel's event knows only numbers."""
    tracer = Tracer(python("syscall(8, 77)\nsyscall(8, 78)"))
    tracer.decide("lseek", Decision.fail(errno.EBADF), where=arg.fd == 77)
    tracer.decide("lseek", Decision.exit_only(), where=result == -errno.EBADF)
    told: list[int] = []
    tracer.on_exit("lseek")(lambda stop: told.append(stop.args[0]))
    tracer.run(timeout=60)
    assert told == [78]


def test_what_a_successful_execve_executed_is_told_by_two_stops() -> None:
    """Its exit has no arguments left: auto lets it stop before."""
    tracer = Tracer(["/bin/sh", "-c", "exec /bin/true"])
    tracer.decide("execve", Decision.exit_only())
    told: list[bytes] = []
    tracer.observe(
        lambda stop: (
            told.append(stop.read_string(stop.args[0]))
            if not isinstance(stop, (EventStop, SyscallExitStop)) and hasattr(stop, "args")
            else None
        )
    )
    tracer.run(timeout=60)
    assert [Path(os.fsdecode(path)).name for path in told] == ["sh", "true"]
    assert tracer.statistics().calls["execve"].stops == 4


@pytest.mark.parametrize("lacking", ["perf_event_open", "a tracepoint"])
def test_without_exit_events_it_takes_two_stops_and_says_so(
    lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry is not told; the note says what is missing."""

    def refuse(_selections: object) -> PerfExitEvents:
        raise UnsupportedKernel(f"no {lacking}", hint="try something else")

    monkeypatch.setattr("accel.mechanism_choice._SOURCES", {"perf": refuse, "ebpf": refuse})
    told: list[object] = []
    tracer = Tracer(python("syscall(8, 77)"))
    tracer.decide("lseek", Decision.exit_only(), where=result == -errno.EBADF)
    tracer.observe(lambda stop: told.append(stop) if hasattr(stop, "call") else None)
    tracer.run(timeout=60)
    calls = tracer.statistics().calls["lseek"]
    assert [type(stop) for stop in told] == [SyscallExitStop]
    assert calls.stops == 2 * calls.calls >= 2
    assert tracer.plan.notes == (
        "calls that are exit_only() stop twice, and the first is not told:"
        f" no {lacking}; try something else",
    )


def test_what_cannot_be_is_refused_before_anything_runs() -> None:
    """With the rule, and what to write instead."""
    with pytest.raises(MaskError, match=r"result < 0.*exit_only"):
        Tracer(["true"]).decide("openat", Decision.inspect(), where=result < 0)
    with pytest.raises(SetupError, match="use mechanism seccomp-trace"):
        Tracer(["true"], mechanism="exit-event").decide("openat", Decision.skip(0))
    with pytest.raises(SetupError, match="no stop before a call"):
        Tracer(["true"], mechanism="exit-event").on_entry("openat")(lambda _stop: None)
    with pytest.raises(SetupError, match="is not known"):
        Tracer(["true"], mechanism="magic").decide("openat", Decision.skip(0))  # type: ignore[arg-type]
    with pytest.raises(SetupError, match="cannot attach"):
        Tracer(pid=os.getpid(), mask="openat", mechanism="sysemu").check()


# ------------------------------------------------------------------------- running processes

SERVER = """
import socketserver, sys, threading
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            with open("/dev/null", "wb") as sink:
                sink.write(line)
            try:
                open("/nonexistent")
            except FileNotFoundError:
                pass
            self.wfile.write(line)
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextmanager
def busy_server() -> Iterator[tuple[int, Callable[[], int]]]:
    """Run a threaded server under load; yield its pid, and what stops the load and counts it."""
    import socket  # noqa: PLC0415 - for this test alone

    stopping = threading.Event()
    failures: list[BaseException] = []
    answered = [0] * 3

    def client(index: int, port: int) -> None:
        try:
            while not stopping.is_set():
                with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                    stream = connection.makefile("rwb")
                    for number in range(20):
                        stream.write(b"%d\n" % number)
                        stream.flush()
                        assert stream.readline() == b"%d\n" % number
                        answered[index] += 1
        except BaseException as error:  # noqa: BLE001 - raised in the test
            failures.append(error)

    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        clients = [threading.Thread(target=client, args=(index, port)) for index in range(3)]
        for one in clients:
            one.start()

        def stop() -> int:
            stopping.set()
            for one in clients:
                one.join()
            assert not failures, failures
            return sum(answered)

        try:
            yield server.pid, stop
            assert server.poll() is None, "the server has ended"
        finally:
            stopping.set()
            for one in clients:
                one.join()
            server.terminate()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_busy_server_is_attached_to_and_let_go_fifty_times(mechanism: str) -> None:
    """No request fails, no signal stays behind, and every time something is seen."""
    with busy_server() as (pid, stop):
        for _turn in range(50):
            seen = threading.Event()
            tracer = Tracer(pid=pid, mechanism=mechanism)
            tracer.decide("openat", Decision.exit_only(), where=result == -errno.ENOENT)
            tracer.on_exit("openat")(lambda _stop, seen=seen: seen.set())
            with tracer:
                tracer.start()
                assert seen.wait(30)
            assert tracer.statistics().stops_by_kind.keys() <= {"exit-event", "event", "signal"}
        status = Path(f"/proc/{pid}/status").read_text()
        assert "TracerPid:\t0" in status
        assert not any(
            int(line.split()[1], 16) & 1 << (signal.SIGTRAP - 1)
            for line in status.splitlines()
            if line.startswith(("SigPnd", "ShdPnd"))
        )
        assert stop() > 100


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_thread_that_blocks_sigtrap_is_let_go_unharmed(mechanism: str) -> None:
    """The pending signal is taken before; what the thread blocks is what it did block."""
    program = (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP, signal.SIGUSR1])\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        "syscall(8, 77)\nprint('called', flush=True)\nsys.stdin.readline()\n"
        "assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {5, 10}\n"
        "assert not signal.sigpending()\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTRAP])\n"
    )
    with subprocess.Popen(
        python(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        told: list[int] = []
        tracer = Tracer(pid=process.pid, mechanism=mechanism)
        tracer.decide("lseek", Decision.exit_only(), where=result == -errno.EBADF)
        tracer.on_exit("lseek")(lambda stop: told.append(stop.args[0]))
        with tracer:
            tracer.start()
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "called\n"
        assert told == [77]
        process.stdin.write("\n")
        process.stdin.close()
        assert process.wait(30) == 0


def test_the_command_attaches_for_exits_alone(tmp_path: Path) -> None:
    """``accel trace -p PID --exit-only``: one stop a call, and Ctrl-C leaves the process alone."""
    log = tmp_path / "log"
    program = "print('ready', flush=True)\nfor _ in sys.stdin: syscall(8, 77); print(flush=True)"
    with subprocess.Popen(
        python(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        command = [*ACCEL, "-p", str(process.pid), "--exit-only", "-e", "trace=lseek"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as accel:
            assert accel.stderr is not None
            assert accel.stderr.readline() == f"accel: Process {process.pid} attached\n"
            for _turn in range(3):
                process.stdin.write("\n")
                process.stdin.flush()
                process.stdout.readline()
            accel.send_signal(signal.SIGINT)
            log.write_text(accel.stderr.read())
            assert accel.wait(30) == 0
        lines = [line for line in log.read_text().splitlines() if line.startswith("lseek(77,")]
        assert (
            lines
            == ["lseek(77, 0, SEEK_SET)                  = -1 EBADF (Bad file descriptor)"] * 3
        )
        process.stdin.close()
        assert process.wait(30) == 0


# ------------------------------------------------------------------------- without privilege

UNPRIVILEGED = """
import ctypes, os, sys
import bpf
from accel import Decision, Tracer, result
from accel._kernel import tracefs
# Imported when they are wanted, which nobody may where Python is root's own.
import accel.assembly, accel.mechanisms.exit_stops, accel.mechanisms.perf_exit_events
names = ("raw_syscalls/sys_exit", "syscalls/sys_exit_lseek", "syscalls/sys_exit_newuname")
ids = {name: tracefs.tracepoint_id(name) for name in names}
def tracepoint_id(name):
    if name not in ids:
        raise FileNotFoundError(2, "as in a tracefs that can be read", name)
    return ids[name]
tracefs.tracepoint_id = tracepoint_id
os.setgroups([]); os.setgid(65534); os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which that has taken away
program = "import os, sys\\ntry: os.lseek(77, 0, 0)\\nexcept OSError: os.uname()"
program += "\\nos.execv(sys.argv[1], sys.argv[1:])"
tracer = Tracer(["/usr/bin/python3", "-c", program, sys.argv[1]], mechanism="exit-event:perf")
tracer.decide("lseek", Decision.exit_only(), where=result == -9)
tracer.decide("uname", Decision.exit_only())
tracer.decide("epoll_ctl_old", Decision.exit_only())  # No call of this kernel.
told = []
unseen = []
tracer.observe(lambda stop: unseen.append(getattr(stop, "detail", "")), calls=False)
tracer.on_exit("lseek,uname")(lambda stop: told.append((stop.name, stop.result)))
tracer.run(timeout=60)
assert told == [("lseek", -9), ("uname", 0)], told
assert tracer.statistics().stops_by_kind["exit-event"] == 2
assert unseen.count("no exit event can be armed: 32-bit code needs CAP_PERFMON") == 1, unseen
"""


def test_perf_events_need_no_privilege_where_the_host_allows() -> None:
    """perf_event_paranoid below 3, and ids that somebody has read."""
    paranoid = int(Path("/proc/sys/kernel/perf_event_paranoid").read_text())
    require(paranoid < 3, f"perf_event_paranoid is {paranoid}")
    require(os.geteuid() == 0, "only root can read the ids and then drop its privileges")
    program = compiled("files", "-m32")
    os.chmod(os.path.dirname(program), 0o755)
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, program], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_tracefs_need_not_be_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ids come from a mount that nobody sees."""
    expected = tracefs.tracepoint_id("raw_syscalls/sys_exit")
    monkeypatch.setattr(tracefs, "_PLACES", ())
    before = Path("/proc/self/mounts").read_text()
    assert tracefs.tracepoint_id.__wrapped__("raw_syscalls/sys_exit") == expected
    assert Path("/proc/self/mounts").read_text() == before


def test_a_condition_selects_in_the_kernel_what_it_says() -> None:
    """The filter of the tracepoint, as text."""
    from accel.mechanisms.perf_exit_events import condition  # noqa: PLC0415 - not public

    selections = [
        bpf.ExitSelection(bpf.Arch.X86_64, frozenset({2, 3, 4, 8}), (bpf.ResultCondition("<", 0),)),
        bpf.ExitSelection(bpf.Arch.X86_64, frozenset({59}), (bpf.ResultCondition("!=", 0),)),
        bpf.ExitSelection(bpf.Arch.I386, frozenset({5})),
    ]
    assert condition(selections, bpf.Arch.X86_64) == (
        "(((id>=2 && id<=4) || id==8) && ret<0) || ((id==59) && ret!=0)"
    )
    assert condition(selections, bpf.Arch.I386) == "((id==5))"
