"""Files that a tracer opens, reads and writes itself, while the program believes that it does.

A partial virtual machine in the sense of View-OS, as small as a measurement allows: an open is
virtual if its path is, any other call if its descriptor comes from such an open. All else runs.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Collection
from typing import Final

from accel import Decision, Exited, Killed, Stop, SyscallEntryStop, Tracer
from accel.errors import FaultError

__all__ = ["VirtualFiles"]

#: Numbers that the kernel gives no program that opens a few files.
_FIRST_DESCRIPTOR: Final = 1000
#: Of one read: it may return less than it was asked for, and a command must not fill our memory.
_MOST: Final = 1 << 20
#: <fcntl.h>: a path is relative to the working directory.
_AT_FDCWD: Final = -100


class VirtualFiles:
    """The virtual files of one command, which is one thread: ``paths`` as the command names them.

    The calls are those that a program copies with: openat, read, write, lseek, dup2 and close. With
    ``inspect`` every call stops again at its exit, virtual or not, as if a tracer had no choice. A
    real descriptor whose number dup2(2) takes stays open, hidden behind the virtual one.
    """

    def __init__(self, paths: Collection[str], *, inspect: bool) -> None:
        self._paths = frozenset(os.fsencode(path) for path in paths)
        self._inspect = inspect
        self._plain = Decision.inspect() if inspect else Decision.resume()
        #: {the command's number: the tracer's own descriptor}
        self._files: dict[int, int] = {}
        self._numbers = itertools.count(_FIRST_DESCRIPTOR)

    def install(self, tracer: Tracer) -> None:
        """Answer the calls of a tracer's command; call it before the tracer starts."""
        tracer.on_entry("openat")(self._openat)
        tracer.on_entry("read")(self._read)
        tracer.on_entry("write")(self._write)
        tracer.on_entry("lseek")(self._lseek)
        tracer.on_entry("dup2")(self._dup2)
        tracer.on_entry("close")(self._close)
        tracer.observe(self._ended, exits=False, calls=False)

    def _openat(self, stop: SyscallEntryStop) -> Decision:
        path = stop.read_string(stop.args.pathname)
        is_found = path.startswith(b"/") or stop.args.dirfd == _AT_FDCWD
        if path not in self._paths or not is_found:
            return self._plain
        # As the command sees it: its working directory need not be ours.
        seen = os.path.join(os.fsencode(f"/proc/{stop.pid}/cwd"), path)
        flags, mode = stop.args.flags, stop.args.mode
        return self._performed(lambda: self._opened(os.open(seen, flags, mode)))

    def _opened(self, file: int) -> int:
        number = next(self._numbers)
        self._files[number] = file
        return number

    def _read(self, stop: SyscallEntryStop) -> Decision:
        number, address, count = stop.args[0], stop.args[1], stop.args[2]
        file = self._files.get(number)
        if file is None:
            return self._plain

        def perform() -> int:
            data = os.read(file, min(count, _MOST))
            stop.write(address, data)
            return len(data)

        return self._performed(perform)

    def _write(self, stop: SyscallEntryStop) -> Decision:
        number, address, count = stop.args[0], stop.args[1], stop.args[2]
        file = self._files.get(number)
        if file is None:
            return self._plain

        def perform() -> int:
            data = stop.read(address, count)
            if count and not data:
                raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
            return os.write(file, data)

        return self._performed(perform)

    def _lseek(self, stop: SyscallEntryStop) -> Decision:
        file = self._files.get(stop.args[0])
        if file is None:
            return self._plain
        offset, whence = stop.args.offset, stop.args.whence
        return self._performed(lambda: os.lseek(file, offset, whence))

    def _dup2(self, stop: SyscallEntryStop) -> Decision:
        old, new = stop.args[0], stop.args[1]
        if old not in self._files:
            return self._plain
        self._forget(new)
        self._files[new] = self._files[old]
        return self._skip(new)

    def _close(self, stop: SyscallEntryStop) -> Decision:
        number = stop.args[0]
        return (
            self._performed(lambda: self._forget(number)) if number in self._files else self._plain
        )

    def _forget(self, number: int) -> int:
        """Close the tracer's descriptor if no other number of the command's stands for it."""
        file = self._files.pop(number, None)
        if file is not None and file not in self._files.values():
            os.close(file)
        return 0

    def _ended(self, stop: Stop, /) -> None:
        """Close what the command has left open."""
        if isinstance(stop, (Exited, Killed)):
            for number in tuple(self._files):
                self._forget(number)

    def _performed(self, perform: Callable[[], int]) -> Decision:
        """Make a call in the command's stead; an error is the command's, not ours."""
        try:
            return self._skip(perform())
        except FaultError:
            return self._skip(-errno.EFAULT)
        except OSError as error:
            return self._skip(-(error.errno or errno.EIO))

    def _skip(self, value: int) -> Decision:
        return Decision.skip(value, inspect=self._inspect)
