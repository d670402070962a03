"""How threads begin and end, found from what the kernel's tracepoints tell."""

from __future__ import annotations

import signal

import pytest

from accel.mechanisms.observed_threads import ObservedThreads
from accel.stops import EventStop, Exited, Killed, SignalDeliveryStop, Stop
from bpf.probes.observe import BY_CALL, ZAPPED, Event, Kind

ROOT, THREAD, CHILD = 100, 101, 200
CLONE_VFORK, CLONE_THREAD = 0x4000, 0x10000
HANDLER = 0x401000


def event(kind: Kind, tid: int, pid: int = ROOT, **fields: object) -> Event:
    """Make an event, zero where nothing is given."""
    whole = {
        "kind": kind, "time_ns": 5, "left_ns": 0, "tid": tid, "pid": pid, "number": 0,
        "arguments": (0,) * 6, "result": 0, "strings": 0, "flags": 0,
    }  # fmt: skip
    return Event(**{**whole, **fields})  # type: ignore[arg-type]


def born(tid: int, pid: int, parent: int, flags: int = 0) -> Event:
    return event(Kind.ATTACHED, tid, pid, arguments=(parent, ROOT, flags, 0, 0, 0))


def sent(number: int, tid: int = ROOT, pid: int = ROOT) -> Event:
    return event(Kind.GENERATED, tid, pid, number=number, left_ns=77, strings=1000)


def delivered(number: int, tid: int = ROOT, *, handler: int = 0) -> Event:
    return event(Kind.DELIVERED, tid, number=number, left_ns=handler)


def zapped(tid: int, pid: int = ROOT) -> Event:
    return event(Kind.ENDED, tid, pid, flags=ZAPPED)


def told(*events: Event, status: int | None = None, threads: int = 1) -> list[Stop]:
    """Tell events of a command that has executed, whose end wait(2) would report as ``status``."""
    stops: list[Stop] = []
    observed = ObservedThreads(stops.append, lambda: status)
    observed.root = ROOT
    observed.started = True
    for tid in range(ROOT, ROOT + threads):
        observed.begin(tid, ROOT)
    for one in events:
        observed.take(one)
    return stops


@pytest.mark.parametrize(
    ("flags", "kind"), [(0, "fork"), (CLONE_VFORK, "vfork"), (CLONE_THREAD, "clone")]
)
def test_a_new_thread_is_told_of_its_parent_then_of_itself(flags: int, kind: str) -> None:
    """As PTRACE_EVENT_FORK and its kin come before the first stop of the child."""
    parents, own = told(born(CHILD, CHILD, ROOT, flags))
    assert isinstance(parents, EventStop)
    assert isinstance(own, EventStop)
    assert (parents.tid, parents.event, parents.message) == (ROOT, kind, CHILD)
    assert (own.tid, own.pid, own.event) == (CHILD, CHILD, "attached")


def test_exit_statuses_are_those_of_the_calls() -> None:
    """Each thread's exit(2); exit_group(2) for those that it ends."""
    exiting = event(Kind.EXITING, ROOT, result=7)
    own = event(Kind.ENDED, THREAD, flags=BY_CALL, result=3)
    assert told(own, threads=2) == [Exited(THREAD, ROOT, 3, 5)]
    assert told(exiting, zapped(THREAD), threads=2) == [Exited(THREAD, ROOT, 7, 5)]


def test_the_end_of_the_command_is_what_wait_says() -> None:
    """It also knows of core dumps."""
    assert told(zapped(ROOT), status=signal.SIGSEGV | 0x80) == [Killed(ROOT, ROOT, 11, True, 5)]
    assert told(zapped(ROOT), status=3 << 8) == [Exited(ROOT, ROOT, 3, 5)]


def test_a_leader_has_ended_when_its_last_thread_has() -> None:
    """As wait(2) reports it."""
    leader = event(Kind.ENDED, ROOT, flags=BY_CALL)
    thread = event(Kind.ENDED, THREAD, flags=BY_CALL)
    assert told(leader, threads=2) == []
    assert told(leader, thread, threads=2) == [Exited(THREAD, ROOT, 0, 5), Exited(ROOT, ROOT, 0, 5)]


def test_the_leader_of_a_thread_that_executes_has_not_ended() -> None:
    """It was superseded; the others are told to have ended."""
    events = (zapped(ROOT), zapped(THREAD + 1), event(Kind.EXECUTED, ROOT, number=THREAD))
    ended, superseded, executed = told(*events, threads=3)
    assert ended == Exited(THREAD + 1, ROOT, 0, 5)
    assert superseded == EventStop(ROOT, ROOT, "superseded", THREAD, time_ns=5)
    assert executed == EventStop(ROOT, ROOT, "exec", THREAD, time_ns=5)


