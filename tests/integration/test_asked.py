"""A handler that alone looks at a call is asked in passing: all is as if others looked, too."""

from __future__ import annotations

import errno
import importlib.util
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accel import Decision, SyscallEntryStop, SyscallExitStop, Tracer, arg
from accel.errors import HandlerError, TraceeDied
from accel.mechanisms.user_notify import UserNotify
from tests.support import compiled, require

COUNT = 40
MECHANISMS = ("seccomp-trace", "user-notify")
#: What a handler may answer by any mechanism, and what it may at a stop alone.
ANSWERS = (
    None,
    Decision.resume(),
    Decision.allow(),
    Decision.skip(4242),
    Decision.skip(1 << 63),
    Decision.skip(-4096),
    Decision.skip((1 << 64) - errno.EACCES),
    Decision.fail(errno.EACCES),
    Decision.nullify(),
)
AT_STOPS = (
    Decision.inspect(),
    Decision.skip(7, inspect=True),
    Decision.resume().with_signal(signal.SIGURG),
    Decision.skip(8).with_signal(signal.SIGURG),
    Decision.skip(9).delayed(entry_ns=1000),
)
WAYS = [(way, answer) for way in MECHANISMS for answer in ANSWERS]
WAYS += [("seccomp-trace", answer) for answer in AT_STOPS]
WAYS += [("user-notify", Decision.inject_fd(1)), ("user-notify", Decision.inject_bytes(b"text"))]


