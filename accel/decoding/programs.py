"""Classic BPF programs, as seccomp(2) and SO_ATTACH_FILTER take them: their length and place."""

from __future__ import annotations

import struct
from typing import Final

from accel.decoding.context import Context, pointer

__all__ = ["PROGRAM", "filter_program", "socket_filter"]

#: struct sock_fprog: the number of instructions, and where they are.
PROGRAM: Final = (struct.Struct("<H6xQ"), struct.Struct("<H2xI"))


def filter_program(context: Context, address: int) -> str:
    """Print struct sock_fprog: ``{len=4, filter=0x7ffe0b5a5c50}``."""
    layout = PROGRAM[context.i386]
    raw = context.fetch(address, layout.size)
    if raw is None:
        return pointer(address)
    length, instructions = layout.unpack(raw)
    return f"{{len={length}, filter={pointer(instructions)}}}"


def socket_filter(context: Context, address: int, length: int | None) -> str:
    """Print a filter of a socket; ``length`` instructions, or None: a struct sock_fprog."""
    return filter_program(context, address) if length is None else pointer(address)
