"""A call without a result is told to end before anything else is told."""

from __future__ import annotations

from accel.abi import Abi
from accel.call import Call
from accel.stops import Exited, Stop, SyscallEntryStop, SyscallExitStop
from accel.testing import FakeMemory
from accel.writers import Unreturned

MEMORY = FakeMemory()


def entry(tid: int, time_ns: int = 5) -> SyscallEntryStop:
    """Make a getppid that begins."""
    return SyscallEntryStop(Call(tid, tid, Abi.X86_64, 110, (0,) * 6), MEMORY, time_ns)


def end(tid: int, result: int | None, time_ns: int = 5) -> SyscallExitStop:
    """Make its end."""
    call = entry(tid).call
    return SyscallExitStop(call, result, MEMORY, time_ns, time_ns, injected=result is not None)


def told(*stops: Stop) -> list[Stop]:
    """Tell of stops, and finish; return what the observer behind has heard."""
    heard: list[Stop] = []
    unreturned = Unreturned(heard.append)
    for stop in stops:
        unreturned(stop)
    unreturned.finish()
    return heard


def test_a_call_that_was_let_run_ends_without_a_result() -> None:
    """Before whatever comes next, and at the end."""
    exited = Exited(1, 1, 0)
    assert told(entry(1), exited) == [entry(1), end(1, None), exited]
    assert told(entry(1), entry(2, 7)) == [entry(1), end(1, None), entry(2, 7), end(2, None, 7)]


def test_a_call_that_was_answered_ends_with_its_answer() -> None:
    """Once."""
    assert told(entry(1), end(1, 4242)) == [entry(1), end(1, 4242)]


def test_the_end_of_another_threads_call_is_not_taken_for_its_own() -> None:
    """Both end."""
    assert told(entry(1), end(2, 7)) == [entry(1), end(1, None), end(2, 7)]


def test_finishing_twice_tells_nothing_more() -> None:
    """Nor does finishing before anything was told."""
    heard: list[Stop] = []
    unreturned = Unreturned(heard.append)
    unreturned.finish()
    unreturned(entry(1))
    unreturned.finish()
    unreturned.finish()
    assert heard == [entry(1), end(1, None)]
