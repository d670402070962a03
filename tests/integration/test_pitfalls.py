"""What broke other tracers: every pitfall of ptrace and RET_TRACE is a test, named after it.

The numbers are those of the list of pitfalls that accel was planned with; the ones that are missing
concern other mechanisms or other architectures. Programs print what they observed, so that a
difference that only the tracee can see is seen, too.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import accel
import bpf
from accel import Decision, SyscallMask, Tracer, arg
from accel.abi import Abi
from accel.errors import HandlerError
from accel.stops import (
    EventStop,
    Exited,
    GroupStop,
    Stop,
    SyscallEntryStop,
    SyscallExitStop,
)
from tests.integration.strace_comparison import (
    ACCEL,
    STRACE,
    Scenario,
    compare_calls,
    compare_effects,
    environment,
    run_alone,
    run_traced,
)
from tests.integration.terminal import Terminal
from tests.support import compiled, require, require_program

#: Far above what any run takes; one that reaches it hangs.
LIMIT = 60


def alone(*argv: str) -> bytes:
    """Return what a command prints without a tracer."""
    return subprocess.run(argv, capture_output=True, check=True, timeout=LIMIT).stdout


def observe(argv: Sequence[str], mask: str) -> tuple[Tracer, list[Stop]]:
    """Run a command and return its Tracer with everything that was observed."""
    tracer = Tracer(argv, mask=mask, capture_output=True)
    seen: list[Stop] = []
    tracer.observe(seen.append)
    tracer.run(timeout=LIMIT)
    return tracer, seen


def output(tracer: Tracer) -> bytes:
    """Return what the command of a finished Tracer printed."""
    assert tracer.result is not None
    assert tracer.result.stdout is not None
    return tracer.result.stdout


def entries(seen: Sequence[Stop], *names: str) -> list[SyscallEntryStop]:
    """Pick the entries of calls, of all if no name is given."""
    stops = [stop for stop in seen if isinstance(stop, SyscallEntryStop)]
    return [stop for stop in stops if not names or stop.name in names]


def exits(seen: Sequence[Stop], *names: str) -> list[SyscallExitStop]:
    """Pick the ends of calls, of all if no name is given."""
    stops = [stop for stop in seen if isinstance(stop, SyscallExitStop)]
    return [stop for stop in stops if not names or stop.name in names]


def events(seen: Sequence[Stop], *names: str) -> list[EventStop]:
    """Pick the events of some kinds."""
    return [stop for stop in seen if isinstance(stop, EventStop) and stop.event in names]


# ------------------------------------------------------------------------------- order of stops


def test_pitfall_01_a_seccomp_stop_stands_for_the_entry_stop():
    """Since Linux 4.8 seccomp comes after the entry-stop, of which a traced call then has none."""
    tracer = Tracer([compiled("getppid_loop"), "50"], mask="getppid", capture_output=True)
    tracer.decide("getppid", Decision.inspect())
    tracer.run(timeout=LIMIT)
    stops = tracer.statistics().stops_by_kind
    assert (stops["seccomp"], stops["exit"], stops.get("entry", 0)) == (50, 50, 0)


def test_pitfall_02_events_between_entry_and_exit_lose_no_exit_stop():
    """EVENT_FORK, VFORK, CLONE and EXEC come before the exit-stop of the call that caused them."""
    tracer, seen = observe([compiled("spawn_kinds")], "fork,vfork,clone,clone3,execve")
    children = [stop.result for stop in exits(seen, "fork", "vfork", "clone", "clone3")]
    executed = [stop.tid for stop in exits(seen, "execve") if stop.result == 0]
    assert len(children) == 5
    assert sorted(children) == sorted(set(executed) - {tracer.pid})
    assert sorted(children) == sorted(e.message for e in events(seen, "fork", "vfork", "clone"))
    assert output(tracer) == alone(compiled("spawn_kinds"))


@pytest.mark.parametrize("status", [0xAC, 0xAD, 0xFF])
def test_pitfall_03_an_exit_status_is_not_taken_for_the_filters_data(status):
    """PTRACE_GETEVENTMSG tells the exit status of a thread that died on its way to the tracer."""
    for _run in range(10):
        tracer = Tracer([compiled("threads"), "8", "100000", str(status)], mask="getppid")
        names: Counter[str] = Counter()

        @tracer.on_entry("getppid")
        def count(stop, names=names):
            names[stop.name] += 1

        assert tracer.run(timeout=LIMIT).returncode == status
        assert set(names) <= {"getppid"}
        assert tracer.statistics().handler_calls == names.total()


@pytest.mark.parametrize("inspect", [False, True])
def test_pitfall_04_a_skipped_call_is_recognised_though_its_number_is_minus_one(inspect):
    """Signal delivery, rt_sigreturn and syscall(-1) leave the same number behind as a skip."""
    command = [compiled("interruptions"), "handler", "1234"]
    tracer = Tracer(command, mask="getppid,rt_sigreturn,tgkill", capture_output=True)
    tracer.decide("getppid", Decision.skip(1234, inspect=inspect))
    seen: list[Stop] = []
    tracer.observe(seen.append)
    tracer.run(timeout=LIMIT)
    assert output(tracer) == b"100 100 100\n"
    answered = exits(seen, "getppid")
    assert [stop.result for stop in answered] == [1234] * 200
    assert all(stop.injected for stop in answered)
    assert len(exits(seen, "rt_sigreturn")) == 100
    assert not any(stop.injected for stop in exits(seen, "rt_sigreturn", "tgkill"))


@pytest.mark.parametrize("decision", [Decision.resume(), Decision.inspect(), Decision.skip(4711)])
def test_pitfall_05_the_recheck_after_a_stop_is_no_second_stop(decision):
    """After RET_TRACE the filters run again; another RET_TRACE is then allowed by the kernel."""
    tracer = Tracer([compiled("own_filter"), "allow"], mask="getppid", capture_output=True)
    tracer.decide("getppid", decision)
    tracer.run(timeout=LIMIT)
    assert output(tracer) == (b"parent\n" if decision.call else b"answer\n")
    assert tracer.statistics().stops_by_kind["seccomp"] == 1


def test_pitfall_05_another_filter_still_judges_the_call_after_the_stop():
    """A tracer lets a call run; a filter that refuses it still does."""
    tracer = Tracer([compiled("own_filter"), "argument"], mask="getppid", capture_output=True)
    tracer.decide("getppid", Decision.resume())
    tracer.run(timeout=LIMIT)
    assert output(tracer) == b"parent\nEUSERS\n"
    assert tracer.statistics().stops_by_kind["seccomp"] == 1


# ------------------------------------------------------------------------------- who is traced


def test_pitfall_06_a_child_that_asks_not_to_be_traced_still_works():
    """CLONE_UNTRACED children keep the filter: without a tracer its calls would fail (ENOSYS)."""
    tracer, seen = observe([compiled("odd_calls"), "untraced"], "getppid")
    assert output(tracer) == alone(compiled("odd_calls"), "untraced")
    assert {stop.pid for stop in entries(seen, "getppid")} - {tracer.pid}
    assert any("CLONE_UNTRACED" in stop.detail for stop in events(seen, "blind-spot"))


def test_pitfall_06_an_untraced_child_of_clone3_does_not_escape():
    """clone3 has its flags in memory, where no filter looks: the child's selected calls fail."""
    tracer, seen = observe([compiled("odd_calls"), "untraced3"], "getppid")
    assert output(tracer) == b"clone3 ENOSYS\n"
    assert entries(seen, "getppid") == []


