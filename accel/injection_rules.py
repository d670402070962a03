"""Injections as rules of a Tracer: what is the same for every call is answered in the filter.

What depends on a count, or needs more than an answer, has a handler. Counts are strace's: of each
call of each thread by itself; a new thread or process begins at 1, execve(2) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from accel.abi import Abi
from accel.decision import Decision
from accel.errors import SetupError
from accel.injection import Injection
from accel.mask import SyscallMask
from accel.stops import EventStop, Exited, Killed, Stop, SyscallEntryStop
from accel.tracer import Tracer

__all__ = ["inject"]

#: What the launching child needs until it is the command; not for the filter to answer.
_LAUNCHING: Final = SyscallMask.parse("execve,exit_group")
_NONE: Final = SyscallMask.none()


def inject(
    tracer: Tracer,
    *injections: Injection | str,
    selects: Callable[[SyscallEntryStop], bool] | None = None,
) -> None:
    """Inject into a Tracer's command; of several injections into one call the last holds.

    ``selects`` restricts them to calls that it says yes to; others are not counted. The execve(2)
    that starts the command is left alone. Rules added before go first. Raise InjectionError,
    MaskError, or SetupError for a mechanism without stops before calls.
    """
    read = [Injection.parse(one) if isinstance(one, str) else one for one in injections]
    threads = _Threads(has_started=tracer.is_attached)
    taken = SyscallMask.none()
    for injection in reversed(read):
        if tracer.mechanism == "user-notify":
            _check_notified(injection)
        mask, taken = injection.mask - taken, taken | injection.mask
        in_filter = mask - _LAUNCHING if injection.is_constant and not selects else _NONE
        if in_filter:
            tracer.decide(in_filter, Decision.skip(injection.result or 0))
        if mask - in_filter:
            handler = _Injector(injection, threads, tracer.mask or _NONE, selects)
            tracer.on_entry(mask - in_filter)(handler)
    tracer.observe(threads, exits=False, calls=False)


def _check_notified(injection: Injection) -> None:
    delays = injection.delay_enter_ns or injection.delay_exit_ns
    if delays or injection.signal:
        raise SetupError(
            "user-notify has no stop to send a signal at, or to stay in",
            hint="inject error= or retval=, or use mechanism auto",
        )


class _Threads:
    """Counts the calls of each thread; an observer, to follow execve(2) and forget the dead."""

    def __init__(self, *, has_started: bool) -> None:
        #: Whether the command has been executed.
        self.has_started = has_started
        self._counts: dict[int, dict[tuple[Abi, int], int]] = {}

    def count(self, stop: SyscallEntryStop) -> int:
        """Count a call; tell which of its kind it is in its thread."""
        counts = self._counts.setdefault(stop.tid, {})
        key = (stop.abi, stop.number)
        counts[key] = counts.get(key, 0) + 1
        return counts[key]

    def __call__(self, stop: Stop, /) -> None:
        match stop:
            case EventStop(event="exec"):
                self.has_started = True
            case EventStop(event="superseded"):
                self._counts[stop.tid] = self._counts.pop(stop.message, {})
            case Exited() | Killed():
                self._counts.pop(stop.tid, None)


class _Injector:
    """Answers the calls of one injection."""

    def __init__(
        self,
        injection: Injection,
        threads: _Threads,
        observed: SyscallMask,
        selects: Callable[[SyscallEntryStop], bool] | None,
    ) -> None:
        self._injection = injection
        self._threads = threads
        self._observed = observed
        self._selects = selects

    def __call__(self, stop: SyscallEntryStop) -> Decision | None:
        if not self._threads.has_started or (self._selects and not self._selects(stop)):
            return None
        if not self._injection.when.holds(self._threads.count(stop)):
            return None
        return self._decision(stop)

    def _decision(self, stop: SyscallEntryStop) -> Decision:
        injection = self._injection
        entry_ns, exit_ns = injection.delay_enter_ns or 0, injection.delay_exit_ns or 0
        if injection.result is not None:
            decision = Decision.skip(_as_seen(injection.result, stop.abi), inspect=exit_ns > 0)
        elif exit_ns or stop.call in self._observed:
            decision = Decision.inspect()
        else:
            decision = Decision.resume()
        if injection.signal:
            decision = decision.with_signal(injection.signal)
        return decision.delayed(entry_ns=entry_ns, exit_ns=exit_ns)


def _as_seen(result: int, abi: Abi) -> int:
    """Cut a result to the register that a program of an ABI looks at."""
    half = 1 << (abi.bits - 1)
    return (result + half) % (2 * half) - half
