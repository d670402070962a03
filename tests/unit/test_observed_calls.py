"""What the kernel wrote of calls, as records for sinks and as stops for observers."""

from __future__ import annotations

from dataclasses import replace

from accel.mechanisms.observed_calls import ObservedCalls
from accel.mechanisms.recorder import Recorder
from accel.mechanisms.ring import Ring
from accel.records import RETURNED, Record
from accel.stops import Stop, SyscallEntryStop, SyscallExitStop
from tests.unit.recorded import Kept, Observing, Recorded, begun

ERESTARTSYS = -512
OPEN = Recorded("open", (0x1000,), 3, strings={0: b"/etc/passwd\0"})
RENAME = Recorded("rename", (0x1000, 0x2000), strings={0: b"a\0", 1: b"b\0"}, tid=8)
READ = Recorded("read", (0, 0x3000, 9), ERESTARTSYS)


def written(call: Recorded) -> bytes:
    """Lay a call out as the program in the kernel does: its strings are behind it."""
    return b"".join(call.packed(0))


def recorded(*calls: Recorded) -> list[Record]:
    """Hand calls to a recorder, all at once."""
    sink = Kept()
    observed = ObservedCalls(None, Recorder(Ring(records=16, strings=1 << 16), [sink]))
    for call in calls:
        observed.add(written(call))
    observed.flush()
    return sink.told


def stops_of(*calls: Recorded) -> list[Stop]:
    """Tell an observer of calls."""
    stops: list[Stop] = []
    observed = ObservedCalls(stops.append, None)
    for call in calls:
        observed.add(written(call))
    return stops


def test_records_find_their_strings_among_those_of_others() -> None:
    """Each came with its own, which lie side by side now."""
    first, second, third = recorded(OPEN, RENAME, replace(OPEN, tid=9))
    assert first.strings == third.strings == {0: b"/etc/passwd\0"}
    assert second.strings == {0: b"a\0", 1: b"b\0"}


def test_strings_of_the_beginning_are_those_of_the_end() -> None:
    """They are written once."""
    end = replace(OPEN, strings={}, flags=RETURNED | 1)
    [one] = recorded(begun(OPEN), end)
    assert (one.result, one.strings) == (3, {0: b"/etc/passwd\0"})


def test_a_call_that_ends_before_another_is_told_has_one_record() -> None:
    """Else its beginning has one of its own, which sinks that are observers get."""

    end = replace(OPEN, strings={}, flags=RETURNED | 1)
    for between, count in ((), 1), ((RENAME,), 3):
        sink = Observing()
        observed = ObservedCalls(None, Recorder(Ring(records=16, strings=1 << 16), [sink]))
        for call in (begun(OPEN), *between, end):
            observed.add(written(call))
        observed.flush()
        assert len(sink.told) == count
        assert sink.told[-1].strings == {0: b"/etc/passwd\0"}
        assert sink.told[-1].result == 3


def test_a_call_is_told_when_it_begins_and_when_it_has_returned() -> None:
    """With what was read at its beginning."""
    end = replace(OPEN, strings={}, flags=RETURNED | 1)
    entry, leave = stops_of(begun(OPEN), end)
    assert isinstance(entry, SyscallEntryStop)
    assert isinstance(leave, SyscallExitStop)
    assert entry.read_string(0x1000) == leave.read_string(0x1000) == b"/etc/passwd"
    assert (entry.time_ns, leave.entered_ns, leave.time_ns, leave.result) == (1000, 1000, 2000, 3)


def test_a_call_whose_beginning_was_not_told_is_told_whole() -> None:
    """What its arguments point to could not be read then."""
    assert [type(stop) for stop in stops_of(OPEN)] == [SyscallEntryStop, SyscallExitStop]


def test_of_a_call_without_exit_its_beginning_alone_is_told() -> None:
    """Unless it is one that never returns."""
    assert len(stops_of(replace(OPEN, flags=0, left_ns=0))) == 1
    _, leave = stops_of(Recorded("exit_group", flags=0, left_ns=0))
    assert isinstance(leave, SyscallExitStop)
    assert leave.result is None


def test_an_interrupted_call_waits_for_what_its_thread_does_next() -> None:
    """Other threads do not matter."""
    stops: list[Stop] = []
    observed = ObservedCalls(stops.append, None)
    observed.add(written(READ))
    observed.add(written(RENAME))
    assert {stop.tid for stop in stops if isinstance(stop, SyscallExitStop)} == {8}
    observed.add(written(replace(READ, result=4, entered_ns=3000)))
    results = [stop.result for stop in stops if isinstance(stop, SyscallExitStop)]
    assert results == [0, ERESTARTSYS, 4]


def test_an_interrupted_call_never_returns_if_its_thread_was_ended_for_it() -> None:
    """ptrace(2) has no exit-stop then."""
    stops: list[Stop] = []
    observed = ObservedCalls(stops.append, None)
    observed.add(written(READ))
    observed.release(7, returned=False)
    observed.release(7)
    assert [stop.result for stop in stops if isinstance(stop, SyscallExitStop)] == [None]


def test_other_errors_do_not_wait() -> None:
    """Nor do addresses, whose upper bytes are those of negative numbers."""
    for result in (-2, -511, -517, -(1 << 40)):
        assert len(stops_of(replace(READ, result=result))) == 2


def test_what_still_waits_is_told_at_the_end() -> None:
    """Nothing is lost."""
    sink = Kept()
    observed = ObservedCalls(None, Recorder(Ring(records=16, strings=1 << 16), [sink]))
    observed.add(written(READ))
    observed.close()
    assert [one.result for one in sink.told] == [ERESTARTSYS]


def test_a_call_under_way_is_its_threads_under_another_tid() -> None:
    """An execve(2) of a thread that is not the leader."""
    stops: list[Stop] = []
    observed = ObservedCalls(stops.append, None)
    executes = Recorded("execve", (0x1000,), tid=8, strings={0: b"/bin/true\0"})
    observed.add(written(begun(executes)))
    observed.renamed(8, 7)
    observed.add(written(replace(executes, tid=7, strings={})))
    entry, leave = stops
    assert (entry.tid, leave.tid) == (8, 7)  # type: ignore[union-attr]


def test_strings_of_calls_whose_ends_were_lost_are_not_kept() -> None:
    """A thread is in one call at a time, so memory is bounded however many are lost."""
    recorder = Recorder(Ring(records=16, strings=1 << 16), [Kept()])
    observed = ObservedCalls(None, recorder)
    for time_ns in range(100):
        observed.add(written(replace(begun(OPEN), entered_ns=time_ns)))
    observed.flush()
    assert list(recorder._known) == [(7, 99)]
