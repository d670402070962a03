"""A stop whose parts are made late is a SyscallEntryStop in all that a handler can see of it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from accel import Abi, Call, SyscallEntryStop, SyscallExitStop
from accel.mechanisms.live_stop import blank_exit_stop, blank_stop
from accel.mechanisms.notified_stop import blank_notified_stop
from accel.records import LAYOUT, pack
from accel.tracee import StopMemory, Tracee
from bpf.value import replace

ARGUMENTS = (3, 0x7000_0000_0008, 0xFFFF_FFFF_FFFF_FFFF, 4, 5, 6)


StopOf = Callable[..., SyscallEntryStop]


def notified(abi: Abi, number: int, tracee: Tracee | None = None) -> SyscallEntryStop:
    """Make one as of a notification with id 99, of thread 7 in process 5, at 0x401000."""
    stop = blank_notified_stop()
    words = (99, 7, 0, number, abi.audit_arch, 0x401000, *ARGUMENTS)
    stop.notified(words, tracee or Tracee(7, 5), -1)
    return stop


def traced(abi: Abi, number: int, tracee: Tracee | None = None) -> SyscallEntryStop:
    """Make one as of a seccomp-stop of that thread, there."""
    stop = blank_stop()
    words = (3, abi.audit_arch, 0x401000, 0x7FFF_0000, number, *ARGUMENTS, 0xAC00)
    stop.traced(words, tracee or Tracee(7, 5))
    return stop


@pytest.fixture(params=[notified, traced])
def stop_of(request: pytest.FixtureRequest) -> StopOf:
    """Make a stop of either mechanism."""
    made: StopOf = request.param
    return made


def test_it_tells_of_the_call_what_the_kernel_did(stop_of: StopOf) -> None:
    """With the registers of its ABI: the high halves of an i386 call's are nobody's."""
    low = tuple(value & 0xFFFF_FFFF for value in ARGUMENTS)
    for abi, number, seen in ((Abi.X86_64, 1, ARGUMENTS), (Abi.I386, 4, low)):
        stop = stop_of(abi, number)
        pointer = stop.call.stack_pointer
        assert pointer in {0, 0x7FFF_0000}  # No notification tells it.
        assert stop.call == Call(7, 5, abi, number, seen, 0x401000, pointer)  # type: ignore[arg-type]
        assert stop.call is stop.call
        assert (stop.tid, stop.pid, stop.abi, stop.number, stop.name) == (
            7,
            5,
            abi,
            number,
            "write",
        )
        assert (tuple(stop.args), stop.args.fd, stop.args.count) == (seen, 3, stop.args[2])


def test_it_is_a_value(stop_of: StopOf) -> None:
    """As every stop: it can be told from others, matched, printed, and not changed."""
    stop = stop_of(Abi.X86_64, 1)
    match stop:
        case SyscallEntryStop(call=Call(number=number)):
            assert number == 1
        case _:
            raise AssertionError(stop)
    assert repr(stop).startswith("SyscallEntryStop(call=Call(tid=7, pid=5, ")
    assert len({stop, stop}) == 1
    assert stop != stop_of(Abi.X86_64, 1)  # made later
    with pytest.raises(AttributeError, match="a SyscallEntryStop does not change"):
        stop.time_ns = 0  # type: ignore[misc]
    with pytest.raises(AttributeError, match="no attribute"):
        stop.retval  # type: ignore[attr-defined]  # noqa: B018


def test_its_memory_is_that_of_the_stop_even_if_it_is_first_asked_for_later(
    stop_of: StopOf,
) -> None:
    """What another stop of the thread shows is not what this one did."""
    tracee = Tracee(7, 5)
    stop = stop_of(Abi.X86_64, 1, tracee)
    tracee.stop_number += 1
    with pytest.raises(RuntimeError, match="the stop is over"):
        stop.read(0x1000, 1)


def test_an_exit_stop_tells_of_the_call_what_its_record_does() -> None:
    """And is a value, as the others."""
    tracee = Tracee(7, 5)
    call = Call(7, 5, Abi.I386, 4, (3, 2, 1, 4, 5, 6), 0x401000, 0x7FFF_0000)
    record = pack(call, entered_ns=100, left_ns=300, rule=2, result=-9, strings=0, flags=0)
    stop = blank_exit_stop()
    stop.returned(LAYOUT.unpack(record), tracee)
    expected = SyscallExitStop(call, -9, StopMemory(tracee), entered_ns=100, time_ns=300)
    for name in SyscallExitStop.__match_args__:
        if name != "memory":
            assert getattr(stop, name) == getattr(expected, name), name
    assert (tuple(stop.args), stop.args.fd, stop.error) == (call.arguments, 3, "EBADF")
    assert repr(stop) == repr(expected)
    with pytest.raises(AttributeError, match="does not change"):
        stop.result = 0  # type: ignore[misc]
    tracee.stop_number += 1
    with pytest.raises(RuntimeError, match="the stop is over"):
        stop.read(0x1000, 1)


@pytest.mark.parametrize("is_exit", [False, True])
def test_it_is_copied_as_the_value_that_it_stands_for(is_exit: bool) -> None:
    """By copy, pickle and replace; and it equals that value."""
    stop: SyscallEntryStop | SyscallExitStop = traced(Abi.X86_64, 1)
    if is_exit:
        blank = blank_exit_stop()
        record = pack(stop.call, entered_ns=1, left_ns=2, rule=0, result=3, strings=0, flags=0)
        blank.returned(LAYOUT.unpack(record), Tracee(7, 5))
        stop = blank
    kind = SyscallExitStop if is_exit else SyscallEntryStop
    for copied in (copy.copy(stop), pickle.loads(pickle.dumps(stop)), replace(stop, time_ns=5)):
        assert type(copied) is kind
        assert copied.call == stop.call
        assert copied == replace(stop, time_ns=copied.time_ns)
    assert copy.copy(stop) == stop
    assert stop == copy.copy(stop)
    assert hash(copy.copy(stop)) == hash(stop)