def test_a_signal_that_ends_the_process_is_told_once_though_it_is_never_delivered() -> None:
    """The kernel ends all threads instead; a tracer would have seen it at its target."""
    stops = told(sent(signal.SIGTERM, THREAD), zapped(THREAD), zapped(ROOT), status=15, threads=2)
    told_of, *ends = stops
    assert isinstance(told_of, SignalDeliveryStop)
    assert (told_of.tid, told_of.signal) == (THREAD, signal.SIGTERM)
    assert ends == [Killed(THREAD, ROOT, 15, time_ns=5), Killed(ROOT, ROOT, 15, time_ns=5)]


def test_sigkill_is_told_by_the_ends_alone() -> None:
    """ptrace(2) has no signal-delivery-stop for it."""
    assert told(sent(signal.SIGKILL, CHILD, CHILD), zapped(CHILD, CHILD)) == [
        Killed(CHILD, CHILD, 9, time_ns=5)
    ]


def test_a_fault_of_one_thread_kills_the_others() -> None:
    """It is delivered, and nothing handles it."""
    fault = event(Kind.ENDED, ROOT, number=signal.SIGSEGV)
    stops = told(delivered(signal.SIGSEGV), zapped(THREAD), fault, status=11, threads=2)
    assert stops[1:] == [Killed(THREAD, ROOT, 11, time_ns=5), Killed(ROOT, ROOT, 11, time_ns=5)]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGCHLD, signal.SIGTSTP])
def test_a_signal_that_is_handled_or_harmless_kills_nobody(number: int) -> None:
    """The thread ended for another reason: here, another that executed."""
    handler = HANDLER if number == signal.SIGSEGV else 0
    stops = told(sent(number), delivered(number, handler=handler), zapped(THREAD), threads=2)
    assert stops[1:] == [Exited(THREAD, ROOT, 0, 5)]


def test_a_signal_without_siginfo_gets_what_the_kernel_would_make_up() -> None:
    """SEND_SIG_NOINFO: of a process; SEND_SIG_PRIV: of the kernel."""
    for stands_for, code, pid in ((0, 0, 77), (1, 0x80, 0)):
        one = sent(signal.SIGTERM)._replace(result=stands_for)
        [stop] = told(one._replace(kind=Kind.DELIVERED))
        assert isinstance(stop, SignalDeliveryStop)
        words = [int.from_bytes(stop.siginfo[at : at + 4], "little") for at in (0, 8, 16)]
        assert words == [signal.SIGTERM, code, pid]
        assert len(stop.siginfo) == 128


def test_only_calls_that_others_ended_never_return() -> None:
    """An interrupted call returns if its thread takes the signal; else it was cut short."""
    observed = ObservedThreads(lambda _stop: None, lambda: None)
    for tid in (ROOT, THREAD):
        observed.begin(tid, ROOT)
    assert observed.is_cut_short(zapped(ROOT))
    assert not observed.is_cut_short(event(Kind.ENDED, ROOT, number=11))
    observed.take(sent(signal.SIGTERM, ROOT))
    assert not observed.is_cut_short(zapped(ROOT))
    assert observed.is_cut_short(zapped(THREAD))
    observed.take(sent(signal.SIGKILL, ROOT))
    assert observed.is_cut_short(zapped(ROOT))


def test_what_happens_before_the_command_executes_is_not_told() -> None:
    """The launching child is no part of it."""
    stops: list[Stop] = []
    observed = ObservedThreads(stops.append, lambda: 1 << 8)
    observed.root = ROOT
    observed.begin(ROOT, ROOT)
    observed.take(delivered(signal.SIGCONT))
    assert stops == []
    observed.take(event(Kind.EXECUTED, ROOT, number=ROOT))
    assert [stop.event for stop in stops if isinstance(stop, EventStop)] == ["exec"]


def test_an_end_that_was_lost_is_made_up_for() -> None:
    """The command's: wait(2) knows of it."""
    stops: list[Stop] = []
    observed = ObservedThreads(stops.append, lambda: 9)
    observed.root, observed.started = ROOT, True
    observed.begin(ROOT, ROOT)
    observed.end(6)
    observed.end(7)
    assert stops == [Killed(ROOT, ROOT, 9, time_ns=6)]
