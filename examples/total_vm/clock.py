"""The machine's time, and the calls that ask for it."""

from __future__ import annotations

import errno
import time
from typing import Final

from .dispatch import Answer, syscall
from .guest import Guest, error
from .layouts import timespec, timespec_values, timeval

__all__ = ["Clock", "TimeCalls"]

_BILLION: Final = 1_000_000_000
_REALTIME: Final = frozenset((0, 5, 8, 11))  # CLOCK_REALTIME, its _COARSE, its _ALARM, CLOCK_TAI.
_OTHERS: Final = frozenset((1, 2, 3, 4, 6, 7, 9))  # They count from the start of the machine.
_MONOTONIC: Final = 1
_TIMER_ABSTIME: Final = 1


class Clock:
    """A clock that starts at any time, runs as the host's does, and is put forward by sleep.

    Nobody else runs in the machine: whether the guest slept or time jumped, none can tell.
    """

    def __init__(self, start_ns: int | None = None) -> None:
        self._begun = time.monotonic_ns()
        self._start = time.time_ns() if start_ns is None else start_ns
        self._slept = 0

    def running_ns(self) -> int:
        """Tell for how long the machine has been running."""
        return time.monotonic_ns() - self._begun + self._slept

    def now_ns(self) -> int:
        """Tell the time since 1970."""
        return self._start + self.running_ns()

    def sleep(self, nanoseconds: int) -> None:
        """Let time pass."""
        self._slept += max(0, nanoseconds)


class TimeCalls:
    """What the guest asks for when it cannot find the vDSO, see ``boot``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @syscall("clock_gettime")
    def clock_gettime(self, guest: Guest, clockid: int, tp: int) -> Answer:
        """Tell the time of a clock."""
        guest.write(tp, timespec(self._read(clockid)))
        return 0

    @syscall("clock_getres")
    def clock_getres(self, guest: Guest, clockid: int, res: int) -> Answer:
        """Tell that clocks count nanoseconds."""
        self._read(clockid)
        if res:
            guest.write(res, timespec(1))
        return 0

    @syscall("gettimeofday")
    def gettimeofday(self, guest: Guest, tv: int, tz: int) -> Answer:
        """Tell the time in microseconds, and of no time zone."""
        if tv:
            guest.write(tv, timeval(self._clock.now_ns()))
        if tz:
            guest.write(tz, bytes(8))
        return 0

    @syscall("time")
    def time(self, guest: Guest, tloc: int) -> Answer:
        """Tell the time in seconds."""
        seconds = self._clock.now_ns() // _BILLION
        if tloc:
            guest.write(tloc, seconds.to_bytes(8, "little"))
        return seconds

    @syscall("clock_nanosleep")
    @syscall("nanosleep", clockid=_MONOTONIC, flags=0, request="req")
    def clock_nanosleep(self, guest: Guest, clockid: int, flags: int, request: int) -> Answer:
        """Let time pass, or let it be later."""
        now = self._read(clockid)
        seconds, nanoseconds = timespec_values(guest.read(request, 16))
        if seconds < 0 or not 0 <= nanoseconds < _BILLION:
            raise error(errno.EINVAL)
        wanted = seconds * _BILLION + nanoseconds
        self._clock.sleep(wanted - now if flags & _TIMER_ABSTIME else wanted)
        return 0

    def _read(self, clockid: int) -> int:
        if clockid in _REALTIME:
            return self._clock.now_ns()
        if clockid in _OTHERS:
            return self._clock.running_ns()
        raise error(errno.EINVAL)
