"""user-notify: calls are answered by notification, nothing is traced, and no tracee hangs."""

from __future__ import annotations

import ast
import errno
import gc
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import bpf
from accel import Abi, Decision, SyscallExitStop, Tracer, arg, path
from accel._kernel import notify_probe
from accel.errors import CommandError, HandlerError, SetupError, TimeoutExpired
from accel.stops import Exited, Killed, Stop, SyscallEntryStop
from bench.audit import KernelStopCount
from tests.support import compiled, require, require_program

COUNT = 25
#: Text that no file has.
TEXT = b"what nobody wrote\n"


@pytest.fixture(autouse=True, params=["python", "numba"])
def answering_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds whichever loop answers what no Python code looks at."""
    if request.param == "numba":
        require(importlib.util.find_spec("numba"), "numba is not installed")
    monkeypatch.setenv("ACCEL_LOOP", request.param)


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    """However a test ends, this process has no child and no new descriptor afterwards."""
    gc.collect()  # What earlier tests left to the collector is not this one's.
    before = _descriptors()
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG | 0x40000000)
    assert not _descriptors() - before


def _descriptors() -> set[str]:
    names = {name: _target(name) for name in os.listdir("/proc/self/fd")}
    return {name for name, target in names.items() if "/proc/" not in target and target}


def _target(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return ""


@pytest.fixture
def loop() -> list[str]:
    """A command that calls getppid COUNT times and prints the last result."""
    return [compiled("getppid_loop"), str(COUNT)]


def supervised(command: list[str], **options: object) -> Tracer:
    """Make a Tracer of the mechanism."""
    return Tracer(command, capture_output=True, mechanism="user-notify", **options)  # type: ignore[arg-type]  # as Tracer's


# ------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("value", [4242, -errno.EPERM, 0, -4095, 1 << 40, (1 << 64) - 5000])
def test_a_skipped_call_returns_any_value(
    loop: list[str], value: int, count: KernelStopCount
) -> None:
    """At one notification and no stop; what the filter can answer, without either."""
    tracer = supervised(loop)
    tracer.decide("getppid", Decision.skip(value))
    result = tracer.run(timeout=60)
    signed = value - (1 << 64) if value >> 63 > 0 else value
    seen = -1 if -4095 <= signed < 0 else signed
    assert result.stdout == b"%d\n" % seen
    statistics = tracer.statistics()
    is_filtered = -4095 <= signed <= 0
    assert statistics.notifications == (0 if is_filtered else COUNT)
    assert (statistics.stops, statistics.handler_calls, count.stops) == (0, 0, 0)


def test_stops_notifications_and_handler_calls_are_counted_apart(loop: list[str]) -> None:
    """A handler is called for each notification; a compiled answer calls none."""
    tracer = supervised(loop)
    tracer.decide("getpid", Decision.resume())
    tracer.on_entry("getppid")(lambda _stop: Decision.fail(errno.EACCES))
    assert tracer.run(timeout=60).stdout == b"-1\n"
    statistics = tracer.statistics()
    assert (statistics.notifications, statistics.handler_calls, statistics.stops) == (
        COUNT,
        COUNT,
        0,
    )
    call = statistics.calls["getppid"]
    assert (call.calls, call.notifications, call.handler_calls) == (COUNT, COUNT, COUNT)
    assert (call.stops, call.errors) == (0, COUNT)


def test_conditions_on_scalars_are_the_filters_and_judged_again() -> None:
    """Calls that the filter lets pass take no notification; the rule of the others is found."""
    tracer = supervised(["cat", "/etc/hostname", "/nonexistent"])
    tracer.on_entry("write", where=arg.fd == 2)(lambda stop: Decision.skip(stop.args.count))
    tracer.on_entry("write", where=arg.fd > 2)(lambda _stop: Decision.fail(errno.EBADF))
    result = tracer.run(timeout=60)
    assert (result.stdout, result.stderr) == (Path("/etc/hostname").read_bytes(), b"")
    statistics = tracer.statistics()
    assert statistics.notifications == statistics.handler_calls > 0
    assert statistics.calls["write"].errors == 0


def test_conditions_on_memory_are_judged_at_the_notification() -> None:
    """The path says which calls fail, all others run."""
    tracer = supervised(["cat", "/etc/hostname", "/etc/passwd"])
    tracer.decide("openat", Decision.fail(errno.EACCES), where=path.within("/etc/passwd"))
    result = tracer.run(timeout=60)
    assert b"/etc/passwd: Permission denied" in (result.stderr or b"")
    assert result.stdout == Path("/etc/hostname").read_bytes()


def test_a_handler_reads_and_writes_tracee_memory(tmp_path: Path) -> None:
    """What it writes is there when the call runs."""
    first, second = tmp_path / "first", tmp_path / "other"
    first.write_text("first")
    second.write_text("other")
    tracer = supervised(["cat", str(first)])

    @tracer.on_entry("openat")
    def replace(stop: SyscallEntryStop) -> None:
        if stop.read_string(stop.args[1]) == os.fsencode(first):
            stop.write(stop.args[1], os.fsencode(second))

    assert tracer.run(timeout=60).stdout == b"other"


def test_a_jit_handler_answers_without_python(loop: list[str]) -> None:
    """Python sees a thread once, to learn its process."""
    require(importlib.util.find_spec("numba"), "numba is not installed")
    from accel import jit  # noqa: PLC0415 - it imports numba

    tracer = supervised(loop)

    @tracer.on_entry("getppid", jit=True)
    def answer(call: jit.JitCall, state: object) -> tuple[int, int]:
        state[0] += 1  # type: ignore[index]  # an array
        return jit.SKIP, call.pid * 1000 + state[0]  # type: ignore[index]  # as above

    result = tracer.run(timeout=60)
    assert int(result.stdout or b"") % 1000 == COUNT
    assert answer.state[0] == COUNT  # type: ignore[attr-defined]  # a JitHandler
    assert tracer.statistics().handler_calls <= 1
    assert tracer.statistics().notifications == COUNT


def test_several_supervisors_answer_the_threads_of_one_program() -> None:
    """Every call is answered once, whichever thread waits for it."""
    tracer = supervised([compiled("threads"), "4", "2000"], supervisors=2)
    tracer.on_entry("getppid")(lambda _stop: None)
    tracer.decide("getuid", Decision.skip(77))
    assert tracer.run(timeout=60).stdout == b"0 wrong\n"
    assert tracer.statistics().calls["getppid"].notifications == 4 * 2000 + 4


def test_each_of_two_supervisors_has_a_cpu_of_its_own() -> None:
    """Both answer a program whose threads call at once, and neither waits for the other's CPU."""
    own = os.sched_getaffinity(0)
    require(len(own) > 1, "a second CPU is needed")
    tracer = supervised([compiled("threads"), "4", "2000"], supervisors=2)
    seen: dict[int, set[int]] = {}

    @tracer.on_entry("getppid")
    def look(_stop: SyscallEntryStop) -> None:
        seen[threading.get_native_id()] = os.sched_getaffinity(0)

    tracer.run(timeout=60)
    first, second = seen.values()
    assert len(first) == len(second) == 1
    assert first != second
    assert first | second <= own


