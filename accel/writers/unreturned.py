"""Calls whose results nobody sees: each is told to end without one."""

from __future__ import annotations

from collections.abc import Callable

from accel.stops import Stop, SyscallEntryStop, SyscallExitStop

__all__ = ["Unreturned"]


class Unreturned:
    """Tells an observer, such as TextWriter, that a call ends, where no mechanism would.

    A call that came by notification and was let run is told when it begins, and no more: here it
    ends, with result None, as soon as anything else is told. One that was answered instead is told
    to end with that answer, and passed on as it is.
    """

    def __init__(self, observer: Callable[[Stop], None]) -> None:
        self._observer = observer
        self._begun: SyscallEntryStop | None = None

    def __call__(self, stop: Stop, /) -> None:
        """Tell of a stop."""
        begun = self._begun
        is_its_end = (
            begun is not None and isinstance(stop, SyscallExitStop) and stop.tid == begun.tid
        )
        if is_its_end:
            self._begun = None
        else:
            self.finish()
        self._observer(stop)
        if isinstance(stop, SyscallEntryStop):
            self._begun = stop

    def finish(self) -> None:
        """Tell that the last call has ended, if it was let run."""
        begun, self._begun = self._begun, None
        if begun is not None:
            end = SyscallExitStop(begun.call, None, begun.memory, begun.time_ns, begun.time_ns)
            self._observer(end)
