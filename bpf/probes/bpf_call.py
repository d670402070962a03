"""The system call bpf(2): maps, programs, and raw tracepoints to run them at."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import Final

from bpf.probes.object import MapShape

__all__ = ["create_map", "delete", "keys", "load_raw_tracepoint", "lookup", "open_raw_tracepoint",
           "update"]  # fmt: skip

# <asm/unistd_64.h>
_SYS_BPF: Final = 321
# enum bpf_cmd, <linux/bpf.h>
_MAP_CREATE: Final = 0
_MAP_LOOKUP_ELEM: Final = 1
_MAP_UPDATE_ELEM: Final = 2
_MAP_DELETE_ELEM: Final = 3
_MAP_GET_NEXT_KEY: Final = 4
_PROG_LOAD: Final = 5
_RAW_TRACEPOINT_OPEN: Final = 17
# enum bpf_prog_type
_PROG_TYPE_RAW_TRACEPOINT: Final = 17

# What union bpf_attr holds for each of them; of the rest the kernel wants zeros or nothing.
_MAP: Final = struct.Struct("=5II4x16s")
_ELEMENT: Final = struct.Struct("=I4xQQQ")
_PROGRAM: Final = struct.Struct("=IIQQIIQII16s")
_TRACEPOINT: Final = struct.Struct("=QI4x")

_NAME_LENGTH: Final = 15
_LICENSE: Final = b"GPL"

_libc: Final = ctypes.CDLL(None, use_errno=True)


def create_map(shape: MapShape) -> int:
    """Make a map; return its descriptor. Raise OSError."""
    return _bpf(
        _MAP_CREATE,
        _MAP.pack(
            shape.type, shape.key_size, shape.value_size, shape.max_entries, shape.flags, 0,
            shape.name.encode()[:_NAME_LENGTH],
        ),
    )  # fmt: skip


def lookup(descriptor: int, key: bytes, size: int) -> bytes | None:
    """Return the value of a key, of ``size`` bytes; None if it has none. Raise OSError."""
    value = ctypes.create_string_buffer(size)
    if not _element(_MAP_LOOKUP_ELEM, descriptor, key, ctypes.addressof(value)):
        return None
    return value.raw


def update(descriptor: int, key: bytes, value: bytes) -> None:
    """Give a key a value. Raise OSError, with E2BIG or ENOMEM if the map is full."""
    held = ctypes.create_string_buffer(value, len(value))
    _element(_MAP_UPDATE_ELEM, descriptor, key, ctypes.addressof(held))


def delete(descriptor: int, key: bytes) -> bool:
    """Take a key out; False if it is not there. Raise OSError."""
    return _element(_MAP_DELETE_ELEM, descriptor, key, 0)


def keys(descriptor: int, size: int) -> Iterator[bytes]:
    """Tell the keys of a map; one whose successor is asked for when it has gone starts it anew."""
    following = ctypes.create_string_buffer(size)
    known: bytes | None = None
    while _element(_MAP_GET_NEXT_KEY, descriptor, known, ctypes.addressof(following)):
        known = following.raw
        yield known


def load_raw_tracepoint(code: bytes, name: str) -> int:
    """Have the kernel verify a program of raw tracepoints; return its descriptor. Raise OSError."""
    held = ctypes.create_string_buffer(code, len(code))
    license_ = ctypes.create_string_buffer(_LICENSE)
    label = name.encode()[:_NAME_LENGTH]
    return _bpf(
        _PROG_LOAD,
        _PROGRAM.pack(
            _PROG_TYPE_RAW_TRACEPOINT, len(code) // 8, ctypes.addressof(held),
            ctypes.addressof(license_), 0, 0, 0, 0, 0, label,
        ),
    )  # fmt: skip


def open_raw_tracepoint(program: int, tracepoint: str) -> int:
    """Run a program at a tracepoint for as long as the descriptor is open that this returns."""
    name = ctypes.create_string_buffer(tracepoint.encode())
    return _bpf(_RAW_TRACEPOINT_OPEN, _TRACEPOINT.pack(ctypes.addressof(name), program))


def _element(command: int, descriptor: int, key: bytes | None, value: int) -> bool:
    """Do something with an element of a map; False if there is none."""
    held = None if key is None else ctypes.create_string_buffer(key, len(key))
    address = 0 if held is None else ctypes.addressof(held)
    try:
        _bpf(command, _ELEMENT.pack(descriptor, address, value, 0))
    except OSError as error:
        if error.errno == errno.ENOENT and command != _MAP_UPDATE_ELEM:
            return False
        raise
    return True


def _bpf(command: int, attributes: bytes) -> int:
    held = ctypes.create_string_buffer(attributes, len(attributes))
    result: int = _libc.syscall(_SYS_BPF, command, held, len(attributes))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"bpf: {os.strerror(number)}")
    return result