def test_two_supervisors_ask_a_jit_handler_at_once() -> None:
    """The program checks what each call returns; Python learns the process of each thread."""
    require(importlib.util.find_spec("numba"), "numba is not installed")
    from accel import jit  # noqa: PLC0415 - it imports numba

    tracer = supervised([compiled("threads"), "4", "2000"], supervisors=2)

    @tracer.on_entry("getppid", jit=True)
    def answer(call: jit.JitCall, _state: object) -> tuple[int, int]:
        return jit.SKIP, call.pid

    assert tracer.run(timeout=60).stdout == b"0 wrong\n"
    statistics = tracer.statistics()
    assert statistics.notifications == 4 * 2000 + 4
    assert statistics.handler_calls <= 4 * 2


# ------------------------------------------------------------------------------- descriptors


@pytest.mark.parametrize("is_observed", [False, True])
def test_a_call_returns_an_injected_file(is_observed: bool) -> None:
    """cat reads a file that does not exist; with an observer it takes another ioctl(2)."""
    tracer = supervised(["cat", "/nowhere/a", "/nowhere/a"])
    tracer.decide("openat", Decision.inject_bytes(TEXT), where=path.within("/nowhere"))
    told: list[Stop] = []
    if is_observed:
        tracer.observe(told.append, exits=False)
    result = tracer.run(timeout=60)
    assert (result.stdout, result.stderr) == (TEXT + TEXT, b"")
    exits = [stop for stop in told if isinstance(stop, SyscallExitStop)]
    assert len(exits) == (2 if is_observed else 0)
    assert all(stop.injected and (stop.result or 0) >= 3 for stop in exits)


