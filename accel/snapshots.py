"""Stops for another thread: decoded when they happen, taken when the reader wants them.

The tracing thread does not wait for the reader unless the reader is far behind: then the tracee
waits, and no record is lost.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Final

from accel.decoding import Decoder, Entered
from accel.stops import EventStop, Stop, SyscallEntryStop, SyscallExitStop
from bpf.value import replace

__all__ = ["Snapshots"]

#: How many stops may wait for their reader.
_BOUND: Final = 8192


class Snapshots:
    """An observer that hands exit-stops, with their text, to one reading thread."""

    def __init__(self, decoder: Decoder | None = None) -> None:
        self._decoder = decoder or Decoder()
        self._entered: dict[int, Entered] = {}
        self._stops: deque[SyscallExitStop] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def __call__(self, stop: Stop, /) -> None:
        """Keep an exit-stop for the reader; waits while it is too far behind."""
        if isinstance(stop, SyscallEntryStop):
            self._entered[stop.tid] = self._decoder.enter(stop.call, stop.memory)
        elif isinstance(stop, SyscallExitStop):
            self._put(replace(stop, text=self._text(stop)))
        elif isinstance(stop, EventStop) and stop.event == "superseded":
            # A thread executed and took the leader's tid: its execve, if seen, returns under that.
            for former in self._entered.keys() & {stop.message}:
                self._entered[stop.tid] = self._entered.pop(former)

    def _text(self, stop: SyscallExitStop) -> str:
        entered = self._entered.pop(stop.tid, None)
        if entered is None or entered.call.number != stop.number:
            entered = self._decoder.enter(stop.call, stop.memory)
        left = self._decoder.leave(entered, stop.result, stop.memory)
        return f"[{stop.tid}] {entered.name}({entered.text}{left.text}) = {left.result}"

    def _put(self, stop: SyscallExitStop) -> None:
        with self._changed:
            while len(self._stops) >= _BOUND and not self._closed:
                self._changed.wait()
            self._stops.append(stop)
            self._changed.notify_all()

    def close(self) -> None:
        """Let the reader end after what it has, and the tracing thread never wait again."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[SyscallExitStop]:
        while True:
            with self._changed:
                while not self._stops and not self._closed:
                    self._changed.wait()
                ready = list(self._stops)
                self._stops.clear()
                self._changed.notify_all()
            if not ready:
                return
            yield from ready
