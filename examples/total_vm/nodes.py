"""The files of a file system: regular ones, directories, links, devices."""

from __future__ import annotations

import errno
import stat
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar, Final

from .guest import error

__all__ = ["Device", "Directory", "File", "Node", "SymbolicLink"]

_UNCHANGED: Final = frozenset((-1, 0xFFFF_FFFF))
#: No file is longer, or a guest could fill the host's memory by one call.
_MAX_SIZE: Final = 1 << 28


@dataclass(slots=True, eq=False)
class Node:
    """What every file has, whatever it is."""

    kind: ClassVar[int] = 0
    permissions: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    #: 0: the file system gives it a number.
    inode: int = 0
    #: How many names it has; a directory also has "." and the ".." of each directory in it.
    links: int = 0
    #: Blocks of 512 bytes.
    blocks: int = 0

    @property
    def mode(self) -> int:
        """Type and permissions."""
        return self.kind | self.permissions

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return 0

    @property
    def device_number(self) -> int:
        """What device it stands for."""
        return 0

    def change_owner(self, uid: int, gid: int) -> None:
        """Give it to a user and a group; -1, as 32 bits, keeps one: chown(2)."""
        self.uid = self.uid if uid in _UNCHANGED else uid
        self.gid = self.gid if gid in _UNCHANGED else gid


@dataclass(slots=True, eq=False)
class File(Node):
    """A regular file."""

    kind: ClassVar[int] = stat.S_IFREG
    content: bytearray = field(default_factory=bytearray)

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return len(self.content)

    def write_at(self, offset: int, data: bytes) -> None:
        """Write ``data``; a gap before it becomes zeros. Raise EFBIG beyond 256 MiB."""
        if offset + len(data) > _MAX_SIZE:
            raise error(errno.EFBIG)
        self.content.extend(bytes(max(0, offset - len(self.content))))
        self.content[offset : offset + len(data)] = data
        self._allocate()

    def truncate(self, size: int) -> None:
        """Give it a length; what is new is zeros. Raise EFBIG beyond 256 MiB."""
        if size > _MAX_SIZE:
            raise error(errno.EFBIG)
        del self.content[size:]
        self.content.extend(bytes(size - len(self.content)))
        self._allocate()

    def _allocate(self) -> None:
        self.blocks = -(-len(self.content) // 4096) * 8


@dataclass(slots=True, eq=False)
class SymbolicLink(Node):
    """A name for another path."""

    kind: ClassVar[int] = stat.S_IFLNK
    permissions: int = 0o777
    target: bytes = b""

    @property
    def size(self) -> int:
        """The length of its target."""
        return len(self.target)


@dataclass(slots=True, eq=False)
class Device(Node):
    """A character device, or what the guest takes its console for."""

    kind: ClassVar[int] = stat.S_IFCHR
    number: int = 0

    @property
    def device_number(self) -> int:
        """What device it stands for."""
        return self.number


@dataclass(slots=True, eq=False)
class Directory(Node):
    """Names of nodes, in the order in which they were made."""

    kind: ClassVar[int] = stat.S_IFDIR
    permissions: int = 0o755
    links: int = 1
    blocks: int = 8
    entries: dict[bytes, Node] = field(default_factory=dict)
    #: As the file systems of the ext family say it.
    size_on_disk: int = 4096
    _parent: Directory | None = None

    @property
    def size(self) -> int:
        """Its size on disk."""
        return self.size_on_disk

    @property
    def parent(self) -> Directory:
        """What ".." is; the root is its own."""
        return self._parent or self

    @parent.setter
    def parent(self, parent: Directory) -> None:
        self._parent = parent

    def path(self) -> bytes:
        """Tell its absolute path; raise ENOENT if it has been removed."""
        names: deque[bytes] = deque()
        here = self
        while here.parent is not here:
            found = (name for name, node in here.parent.entries.items() if node is here)
            name = next(found, None)
            if name is None:
                raise error(errno.ENOENT)
            names.appendleft(name)
            here = here.parent
        return b"/" + b"/".join(names)