def test_an_injected_file_cannot_be_written() -> None:
    """Whoever opened it for writing gets EPERM at the write."""
    tracer = supervised(["dd", "if=/dev/zero", "of=/nowhere/a", "bs=1", "count=1", "conv=notrunc"])
    tracer.decide("openat", Decision.inject_bytes(TEXT), where=path.within("/nowhere"))
    assert b"Operation not permitted" in (tracer.run(timeout=60).stderr or b"")


def test_an_injected_descriptor_is_the_same_open_file(tmp_path: Path) -> None:
    """The tracee reads on from where this process is, and this from where the tracee was."""
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.read(descriptor, 3)
        tracer = supervised(["head", "-c", "4", "/nowhere"])
        tracer.decide("openat", Decision.inject_fd(descriptor), where=path.within("/nowhere"))
        assert tracer.run(timeout=60).stdout == b"3456"
        assert os.read(descriptor, 10) in (b"789", b"")
    finally:
        os.close(descriptor)


def test_a_tracee_with_too_many_descriptors_gets_emfile() -> None:
    """As from any call that makes a descriptor."""
    script = (
        "import os, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3));"
        " os.open('/nowhere', os.O_RDONLY)"
    )
    tracer = supervised([sys.executable, "-S", "-c", script])
    tracer.decide("openat", Decision.inject_bytes(TEXT), where=path.within("/nowhere"))
    assert b"Too many open files" in (tracer.run(timeout=60).stderr or b"")


def test_a_descriptor_that_is_closed_is_the_handlers_error() -> None:
    """Nothing is answered instead."""
    tracer = supervised(["cat", "/nowhere"])
    tracer.on_entry("openat", where=path.within("/nowhere"))(
        lambda _stop: Decision.inject_fd(1_000_000)
    )
    with pytest.raises(HandlerError, match=r"inject_fd\(1000000\): Bad file descriptor"):
        tracer.run(timeout=60)


def test_a_stop_cannot_inject() -> None:
    """A rule that injects is refused; so is a handler's answer, with what to type."""
    tracer = Tracer(["true"], mechanism="seccomp-trace")
    with pytest.raises(SetupError, match="use mechanism user-notify, or auto"):
        tracer.decide("openat", Decision.inject_fd(0))
    tracer = Tracer(["cat", "/etc/hostname"], capture_output=True)
    tracer.on_entry("openat")(lambda _stop: Decision.inject_fd(0))
    with pytest.raises(HandlerError, match='register it with mechanism="user-notify"'):
        tracer.run(timeout=60)


# ------------------------------------------------------------------------------- what is refused


def test_results_are_refused_before_anything_runs() -> None:
    """A notification comes before the call, and nothing comes after it."""
    tracer = supervised(["touch", "/nowhere/never"])
    tracer.on_exit("getppid")(lambda _stop: None)
    with pytest.raises(SetupError, match="use mechanism seccomp-trace or auto"):
        tracer.run()
    with pytest.raises(SetupError, match="combination 0"):
        supervised(["true"]).decide("getppid", Decision.inspect())
    tracer = supervised(["true"], mask="openat")
    with pytest.raises(SetupError, match="a notification shows none"):
        next(iter(tracer.exits()))


def test_a_handler_that_wants_a_result_ends_the_run() -> None:
    """What it returns is known only then."""
    tracer = supervised([compiled("getppid_loop"), "1"])
    tracer.on_entry("getppid")(lambda _stop: Decision.inspect())
    with pytest.raises(HandlerError, match="a notification shows no result"):
        tracer.run(timeout=60)


def test_signals_and_delays_are_refused() -> None:
    """There is no stop to send a signal at, or to stay in."""
    with pytest.raises(SetupError, match="seccomp-trace, or auto"):
        supervised(["true"]).decide("getppid", Decision.resume().with_signal(signal.SIGUSR1))


def test_a_running_process_cannot_be_supervised() -> None:
    """It has no filter."""
    with pytest.raises(SetupError, match="cannot attach"):
        _ = Tracer(pid=os.getpid(), mask="getppid", mechanism="user-notify").plan


# ------------------------------------------------------------------------------- starts and ends


