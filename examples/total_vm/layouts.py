"""The structures of the x86_64 ABI that the machine fills in, as bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .nodes import Node

__all__ = [
    "SIGACTION_SIZE",
    "dirent64",
    "iovecs",
    "pack_poll",
    "poll_requests",
    "rlimit",
    "rlimit_values",
    "stat",
    "timespec",
    "timespec_values",
    "timeval",
    "utsname",
]

#: struct kernel_sigaction: handler, flags, restorer, mask; of which the machine only keeps a copy.
SIGACTION_SIZE = 32

_BILLION = 1_000_000_000
_BLOCK_SIZE = 4096
_STAT = struct.Struct("=QQQ III4x Q qqq 6q 24x")
_DIRENT = struct.Struct("=QqHB")
_TWO_WORDS = struct.Struct("=qq")
_RLIMIT = struct.Struct("=QQ")
_POLLFD = struct.Struct("=ihh")


def stat(node: Node, device: int) -> bytes:
    """Make the 144 bytes of struct stat; all three times are the modification time."""
    time = divmod(node.mtime_ns, _BILLION)
    return _STAT.pack(
        device, node.inode, node.links, node.mode, node.uid, node.gid, node.device_number,
        node.size, _BLOCK_SIZE, node.blocks, *time, *time, *time,
    )  # fmt: skip


def dirent64(name: bytes, node: Node, position: int) -> bytes:
    """Make a struct linux_dirent64; its type is the file type's four bits of the mode."""
    size = (_DIRENT.size + len(name) + 1 + 7) & ~7
    return (_DIRENT.pack(node.inode, position, size, node.mode >> 12) + name).ljust(size, b"\0")


def utsname(fields: Sequence[str]) -> bytes:
    """Make the six arrays of 65 characters of struct new_utsname."""
    return b"".join(field.encode()[:64].ljust(65, b"\0") for field in fields)


def timespec(nanoseconds: int) -> bytes:
    """Make a struct timespec."""
    return _TWO_WORDS.pack(*divmod(nanoseconds, _BILLION))


def timeval(nanoseconds: int) -> bytes:
    """Make a struct timeval: it counts microseconds."""
    seconds, rest = divmod(nanoseconds, _BILLION)
    return _TWO_WORDS.pack(seconds, rest // 1000)


def timespec_values(data: bytes) -> tuple[int, int]:
    """Read seconds and nanoseconds of a struct timespec."""
    seconds, nanoseconds = _TWO_WORDS.unpack(data)
    return seconds, nanoseconds


def rlimit(soft: int, hard: int) -> bytes:
    """Make a struct rlimit64."""
    return _RLIMIT.pack(soft, hard)


def rlimit_values(data: bytes) -> tuple[int, int]:
    """Read the soft and the hard limit of a struct rlimit64."""
    soft, hard = _RLIMIT.unpack(data)
    return soft, hard


def iovecs(data: bytes) -> list[tuple[int, int]]:
    """Read address and length of each struct iovec."""
    return list(_RLIMIT.iter_unpack(data))


def poll_requests(data: bytes) -> list[tuple[int, int]]:
    """Read descriptor and events of each struct pollfd."""
    return [(fd, events) for fd, events, _returned in _POLLFD.iter_unpack(data)]


def pack_poll(fd: int, events: int, returned: int) -> bytes:
    """Make a struct pollfd."""
    return _POLLFD.pack(fd, events, returned)
