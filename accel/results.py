"""How a run ended and what it took, as immutable values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from accel.decision import ERROR_RESULTS
from bpf.value import frozen

__all__ = ["CallCounter", "CallStatistics", "Result", "Statistics"]

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


@frozen
class Result:
    """The end of a command, read like ``subprocess.CompletedProcess``."""

    args: Sequence[str | bytes]
    #: The exit status; -N if the command was killed by signal N.
    returncode: int
    #: What was captured; None where the stream was not.
    stdout: bytes | None = None
    stderr: bytes | None = None

    def check_returncode(self) -> None:
        """Raise subprocess.CalledProcessError if the command failed."""
        if self.returncode:
            import subprocess  # noqa: PLC0415 - as slow to import as all of accel

            raise subprocess.CalledProcessError(
                self.returncode, list(self.args), self.stdout, self.stderr
            )


class CallCounter:
    """The counters of one call while a run goes on."""

    __slots__ = ("calls", "errors", "handler_calls", "nanoseconds", "notifications", "stops")

    def __init__(
        self,
        *,
        calls: int = 0,
        stops: int = 0,
        notifications: int = 0,
        handler_calls: int = 0,
        errors: int = 0,
        nanoseconds: int = 0,
    ) -> None:
        #: How often the call was made, as far as it stopped.
        self.calls = calls
        self.stops = stops
        self.notifications = notifications
        self.handler_calls = handler_calls
        self.errors = errors
        #: Wall time between entry-stop and exit-stop, where there was one.
        self.nanoseconds = nanoseconds

    def __add__(self, other: CallCounter) -> CallCounter:
        names = self.__slots__
        return CallCounter(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CallCounter) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]  # it changes

    def returned(self, result: int, nanoseconds: int) -> None:
        """Count the end of a call."""
        self.nanoseconds += nanoseconds
        if result in ERROR_RESULTS:
            self.errors += 1


@frozen
class CallStatistics:
    """What one system call took."""

    calls: int = 0
    #: Kernel stops: what wait(2) reported for it.
    stops: int = 0
    #: Seccomp user notifications.
    notifications: int = 0
    #: Times that Python code of the user ran for it.
    handler_calls: int = 0
    errors: int = 0
    #: Wall seconds between its entry-stops and exit-stops.
    seconds: float = 0.0


@frozen
class Statistics:
    """What a run took. Stops, notifications and handler calls are three different things."""

    #: All kernel stops, of calls, signals and events.
    stops: int = 0
    notifications: int = 0
    handler_calls: int = 0
    #: Kernel stops by kind: seccomp, entry, exit, signal, group, event, exit-event; ended: those
    #: that a SIGKILL or another thread's execve ended before they could be looked at.
    stops_by_kind: Mapping[str, int] = _NONE
    #: The same for each call, by name (``name@i386`` for calls of the 32-bit ABI).
    calls: Mapping[str, CallStatistics] = _NONE
    #: Threads and processes that were traced.
    tracees: int = 0
    #: Records that could not be delivered or written.
    lost: int = 0