def test_the_command_starts_as_any_other(tmp_path: Path) -> None:
    """Streams, environment, directory, closed and passed descriptors."""
    script = "import os, sys; print(os.getcwd(), os.environ['WORD'], os.listdir('/proc/self/fd'))"
    with (tmp_path / "passed").open("w") as passed:
        tracer = Tracer(
            [sys.executable, "-S", "-c", script],
            cwd=tmp_path,
            env={"WORD": "word"},
            pass_fds=(passed.fileno(),),
            capture_output=True,
            mechanism="user-notify",
        )
        passed_as = passed.fileno()
        tracer.on_entry("execve,openat")(lambda _stop: None)
        result = tracer.run(timeout=60)
    # The standard streams, what was passed, and what lists them: no listener.
    seen = [str(number) for number in sorted((0, 1, 2, 3, passed_as))]
    assert (result.stdout or b"").decode().split(maxsplit=2)[:2] == [str(tmp_path), "word"]
    listed = ast.literal_eval((result.stdout or b"").decode().split(maxsplit=2)[2])
    assert sorted(listed, key=int) == seen


def test_a_command_that_cannot_be_executed_is_an_error(tmp_path: Path) -> None:
    """Though the filter may select what the child does to give up."""
    script = tmp_path / "script"
    script.write_text("#!/nonexistent/interpreter\n")
    script.chmod(0o755)
    tracer = supervised([str(script)])
    tracer.on_entry("execve,exit_group")(lambda _stop: None)
    with pytest.raises(CommandError) as caught:
        tracer.run(timeout=60)
    assert caught.value.exit_status == 126


def test_the_first_call_is_the_commands_execve() -> None:
    """It notifies already, and can be answered."""
    tracer = supervised(["true"])
    names: list[str] = []
    tracer.on_entry("all")(lambda stop: names.append(stop.name))
    tracer.run(timeout=60)
    assert names[0] == "execve"
    assert names[-1] == "exit_group"
    tracer = supervised(["true"])
    tracer.on_entry("execve")(lambda _stop: Decision.fail(errno.EPERM))
    with pytest.raises(CommandError, match="Operation not permitted"):
        tracer.run(timeout=60)


def test_the_run_ends_with_the_last_process() -> None:
    """The command has ended before; its child is still answered, and waited for."""
    tracer = supervised(["sh", "-c", "(read line; kill -0 $$; getconf PAGESIZE) & exit 3"])
    ends: list[Stop] = []
    tracer.observe(ends.append, exits=False)
    tracer.on_entry("execve")(lambda _stop: None)
    result = tracer.run(timeout=60)
    assert result.returncode == 3
    assert result.stdout == b"4096\n"
    (end,) = [stop for stop in ends if isinstance(stop, (Exited, Killed))]
    assert (end.tid, end.wait_status) == (tracer.pid, 3 << 8)


def test_a_timeout_kills_the_tree() -> None:
    """A child of a child, too."""
    tracer = supervised(["sh", "-c", "sh -c 'sleep 1000; true'; true"])
    tracer.on_entry("getppid")(lambda _stop: None)
    with pytest.raises(TimeoutExpired):
        tracer.run(timeout=0.3)
    assert tracer.result is not None
    assert tracer.result.returncode == -signal.SIGKILL


def test_a_handler_that_raises_kills_its_tracee() -> None:
    """Its call never gets an answer."""
    tracer = supervised(["sh", "-c", "cat /etc/hostname; echo survived"])

    @tracer.on_entry("openat", where=path.within("/etc/hostname"))
    def fail(_stop: SyscallEntryStop) -> None:
        raise LookupError("nobody knows")

    with pytest.raises(HandlerError, match="nobody knows"):
        tracer.run(timeout=60)
    assert tracer.result is not None
    assert tracer.result.stdout == b""


def test_a_handler_may_end_and_close_the_run() -> None:
    """From a supervisor, whose end it must not wait for."""
    tracer = supervised(["sh", "-c", "cat /etc/hostname; sleep 1000"])

    @tracer.on_entry("openat", where=path.within("/etc/hostname"))
    def end(_stop: SyscallEntryStop) -> None:
        tracer.end()
        tracer.close()

    assert tracer.run(timeout=60).returncode == -signal.SIGKILL


def test_a_tracee_may_be_killed_while_it_waits() -> None:
    """The answer reaches nobody, and that is no error."""
    tracer = supervised(["sh", "-c", "sh -c 'kill -0 $$; cat /etc/hostname'; echo $?"])

    @tracer.on_entry("openat", where=path.within("/etc/hostname"))
    def kill(stop: SyscallEntryStop) -> Decision:
        pidfd = os.pidfd_open(stop.pid)
        try:
            os.kill(stop.pid, signal.SIGKILL)
            _wait_for_end(pidfd)
        finally:
            os.close(pidfd)
        stop.read(stop.args[1], 1)  # Raises: the tid may be another thread's by now.
        raise AssertionError("memory of a killed process was read")

    result = tracer.run(timeout=60)
    assert result.stdout == b"137\n"


