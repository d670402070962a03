"""The library: decisions, handlers, observation, redirection, and every way a run can end."""

from __future__ import annotations

import errno
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

import accel
from accel import Decision, SyscallMask, Tracer, arg
from accel.errors import CommandError, HandlerError, MaskError, SetupError, TimeoutExpired
from tests.support import compiled, require

COUNT = 25


@pytest.fixture(autouse=True, params=["python", "numba"])
def answering_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds whichever loop answers the stops that no Python code looks at."""
    if request.param == "numba":
        require(importlib.util.find_spec("numba"), "numba is not installed")
    monkeypatch.setenv("ACCEL_LOOP", request.param)


@pytest.fixture
def loop() -> list[str]:
    """A command that calls getppid COUNT times and prints the last result."""
    return [compiled("getppid_loop"), str(COUNT)]


@pytest.fixture(autouse=True)
def no_child_stays_behind() -> Iterator[None]:
    """However a test ends, this process has no child afterwards."""
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG | 0x40000000)


# ------------------------------------------------------------------------------- decisions


def test_an_unselected_call_never_stops(loop: list[str]) -> None:
    """Only what the mask names is notified."""
    tracer = Tracer(loop, mask="socket", stdout=subprocess.DEVNULL)
    tracer.run()
    assert tracer.statistics().stops_by_kind.get("seccomp", 0) == 0


def test_skipexit_takes_one_stop(loop: list[str]) -> None:
    """Combination 1: the call runs, and nothing is heard of its end."""
    tracer = Tracer(loop, mask="getppid", capture_output=True)
    tracer.decide("getppid", Decision.resume())
    result = tracer.run()
    assert result.stdout == b"%d\n" % os.getpid()
    assert tracer.statistics().calls["getppid"].stops == COUNT
    assert "exit" not in tracer.statistics().stops_by_kind


def test_an_exit_stop_takes_two_stops(loop: list[str]) -> None:
    """Combination 0: before the call and after it."""
    tracer = Tracer(loop, mask="getppid", capture_output=True)
    tracer.decide("getppid", Decision.inspect())
    tracer.run()
    assert tracer.statistics().calls["getppid"].stops == 2 * COUNT


@pytest.mark.parametrize("value", [4242, -errno.EPERM, 0, -4095, 1 << 40])
def test_skipcall_takes_one_stop_and_returns_any_value(loop: list[str], value: int) -> None:
    """Combination 3: the call does not run; its result is the tracer's."""
    tracer = Tracer(loop, mask="getppid", capture_output=True)
    tracer.decide("getppid", Decision.skip(value))
    result = tracer.run()
    seen = -1 if -4095 <= value < 0 else value
    assert result.stdout == b"%d\n" % seen
    assert tracer.statistics().calls["getppid"].stops == COUNT


def test_a_skipped_call_can_be_inspected(loop: list[str]) -> None:
    """Combination 2: two stops, and the result is set at the second."""
    tracer = Tracer(loop, mask="getppid", capture_output=True)
    tracer.decide("getppid", Decision.skip(77, inspect=True))
    seen = []
    tracer.observe(seen.append)
    assert tracer.run().stdout == b"77\n"
    assert tracer.statistics().calls["getppid"].stops == 2 * COUNT
    exits = [stop for stop in seen if isinstance(stop, accel.SyscallExitStop)]
    assert {stop.result for stop in exits} == {77}
    assert all(stop.injected for stop in exits)


@pytest.mark.parametrize(
    ("decision", "seen"), [(Decision.skip(0), 0), (Decision.fail(errno.EPERM), -1)]
)
def test_a_constant_that_nobody_observes_is_answered_in_the_kernel(
    loop: list[str], decision: Decision, seen: int
) -> None:
    """SECCOMP_RET_ERRNO: no stop at all."""
    tracer = Tracer(loop, capture_output=True)
    tracer.decide("getppid", decision)
    assert tracer.run().stdout == b"%d\n" % seen
    assert tracer.statistics().stops_by_kind.get("seccomp", 0) == 0


