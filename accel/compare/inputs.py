"""Standard input for many runs: each gets all of it, from its beginning.

A file is opened anew for each run. A pipe is read to its end, once, into a file without a name.
Of a terminal nobody can type the same five times: commands find it at its end, like /dev/null.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import stat
import tempfile
from collections.abc import Callable
from typing import IO, Final

__all__ = ["Input"]

_PATIENCE_SECONDS: Final = 1.0


class Input:
    """What every run reads from its standard input; nothing is read before the first run."""

    def __init__(self, path: str = os.devnull) -> None:
        self._path = path
        #: What has to be copied first, and who is told if that means to wait.
        self._source: tuple[int, Callable[[str], None]] | None = None
        self._copy: IO[bytes] | None = None

    @classmethod
    def of(cls, descriptor: int, say: Callable[[str], None]) -> Input:
        """Take what a descriptor leads to; ``say`` is told of a wait for the end of a pipe."""
        try:
            mode = os.fstat(descriptor).st_mode
        except OSError:  # A shell's <&- closes it.
            return cls()
        if os.isatty(descriptor):
            return cls()
        is_at_start = stat.S_ISREG(mode) and os.lseek(descriptor, 0, os.SEEK_CUR) == 0
        if stat.S_ISCHR(mode) or is_at_start:
            return cls(f"/proc/self/fd/{descriptor}")
        made = cls()
        made._source = descriptor, say
        return made

    def open(self) -> int:
        """Open it for one run."""
        if self._source is not None:
            source, self._source = self._source, None
            self._copy = _copied(*source)
            self._path = f"/proc/self/fd/{self._copy.fileno()}"
        return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Forget it."""
        if self._copy is not None:
            self._copy.close()


def _copied(descriptor: int, say: Callable[[str], None]) -> IO[bytes]:
    """Read all that is left into a file without a name."""
    with selectors.DefaultSelector() as selector, contextlib.suppress(PermissionError):
        # epoll_ctl(2): EPERM for a regular file, which is always ready.
        selector.register(descriptor, selectors.EVENT_READ)
        if not selector.select(_PATIENCE_SECONDS):
            say("reading standard input to its end (without: < /dev/null)")
    file = tempfile.TemporaryFile(prefix="accel-compare-")  # noqa: SIM115 - it is what is returned
    with open(descriptor, "rb", closefd=False) as source:
        shutil.copyfileobj(source, file)
    file.flush()
    return file