def _wait_for_end(pidfd: int) -> None:
    """Wait until the process of a pidfd, which another may reap, has ended."""
    import select  # noqa: PLC0415 - one test

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()


def test_if_the_supervisor_dies_the_command_dies_and_no_other_hangs() -> None:
    """PR_SET_PDEATHSIG ends the command; its child's next selected call fails with ENOSYS."""
    child = "import os, sys; sys.stdin.read(1); os.uname()"
    # What a shell runs in the background has no standard input of its own accord.
    script = f"exec 3<&0; {sys.executable} -S -c '{child}' <&3 & echo $$ $!; wait"
    program = f"""
import sys
from accel import Tracer
tracer = Tracer(["sh", "-c", {script!r}],
                mechanism="user-notify", stdin=sys.stdin.fileno())
tracer.on_entry("uname")(lambda _stop: None)
tracer.run()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as host:  # fmt: skip
        assert host.stdout is not None
        command, orphan = map(int, host.stdout.readline().split())
        ends = [os.pidfd_open(pid) for pid in (command, orphan)]
        host.kill()
        assert host.stdin is not None
        _wait_for_end(ends[0])
        host.stdin.close()
        _wait_for_end(ends[1])
        for pidfd in ends:
            os.close(pidfd)
        assert b"Function not implemented" in (host.stderr.read() if host.stderr else b"")


# ------------------------------------------------------------------------------- inside


def test_a_debugger_works_inside() -> None:
    """Nothing is traced, so strace and gdb can trace."""
    strace, gdb = require_program("strace"), require_program("gdb")
    program = compiled("getppid_loop")
    tracer = supervised([strace, "-f", "-e", "trace=getppid", program, "2"])
    tracer.decide("getppid", Decision.skip(4242))
    result = tracer.run(timeout=60)
    assert result.stdout == b"4242\n"
    assert (result.stderr or b"").count(b"getppid()") == 2
    commands = ("-ex", "break main", "-ex", "run", "-ex", "continue")
    tracer = supervised([gdb, "-nx", "-batch", *commands, "--args", program, "2"])
    tracer.decide("getppid", Decision.skip(4242))
    result = tracer.run(timeout=60)
    assert b"Breakpoint 1, " in (result.stdout or b"")
    assert b"4242\n" in (result.stdout or b"")


def test_inside_another_listener_auto_falls_back_and_says_so() -> None:
    """The kernel allows one listener; asked for by name it is an error."""
    inner = """
from accel import Decision, Tracer
from accel.errors import UnsupportedKernel
tracer = Tracer(["sh", "-c", "exit 0"], mechanism="user-notify", mask="getppid")
try:
    tracer.run()
except UnsupportedKernel as error:
    print("refused:", error)
