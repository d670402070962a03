"""Tracee memory in bulk: process_vm_readv(2) and process_vm_writev(2)."""

from __future__ import annotations

import ctypes
import errno
from typing import Final

from accel._kernel.libc import failure, raw_syscall

__all__ = ["PAGE_SIZE", "read", "write"]

_SYS_PROCESS_VM_READV: Final = 310
_SYS_PROCESS_VM_WRITEV: Final = 311

PAGE_SIZE: Final = 4096
#: UIO_MAXIOV: the most vectors of one call.
_MAX_VECTORS = 1024


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Pair(ctypes.Structure):
    """One iovec here, and one there: what most transfers are, made in a third of the time."""

    _fields_ = (
        ("base", ctypes.c_void_p), ("length", ctypes.c_size_t),
        ("remote", ctypes.c_void_p), ("remote_length", ctypes.c_size_t),
    )  # fmt: skip


def _pages(address: int, size: int) -> ctypes.Array[_Iovec]:
    """Split a range at page ends: a transfer that faults stops between two elements, not inside."""
    vectors: list[_Iovec] = []
    end = address + size
    while address < end and len(vectors) < _MAX_VECTORS:
        stop = min(end, (address | (PAGE_SIZE - 1)) + 1)
        vectors.append(_Iovec(address, stop - address))
        address = stop
    return (_Iovec * len(vectors))(*vectors)


def _transfer(number: int, tid: int, buffer: ctypes.Array[ctypes.c_char], address: int) -> int:
    """Move up to ``len(buffer)`` bytes; return how many were; 0 at an unmapped address."""
    size = len(buffer)
    here = ctypes.addressof(buffer)
    if address % PAGE_SIZE + size <= PAGE_SIZE:
        pair = _Pair(here, size, address, size)
        at = ctypes.addressof(pair)
        moved: int = raw_syscall(number, tid, at, 1, at + ctypes.sizeof(_Iovec), 1, 0)
    else:
        local, remote = _Iovec(here, size), _pages(address, size)
        moved = raw_syscall(
            number, tid, ctypes.addressof(local), 1, ctypes.addressof(remote), len(remote), 0
        )
    if moved == -1:
        if ctypes.get_errno() == errno.EFAULT:
            return 0
        raise failure(
            "process_vm_readv" if number == _SYS_PROCESS_VM_READV else "process_vm_writev"
        )
    return moved


def _is_address(address: int, size: int) -> bool:
    return address > 0 and address + size < 1 << 63


def read(tid: int, address: int, size: int) -> bytes:
    """Read up to ``size`` bytes, fewer where the memory ends; raise OSError (ESRCH, EPERM).

    One system call up to 4 MiB, the most that is read at once.
    """
    if size <= 0 or not _is_address(address, size):
        return b""
    buffer = ctypes.create_string_buffer(min(size, (_MAX_VECTORS - 1) * PAGE_SIZE))
    moved = _transfer(_SYS_PROCESS_VM_READV, tid, buffer, address)
    return buffer.raw[:moved]


def write(tid: int, address: int, data: bytes) -> int:
    """Write ``data`` and return how many bytes were written; read-only pages are refused."""
    if not data or not _is_address(address, len(data)):
        return 0
    buffer = ctypes.create_string_buffer(data, len(data))
    return _transfer(_SYS_PROCESS_VM_WRITEV, tid, buffer, address)
