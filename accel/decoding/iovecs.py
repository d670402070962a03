"""Vectors of buffers (readv, writev), and calls that move bytes between descriptors."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from accel.decoding.context import Begun, Context, Printer, pointer
from accel.decoding.layouts import Layout, array_at
from accel.decoding.strings import bytes_at
from accel.decoding.subject import Subject

__all__ = ["ALL", "SUBJECT", "iovec_in", "iovec_out", "iovecs_at"]

#: More bytes than any call moves: print all of every buffer.
ALL: Final = 1 << 64
_PAIRS: Final = (struct.Struct("<QQ"), struct.Struct("<II"))

Show = Callable[[Context, int, int], str]


def address_only(_: Context, address: int, __: int) -> str:
    """Print where a buffer is instead of what is in it."""
    return pointer(address)


def iovecs_at(context: Context, address: int, count: int, moved: int, show: Show = bytes_at) -> str:
    """Print ``count`` buffers; only the first ``moved`` of their bytes mean something."""
    pair = _PAIRS[context.i386]
    left = moved

    def element(context: Context, raw: bytes) -> str:
        nonlocal left
        base, size = pair.unpack(raw)
        shown = min(size, left)
        if left != ALL:
            left -= shown
        return f"{{iov_base={show(context, base, shown)}, iov_len={size}}}"

    return array_at(context, address, count, pair.size, element, always=True)


def iovec_in(length: int) -> Printer:
    """Make a printer of buffers that the call reads; the argument at ``length`` counts them."""

    def printer(context: Context, address: int) -> str:
        return iovecs_at(context, address, context.arguments[length], ALL)

    return printer


def iovec_out(length: int) -> Printer:
    """Make a printer of buffers that the kernel fills; the result counts the bytes."""

    def printer(context: Context, address: int) -> str | None:
        if not context.leaving:
            return None
        count = context.arguments[length]
        if context.failed or context.result is None:
            return iovecs_at(context, address, count, ALL, address_only)
        return iovecs_at(context, address, count, context.result & 0xFFFFFFFFFFFFFFFF)

    return printer


def _moving_offset(what: Layout) -> Printer:
    """Make the printer of sendfile's offset, before and after: ``[0] => [4096]``."""

    def read(context: Context, address: int) -> str | None:
        raw = context.fetch(address, what.size(context))
        return None if raw is None else f"[{what.show(context, raw)}]"

    def printer(context: Context, address: int) -> str | None:
        if not context.leaving:
            before = read(context, address)
            if before is None:
                return pointer(address)
            return Begun(before) if context.arguments[3] or not context.i386 else before
        if not context.result or context.failed:
            return ""
        return " => " + (read(context, address) or pointer(address))

    return printer


def _remote(context: Context, address: int, count: int) -> str:
    return iovecs_at(context, address, count, ALL, address_only)


def _addresses(length: int) -> Printer:
    """Make a printer of buffers that are not the caller's, or whose bytes do not matter."""
    return lambda context, address: _remote(context, address, context.arguments[length])


def _number_in(what: Layout) -> Printer:
    def printer(context: Context, address: int) -> str:
        raw = context.fetch(address, what.size(context))
        return pointer(address) if raw is None else f"[{what.show(context, raw)}]"

    return printer


_loff = Layout("q", None, lambda _, value: str(value))
_position = _number_in(_loff)

SUBJECT: Final = Subject(
    arguments={
        "sendfile.offset": _moving_offset(Layout("Q", "I", lambda _, value: str(value))),
        "sendfile64.offset": _moving_offset(Layout("Q", None, lambda _, value: str(value))),
        "splice.off_in": _position,
        "splice.off_out": _position,
        "copy_file_range.off_in": _position,
        "copy_file_range.off_out": _position,
        "process_madvise.iov": _addresses(2),
        "process_vm_readv.remote_iov": _addresses(4),
        "process_vm_writev.remote_iov": _addresses(4),
    },
)
