"""Handlers that numba compiles and the loop calls: the answers of Python, without Python."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from accel import Abi, Call, Decision, SyscallEntryStop, Tracer
from accel.errors import HandlerError, SetupError
from tests.support import compiled, require

LOOPS = ("python", "numba")


@pytest.fixture(params=LOOPS, autouse=True)
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both loops in turn call the same machine code."""
    monkeypatch.setenv("ACCEL_LOOP", request.param)
    return request.param


@pytest.fixture
def jit():
    """The module, which imports numba."""
    try:
        return importlib.import_module("accel.jit")
    except ImportError as error:
        require(condition=False, reason=str(error))


def stops_without_python(tracer: Tracer) -> int:
    """How many stops the loop answered."""
    assert tracer._run is not None
    return tracer._run.loop.tables.answered


def test_a_path_is_judged_without_python(jit, tmp_path: Path) -> None:
    """The prefix is read from tracee memory; state counts; all other files open."""
    (tmp_path / "secret").write_text("hidden")
    (tmp_path / "public").write_text("shown")
    prefix = os.fsencode(tmp_path / "sec")
    skip, resume, starts_with, enoent = jit.SKIP, jit.RESUME, jit.starts_with, errno.ENOENT
    command = ["cat", str(tmp_path / "secret"), str(tmp_path / "public"), str(tmp_path / "secret")]
    tracer = Tracer(command, capture_output=True)

    @tracer.on_entry("openat", jit=True)
    def hide(call, state):
        if starts_with(call, call.arguments[1], prefix):
            state[0] += 1
            return skip, -enoent
        return resume, 0

    result = tracer.run()
    assert result.stdout == b"shown"
    assert result.stderr.count(b"No such file or directory") == 2
    assert hide.state[0] == 2
    openat = tracer.statistics().calls["openat"]
    assert openat.stops == openat.calls == stops_without_python(tracer)
    assert openat.errors == 2
    assert openat.handler_calls == 0


def test_what_a_function_sees_of_a_call(jit) -> None:
    """Number, ABI, arguments, thread and process; int 0x80 has halves of registers."""
    resume = jit.RESUME
    tracer = Tracer([sys.executable, "-c", "import os; os.kill(os.getpid(), 0)"])

    @tracer.on_entry("kill", jit=True)
    def look(call, state):
        state[0], state[1], state[2], state[3] = call.number, call.abi, call.tid, call.pid
        state[4], state[5], state[6] = call.arguments[0], call.arguments[1], call.result
        return resume

    assert tracer.run().returncode == 0
    pid = tracer.pid
    assert list(look.state[:7]) == [62, 0, pid, pid, pid, 0, 0]


def test_results_are_replaced_without_python(jit) -> None:
    """An exit function sees the result, and puts another in its place."""
    replace, keep = jit.REPLACE, jit.KEEP
    script = "import os; print([os.getppid() for _ in range(50)])"
    tracer = Tracer([sys.executable, "-c", script], capture_output=True)

    @tracer.on_exit("getppid", jit=True)
    def odd(call, state):
        state[0] += 1
        if state[0] % 2:
            return keep, 0
        return replace, call.result + 1_000_000

    parent = os.getpid()
    assert eval(tracer.run().stdout or b"") == [parent, parent + 1_000_000] * 25
    assert tracer.statistics().calls["getppid"].stops == 100
    assert stops_without_python(tracer) == 100


def test_entry_and_exit_have_states_of_their_own(jit) -> None:
    """INSPECT leads from one to the other."""
    inspect, resume, keep = jit.INSPECT, jit.RESUME, jit.KEEP
    tracer = Tracer([compiled("getppid_loop"), "100"], capture_output=True)

    @tracer.on_entry("getppid", jit=True)
    def every_tenth(_call, state):
        state[0] += 1
        return (inspect if state[0] % 10 == 0 else resume), 0

    @tracer.on_exit("getppid", jit=True)
    def seen(_call, state):
        state[0] += 1
        return keep

    tracer.run()
    assert (every_tenth.state[0], seen.state[0]) == (100, 10)
    assert tracer.statistics().calls["getppid"].stops == 110


