"""A bar on a terminal: which run goes on, how many are done, how long it may still take."""

from __future__ import annotations

import shutil
from time import monotonic
from typing import Final, TextIO

from accel.compare.subjects import Subject

__all__ = ["Progress"]

_CELLS: Final = 24
_BEGINNING: Final = "\r\033[K"


class Progress:
    """Draws on one line of a terminal, and nothing on what is none."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream if stream is not None and stream.isatty() else None
        self._subject = ""
        self._done = self._total = 0
        self._began = self._first = monotonic()

    def begins(self, subject: Subject, done: int, total: int) -> None:
        """Show that a run begins, after ``done`` of ``total``."""
        self._subject, self._done, self._total = subject.name, done, total
        self._began = monotonic()
        self.tick()

    def tick(self) -> None:
        """Show that it still goes on."""
        if self._stream is None or not self._total:
            return
        filled = _CELLS * self._done // self._total
        bar = "#" * filled + "-" * (_CELLS - filled)
        text = f"[{bar}] {self._done}/{self._total} {self._subject}"
        now = monotonic()
        if now - self._began >= 1:
            text += f", {now - self._began:.0f} s"
        if self._done:
            left = (now - self._first) / self._done * (self._total - self._done)
            text += f" (about {left:.0f} s left)"
        width = shutil.get_terminal_size().columns
        self._write(f"{_BEGINNING}{text[: width - 1]}")

    def clear(self) -> None:
        """Leave the line as it was."""
        self._write(_BEGINNING)

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # The terminal has gone; SIGHUP comes, or is ignored.
            self._stream = None