@pytest.fixture(autouse=True, params=["python", "numba"])
def answering_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds whichever loop finds the stops."""
    if request.param == "numba":
        require(importlib.util.find_spec("numba"), "numba is not installed")
    monkeypatch.setenv("ACCEL_LOOP", request.param)


def calling(mechanism: str, flags: tuple[str, ...] = ()) -> Tracer:
    """Trace a command that calls getppid COUNT times and prints the last result."""
    command = [compiled("getppid_loop", *flags), str(COUNT)]
    return Tracer(command, mechanism=mechanism, capture_output=True)


def asked(tracer: Tracer) -> int:
    """Count the calls about which a handler was asked in passing."""
    assert tracer._run is not None
    loop: Any = tracer._run.loop
    supervisors = loop.supervisors._supervisors if isinstance(loop, UserNotify) else [loop]
    return sum(count.handler_calls for one in supervisors for _key, count in one.tables.calls())


@pytest.mark.parametrize(("mechanism", "answer"), WAYS, ids=str)
def test_whatever_it_answers(mechanism: str, answer: Decision | None) -> None:
    """Result and counts are those of a run in which every stop is shown to an observer."""
    found = []
    for is_watched in (False, True):
        tracer = calling(mechanism)
        tracer.on_entry("getppid")(lambda _stop: answer)
        if is_watched:
            tracer.observe(lambda _stop: None)
        done = tracer.run(timeout=60)
        counted = tracer.statistics()
        calls = [
            (
                name,
                call.calls,
                call.stops,
                call.notifications,
                call.handler_calls,
                call.errors,
                call.seconds > 0,
            )
            for name, call in counted.calls.items()
        ]
        # A supervisor looks a thread up when it comes for the first time.
        few = 0 if is_watched else COUNT - (mechanism == "user-notify")
        assert asked(tracer) == few
        # That of this process, whose parent it is, tells nothing.
        output = b"" if answer is None or answer.call else done.stdout
        found.append((done.returncode, output, counted.stops_by_kind, counted.tracees, calls))
    assert found[0] == found[1]
    assert found[0][-1][0][0] == "getppid"


def _raises(_stop: object) -> Decision:
    raise LookupError("nobody")


def _tells_of_another(_stop: object) -> Decision:
    raise TraceeDied("process_vm_readv", 1)


def replaced(value: int | None) -> Callable[[SyscallExitStop], int | None]:
    """Make an exit handler that returns ``value`` for every other call."""
    numbers = itertools.count()
    return lambda _stop: value if next(numbers) % 2 else None


@pytest.mark.parametrize("value", [None, 4242, -errno.EACCES, (1 << 64) - errno.EACCES, True])
@pytest.mark.parametrize("call", ["getppid", "gettid"], ids=["the call", "another"])
def test_whichever_result_it_answers(value: int | None, call: str) -> None:
    """Exit-stops, too: result and counts are those of a run that is observed."""
    found = []
    for is_watched in (False, True):
        tracer = calling("seccomp-trace")
        tracer.on_exit(call)(replaced(value))
        if is_watched:
            tracer.observe(lambda _stop: None)
        done = tracer.run(timeout=60)
        counted = tracer.statistics()
        calls = [
            (name, one.calls, one.stops, one.handler_calls, one.errors, one.seconds > 0)
            for name, one in counted.calls.items()
        ]
        assert asked(tracer) == (0 if is_watched or call != "getppid" else COUNT)
        output = b"" if value is None or call != "getppid" else done.stdout
        found.append((done.returncode, output, counted.stops_by_kind, calls))
    assert found[0] == found[1]


def test_an_exit_handler_sees_the_call_and_its_result() -> None:
    """As it was made, and when; memory while the stop lasts."""
    tracer = calling("seccomp-trace")
    stops: list[SyscallExitStop] = []
    written: list[bytes] = []

    @tracer.on_exit("write")
    def seen(stop: SyscallExitStop) -> None:
        stops.append(stop)
        written.append(stop.read(stop.args.buf, stop.args.count))

    done = tracer.run(timeout=60)
    assert written == [done.stdout]
    [stop] = stops
    assert (stop.name, stop.result, stop.args.fd) == ("write", len(written[0]), 1)
    assert (stop.error, stop.injected, stop.alone) == (None, False, False)
    assert 0 < stop.entered_ns < stop.time_ns
    with pytest.raises(RuntimeError, match="the stop is over"):
        stop.read(stop.args.buf, 1)


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (_raises, "the exit handler of getppid raised LookupError"),
        (_tells_of_another, "the exit handler of getppid raised TraceeDied"),
        (lambda _stop: "five", "returned 'five'"),
    ],
    ids=["raises", "another's death", "no result"],
)
def test_what_an_exit_handler_may_not_answer_ends_the_run(
    handler: Callable[[Any], Any], message: str
) -> None:
    """The command prints nothing, and nothing is left of it."""
    tracer = calling("seccomp-trace")
    tracer.on_exit("getppid")(handler)
    with pytest.raises(HandlerError, match=message):
        tracer.run(timeout=60)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG | 0x40000000)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("flags", [(), ("-m32",)], ids=["x86_64", "i386"])
def test_it_sees_the_call_as_the_kernel_does(mechanism: str, flags: tuple[str, ...]) -> None:
    """ABI, names, arguments, thread; and memory while the stop lasts, not after it."""
    tracer = calling(mechanism, flags)
    stops: list[SyscallEntryStop] = []
    written: list[bytes] = []

    @tracer.on_entry("write", where=arg.fd == 1)
    def seen(stop: SyscallEntryStop) -> None:
        stops.append(stop)
        written.append(stop.read(stop.args.buf, stop.args.count))

    tracer.on_entry("getppid")(stops.append)
    done = tracer.run(timeout=60)
    assert written == [done.stdout]
    *many, last = stops
    assert {stop.name for stop in many} == {"getppid"}
    assert len({stop.time_ns for stop in stops}) == COUNT + 1
    assert (last.name, last.args[0], last.args.count) == ("write", 1, len(written[0]))
    assert {(stop.tid, stop.pid, stop.abi.value) for stop in stops} == {
        (last.tid, last.tid, "i386" if flags else "x86_64")
    }
    for stop in (many[-1], last):
        with pytest.raises(RuntimeError, match="the stop is over"):
            stop.read(last.args.buf, 1)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (_raises, "the handler of getppid raised LookupError"),
        (_tells_of_another, "the handler of getppid raised TraceeDied"),
        (lambda _stop: 5, "returned 5"),
        (lambda _stop: TraceeDied("read", 1), "returned TraceeDied"),
        (lambda _stop: Decision.emulate(), "returned emulate"),
    ],
    ids=["raises", "another's death", "no decision", "an error", "impossible"],
)
def test_what_it_may_not_answer_ends_the_run(
    mechanism: str, handler: Callable[[SyscallEntryStop], Any], message: str
) -> None:
    """At the third call, whoever looks besides; the command prints nothing."""
    for is_watched in (False, True):
        tracer = calling(mechanism)
        count = itertools.count(1)

        def third(stop: SyscallEntryStop, count: Iterator[int] = count) -> Any:
            return handler(stop) if next(count) == 3 else None

        tracer.on_entry("getppid")(third)
        if is_watched:
            tracer.observe(lambda _stop: None)
        with pytest.raises(HandlerError, match=message):
            tracer.run(timeout=60)
        assert bool(asked(tracer)) is not is_watched
        assert tracer.statistics().handler_calls == 3
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG | 0x40000000)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_it_may_end_the_run_or_its_tracee(mechanism: str) -> None:
    """By end() of the tracer, or of the process that is about to make the call."""
    for end in (lambda tracer, _pid: tracer.end(), lambda _tracer, pid: os.kill(pid, 9)):
        tracer = calling(mechanism)
        count = 0

        def third(
            stop: SyscallEntryStop, end: Callable[..., None] = end, tracer: Tracer = tracer
        ) -> None:
            nonlocal count
            count += 1
            if count == 3:
                end(tracer, stop.pid)
                stop.read(0x1000, 1)  # May be too late, which is nobody's fault.

        tracer.on_entry("getppid")(third)
        result = tracer.run(timeout=60)
        assert (result.returncode, result.stdout) == (-signal.SIGKILL, b"")
        assert count == 3


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_threads_and_children_take_turns(mechanism: str) -> None:
    """Handlers run one at a time, and what they answer reaches who has called."""
    script = """
import os, threading
def work():
    for _ in range(100):
        assert os.getppid() == threading.get_native_id(), os.getppid()
for _ in range(3):
    if not os.fork():
        threads = [threading.Thread(target=work) for _ in range(3)]
        [one.start() for one in threads], [one.join() for one in threads]
        os._exit(0)
print(sorted(os.wait()[1] for _ in range(3)))
"""
    tracer = Tracer([sys.executable, "-c", script], mechanism=mechanism, capture_output=True)
    tracer.on_entry("getppid")(lambda stop: Decision.skip(stop.tid))
    assert tracer.run(timeout=60).stdout == b"[0, 0, 0]\n"
    assert tracer.statistics().calls["getppid"].handler_calls == 900
    assert asked(tracer) >= 900 - 9


def test_with_exit_events_and_in_a_mixed_run_it_is_asked_as_ever() -> None:
    """Exit events are looked for at every stop; handlers of two threads take turns."""
    tracer = Tracer([compiled("getppid_loop"), str(COUNT)], capture_output=True)
    tracer.on_entry("getppid")(lambda _stop: Decision.skip(5))
    tracer.on_entry("getpid", mechanism="user-notify")(lambda _stop: Decision.skip(6))
    assert tracer.run(timeout=60).stdout == b"5\n"
    assert asked(tracer) == 0
    assert tracer.statistics().calls["getppid"].handler_calls == COUNT
