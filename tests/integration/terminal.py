"""A command on a terminal of its own: what job control and Ctrl-Z need."""

from __future__ import annotations

import os
import pty
import select
import signal
from collections.abc import Mapping, Sequence
from typing import Self

__all__ = ["Terminal"]

#: Far above what any answer takes; a command that needs longer hangs.
LIMIT_SECONDS = 60


class Terminal:
    """A command on a terminal of its own, typed at and read from in turns."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, variables)
        self._received = b""

    def type(self, text: bytes) -> None:
        """Type ``text``; the terminal echoes it."""
        os.write(self._terminal, text)

    def until(self, text: bytes) -> None:
        """Read up to and with ``text``."""
        while text not in self._received:
            ready, _, _ = select.select([self._terminal], [], [], LIMIT_SECONDS)
            assert ready, f"expected {text!r}, got only {self._received!r}"
            self._received += os.read(self._terminal, 4096)
        self._received = self._received.partition(text)[2]

    def wait(self) -> int:
        """Wait for the command and return its exit status."""
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        os.close(self._terminal)
