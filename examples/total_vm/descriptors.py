"""Open files, and the table of descriptors that stand for them."""

from __future__ import annotations

import errno
import os
from typing import Final

from .guest import error
from .nodes import Device, Directory, File, Node

__all__ = [
    "DescriptorTable",
    "OpenDevice",
    "OpenDirectory",
    "OpenFile",
    "OpenRegularFile",
    "Pipe",
]

_MAX_DESCRIPTORS: Final = 1024
_ZEROS: Final = frozenset((os.makedev(1, 5), os.makedev(1, 7)))
_FULL: Final = os.makedev(1, 7)
_RANDOM: Final = frozenset((os.makedev(1, 8), os.makedev(1, 9)))
_NULL: Final = os.makedev(1, 3)


class OpenFile:
    """An open file description: a node, and how it was opened; descriptors may share one."""

    def __init__(self, node: Node, flags: int) -> None:
        self.node = node
        self.flags = flags
        #: How many descriptors stand for it.
        self.descriptors = 0

    def read(self, count: int) -> bytes:
        """Read up to ``count`` bytes; none at the end."""
        if self.flags & os.O_ACCMODE == os.O_WRONLY:
            raise error(errno.EBADF)
        return self._read(count)

    def write(self, data: bytes) -> int:
        """Write ``data``; return how much of it was."""
        if self.flags & os.O_ACCMODE == os.O_RDONLY:
            raise error(errno.EBADF)
        return self._write(data)

    def seek(self, offset: int, whence: int) -> int:
        """Move the position, and return it."""
        del offset, whence
        raise error(errno.ESPIPE)

    def _read(self, count: int) -> bytes:
        del count
        raise error(errno.EINVAL)

    def _write(self, data: bytes) -> int:
        del data
        raise error(errno.EINVAL)


class OpenRegularFile(OpenFile):
    """A regular file, with a position in it."""

    def __init__(self, file: File, flags: int) -> None:
        super().__init__(file, flags)
        self.file = file
        self.position = 0

    def seek(self, offset: int, whence: int) -> int:
        """Move the position, also past the end; and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.file.size}
        if whence not in base or base[whence] + offset < 0:
            raise error(errno.EINVAL)
        self.position = base[whence] + offset
        return self.position

    def _read(self, count: int) -> bytes:
        data = bytes(self.file.content[self.position : self.position + count])
        self.position += len(data)
        return data

    def _write(self, data: bytes) -> int:
        if self.flags & os.O_APPEND:
            self.position = self.file.size
        self.file.write_at(self.position, data)
        self.position += len(data)
        return len(data)


class OpenDirectory(OpenFile):
    """A directory, with the entries that it had at the start of its reading."""

    def __init__(self, directory: Directory, flags: int) -> None:
        super().__init__(directory, flags)
        self.directory = directory
        self.position = 0
        self._entries: list[tuple[bytes, Node]] = []

    def entries(self) -> list[tuple[bytes, Node]]:
        """List what comes from the position on; the caller moves that."""
        if self.position == 0:
            itself = [(b".", self.directory), (b"..", self.directory.parent)]
            self._entries = [*itself, *self.directory.entries.items()]
        return self._entries[self.position :]

    def seek(self, offset: int, whence: int) -> int:
        """Go back to the start, or to where getdents64 has been."""
        if whence != os.SEEK_SET or offset < 0:
            raise error(errno.EINVAL)
        self.position = offset
        return offset

    def _read(self, count: int) -> bytes:
        del count
        raise error(errno.EISDIR)


class OpenDevice(OpenFile):
    """The null device and its relatives; raise ENXIO for any other."""

    def __init__(self, device: Device, flags: int) -> None:
        if device.number not in {_NULL, *_ZEROS, *_RANDOM}:
            raise error(errno.ENXIO)
        super().__init__(device, flags)
        self.number = device.number

    def seek(self, offset: int, whence: int) -> int:
        """Do as if; there is no position."""
        del offset, whence
        return 0

    def _read(self, count: int) -> bytes:
        if self.number in _RANDOM:
            return os.urandom(count)
        return bytes(count) if self.number in _ZEROS else b""

    def _write(self, data: bytes) -> int:
        if self.number == _FULL:
            raise error(errno.ENOSPC)
        return len(data)


class Pipe:
    """A buffer with two ends, as a shell needs for here-documents."""

    def __init__(self, node: Node) -> None:
        self.buffer = bytearray()
        self.reading: OpenFile = _ReadingEnd(self, node)
        self.writing: OpenFile = _WritingEnd(self, node)


class _ReadingEnd(OpenFile):
    def __init__(self, pipe: Pipe, node: Node) -> None:
        super().__init__(node, os.O_RDONLY)
        self._pipe = pipe

    def _read(self, count: int) -> bytes:
        if not self._pipe.buffer and self._pipe.writing.descriptors:
            # Nobody else could ever write: a real pipe would make the guest wait for itself.
            raise error(errno.EDEADLK)
        data = bytes(self._pipe.buffer[:count])
        del self._pipe.buffer[:count]
        return data


class _WritingEnd(OpenFile):
    def __init__(self, pipe: Pipe, node: Node) -> None:
        super().__init__(node, os.O_WRONLY)
        self._pipe = pipe

    def _write(self, data: bytes) -> int:
        if not self._pipe.reading.descriptors:
            raise error(errno.EPIPE)
        self._pipe.buffer += data
        return len(data)


class DescriptorTable:
    """Which open file each descriptor stands for; a new one is the lowest that is free."""

    def __init__(self) -> None:
        self._files: dict[int, OpenFile] = {}
        #: FD_CLOEXEC: kept, though nothing here executes.
        self.close_on_exec: set[int] = set()

    def __getitem__(self, fd: int) -> OpenFile:
        if fd not in self._files:
            raise error(errno.EBADF)
        return self._files[fd]

    def __contains__(self, fd: int) -> bool:
        return fd in self._files

    def add(self, file: OpenFile, *, minimum: int = 0, close_on_exec: bool = False) -> int:
        """Let the lowest free descriptor stand for ``file``, and return it."""
        if not 0 <= minimum < _MAX_DESCRIPTORS:
            raise error(errno.EINVAL)
        free = (fd for fd in range(minimum, _MAX_DESCRIPTORS) if fd not in self._files)
        fd = next(free, None)
        if fd is None:
            raise error(errno.EMFILE)
        self.put(fd, file, close_on_exec=close_on_exec)
        return fd

    def put(self, fd: int, file: OpenFile, *, close_on_exec: bool = False) -> None:
        """Let ``fd`` stand for ``file``; what it stood for is closed."""
        if not 0 <= fd < _MAX_DESCRIPTORS:
            raise error(errno.EBADF)
        file.descriptors += 1
        if fd in self._files:
            self.close(fd)
        self._files[fd] = file
        if close_on_exec:
            self.close_on_exec.add(fd)

    def close(self, fd: int) -> None:
        """Let ``fd`` stand for nothing."""
        self[fd].descriptors -= 1
        del self._files[fd]
        self.close_on_exec.discard(fd)
