"""Feed and drain the pipes of a command, without ever blocking it or its tracer."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

from accel.command import PIPE, Redirection

__all__ = ["Capture"]

_CHUNK = 65536


class Capture:
    """The pipes that stand for a command's standard streams, one thread each."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._own_ends: list[int] = []
        self._child_ends: list[int] = []
        self._output: dict[str, bytearray] = {}

    def source(self, data: bytes) -> int:
        """Make a pipe that ``data`` is written to; return the end that the command reads."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self._child_ends.append(reading)
        self._add(self._feed, writing, data)
        return reading

    def sink(self, name: str, wanted: Redirection) -> Redirection:
        """Make a pipe where PIPE is wanted; return what the command writes to."""
        if wanted != PIPE:
            return wanted
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self._child_ends.append(writing)
        self._output[name] = bytearray()
        self._add(self._drain, reading, self._output[name])
        return writing

    def start(self) -> None:
        """Begin, once the command has its ends."""
        self._own_ends.clear()  # Each belongs to its thread now.
        self.abandon()
        for thread in self._threads:
            thread.start()

    def abandon(self) -> None:
        """Close the ends that nobody here uses: the command's, or all if it did not start."""
        for ends in (self._child_ends, self._own_ends):
            while ends:
                os.close(ends.pop())

    def finish(self, name: str) -> bytes | None:
        """Wait for the end of the streams; return what ``name`` captured, None if it was not."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        captured = self._output.get(name)
        return None if captured is None else bytes(captured)

    def _add(self, target: Callable[..., None], end: int, data: bytes | bytearray) -> None:
        thread = threading.Thread(target=target, args=(end, data), name="accel-pipe", daemon=True)
        self._own_ends.append(end)
        self._threads.append(thread)

    @staticmethod
    def _feed(writing: int, data: bytes) -> None:
        view = memoryview(data)
        # A command that does not read all of its input is no error.
        with os.fdopen(writing, "wb", buffering=0) as pipe, contextlib.suppress(BrokenPipeError):
            while view:
                view = view[pipe.write(view) :]

    @staticmethod
    def _drain(reading: int, captured: bytearray) -> None:
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            while part := pipe.read(_CHUNK):
                captured += part