def test_a_scalar_condition_is_judged_by_the_filter() -> None:
    """Writes to descriptor 2 are skipped; all others never stop."""
    script = "import os; print([os.write(2, b'x'), os.write(1, b'')])"
    tracer = Tracer([sys.executable, "-c", script], mask="write", capture_output=True)
    tracer.decide("write", Decision.allow(), where=arg.fd == 1)
    tracer.decide("write", Decision.skip(99), where=arg.fd == 2)
    result = tracer.run()
    assert result.stdout == b"[99, 0]\n"
    assert result.stderr == b""
    assert tracer.statistics().calls["write"].stops == 1


def test_the_first_rule_that_matches_decides(loop: list[str]) -> None:
    """Rules are tried in the order in which they were added."""
    tracer = Tracer(loop, capture_output=True)
    tracer.decide("getppid", Decision.skip(5))
    tracer.decide("getppid", Decision.skip(6))
    assert tracer.run().stdout == b"5\n"


# ------------------------------------------------------------------------------- handlers


def test_a_handler_decides_by_argument() -> None:
    """Python sees arguments by name, with their types."""
    script = (
        "import socket\n"
        "socket.socket(socket.AF_UNIX).close()\n"
        "try: socket.socket(socket.AF_INET)\n"
        "except PermissionError: print('refused')\n"
    )
    tracer = Tracer([sys.executable, "-c", script], capture_output=True)
    domains = []

    @tracer.on_entry("socket")
    def unix_only(stop: accel.SyscallEntryStop) -> Decision:
        domains.append(stop.args.domain)
        allowed = stop.args.domain == socket.AF_UNIX
        return Decision.resume() if allowed else Decision.fail(errno.EACCES)

    assert tracer.run().stdout == b"refused\n"
    assert domains == [socket.AF_UNIX, socket.AF_INET]
    assert tracer.statistics().handler_calls == 2
    assert tracer.statistics().calls["socket"].stops == 2


def test_a_handler_reads_tracee_memory() -> None:
    """A path can be read while the stop is live, and not after it."""
    tracer = Tracer(["cat", "/etc/hostname"], stdout=subprocess.DEVNULL)
    stops = []

    @tracer.on_entry("openat")
    def keep(stop: accel.SyscallEntryStop) -> None:
        stops.append((stop, stop.read_string(stop.args.pathname)))

    tracer.run()
    assert b"/etc/hostname" in [path for _stop, path in stops]
    with pytest.raises(RuntimeError, match="the stop is over"):
        stops[0][0].read_string(stops[0][0].args.pathname)


def test_a_handler_that_returns_none_takes_one_stop(loop: list[str]) -> None:
    """None means resume() where nobody wants to see the result."""
    tracer = Tracer(loop, stdout=subprocess.DEVNULL)
    calls = []
    tracer.on_entry("getppid")(lambda stop: calls.append(stop.number))
    tracer.run()
    assert len(calls) == COUNT
    assert tracer.statistics().calls["getppid"].stops == COUNT


def test_an_exit_handler_sees_and_replaces_results(loop: list[str]) -> None:
    """The tracee gets what the exit handler returned."""
    tracer = Tracer(loop, capture_output=True)
    seen = []

    @tracer.on_exit("getppid")
    def replace(stop: accel.SyscallExitStop) -> int:
        seen.append(stop.result)
        return 31337

    assert tracer.run().stdout == b"31337\n"
    assert seen == [os.getpid()] * COUNT


def test_a_handler_that_raises_ends_the_run_and_its_tracees() -> None:
    """HandlerError carries what was raised; nothing runs on."""
    tracer = Tracer(["sh", "-c", "sleep 1000 & sleep 1000 & wait"], stdout=subprocess.DEVNULL)

    @tracer.on_entry("wait4")
    def fail(_stop: accel.SyscallEntryStop) -> None:
        raise LookupError("nobody")

    with pytest.raises(HandlerError, match="wait4 raised") as caught:
        tracer.run(timeout=60)
    assert isinstance(caught.value.__cause__, LookupError)


