"""File trees to start with: a small one that is built in, a mapping, a copy of a host directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from typing import Final

from .nodes import Device, Directory, File, Node, SymbolicLink
from .vfs import VirtualFileSystem

__all__ = ["BUILT_IN", "copy_of", "from_mapping"]

BUILT_IN: Final[Mapping[str, bytes]] = {
    "/etc/motd": b"Everything here is answered by a program in Python.\n",
    "/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
    "/etc/group": b"root:x:0:\n",
    "/root/fruit": b"pear\napple\nplum\ncherry\n",
    "/root/numbers": b"10\n9\n1\n100\n",
}
_DEVICES: Final = {b"null": (1, 3), b"zero": (1, 5), b"full": (1, 7), b"urandom": (1, 9)}


def from_mapping(
    contents: Mapping[str, bytes], now: Callable[[], int] = lambda: 0
) -> VirtualFileSystem:
    """Make a tree of files with these contents, by absolute path, and the usual devices."""
    files = VirtualFileSystem(now)
    for path, content in contents.items():
        file = File()
        file.write_at(0, content)
        *directories, name = os.fsencode(path).strip(b"/").split(b"/")
        files.create(files.walk(name, _directory(files, directories)), file)
    _directory(files, [b"tmp"])
    for name, numbers in _DEVICES.items():
        device = Device(permissions=0o666, number=os.makedev(*numbers))
        files.create(files.walk(name, _directory(files, [b"dev"])), device)
    return files


def _directory(files: VirtualFileSystem, names: list[bytes]) -> Directory:
    here = files.root
    for name in names:
        place = files.walk(name, here)
        if place.node is None:
            files.create(place, Directory())
        found = here.entries[name]
        assert isinstance(found, Directory), "a file and a directory have the same name"
        here = found
    return here


def copy_of(directory: str, now: Callable[[], int] = lambda: 0) -> VirtualFileSystem:
    """Copy a directory of the host, with all that stat(2) says of its files but access times.

    Sockets, pipes and block devices are left out. The copy shares nothing with the original.
    """
    top = os.stat(directory)
    root = Directory(size_on_disk=top.st_size)
    _describe(root, top)
    known: dict[tuple[int, int], Node] = {}
    _fill(root, directory, known)
    next_inode = 1 + max(node.inode for node in (root, *known.values()))
    return VirtualFileSystem(now, root=root, device=top.st_dev, next_inode=next_inode)


def _fill(directory: Directory, path: str, known: dict[tuple[int, int], Node]) -> None:
    """Copy what is in a directory; ``known`` are nodes by inode: some have several names."""
    with os.scandir(path) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            key = (status.st_dev, status.st_ino)
            node = known.get(key) or _copied(entry.path, status)
            if node is None:
                continue
            known[key] = node
            _describe(node, status)
            directory.entries[os.fsencode(entry.name)] = node
            if isinstance(node, Directory):
                node.parent = directory
                _fill(node, entry.path, known)


def _copied(path: str, status: os.stat_result) -> Node | None:
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            return File(content=bytearray(file.read()))
    if stat.S_ISDIR(status.st_mode):
        return Directory(size_on_disk=status.st_size)
    if stat.S_ISLNK(status.st_mode):
        return SymbolicLink(target=os.fsencode(os.readlink(path)))
    if stat.S_ISCHR(status.st_mode):
        return Device(number=status.st_rdev)
    return None


def _describe(node: Node, status: os.stat_result) -> None:
    node.permissions = stat.S_IMODE(status.st_mode)
    node.uid, node.gid = status.st_uid, status.st_gid
    node.mtime_ns = status.st_mtime_ns
    node.inode, node.links, node.blocks = status.st_ino, status.st_nlink, status.st_blocks
