"""What the loop tells of exit events when a tracee has no stop any more."""

from __future__ import annotations

from collections import Counter
from typing import cast

import bpf
from accel.call import Call
from accel.mechanisms.calls import Calls
from accel.mechanisms.exit_events import ExitEvents
from accel.mechanisms.exit_stops import ExitStops
from accel.mechanisms.stop_tables import StopTables
from accel.tracee import Tracee

TID = 77


class Samples:
    """A source whose thread has made one call that nobody has heard of yet."""

    def __init__(self) -> None:
        self.samples = [
            bpf.ExitSample(TID, bpf.Arch.X86_64, 8, (1, 2, 3, 4, 5, 6), -9, 1000, 0x400000, 0x7000)
        ]

    def take(self, _tid: int) -> list[bpf.ExitSample]:
        taken, self.samples = self.samples, []
        return taken

    def forget(self, _tid: int) -> None:
        self.samples = []


class Told:
    """Who is told of calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Call, int, bool]] = []

    def exited(self, _tracee: Tracee, call: Call, sample: bpf.ExitSample, *, is_late: bool) -> None:
        self.calls.append((call, sample.result, is_late))


def test_a_thread_that_is_killed_in_its_last_stop_is_told_of_before_it_is_forgotten() -> None:
    """ptrace_stop() does not stop a thread that has SIGKILL pending: exit_group(2) of another."""
    events, told = Samples(), Told()
    stops = ExitStops(cast(ExitEvents, events), cast(Calls, told), StopTables({}), Counter())
    stops.ended(TID, Tracee(TID, TID))
    [(call, result, is_late)] = told.calls
    assert (call.number, call.arguments[0], result, is_late) == (8, 1, -9, True)
