"""Standard input for many runs: each gets all of it, from its beginning.

A file is opened anew for each run. A pipe is read to its end, once, into a file without a name.
Of a terminal nobody can type the same five times: commands find it at its end, like /dev/null.
"""

from __future__ import annotations

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
    """What every run reads from its standard input."""

    def __init__(self, path: str = os.devnull, file: IO[bytes] | None = None) -> None:
        self._path = path
        self._file = file

    @classmethod
    def of(cls, descriptor: int, say: Callable[[str], None]) -> Input:
        """Take what a descriptor leads to; ``say`` is told if that means waiting for its end."""
        try:
            mode = os.fstat(descriptor).st_mode
        except OSError:  # A shell's <&- closes it.
            return cls()
        if os.isatty(descriptor):
            return cls()
        is_at_start = stat.S_ISREG(mode) and os.lseek(descriptor, 0, os.SEEK_CUR) == 0
        if stat.S_ISCHR(mode) or is_at_start:
            return cls(f"/proc/self/fd/{descriptor}")
        return cls._copied(descriptor, say)

    @classmethod
    def _copied(cls, descriptor: int, say: Callable[[str], None]) -> Input:
        with selectors.DefaultSelector() as selector:
            try:
                selector.register(descriptor, selectors.EVENT_READ)
                if not selector.select(_PATIENCE_SECONDS):
                    say("reading standard input to its end (without: < /dev/null)")
            except PermissionError:
                pass  # epoll_ctl(2): a regular file is always ready.
        file = tempfile.TemporaryFile(prefix="accel-compare-")  # noqa: SIM115 - as long as this
        with open(descriptor, "rb", closefd=False) as source:
            shutil.copyfileobj(source, file)
        file.flush()
        return cls(f"/proc/self/fd/{file.fileno()}", file)

    def open(self) -> int:
        """Open it for one run."""
        return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Forget it."""
        if self._file is not None:
            self._file.close()