def test_pitfall_07_int_0x80_is_i386():
    """A 64-bit program can make 32-bit calls, whose numbers mean something else."""
    command = [compiled("odd_calls"), "int80"]
    _tracer, seen = observe(command, "getppid")
    made = Counter(stop.abi for stop in entries(seen))
    assert made == {Abi.I386: 10, Abi.X86_64: 1}
    assert {stop.name for stop in entries(seen)} == {"getppid"}
    # Number 64 is getppid there and semget here.
    tracer, seen = observe(command, "semget")
    assert entries(seen) == []
    assert output(tracer) == alone(*command)


def test_pitfall_07_x32_is_not_taken_for_x86_64():
    """Numbers with bit 30 belong to another table; they are reported, not traced."""
    tracer, seen = observe([compiled("odd_calls"), "x32"], "getppid")
    assert entries(seen) == []
    assert output(tracer) == alone(compiled("odd_calls"), "x32")
    assert len(events(seen, "blind-spot")) == 1


@pytest.mark.parametrize("way", [("handler", "0"), ("restart",), ("eintr",)])
def test_pitfall_08_entry_and_exit_never_drift(way):
    """No signal, restart or call without an exit makes an exit-stop look like an entry-stop."""
    tracer, seen = observe([compiled("interruptions"), *way], "all")
    pending: dict[int, SyscallEntryStop] = {}
    for stop in seen:
        if isinstance(stop, SyscallEntryStop):
            assert stop.tid not in pending
            pending[stop.tid] = stop
        elif isinstance(stop, SyscallExitStop):
            assert stop.call == pending.pop(stop.tid).call
    assert pending == {}
    unanswered = {stop.name for stop in exits(seen) if stop.result is None}
    assert unanswered == {"exit_group"}
    assert output(tracer) == alone(compiled("interruptions"), *way)


