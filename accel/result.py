"""How a run ended and what it took, as immutable values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType

__all__ = ["CallCounter", "CallStatistics", "Result", "Statistics"]


@dataclass(frozen=True, slots=True)
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


@dataclass(slots=True)
class CallCounter:
    """The counters of one call while a run goes on."""

    #: How often the call was made, as far as it stopped.
    calls: int = 0
    stops: int = 0
    notifications: int = 0
    handler_calls: int = 0
    errors: int = 0
    #: Wall time between entry-stop and exit-stop, where there was one.
    nanoseconds: int = 0

    def __add__(self, other: CallCounter) -> CallCounter:
        return CallCounter(
            *(getattr(self, f.name) + getattr(other, f.name) for f in fields(CallCounter))
        )

    def returned(self, result: int, nanoseconds: int) -> None:
        """Count the end of a call."""
        self.nanoseconds += nanoseconds
        if -4095 <= result < 0:
            self.errors += 1


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a run took. Stops, notifications and handler calls are three different things."""

    #: All kernel stops, of calls, signals and events.
    stops: int = 0
    notifications: int = 0
    handler_calls: int = 0
    #: Kernel stops by kind: seccomp, entry, exit, signal, group, event.
    stops_by_kind: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    #: The same for each call, by name (``name@i386`` for calls of the 32-bit ABI).
    calls: Mapping[str, CallStatistics] = field(default_factory=lambda: MappingProxyType({}))
    #: Threads and processes that were traced.
    tracees: int = 0
    #: Records that could not be delivered or written.
    lost: int = 0
