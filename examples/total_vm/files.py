"""What the calls on files share: the tree, the descriptors, and where the guest is in it."""

from __future__ import annotations

import errno
from typing import Final

from .descriptors import DescriptorTable, OpenDirectory
from .guest import Guest, error
from .nodes import Directory, Node
from .vfs import Place, VirtualFileSystem

__all__ = ["AT_FDCWD", "Files"]

AT_FDCWD: Final = -100
_PATH_MAX: Final = 4096


class Files:
    """The file state of the one process."""

    def __init__(self, tree: VirtualFileSystem) -> None:
        self.tree = tree
        self.descriptors = DescriptorTable()
        self.working_directory = tree.root
        self.umask = 0o022

    def node(self, guest: Guest, dirfd: int, pathname: int, *, follow: bool = True) -> Node:
        """Find the node that the path at the address ``pathname`` names, from ``dirfd`` on."""
        path, start = self._path(guest, dirfd, pathname)
        return self.tree.lookup(path, start, follow=follow)

    def place(self, guest: Guest, dirfd: int, pathname: int, *, follow: bool = False) -> Place:
        """Find the place that the path names, where something can be made or removed."""
        path, start = self._path(guest, dirfd, pathname)
        return self.tree.walk(path, start, follow=follow)

    def _path(self, guest: Guest, dirfd: int, pathname: int) -> tuple[bytes, Directory]:
        path = guest.string(pathname)
        if len(path) >= _PATH_MAX:
            raise error(errno.ENAMETOOLONG)
        absolute = path.startswith(b"/")
        return path, self.working_directory if absolute else self.directory(dirfd)

    def directory(self, dirfd: int) -> Directory:
        """Find the directory that a descriptor stands for."""
        if dirfd == AT_FDCWD:
            return self.working_directory
        file = self.descriptors[dirfd]
        if not isinstance(file, OpenDirectory):
            raise error(errno.ENOTDIR)
        return file.directory

    def permissions(self, mode: int) -> int:
        """Tell with which permissions a file is made."""
        return mode & 0o7777 & ~self.umask