def test_pitfall_08_stops_with_and_without_an_exit_can_alternate():
    """Every other call is inspected, in four threads at once; each exit-stop is of such a call."""
    tracer = Tracer([compiled("threads"), "4", "200"], capture_output=True)
    made: Counter[int] = Counter()
    results: list[int | None] = []

    @tracer.on_entry("getppid")
    def every_other(stop):
        made[stop.tid] += 1
        return Decision.inspect() if made[stop.tid] % 2 else Decision.resume()

    tracer.observe(
        lambda stop: results.append(stop.result) if isinstance(stop, SyscallExitStop) else None,
        exits=False,
    )
    tracer.run(timeout=LIMIT)
    assert output(tracer) == b"0 wrong\n"
    assert set(made.values()) == {201}
    assert tracer.statistics().stops_by_kind["exit"] == 4 * 101
    assert results == [os.getpid()] * (4 * 101)


def test_pitfall_09_a_thread_that_executes_becomes_the_leader():
    """Its tid becomes the leader's; the other threads vanish; the pending execve is its own."""
    tracer, seen = observe([compiled("exec_from_thread")], "execve,getppid")
    first, second = exits(seen, "execve")
    assert (first.result, second.result) == (0, 0)
    (superseded,) = events(seen, "superseded")
    assert superseded.tid == tracer.pid
    assert entries(seen, "execve")[1].tid == superseded.message != tracer.pid
    # It was begun by one tid and ends under another.
    assert second.tid == tracer.pid
    # The second image is seen under the leader's tid.
    assert [stop.tid for stop in entries(seen, "getppid")] == [tracer.pid]
    ended = [stop.tid for stop in seen if isinstance(stop, Exited)]
    assert len(ended) == 4
    assert ended[-1] == tracer.pid
    assert output(tracer) == b"same process: yes\nleader: yes\n"
    assert tracer.result is not None
    assert tracer.result.returncode == 7


def test_pitfall_10_a_child_may_stop_before_its_parents_event():
    """In either order, no child's first call is missed."""
    tracer, seen = observe([compiled("forks_many"), "300"], "exit_group")
    assert output(tracer) == b"300\n"
    assert len({stop.pid for stop in entries(seen, "exit_group")}) == 301
    ended = Counter(stop.status for stop in seen if isinstance(stop, Exited))
    assert ended.total() == 301
    assert ended == Counter(child & 0xFF for child in range(300)) + Counter([0])


def test_pitfall_10_a_vfork_parent_waits_while_its_child_is_answered():
    """The child of vfork stops at every call while its parent cannot even be signalled."""
    tracer, seen = observe([compiled("spawn_kinds")], "all")
    assert output(tracer) == alone(compiled("spawn_kinds"))
    (vfork,) = exits(seen, "vfork")
    first = next(stop for stop in entries(seen) if stop.tid == vfork.result)
    assert vfork.entered_ns < first.time_ns < vfork.time_ns


