"""The calls on descriptors: they read and write memory of the machine, not files of the host."""

from __future__ import annotations

import errno
import fcntl
import os
import select
from typing import Final

from .console import PipeNode
from .descriptors import OpenDirectory, OpenFile, OpenRegularFile, Pipe
from .dispatch import Answer, syscall
from .files import Files
from .guest import Guest, error
from .layouts import dirent64, iovecs, pack_poll, poll_requests, stat
from .nodes import File

__all__ = ["DescriptorCalls"]

#: The most that one call moves; a real kernel moves up to 2 GiB.
_MOST: Final = 1 << 20
_SETTABLE_FLAGS: Final = os.O_APPEND | os.O_NONBLOCK


class DescriptorCalls:
    """Reading, writing, and what else one does with what is open."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._descriptors = files.descriptors

    # ------------------------------------------------------------------------- bytes

    @syscall("read")
    def read(self, guest: Guest, fd: int, buf: int, count: int) -> Answer:
        """Read from the position on."""
        data = self._descriptors[fd].read(min(count, _MOST))
        guest.write(buf, data)
        return len(data)

    @syscall("write")
    def write(self, guest: Guest, fd: int, buf: int, count: int) -> Answer:
        """Write at the position."""
        file = self._descriptors[fd]
        return self._written(file, guest.read(buf, min(count, _MOST)) if count else b"")

    @syscall("readv")
    def readv(self, guest: Guest, fd: int, iov: int, iovcnt: int) -> Answer:
        """Read into the first piece of memory that is not empty; the guest asks for the rest."""
        for address, size in self._pieces(guest, iov, iovcnt):
            if size:
                return self.read(guest, fd, address, size)
        return 0

    @syscall("writev")
    def writev(self, guest: Guest, fd: int, iov: int, iovcnt: int) -> Answer:
        """Write pieces of memory as one."""
        pieces = self._pieces(guest, iov, iovcnt)
        data = b"".join(guest.read(address, size) for address, size in pieces if size)
        return self._written(self._descriptors[fd], data)

    @syscall("pread64")
    def pread64(self, guest: Guest, fd: int, buf: int, count: int, offset: int) -> Answer:
        """Read at a position, and leave the file's as it is."""
        file = self._descriptors[fd]
        before = file.seek(0, os.SEEK_CUR)
        try:
            file.seek(offset, os.SEEK_SET)
            return self.read(guest, fd, buf, count)
        finally:
            file.seek(before, os.SEEK_SET)

    @syscall("sendfile")
    def sendfile(self, out_fd: int, in_fd: int, offset: int, count: int) -> Answer:
        """Copy from one file to another, without the guest."""
        if offset:
            raise error(errno.EINVAL)
        source, target = self._descriptors[in_fd], self._descriptors[out_fd]
        if not isinstance(source, OpenRegularFile):
            raise error(errno.EINVAL)
        return self._written(target, source.read(min(count, _MOST)))

    @syscall("lseek")
    def lseek(self, fd: int, offset: int, whence: int) -> Answer:
        """Move the position."""
        return self._descriptors[fd].seek(offset, whence)

    @syscall("ftruncate")
    def ftruncate(self, fd: int, length: int) -> Answer:
        """Give a file a length."""
        node = self._descriptors[fd].node
        if not isinstance(node, File) or length < 0:
            raise error(errno.EINVAL)
        node.truncate(length)
        node.mtime_ns = self._files.tree.now()
        return 0

    @syscall("getdents64")
    def getdents64(self, guest: Guest, fd: int, dirp: int, count: int) -> Answer:
        """List as many entries of a directory as fit."""
        file = self._descriptors[fd]
        if not isinstance(file, OpenDirectory):
            raise error(errno.ENOTDIR)
        packed = b""
        for name, node in file.entries():
            entry = dirent64(name, node, file.position + 1)
            if len(packed) + len(entry) > count:
                if not packed:
                    raise error(errno.EINVAL)
                break
            packed += entry
            file.position += 1
        guest.write(dirp, packed)
        return len(packed)

    @syscall("fstat")
    def fstat(self, guest: Guest, fd: int, statbuf: int) -> Answer:
        """Describe a file that is open."""
        guest.write(statbuf, stat(self._descriptors[fd].node, self._files.tree.device))
        return 0

    @syscall("fchmod")
    def fchmod(self, fd: int, mode: int) -> Answer:
        """Change permissions of a file that is open."""
        self._descriptors[fd].node.permissions = mode & 0o7777
        return 0

    @syscall("fchown")
    def fchown(self, fd: int, owner: int, group: int) -> Answer:
        """Change owner and group of a file that is open."""
        self._descriptors[fd].node.change_owner(owner, group)
        return 0

    @syscall("fsync")
    @syscall("fdatasync")
    @syscall("fadvise64")
    def nothing(self, fd: int) -> Answer:
        """Do nothing: memory is all there is."""
        _ = self._descriptors[fd]
        return 0

    @syscall("ioctl")
    def ioctl(self, fd: int) -> Answer:
        """Refuse, as every file does that is no device: TCGETS tells it is no terminal."""
        _ = self._descriptors[fd]
        raise error(errno.ENOTTY)

    # ------------------------------------------------------------------------- descriptors

    @syscall("close")
    def close(self, fd: int) -> Answer:
        """Close a descriptor."""
        self._descriptors.close(fd)
        return 0

    @syscall("dup")
    def dup(self, oldfd: int) -> Answer:
        """Let one more descriptor stand for the same open file."""
        return self._descriptors.add(self._descriptors[oldfd])

    @syscall("dup2")
    def dup2(self, oldfd: int, newfd: int) -> Answer:
        """Let another descriptor stand for the same open file."""
        if oldfd == newfd:
            _ = self._descriptors[oldfd]
            return newfd
        return self.dup3(oldfd, newfd, 0)

    @syscall("dup3")
    def dup3(self, oldfd: int, newfd: int, flags: int) -> Answer:
        """Do what dup2 does, to another descriptor only."""
        if oldfd == newfd:
            raise error(errno.EINVAL)
        file = self._descriptors[oldfd]
        self._descriptors.put(newfd, file, close_on_exec=bool(flags & os.O_CLOEXEC))
        return newfd

    @syscall("pipe2")
    @syscall("pipe", flags=0)
    def pipe2(self, guest: Guest, pipefd: int, flags: int) -> Answer:
        """Make a pipe from the guest to itself."""
        pipe = Pipe(PipeNode(permissions=0o600, links=1))
        close_on_exec = bool(flags & os.O_CLOEXEC)
        ends = [
            self._descriptors.add(end, close_on_exec=close_on_exec)
            for end in (pipe.reading, pipe.writing)
        ]
        guest.write(pipefd, b"".join(end.to_bytes(4, "little") for end in ends))
        return 0

    @syscall("fcntl")
    def fcntl(self, fd: int, cmd: int, arg: int) -> Answer:
        """Duplicate a descriptor, or tell or change its flags; EINVAL for all else."""
        file, closing = self._descriptors[fd], self._descriptors.close_on_exec
        if cmd in (fcntl.F_DUPFD, fcntl.F_DUPFD_CLOEXEC):
            cloexec = cmd == fcntl.F_DUPFD_CLOEXEC
            return self._descriptors.add(file, minimum=arg, close_on_exec=cloexec)
        if cmd == fcntl.F_GETFD:
            return fcntl.FD_CLOEXEC if fd in closing else 0
        if cmd == fcntl.F_SETFD:
            (closing.add if arg & fcntl.FD_CLOEXEC else closing.discard)(fd)
            return 0
        if cmd == fcntl.F_GETFL:
            return file.flags & (os.O_ACCMODE | _SETTABLE_FLAGS)
        if cmd == fcntl.F_SETFL:
            file.flags = file.flags & ~_SETTABLE_FLAGS | arg & _SETTABLE_FLAGS
            return 0
        raise error(errno.EINVAL)

    @syscall("poll")
    def poll(self, guest: Guest, fds: int, nfds: int) -> Answer:
        """Tell that every file is ready: none here ever lets the guest wait."""
        answers = []
        for fd, events in poll_requests(guest.read(fds, 8 * nfds) if nfds else b""):
            ready = events & (select.POLLIN | select.POLLOUT)
            if fd >= 0 and fd not in self._descriptors:
                ready = select.POLLNVAL
            answers.append((fd, events, ready if fd >= 0 else 0))
        guest.write(fds, b"".join(pack_poll(*answer) for answer in answers))
        return sum(ready != 0 for _fd, _events, ready in answers)

    # ------------------------------------------------------------------------- helpers

    def _pieces(self, guest: Guest, iov: int, iovcnt: int) -> list[tuple[int, int]]:
        if not 0 <= iovcnt <= 1024:
            raise error(errno.EINVAL)
        return iovecs(guest.read(iov, 16 * iovcnt)) if iovcnt else []

    def _written(self, file: OpenFile, data: bytes) -> int:
        written = file.write(data)
        if isinstance(file, OpenRegularFile):
            file.node.mtime_ns = self._files.tree.now()
        return written