def test_memory_beyond_a_page_and_none_at_all(jit, tmp_path: Path) -> None:
    """A string that crosses pages is read whole; an address that is not mapped is no string."""
    resume, read_string, read, equals = jit.RESUME, jit.read_string, jit.read, jit.equals
    long = str(tmp_path / ("x" * 200))
    script = (
        "import ctypes, mmap\n"
        "libc = ctypes.CDLL(None)\n"
        "m = mmap.mmap(-1, 8192)\n"
        f"text = {long.encode()!r} + bytes(1)\n"
        "m[4096 - 100:4096 - 100 + len(text)] = text\n"
        "at = ctypes.addressof(ctypes.c_char.from_buffer(m)) + 4096 - 100\n"
        "libc.access(ctypes.c_void_p(at), 0); libc.access(ctypes.c_void_p(16), 0)\n"
    )
    wanted, size = long.encode(), len(long)
    tracer = Tracer([sys.executable, "-S", "-c", script])

    @tracer.on_entry("access", jit=True)
    def look(call, state):
        if equals(call, call.arguments[0], wanted):
            state[0] += 1
            state[1] = read_string(call, call.arguments[0])
            state[2] = read(call, call.arguments[0], size)
        if call.arguments[0] == 16:
            state[3] = read_string(call, 16)
            state[4] = read(call, 16, 10)
        return resume

    assert tracer.run().returncode == 0
    assert list(look.state[:5]) == [1, size, size, -1, 0]


@pytest.mark.usefixtures("jit")
def test_what_numba_cannot_compile_is_refused_at_registration() -> None:
    """With numba's reason, before anything runs."""
    tracer = Tracer(["true"])
    with pytest.raises(SetupError, match="Unknown attribute 'path'"):
        tracer.on_entry("openat", jit=True)(lambda call, _state: call.path)
    with pytest.raises(SetupError, match="not a decision and a value"):
        tracer.on_entry("openat", jit=True)(lambda _call, _state: 1.5)


@pytest.mark.usefixtures("jit")
def test_a_decision_that_is_none_ends_the_run() -> None:
    """As in Python: the tracee is killed, and the error names the function."""
    tracer = Tracer([compiled("getppid_loop"), "10"], capture_output=True)

    @tracer.on_entry("getppid", jit=True)
    def wrong(_call, _state):
        return 77

    with pytest.raises(HandlerError, match="wrong returned 77"):
        tracer.run()


def test_an_observer_in_python_sees_what_a_function_decided(jit) -> None:
    """Then stops come to Python, and the function is called from there."""
    skip = jit.SKIP
    tracer = Tracer([compiled("getppid_loop"), "10"], mask="getppid", capture_output=True)
    seen: list[object] = []
    tracer.observe(seen.append)

    @tracer.on_entry("getppid", jit=True)
    def constant(_call, _state):
        return skip, 4711

    assert tracer.run().stdout == b"4711\n"
    assert [stop.result for stop in seen if hasattr(stop, "result")] == [4711] * 10
    assert stops_without_python(tracer) == 0


def test_a_handler_decides_alike_in_python_and_in_the_loop(jit) -> None:
    """The same machine code, entered from a stop that Python has."""
    skip, inspect = jit.SKIP, jit.INSPECT

    def by_argument(call, _state):
        return (skip if call.arguments[5] < 0 else inspect), call.arguments[0]

    handler = jit.compile_handler(by_argument)
    for last, decision in ((1 << 63, Decision.skip(5)), (1, Decision.inspect())):
        call = Call(1, 1, Abi.X86_64, 9, (5, 0, 0, 0, 0, last))
        assert handler.decide(SyscallEntryStop(call, None)) == decision


def test_without_numba_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """jit=True is the one thing that needs it."""
    monkeypatch.setitem(sys.modules, "accel.jit", None)
    monkeypatch.delattr("accel.jit", raising=False)
    with pytest.raises(SetupError, match="pip install"):
        Tracer(["true"]).on_entry("openat", jit=True)(lambda _call, _state: 1)


def test_a_multithreaded_program_is_judged_by_one_function(jit) -> None:
    """Its state is shared: only the tracing thread calls it."""
    resume = jit.RESUME
    command = [compiled("threads"), "8", "100"]
    native = subprocess.run(command, capture_output=True, check=False)
    tracer = Tracer(command, capture_output=True)

    @tracer.on_entry("all", jit=True)
    def count(_call, state):
        state[0] += 1
        return resume

    assert tracer.run().returncode == native.returncode
    assert count.state[0] == tracer.statistics().stops_by_kind["seccomp"] > 800