# ------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("mask", ["poll,restart_syscall,read,rt_sigreturn", "all", "socket"])
def test_pitfall_11_interrupted_calls_are_restarted(mask):
    """ERESTART values are for the kernel; a tracee never sees one, nor EINTR in their place."""
    tracer, seen = observe([compiled("interruptions"), "restart"], mask)
    assert output(tracer) == alone(compiled("interruptions"), "restart")
    if mask != "socket":
        assert [stop.error for stop in exits(seen, "poll")] == ["ERESTART"]
        restarted = exits(seen, "restart_syscall")
        assert [stop.error for stop in restarted] == ["ERESTART"] * 2 + [None]
        assert restarted[-1].result == 1


@pytest.mark.parametrize("mask", ["getppid", "socket"])
def test_pitfall_12_a_stopped_process_stays_stopped(mask):
    """A group-stop holds all threads until SIGCONT, and the real parent is told of both."""
    tracer, seen = observe([compiled("group_stop"), "20"], mask)
    assert output(tracer) == b"stopped 20 frozen 20 continued 20, ended by 15\n"
    # How often each was seen is the kernel's: SIGCONT may overtake a thread on its way.
    stops = {stop.signal for stop in seen if isinstance(stop, GroupStop)}
    assert stops == {signal.SIGSTOP, signal.SIGTSTP}


def test_pitfall_12_ctrl_z_works_in_a_shell():
    """A terminal's SIGTSTP stops the foreground job of a traced shell; fg continues it."""
    shell = ["bash", "--norc", "--noprofile", "-i"]
    command = [*ACCEL, "-e", "trace=openat,%process", "-o", os.devnull, "--", *shell]
    variables = {**environment(Path("/")), "PS1": "ready> "}
    with Terminal(command, variables) as terminal:
        terminal.until(b"ready> ")
        # It marks what it prints: the echo of what is typed is no sign of it.
        terminal.type(b"sh -c 'echo up; exec sed -u s/^/job:/'\n")
        terminal.until(b"\r\nup\r\n")
        terminal.type(b"first\n")
        terminal.until(b"job:first\r\n")
        terminal.type(b"\x1a")
        terminal.until(b"Stopped")
        terminal.until(b"ready> ")
        terminal.type(b"fg\n")
        terminal.until(b"/job:/'\r\n")
        terminal.type(b"second\n")
        terminal.until(b"job:second\r\n")
        terminal.type(b"\x04")
        terminal.until(b"ready> ")
        terminal.type(b"exit 5\n")
        assert terminal.wait() == 5


# ------------------------------------------------------------------------------- kinds of calls


@pytest.mark.parametrize(
    ("decision", "seen"),
    [(Decision.resume(), b"1\n"), (Decision.inspect(), b"1\n"), (Decision.skip(42), b"42\n")],
)
def test_pitfall_13_vsyscall_has_an_entry_and_no_exit(decision, seen):
    """The page is emulated: no exit-stop, no other number than -1, and rip is not to be touched."""
    mapped = "[vsyscall]" in Path("/proc/self/maps").read_text(encoding="ascii")
    require(mapped, "the kernel has no vsyscall page (vsyscall=none)")
    tracer = Tracer([compiled("odd_calls"), "vsyscall"], mask="time", capture_output=True)
    tracer.decide("time", decision)
    tracer.run(timeout=LIMIT)
    assert output(tracer) == seen
    assert tracer.statistics().calls["time"].calls == 1
    assert tracer.statistics().calls["time"].stops == 1


def test_pitfall_14_setuid_programs_keep_working_for_root(tmp_path):
    """No privilege is missing to install the filter, so no_new_privs is not set."""
    require(os.geteuid() == 0, "needs root")
    # Of a user who is not root: execve(2) ignores the set-user-ID bit under no_new_privs.
    program = Path("/usr/bin/id").read_bytes()
    target = tmp_path / "id"
    target.write_bytes(program)
    os.chown(target, 65534, 65534)
    target.chmod(0o4755)
    tracer = Tracer([str(target), "-u"], mask="openat", capture_output=True)
    tracer.run(timeout=LIMIT)
    assert output(tracer) == b"65534\n"


def test_pitfall_14_without_privilege_no_new_privs_is_set():
    """A user may install a filter only in processes that can gain nothing by execve(2)."""
    require(os.geteuid() == 0, "needs root")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            _make_dumpable()
            command = ["grep", "^NoNewPrivs", "/proc/self/status"]
            Tracer(command, mask="openat", stdout=writing).run(timeout=LIMIT)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read().split() == [b"NoNewPrivs:", b"1"]
    assert os.waitpid(child, 0)[1] == 0


