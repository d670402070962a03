"""Tracees that stay in their stop for a while, as a decision wants it; all others go on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final

from accel.errors import TraceeDied
from accel.mechanisms.doorbell import Doorbell
from accel.mechanisms.stop_tables import StopTables
from accel.tracee import Tracee

__all__ = ["Delays"]

_SECOND: Final = 1_000_000_000


class Delays:
    """The delayed tracees of one loop, each with a child that ends when its time has come.

    ``hang`` has the loop call a function when a child ends; ``resume`` is the loop's own.
    """

    def __init__(
        self,
        tables: StopTables,
        hang: Callable[[int, Callable[[], None]], None],
        resume: Callable[[Tracee], None],
    ) -> None:
        self._tables = tables
        self._hang = hang
        self._resume = resume
        self._alarms: dict[int, Doorbell] = {}

    def begin(self, tracee: Tracee) -> None:
        """Leave a tracee in its stop for ``delay_ns``, and resume it then.

        Where no more children can be had, everybody waits.
        """
        duration, tracee.delay_ns = tracee.delay_ns, 0
        try:
            alarm = Doorbell(duration)
        except OSError:
            time.sleep(duration / _SECOND)
            self._resume(tracee)
            return
        tid, stop_number = tracee.tid, tracee.stop_number
        effect = self._tables.take_effect()
        self._alarms[tid] = alarm

        def due() -> None:
            alarm.close(reap=False)
            if self._alarms.get(tid) is not alarm:
                return  # It has ended.
            del self._alarms[tid]
            # Else SIGKILL has ended the stop, and another one has been answered.
            if tracee.stop_number == stop_number:
                self._tables.restore_effect(*effect)
                with contextlib.suppress(TraceeDied):  # Then wait reports its end.
                    self._resume(tracee)

        self._hang(alarm.pid, due)

    def forget(self, tid: int) -> None:
        """Wait no longer for a tracee that has ended."""
        alarm = self._alarms.pop(tid, None)
        if alarm is not None:
            alarm.ring()

    def end(self) -> None:
        """Resume all at once."""
        for alarm in self._alarms.values():
            alarm.ring()