tracer = Tracer([PROGRAM, "2"], capture_output=True)
tracer.decide("getppid", Decision.skip(4243), mechanism="user-notify")
print(*tracer.plan.notes, tracer.run().stdout, tracer.statistics().notifications)
"""
    program = f"PROGRAM = {compiled('getppid_loop')!r}\n{inner}"
    tracer = supervised([sys.executable, "-c", program])
    tracer.decide("getsid", Decision.skip(1))
    result = tracer.run(timeout=60)
    assert result.stderr == b""
    refused, fell_back = (result.stdout or b"").decode().splitlines()
    assert refused.startswith("refused: another filter here has the listener")
    assert fell_back.startswith("calls that were to notify stop instead: another filter here")
    assert fell_back.endswith("b'4243\\n' 0")


INNER = """
from accel import Decision, Tracer
tracer = Tracer([PROGRAM, "2"], capture_output=True)
tracer.decide("getppid", Decision.skip(4243), mechanism="user-notify")
print(tracer.run().stdout, tracer.statistics().notifications, *tracer.plan.notes)
"""
#: <linux/seccomp.h>: flags of seccomp(2), and a request of ioctl(2).
NEW_LISTENER, WAIT_KILLABLE_RECV, SET_FLAGS = 1 << 3, 1 << 5, 0x4008_2104


@pytest.mark.parametrize(
    ("call", "error", "where", "notifications", "note"),
    [
        ("seccomp", errno.EPERM, (1, "==", NEW_LISTENER, NEW_LISTENER), 0, "listener: Operation"),
        ("seccomp", errno.EINVAL, (1, "==", NEW_LISTENER, NEW_LISTENER), 0, "listener: Invalid"),
        ("pidfd_getfd", errno.EPERM, (0, ">=", 0), 0, "cannot be taken over"),
        ("seccomp", errno.EINVAL, (1, "==", WAIT_KILLABLE_RECV, WAIT_KILLABLE_RECV), 2, ""),
        ("ioctl", errno.EINVAL, (1, "==", SET_FLAGS), 2, ""),
    ],
    ids=["forbidden", "unknown", "no-handover", "no-wait-killable", "no-sync-wake-up"],
)
def test_what_a_host_lacks_is_done_without(
    call: str, error: int, where: tuple[int, str, int], notifications: int, note: str
) -> None:
    """A container that forbids it, old kernels: a note says so, or nothing is to be seen."""
    rule = bpf.Rule(
        Abi.X86_64.numbers[call], bpf.Action.errno(error), (bpf.Condition(*where, width=32),)
    )
    allow = bpf.Action.allow()
    host = bpf.compile({bpf.Arch.X86_64: [rule]}, default=allow, unknown_arch=allow)
    program = f"PROGRAM = {compiled('getppid_loop')!r}\n{INNER}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: bpf.install(host),
    )
    assert done.stderr == ""
    assert done.stdout.startswith(f"b'4243\\n' {notifications}")
    assert ("calls that were to notify stop instead" in done.stdout) == bool(note)
    assert note in done.stdout


def test_where_receiving_does_not_end_poll_tells_of_the_end(
    loop: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Linux 6.11; the answers are the same."""
    monkeypatch.setattr(notify_probe, "_RECEIVE_ENDS", (1 << 30, 0))
    tracer = supervised(loop)
    tracer.decide("getppid", Decision.skip(4242))
    tracer.on_entry("write")(lambda _stop: None)
    assert tracer.run(timeout=60).stdout == b"4242\n"
    assert tracer.statistics().notifications == COUNT + 1


# ------------------------------------------------------------------------------- records


def test_calls_are_recorded_without_results() -> None:
    """Who called, with what, and the strings: nothing comes after the call."""
    require(importlib.util.find_spec("numpy"), "numpy is not installed")
    tracer = supervised(["cat", "/etc/hostname"], mask="openat")
    recorded = tracer.record()
    tracer.decide("getuid", Decision.skip(7))
    tracer.run(timeout=60)
    calls = recorded.array()
    last = len(calls) - 1
    assert recorded.strings(last)[1] == b"/etc/hostname\0"
    assert calls["left_ns"][last] == 0
    assert calls["entered_ns"][last] > 0
    assert len(calls) == tracer.statistics().calls["openat"].notifications


# ------------------------------------------------------------------------------- the command line


def accel(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    command = [sys.executable, "-m", "accel", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_line_shows_calls_without_results() -> None:
    """And with theirs those that it answers; faults are counted from the command's first call."""
    options = ("-e", "trace=openat", "-e", "inject=openat:error=EACCES:when=3+")
    done = accel("trace", "--mechanism", "user-notify", *options, "--", "cat", "/etc/hostname")
    lines = [line for line in done.stderr.splitlines() if line.startswith("openat")]
    assert [line.endswith("= ?") for line in lines] == [True, True, *[False] * (len(lines) - 2)]
    assert lines[-1].endswith("-1 EACCES (Permission denied) (INJECTED)")
    assert "/etc/hostname: Permission denied" in done.stderr
    assert done.stderr.splitlines()[-1] == "+++ exited with 1 +++"
    assert done.returncode == 1


def test_the_table_has_a_column_for_notifications() -> None:
    """Stops are none."""
    done = accel(
        "trace", "-c", "--mechanism", "user-notify", "-e", "trace=getppid", "--",
        compiled("getppid_loop"), "7",
    )  # fmt: skip
    (line,) = [line for line in done.stderr.splitlines() if line.endswith(" getppid")]
    assert line.split()[3:] == ["7", "0", "7", "getppid"]
    assert " notified syscall" in done.stderr


def test_the_command_line_refuses_what_needs_results() -> None:
    """Before anything runs."""
    done = accel("trace", "-Z", "--mechanism", "user-notify", "--", "true")
    assert done.returncode == 2
    assert "a notification shows none" in done.stderr
    delayed = ("-e", "inject=getppid:delay_enter=5")
    done = accel("trace", "--mechanism", "user-notify", *delayed, "--", "true")
    assert done.returncode == 2
    assert "use mechanism auto" in done.stderr