def test_an_answer_that_is_no_decision_is_an_error(loop: list[str]) -> None:
    """The handler is named, and what it should return."""
    tracer = Tracer(loop, stdout=subprocess.DEVNULL)
    tracer.on_entry("getppid")(lambda _stop: 5)  # type: ignore[arg-type,return-value]
    with pytest.raises(HandlerError, match="return a Decision"):
        tracer.run()


# ------------------------------------------------------------------------------- observation


def test_exits_yields_decoded_calls() -> None:
    """The first example of the README."""
    with Tracer(["cat", "/etc/hostname"], mask="openat", capture_output=True) as tracer:
        lines = [str(stop) for stop in tracer.exits()]
    assert any(line.endswith('openat(AT_FDCWD, "/etc/hostname", O_RDONLY) = 3') for line in lines)
    assert tracer.result is not None
    assert tracer.result.returncode == 0


def test_leaving_exits_early_ends_the_tracees(loop: list[str]) -> None:
    """A reader that breaks off leaves nothing running."""
    with Tracer([loop[0], "100000000"], mask="getppid", stdout=subprocess.DEVNULL) as tracer:
        for _stop in tracer.exits():
            break
    assert tracer.result is not None
    assert tracer.result.returncode == -signal.SIGKILL


def test_a_slow_reader_loses_nothing(loop: list[str]) -> None:
    """The tracee waits when too many stops wait for their reader."""
    count = 20000
    with Tracer([loop[0], str(count)], mask="getppid", stdout=subprocess.DEVNULL) as tracer:
        stops = tracer.exits()
        first = next(stops)
        assert first.name == "getppid"
        assert 1 + sum(1 for _stop in stops) == count


def test_statistics_count_calls_stops_and_errors() -> None:
    """Per call, by name, and in all."""
    tracer = Tracer(["cat", "/nonexistent/file"], mask="openat", capture_output=True)
    tracer.observe(lambda _stop: None)
    result = tracer.run()
    openat = tracer.statistics().calls["openat"]
    assert result.returncode == 1
    assert openat.errors >= 1
    assert openat.stops == 2 * openat.calls
    assert tracer.statistics().stops == sum(tracer.statistics().stops_by_kind.values())


# ------------------------------------------------------------------------------- the command


def test_streams_environment_and_directory_are_those_of_subprocess(tmp_path: os.PathLike) -> None:
    """What Popen takes, Tracer takes."""
    script = "import os, sys; print(os.getcwd(), os.environ['WHO'], sys.stdin.read())"
    tracer = Tracer(
        [sys.executable, "-c", script],
        mask="execve",
        env={"WHO": "accel"},
        cwd=tmp_path,
        input=b"hello",
        capture_output=True,
    )
    result = tracer.run()
    assert result.stdout == f"{os.fspath(tmp_path)} accel hello\n".encode()
    result.check_returncode()


def test_large_output_and_input_do_not_block() -> None:
    """Pipes are fed and drained while the command runs."""
    data = os.urandom(3 << 20)
    result = Tracer(["cat"], mask="execve", input=data, capture_output=True).run(timeout=60)
    assert result.stdout == data


