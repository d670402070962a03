"""The calls that take paths, answered from the tree in memory."""

from __future__ import annotations

import errno
import os
from typing import Final

from .descriptors import OpenDevice, OpenDirectory, OpenFile, OpenRegularFile
from .dispatch import Answer, syscall
from .files import AT_FDCWD, Files
from .guest import Guest, error
from .layouts import stat, timespec_values
from .nodes import Device, Directory, File, Node, SymbolicLink

__all__ = ["PathCalls"]

_AT_SYMLINK_NOFOLLOW: Final = 0x100
_AT_REMOVEDIR: Final = 0x200
_AT_EMPTY_PATH: Final = 0x1000
_UTIME_NOW: Final = (1 << 30) - 1
_UTIME_OMIT: Final = (1 << 30) - 2
_CREATING: Final = os.O_CREAT | os.O_WRONLY | os.O_TRUNC


class PathCalls:
    """Old calls are those of the ``at`` family, relative to the working directory."""

    def __init__(self, files: Files) -> None:
        self._files = files

    # ------------------------------------------------------------------------- opening

    @syscall("openat")
    @syscall("open", dirfd=AT_FDCWD)
    @syscall("creat", dirfd=AT_FDCWD, flags=_CREATING)
    def openat(self, guest: Guest, dirfd: int, pathname: int, flags: int, mode: int) -> Answer:
        """Open a file; make it first, if that is wanted."""
        if flags & os.O_CREAT:
            node = self._created(guest, dirfd, pathname, flags, mode)
        else:
            node = self._files.node(guest, dirfd, pathname, follow=not flags & os.O_NOFOLLOW)
        file = _opened(node, flags)
        if flags & os.O_TRUNC and isinstance(node, File):
            node.truncate(0)
            node.mtime_ns = self._files.tree.now()
        return self._files.descriptors.add(file, close_on_exec=bool(flags & os.O_CLOEXEC))

    def _created(self, guest: Guest, dirfd: int, pathname: int, flags: int, mode: int) -> Node:
        """Find the file to open, or make it."""
        place = self._files.place(guest, dirfd, pathname)
        if place.needs_directory or not place.is_name:
            raise error(errno.EISDIR)
        if not flags & (os.O_NOFOLLOW | os.O_EXCL):
            place = self._files.place(guest, dirfd, pathname, follow=True)
            if not place.is_name:
                raise error(errno.EISDIR)
        if flags & os.O_EXCL or place.node is None:
            self._files.tree.create(place, File(permissions=self._files.permissions(mode)))
        return place.parent.entries[place.name]

    # ------------------------------------------------------------------------- looking

    @syscall("newfstatat")
    @syscall("stat", dirfd=AT_FDCWD, flags=0)
    @syscall("lstat", dirfd=AT_FDCWD, flags=_AT_SYMLINK_NOFOLLOW)
    def newfstatat(
        self, guest: Guest, dirfd: int, pathname: int, statbuf: int, flags: int
    ) -> Answer:
        """Describe a file."""
        node = self._node(guest, dirfd, pathname, flags)
        guest.write(statbuf, stat(node, self._files.tree.device))
        return 0

    @syscall("readlinkat")
    @syscall("readlink", dirfd=AT_FDCWD)
    def readlinkat(self, guest: Guest, dirfd: int, pathname: int, buf: int, bufsiz: int) -> Answer:
        """Tell where a symbolic link leads."""
        link = self._files.node(guest, dirfd, pathname, follow=False)
        if not isinstance(link, SymbolicLink):
            raise error(errno.EINVAL)
        target = link.target[:bufsiz]
        guest.write(buf, target)
        return len(target)

    @syscall("faccessat")
    @syscall("faccessat2")
    @syscall("access", dirfd=AT_FDCWD)
    def faccessat(self, guest: Guest, dirfd: int, pathname: int, mode: int) -> Answer:
        """Tell whether root may; that is always so, except to execute what nobody may."""
        node = self._files.node(guest, dirfd, pathname)
        if mode & os.X_OK and not isinstance(node, Directory) and not node.permissions & 0o111:
            raise error(errno.EACCES)
        return 0

    # ------------------------------------------------------------------------- where it is

    @syscall("getcwd")
    def getcwd(self, guest: Guest, buf: int, size: int) -> Answer:
        """Tell the working directory; return the size of its path, with NUL."""
        path = self._files.working_directory.path() + b"\0"
        if len(path) > size:
            raise error(errno.ERANGE)
        guest.write(buf, path)
        return len(path)

    @syscall("chdir")
    def chdir(self, guest: Guest, pathname: int) -> Answer:
        """Go to a directory."""
        node = self._files.node(guest, AT_FDCWD, pathname)
        if not isinstance(node, Directory):
            raise error(errno.ENOTDIR)
        self._files.working_directory = node
        return 0

    @syscall("fchdir")
    def fchdir(self, fd: int) -> Answer:
        """Go to a directory that is open."""
        self._files.working_directory = self._files.directory(fd)
        return 0

    @syscall("umask")
    def umask(self, mask: int) -> Answer:
        """Keep a mask for the permissions of new files; return the former."""
        former, self._files.umask = self._files.umask, mask & 0o777
        return former

    # ------------------------------------------------------------------------- names

    @syscall("mkdirat")
    @syscall("mkdir", dirfd=AT_FDCWD)
    def mkdirat(self, guest: Guest, dirfd: int, pathname: int, mode: int) -> Answer:
        """Make a directory."""
        directory = Directory(permissions=self._files.permissions(mode))
        place = self._files.place(guest, dirfd, pathname)
        self._files.tree.create(place, directory)
        return 0

    @syscall("unlinkat")
    @syscall("unlink", dirfd=AT_FDCWD, flags=0)
    @syscall("rmdir", dirfd=AT_FDCWD, flags=_AT_REMOVEDIR)
    def unlinkat(self, guest: Guest, dirfd: int, pathname: int, flags: int) -> Answer:
        """Remove a name; the file lives on while it is open."""
        place = self._files.place(guest, dirfd, pathname)
        if flags & _AT_REMOVEDIR:
            self._files.tree.remove_directory(place)
        else:
            self._files.tree.remove(place)
        return 0

    @syscall("renameat")
    @syscall("rename", olddirfd=AT_FDCWD, newdirfd=AT_FDCWD)
    def renameat(
        self, guest: Guest, olddirfd: int, oldpath: int, newdirfd: int, newpath: int
    ) -> Answer:
        """Move a name."""
        old = self._files.place(guest, olddirfd, oldpath)
        new = self._files.place(guest, newdirfd, newpath)
        self._files.tree.rename(old, new)
        return 0

    @syscall("linkat")
    @syscall("link", olddirfd=AT_FDCWD, newdirfd=AT_FDCWD)
    def linkat(
        self, guest: Guest, olddirfd: int, oldpath: int, newdirfd: int, newpath: int
    ) -> Answer:
        """Give a file one more name."""
        node = self._files.node(guest, olddirfd, oldpath, follow=False)
        place = self._files.place(guest, newdirfd, newpath)
        self._files.tree.link(place, node)
        return 0

    @syscall("symlinkat")
    @syscall("symlink", newdirfd=AT_FDCWD)
    def symlinkat(self, guest: Guest, target: int, newdirfd: int, linkpath: int) -> Answer:
        """Make a symbolic link."""
        link = SymbolicLink(target=guest.string(target))
        place = self._files.place(guest, newdirfd, linkpath)
        self._files.tree.create(place, link)
        return 0

    # ------------------------------------------------------------------------- attributes

    @syscall("fchmodat")
    @syscall("chmod", dirfd=AT_FDCWD)
    def fchmodat(self, guest: Guest, dirfd: int, pathname: int, mode: int) -> Answer:
        """Change permissions."""
        self._files.node(guest, dirfd, pathname).permissions = mode & 0o7777
        return 0

    @syscall("fchownat")
    @syscall("chown", dirfd=AT_FDCWD, flags=0)
    @syscall("lchown", dirfd=AT_FDCWD, flags=_AT_SYMLINK_NOFOLLOW)
    def fchownat(  # noqa: PLR0917 - as many as the call has
        self, guest: Guest, dirfd: int, pathname: int, owner: int, group: int, flags: int
    ) -> Answer:
        """Change owner and group."""
        self._node(guest, dirfd, pathname, flags).change_owner(owner, group)
        return 0

    @syscall("utimensat")
    def utimensat(self, guest: Guest, dirfd: int, pathname: int, times: int, flags: int) -> Answer:
        """Change the modification time; no other is kept. Without path, that of ``dirfd``."""
        if pathname:
            node = self._node(guest, dirfd, pathname, flags)
        else:
            node = self._files.descriptors[dirfd].node
        seconds, rest = timespec_values(guest.read(times + 16, 16)) if times else (0, _UTIME_NOW)
        if rest == _UTIME_NOW:
            node.mtime_ns = self._files.tree.now()
        elif rest != _UTIME_OMIT:
            node.mtime_ns = seconds * 1_000_000_000 + rest
        return 0

    def _node(self, guest: Guest, dirfd: int, pathname: int, flags: int) -> Node:
        """Find the file that a call with AT_ flags is about."""
        if flags & _AT_EMPTY_PATH and not guest.string(pathname):
            if dirfd == AT_FDCWD:
                return self._files.working_directory
            return self._files.descriptors[dirfd].node
        follow = not flags & _AT_SYMLINK_NOFOLLOW
        return self._files.node(guest, dirfd, pathname, follow=follow)


def _opened(node: Node, flags: int) -> OpenFile:
    """Open a node as its type wants it; raise what open(2) fails with."""
    if isinstance(node, Directory):
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_CREAT:
            raise error(errno.EISDIR)
        return OpenDirectory(node, flags)
    if flags & os.O_DIRECTORY:
        raise error(errno.ENOTDIR)
    if isinstance(node, File):
        return OpenRegularFile(node, flags)
    if isinstance(node, Device):
        return OpenDevice(node, flags)
    raise error(errno.ELOOP)
