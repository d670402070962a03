"""What the calls on files share: the tree, the descriptors, and where the guest is in it."""

from __future__ import annotations

import errno
from typing import Final

from .descriptors import DescriptorTable, OpenDirectory
from .guest import Guest, error
from .vfs import Directory, Place, VirtualFileSystem

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

    def place(self, guest: Guest, dirfd: int, pathname: int, *, follow: bool = True) -> Place:
        """Find where the path at the address ``pathname`` leads, from ``dirfd`` on."""
        path = guest.string(pathname)
        if len(path) >= _PATH_MAX:
            raise error(errno.ENAMETOOLONG)
        absolute = path.startswith(b"/")
        start = self.working_directory if absolute else self.directory(dirfd)
        return self.tree.walk(path, start, follow=follow)

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