def test_stderr_can_go_where_stdout_goes() -> None:
    """subprocess.STDOUT means here what it means there."""
    tracer = Tracer(
        ["sh", "-c", "echo out; echo err >&2"],
        mask="execve",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert tracer.run().stdout == b"out\nerr\n"


def test_descriptors_are_closed_unless_passed() -> None:
    """The command gets the standard streams and what it was given."""
    given, kept = os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(kept, True)
    try:
        command = ["sh", "-c", "ls /proc/$$/fd"]
        tracer = Tracer(command, mask="execve", capture_output=True, pass_fds=[given])
        listed = {int(word) for word in (tracer.run().stdout or b"").split()}
    finally:
        os.close(given)
        os.close(kept)
    assert given in listed
    assert kept not in listed


def test_python_leaves_no_ignored_signal_to_the_command() -> None:
    """SIGPIPE, which Python ignores for itself, kills as anywhere else."""
    tracer = Tracer(["sh", "-c", "yes | head -n 1"], mask="execve", capture_output=True)
    statuses = [status for status in (tracer.run().stdout,) if status]
    assert statuses == [b"y\n"]
    assert tracer.statistics().stops_by_kind["signal"] >= 1


def test_the_signal_mask_is_the_callers() -> None:
    """What blocked a signal here blocks it there, as with fork."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        tracer = Tracer(["grep", "SigBlk", "/proc/self/status"], mask="execve", capture_output=True)
        line = (tracer.run().stdout or b"").split()[1]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    assert int(line, 16) == 1 << (signal.SIGUSR1 - 1)


@pytest.mark.parametrize(
    ("argv", "status"),
    [(["no-such-command"], 127), (["/no/such/file"], 127), (["/etc/passwd"], 126), (["/etc"], 126)],
)
def test_a_command_that_cannot_be_executed_is_an_error(argv: list[str], status: int) -> None:
    """With the shell's exit statuses, and before anything runs."""
    with pytest.raises(CommandError) as caught:
        Tracer(argv, mask="execve").run()
    assert caught.value.exit_status == status


def test_a_script_without_its_interpreter_is_an_error(tmp_path: os.PathLike) -> None:
    """execve fails in the child, and its errno arrives."""
    script = os.path.join(tmp_path, "script")
    with open(script, "w", encoding="ascii") as file:
        file.write("#!/no/such/interpreter\n")
    os.chmod(script, 0o755)
    with pytest.raises(CommandError, match="interpreter"):
        Tracer([script], mask="openat").run()


def test_a_directory_that_cannot_be_entered_is_an_error() -> None:
    """chdir fails in the child, and the error says where."""
    with pytest.raises(SetupError, match="/no/such/directory"):
        Tracer(["/bin/true"], mask="openat", cwd="/no/such/directory").run()


def test_an_empty_mask_is_an_error() -> None:
    """Nothing to trace is a mistake, not a run."""
    with pytest.raises(MaskError, match="no system call is selected"):
        Tracer(["true"], mask=SyscallMask.none()).run()


# ------------------------------------------------------------------------------- ends


def test_a_timeout_ends_the_tracees() -> None:
    """run() raises when the time is over, and nothing runs on."""
    tracer = Tracer(["sh", "-c", "sleep 1000 & sleep 1000"], mask="socket")
    with pytest.raises(TimeoutExpired, match=r"0\.2 seconds"):
        tracer.run(timeout=0.2)
    assert tracer.result is not None
    assert tracer.result.returncode == -signal.SIGKILL


def test_leaving_the_block_ends_the_tracees() -> None:
    """A started Tracer does not outlive its with block."""
    with Tracer(["sleep", "1000"], mask="socket") as tracer:
        tracer.start()
        pid = tracer.pid
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_keyboard_interrupt_ends_the_tracees() -> None:
    """Ctrl-C in the host leaves run() and nothing behind."""
    tracer = Tracer(["sleep", "1000"])
    main = threading.main_thread().ident
    assert main is not None

    @tracer.on_entry("clock_nanosleep")
    def press_ctrl_c(_stop: accel.SyscallEntryStop) -> None:
        signal.pthread_kill(main, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tracer.run()
    assert tracer.result is not None


def test_a_handler_may_end_the_run() -> None:
    """end() is for any thread, the tracing one too."""
    tracer = Tracer(["sh", "-c", "true; sleep 1000"], stdout=subprocess.DEVNULL)
    tracer.on_entry("wait4")(lambda _stop: tracer.end())
    assert tracer.run(timeout=60).returncode == -signal.SIGKILL


def test_a_command_killed_by_a_signal_has_a_negative_returncode() -> None:
    """As in subprocess."""
    assert Tracer(["sh", "-c", "kill -TERM $$"], mask="execve").run().returncode == -signal.SIGTERM


def test_a_tracer_is_used_once() -> None:
    """Rules and starts come before the run."""
    tracer = Tracer(["true"], mask="execve")
    tracer.run()
    with pytest.raises(RuntimeError, match="has started"):
        tracer.decide("getppid", Decision.skip(1))