def _make_dumpable() -> None:
    # A process that changed its user may not be traced until it says so: prctl(2).
    import ctypes  # noqa: PLC0415 - in the child only

    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)


def test_pitfall_15_a_killed_tracer_leaves_no_tracee():
    """PTRACE_O_EXITKILL: a filter without its tracer would fail every selected call."""
    script = "sh -c 'echo ready; exec sleep 1000' & sleep 1000 & sleep 1000 & wait"
    command = [*ACCEL, "-e", "trace=wait4,execve", "-o", os.devnull, "--", "sh", "-c", script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment(Path("/")), text=True
    ) as tracer:
        assert tracer.stdout is not None
        assert tracer.stdout.readline() == "ready\n"
        tracer.kill()
        # Every tracee holds the pipe: it ends when the last of them has.
        assert tracer.stdout.read() == ""


@pytest.mark.parametrize("mask", ["getppid", "seccomp,prctl,ioctl", "all"])
@pytest.mark.parametrize("way", ["errno", "trace", "allow", "argument", "listener", "threads"])
def test_pitfall_16_filters_of_the_tracee_do_what_they_do_alone(way, mask):
    """They outrank RET_TRACE and hide calls; none is refused for accel's being there."""
    tracer, _seen = observe([compiled("own_filter"), way], mask)
    assert output(tracer) == alone(compiled("own_filter"), way)


def test_pitfall_16_a_selected_call_that_the_tracees_filter_traces_is_reported() -> None:
    """Its RET_DATA hides accel's: the call fails with ENOSYS, as it would alone, and is shown."""
    tracer, seen = observe([compiled("own_filter"), "trace"], "getppid")
    assert output(tracer) == alone(compiled("own_filter"), "trace")
    exits = [stop for stop in seen if isinstance(stop, SyscallExitStop)]
    assert [stop.result for stop in exits] == [-errno.ENOSYS]


def test_pitfall_17_the_filter_is_there_before_the_first_thread():
    """It is installed before execve(2), so that no thread needs TSYNC to get it."""
    tracer = Tracer([compiled("threads"), "8", "100"], mask="getppid", capture_output=True)
    tracer.decide("getppid", Decision.resume())
    tracer.run(timeout=LIMIT)
    assert output(tracer) == b"0 wrong\n"
    assert tracer.statistics().stops_by_kind["seccomp"] == 8 * 101


def test_pitfall_18_the_first_call_is_not_missed():
    """Attaching comes before the execution: execve itself is the first call that is seen."""
    _tracer, seen = observe(["true"], "execve,brk,exit_group")
    names = [stop.name for stop in entries(seen)]
    assert names[:2] == ["execve", "brk"]
    assert names[-1] == "exit_group"
    assert exits(seen)[0].result == 0


# ------------------------------------------------------------------------------- death and memory


@pytest.mark.parametrize(
    "decision", [Decision.inspect(), Decision.resume(), Decision.skip(1, inspect=True)]
)
def test_pitfall_19_a_tracee_may_be_killed_in_any_stop(decision):
    """Every request can fail with ESRCH; the end that follows is reported as any other."""
    for _run in range(10):
        tracer = Tracer([compiled("threads"), "4", "1000"], stdout=subprocess.DEVNULL)
        made = 0

        @tracer.on_entry("getppid")
        def kill(stop, decision=decision):
            nonlocal made
            made += 1
            if made == 50:
                os.kill(stop.pid, signal.SIGKILL)
                # Either the memory of a dying process, or TraceeDied.
                stop.read(stop.call.instruction_pointer, 16)
            return decision

        assert tracer.run(timeout=LIMIT).returncode == -signal.SIGKILL


def test_pitfall_20_pointers_to_the_end_of_a_page(tmp_path):
    """Strings, buffers and arrays are read as far as they are there, as strace does."""
    require_program("strace")
    mask = "open,openat,write,writev,execve,stat,newfstatat"
    scenario = Scenario("page_end", (compiled("page_end"),), mask)
    traced = run_traced(scenario, tmp_path, ACCEL)
    assert compare_effects(run_alone(scenario, tmp_path), traced) == ""
    assert compare_calls(scenario, run_traced(scenario, tmp_path, STRACE), traced) == ""


