"""A file system in memory: nodes, directories, and the walk from a path to its node."""

from __future__ import annotations

import errno
import itertools
import stat
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple

from .guest import error

__all__ = ["Device", "Directory", "File", "Node", "Place", "SymbolicLink", "VirtualFileSystem"]

#: ELOOP after so many symbolic links: path_resolution(7).
_MAX_LINKS: Final = 40
_NAME_MAX: Final = 255


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
        """Write ``data``; a gap before it becomes zeros."""
        self.content.extend(bytes(max(0, offset - len(self.content))))
        self.content[offset : offset + len(data)] = data
        self._allocate()

    def truncate(self, size: int) -> None:
        """Give it a length; what is new is zeros."""
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


class Place(NamedTuple):
    """Where a path leads: the last directory, the name in it, and the node, if there is one."""

    parent: Directory
    name: bytes
    node: Node | None

    def existing(self) -> Node:
        """Return the node; raise ENOENT if there is none."""
        if self.node is None:
            raise error(errno.ENOENT)
        return self.node


class VirtualFileSystem:
    """A tree of nodes; what cannot be done raises OSError with the errno that Linux has for it.

    ``now`` tells the time in ns. Whoever uses it is root: permissions are shown and not enforced.
    """

    def __init__(
        self,
        now: Callable[[], int] = lambda: 0,
        *,
        root: Directory | None = None,
        device: int = 1,
        next_inode: int = 2,
    ) -> None:
        self.now = now
        #: st_dev of all its files.
        self.device = device
        self._inodes = itertools.count(next_inode)
        self.root = root or Directory(links=2, inode=next(self._inodes))

    def walk(self, path: bytes, start: Directory, *, follow: bool = True) -> Place:
        """Find where ``path`` leads; ``follow``: through a symbolic link at its end, too."""
        if not path:
            raise error(errno.ENOENT)
        here: Node = self.root if path.startswith(b"/") else start
        place = Place(self.root if here is self.root else start, b".", here)
        parts, links = _parts(path), 0
        while parts:
            place = _step(place.existing(), parts.popleft())
            target = place.node
            if isinstance(target, SymbolicLink) and (parts or follow or path.endswith(b"/")):
                links += 1
                if links > _MAX_LINKS:
                    raise error(errno.ELOOP)
                parts.extendleft(reversed(_parts(target.target)))
                here = self.root if target.target.startswith(b"/") else place.parent
                place = Place(place.parent, b".", here)
        if path.endswith(b"/") and place.node and not isinstance(place.node, Directory):
            raise error(errno.ENOTDIR)
        return place

    def add(self, place: Place, node: Node) -> None:
        """Give ``node`` the name of ``place``, where nothing may be."""
        if place.node is not None:
            raise error(errno.EEXIST)
        node.inode = node.inode or next(self._inodes)
        self._enter(place, node)
        node.links += 1

    def create(self, place: Place, node: Node) -> None:
        """Add a node that is new."""
        node.mtime_ns = self.now()
        self.add(place, node)

    def remove(self, place: Place) -> None:
        """Remove a name that is not a directory's."""
        node = place.existing()
        if isinstance(node, Directory):
            raise error(errno.EISDIR)
        self._leave(place)
        node.links -= 1

    def remove_directory(self, place: Place) -> None:
        """Remove an empty directory."""
        node = place.existing()
        if not isinstance(node, Directory):
            raise error(errno.ENOTDIR)
        if place.parent.entries.get(place.name) is not node:
            raise error(errno.EBUSY)
        if node.entries:
            raise error(errno.ENOTEMPTY)
        self._leave(place)
        node.links -= 2

    def rename(self, old: Place, new: Place) -> None:
        """Move a name; what had the new one before is removed, if it may be."""
        node = old.existing()
        if node is new.node:
            return
        if isinstance(node, Directory) and _is_below(new.parent, node):
            raise error(errno.EINVAL)
        if new.node is not None:
            if isinstance(node, Directory):
                self.remove_directory(new)
            else:
                self.remove(new)
        self._leave(old)
        self._enter(new, node)

    def _enter(self, place: Place, node: Node) -> None:
        if len(place.name) > _NAME_MAX:
            raise error(errno.ENAMETOOLONG)
        place.parent.entries[place.name] = node
        place.parent.mtime_ns = self.now()
        if isinstance(node, Directory):
            node.parent = place.parent
            place.parent.links += 1

    def _leave(self, place: Place) -> None:
        node = place.parent.entries.pop(place.name)
        place.parent.mtime_ns = self.now()
        if isinstance(node, Directory):
            place.parent.links -= 1


def _parts(path: bytes) -> deque[bytes]:
    return deque(part for part in path.split(b"/") if part not in (b"", b"."))


def _step(here: Node, name: bytes) -> Place:
    if not isinstance(here, Directory):
        raise error(errno.ENOTDIR)
    return Place(here, name, here.parent if name == b".." else here.entries.get(name))


def _is_below(directory: Directory, ancestor: Directory) -> bool:
    while directory is not ancestor:
        if directory.parent is directory:
            return False
        directory = directory.parent
    return True
