"""A tree of files in memory, and the walk from a path to its node."""

from __future__ import annotations

import errno
import itertools
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from .guest import error
from .nodes import Directory, Node, SymbolicLink

__all__ = ["Place", "VirtualFileSystem"]

#: ELOOP after so many symbolic links: path_resolution(7).
_MAX_LINKS: Final = 40
_NAME_MAX: Final = 255
#: What a path can end in without naming an entry of a directory; "/" stands for a whole path.
_NOT_NAMES: Final = (b".", b"..", b"/")


class Place(NamedTuple):
    """Where a path leads: the last directory, the name in it, and the node, if there is one."""

    parent: Directory
    name: bytes
    node: Node | None
    #: The path ends in a slash.
    needs_directory: bool = False

    @property
    def is_name(self) -> bool:
        """Tell whether it names an entry of a directory; "." and ".." and "/" do not."""
        return self.name not in _NOT_NAMES

    def existing(self) -> Node:
        """Return the node; raise ENOENT if there is none, ENOTDIR if it must be a directory."""
        if self.node is None:
            raise error(errno.ENOENT)
        if self.needs_directory and not isinstance(self.node, Directory):
            raise error(errno.ENOTDIR)
        return self.node

    def check_free(self, *, for_directory: bool) -> None:
        """Raise EEXIST if there is something; ENOENT for a file that would be named "name/"."""
        if self.node is not None:
            raise error(errno.EEXIST)
        if self.needs_directory and not for_directory:
            raise error(errno.ENOENT)


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

    def lookup(self, path: bytes, start: Directory, *, follow: bool = True) -> Node:
        """Find the node that ``path`` names; ``follow``: not the symbolic link that it may be."""
        return self.walk(path, start, follow=follow or path.endswith(b"/")).existing()

    def walk(self, path: bytes, start: Directory, *, follow: bool = False) -> Place:
        """Find the place that ``path`` names, and where one can make, remove or move something."""
        if not path:
            raise error(errno.ENOENT)
        here = self.root if path.startswith(b"/") else start
        place = Place(here, b"/", here)
        parts, links = _parts(path), 0
        while parts:
            place = _step(place.existing(), parts.popleft())
            target = place.node
            if isinstance(target, SymbolicLink) and (parts or follow):
                links += 1
                if links > _MAX_LINKS:
                    raise error(errno.ELOOP)
                parts.extendleft(reversed(_parts(target.target)))
                here = self.root if target.target.startswith(b"/") else place.parent
                place = Place(here, b"/", here)
        return place._replace(needs_directory=path.endswith(b"/"))

    def create(self, place: Place, node: Node) -> None:
        """Give a new ``node`` the name of ``place``, where nothing may be."""
        place.check_free(for_directory=isinstance(node, Directory))
        node.inode, node.mtime_ns = next(self._inodes), self.now()
        self._enter(place, node)
        node.links += 1

    def link(self, place: Place, node: Node) -> None:
        """Give a ``node`` that is no directory one more name."""
        place.check_free(for_directory=False)
        if isinstance(node, Directory):
            raise error(errno.EPERM)
        self._enter(place, node)
        node.links += 1

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
        if not place.is_name:
            raise error({b".": errno.EINVAL, b"..": errno.ENOTEMPTY, b"/": errno.EBUSY}[place.name])
        if node.entries:
            raise error(errno.ENOTEMPTY)
        self._leave(place)
        node.links -= 2

    def rename(self, old: Place, new: Place) -> None:
        """Move a name; what had the new one before is removed, if it may be."""
        if not old.is_name or not new.is_name:
            raise error(errno.EBUSY)
        node = old.existing()
        if new.needs_directory and not isinstance(node, Directory):
            raise error(errno.ENOTDIR)
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
    return deque(part for part in path.split(b"/") if part)


def _step(here: Node, name: bytes) -> Place:
    if not isinstance(here, Directory):
        raise error(errno.ENOTDIR)
    special = {b".": here, b"..": here.parent}
    return Place(here, name, special.get(name) or here.entries.get(name))


def _is_below(directory: Directory, ancestor: Directory) -> bool:
    while directory is not ancestor:
        if directory.parent is directory:
            return False
        directory = directory.parent
    return True
