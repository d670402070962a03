"""Where lines go: whole, bounded in memory, and never lost in silence."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Final

__all__ = ["LineOutput"]

#: At most this much waits in memory, and no longer than this.
_FLUSH_BYTES: Final = 1 << 16
_FLUSH_SECONDS: Final = 0.1


class LineOutput:
    """A descriptor that text is written to; after a failure it counts what is lost.

    Text is handed to the kernel when 64 KiB or a tenth of a second's worth are waiting, and line by
    line if ``immediate``: a killed tracer loses no more, and cuts no line but the last. A write
    error (a full disk, a closed pipe) is told on standard error once; tracing goes on, since the
    tracee must not suffer, and ``lost`` counts the lines that were not written.
    """

    def __init__(self, descriptor: int, name: str, *, immediate: bool = False) -> None:
        self.name = name
        #: Lines that could not be written.
        self.lost = 0
        self._descriptor = descriptor
        self._immediate = immediate
        self._waiting: list[str] = []
        self._size = 0
        self._lock = threading.Lock()
        self._broken = False
        self._closing = threading.Event()
        self._flusher: threading.Thread | None = None
        self._created = False
        self._replaces = False

    @classmethod
    def open(cls, path: str) -> LineOutput:
        """Open or create ``path``; raise OSError if that is not possible.

        What it held is replaced when something is written, or at ``close``: not by a run that could
        not begin.
        """
        flags = os.O_WRONLY | os.O_CLOEXEC
        try:
            output = cls(os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), path)
            output._created = True
        except FileExistsError:
            output = cls(os.open(path, flags), path)
            output._replaces = os.path.isfile(path)
        return output

    @classmethod
    def standard_error(cls) -> LineOutput:
        """Write to standard error, line by line as it happens."""
        return cls(os.dup(sys.stderr.fileno()), "standard error", immediate=True)

    def write(self, text: str) -> None:
        """Add text; it may be a part of a line."""
        if self._flusher is None:
            self._start_flusher()
        with self._lock:
            self._waiting.append(text)
            self._size += len(text)
            if self._size >= _FLUSH_BYTES or (self._immediate and text.endswith("\n")):
                self._flush()

    def flush(self) -> None:
        """Hand everything to the kernel."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Flush, and close the descriptor."""
        self._closing.set()
        if self._flusher is not None:
            self._flusher.join()
        self.flush()
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def abandon(self) -> None:
        """Close without a trace of having been opened: the run could not begin."""
        with self._lock:
            self._waiting.clear()
        self._replaces = False
        self.close()
        if self._created:
            os.unlink(self.name)

    def _flush(self) -> None:
        if self._replaces:
            os.ftruncate(self._descriptor, 0)
            self._replaces = False
        text = "".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        data = memoryview(text.encode("ascii", "backslashreplace"))
        while data and not self._broken:
            try:
                data = data[os.write(self._descriptor, data) :]
            except OSError as error:
                self._broken = True
                self._complain(error.strerror or str(error))
        if self._broken:
            self.lost += bytes(data).count(b"\n")

    def _complain(self, reason: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(
                f"accel: {self.name}: {reason}; the trace is incomplete from here on,"
                " the command goes on\n"
            )
            sys.stderr.flush()

    def _start_flusher(self) -> None:
        self._flusher = threading.Thread(
            target=self._flush_at_times, name="accel-flush", daemon=True
        )
        self._flusher.start()

    def _flush_at_times(self) -> None:
        while not self._closing.wait(_FLUSH_SECONDS):
            self.flush()