# ------------------------------------------------------------------------------- filters


@pytest.mark.parametrize("seed", range(4))
def test_pitfall_22_big_masks_fit(seed):
    """Jumps of classic BPF have eight bits: a mask of any size must still compile, and be right."""
    names = sorted(Abi.X86_64.numbers)
    chosen = set(random.Random(seed).sample(names, len(names) * (seed + 1) // 5))
    chosen |= {"execve"}
    _tracer, seen = observe(["true"], ",".join(sorted(chosen)))
    _tracer, everything = observe(["true"], "all")
    expected = [stop.name for stop in entries(everything) if stop.name in chosen]
    assert [stop.name for stop in entries(seen)] == expected


def test_pitfall_22_an_int_is_compared_as_32_bits_and_an_offset_as_64():
    """The kernel ignores the upper half of an int's register, and so must a condition."""
    tracer = Tracer([compiled("odd_calls"), "wide"], mask="getppid", capture_output=True)
    tracer.decide("lseek", Decision.skip(77), where=arg.offset == -1)
    tracer.decide("close", Decision.fail(errno.EUSERS), where=arg.fd == 99)
    tracer.run(timeout=LIMIT)
    assert output(tracer) == b"77\nclose EUSERS\n"


@pytest.mark.parametrize("mask", ["openat", "openat,%network", "!futex,read,write", "all"])
def test_pitfall_23_unselected_calls_stay_in_the_kernels_cache(mask):
    """The kernel finds by itself that they are always allowed: no argument is looked at."""
    tracer = Tracer(["true"], mask=mask)
    tracer.decide("ioctl", Decision.skip(0), where=arg.request == 0x5401)
    watched = SyscallMask.parse("io_uring_setup,clone,clone3,sched_getaffinity,sched_setaffinity")
    selected = SyscallMask.parse(mask) | SyscallMask.parse("ioctl") | watched
    for abi, arch in ((Abi.X86_64, bpf.Arch.X86_64), (Abi.I386, bpf.Arch.I386)):
        for name, number in abi.numbers.items():
            if (abi, number) not in selected:
                assert bpf.is_constant_allow(tracer.program, arch, number), name


def test_pitfall_24_judging_memory_is_documented_as_a_race():
    """Pointer arguments are read again by the kernel: whoever reads them here is told."""
    for method in (SyscallEntryStop.read, SyscallEntryStop.read_string):
        assert "race" in (method.__doc__ or "")


# ------------------------------------------------------------------------------- new ways in


def test_pitfall_26_clone3_is_followed():
    """Its flags are in memory; nothing has to be answered ENOSYS to follow its children."""
    tracer, seen = observe([compiled("threads"), "8", "10"], "clone3,getppid")
    created = [stop.result for stop in exits(seen, "clone3")]
    assert len(created) == 8
    assert set(created) == {stop.tid for stop in entries(seen, "getppid")}
    assert output(tracer) == b"0 wrong\n"
    _tracer, seen = observe([compiled("spawn_kinds")], "clone3")
    assert all(stop.result is not None and stop.result > 0 for stop in exits(seen, "clone3"))


@pytest.mark.parametrize("mask", ["getppid", "io_uring_setup"])
def test_pitfall_27_io_uring_is_reported(mask):
    """A ring makes calls that no tracer sees: whoever traces is told, and the tracee is not."""
    tracer, seen = observe([compiled("odd_calls"), "io_uring"], mask)
    assert output(tracer) == alone(compiled("odd_calls"), "io_uring")
    told = [stop.detail for stop in events(seen, "blind-spot")]
    told += [stop.name for stop in entries(seen)]
    assert any("io_uring_setup" in text for text in told)


def test_pitfall_28_a_handler_that_fails_lets_nothing_pass():
    """Neither an exception nor a wrong answer may end in the call being made."""
    for answer in (lambda _stop: 1 // 0, lambda _stop: "resume"):
        tracer = Tracer(["echo", "passed"], capture_output=True)
        tracer.on_entry("write")(answer)
        with pytest.raises(HandlerError):
            tracer.run(timeout=LIMIT)
        assert output(tracer) == b""
        assert tracer.result is not None
        assert tracer.result.returncode == -signal.SIGKILL


@pytest.mark.parametrize("outer", [("strace", "-f", "-o", os.devnull), (*ACCEL, "-o", os.devnull)])
def test_pitfall_29_a_nested_tracer_is_a_clear_error(outer):
    """A process has one tracer: one line says so and names the other, and nothing is started."""
    require_program("strace")
    command = [*outer, "--", *ACCEL, "-e", "trace=openat", "--", "echo", "started"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=environment(Path("/")),
        check=False,
    )
    assert done.stdout == ""
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "already traced by" in line


def test_pitfall_30_one_thread_makes_all_ptrace_requests():
    """The thread that attached is the only one that may: callers of every method are others."""
    tracer = Tracer([compiled("threads"), "4", "1000000"], mask="getppid")
    tracer.decide("getppid", Decision.resume())
    threads: set[int] = set()
    busy = threading.Event()

    def note(_stop: Stop) -> None:
        threads.add(threading.get_native_id())
        busy.set()

    tracer.observe(note, exits=False)
    with ThreadPoolExecutor(3) as pool:
        pool.submit(tracer.start).result()
        assert busy.wait(LIMIT)
        status = Path(f"/proc/{tracer.pid}/status").read_text(encoding="utf-8")
        assert pool.submit(lambda: tracer.statistics().stops).result() > 0
        pool.submit(tracer.end).result()
        assert pool.submit(tracer.wait).result().returncode == -signal.SIGKILL
    (tracing,) = threads
    assert f"TracerPid:\t{tracing}\n" in status
    assert tracing != threading.get_native_id()


def test_pitfall_31_nothing_of_python_runs_between_fork_and_exec():
    """Neither at-fork handlers nor locks: a host of many threads could deadlock in either."""
    script = """
import os, sys, threading
from accel import Decision, Tracer

def forked():
    print("an at-fork handler ran", flush=True)

os.register_at_fork(before=forked, after_in_child=forked, after_in_parent=forked)
stop, lock = threading.Event(), threading.Lock()

def hold_locks():
    while not stop.is_set():
        with lock:
            bytes(1 << 18)

for _ in range(4):
    threading.Thread(target=hold_locks).start()

def trace(number):
    for _ in range(5):
        tracer = Tracer([sys.argv[1], "3"], capture_output=True)
        tracer.decide("getppid", Decision.skip(number))
        outputs.append(tracer.run(timeout=60).stdout)

outputs = []
tracing = [threading.Thread(target=trace, args=(number,)) for number in range(8)]
for thread in tracing:
    thread.start()
for thread in tracing:
    thread.join()
stop.set()
print(sorted(outputs) == sorted(b"%d\\n" % number for number in range(8) for _ in range(5)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, compiled("getppid_loop")],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=environment(Path("/")),
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("mask", ["all", "getppid"])
def test_pitfall_33_numbers_that_do_not_exist_stay_nonexistent(mask):
    """syscall(-1) and numbers beyond every table fail with ENOSYS, and no handler is confused."""
    command = [compiled("odd_calls"), "numbers"]
    tracer, seen = observe(command, mask)
    assert output(tracer) == alone(*command)
    unknown = {stop.name for stop in entries(seen)} - set(Abi.X86_64.numbers)
    assert all(name.startswith("syscall_0x") for name in unknown)


def test_pitfall_34_errno_0_is_a_success_and_4095_the_last_errno():
    """SECCOMP_RET_ERRNO without a number returns 0; more than 4095 would be cut off."""
    program = compiled("getppid_loop")
    for decision, printed in ((Decision.nullify(), b"0\n"), (Decision.nullify(4095), b"-1\n")):
        tracer = Tracer([program, "10"], capture_output=True)
        tracer.decide("getppid", decision)
        tracer.run(timeout=LIMIT)
        assert output(tracer) == printed
        assert tracer.statistics().stops_by_kind.get("seccomp", 0) == 0
    with pytest.raises(ValueError, match="4095"):
        accel.Decision.nullify(4096)
