"""Random calls of which captured strings and blocks are enough to print them."""

from __future__ import annotations

import random
from typing import TypeAlias

from accel.abi import Abi
from accel.call import Call
from accel.decoding.captures import captured_arguments, captured_blocks
from accel.records import ABIS, STRING_LIMIT

Memory: TypeAlias = dict[int, bytes]

CAPTURED = [
    (abi, name)
    for abi in ABIS
    for name in [*abi.numbers, "syscall_0x3e7"]
    if captured_arguments(abi, name) is not None
]
RESULTS = (None, 0, 3, 1 << 40, -2, -75, -514, -4095)
#: Registers that select: descriptors, operations, flags, ids, errors, and the bounds of widths.
REGISTERS = (
    *range(32), *(1 << bit for bit in range(5, 64)), *((1 << 64) - less for less in range(1, 102)),
    0xFFFFFFFF, 0xFFFFFF9C, 0x7FFFFFFF, 0o100644, 0o20644, 0x80241, 0xFEE1DEAD,
)  # fmt: skip
TEXTS = (
    b"\0", b"/etc/passwd\0", b'a "quoted"\n\xff name\0', b"x" * 300 + b"\0",
    b"y" * (STRING_LIMIT - 1) + b"\0", b"z" * STRING_LIMIT, b"cut", b"",
)  # fmt: skip


def random_call(
    choose: random.Random, abi: Abi, name: str, captured: tuple[int, ...], limit: int
) -> tuple[Call, Memory, Memory]:
    """Make a call, what its captured arguments point to, and what it writes.

    By address; blocks for a decoder with that ``string_limit``.
    """
    number = abi.numbers.get(name, 0x3E7)
    registers = [choose.choice((*REGISTERS, choose.getrandbits(64))) for _ in range(6)]
    strings = {}
    for position in captured:
        registers[position] = choose.choice((0, 0x10000 * (position + 1)))
        if registers[position]:
            strings[registers[position]] = choose.choice(TEXTS)
    read, written, size = captured_blocks(abi, name, limit)
    blocks = {}
    for position in (*read, *written):
        registers[position] = choose.choice((0, 0x10000 * (position + 1)))
        if registers[position]:
            there = choose.choice((size, size, size, size // 2, 0))
            # A NUL at its end would be that of a string.
            blocks[position] = choose.randbytes(there).rstrip(b"\0").ljust(there, b"\1")
    before, after = (
        {registers[at]: blocks[at] for at in part if at in blocks} for part in (read, written)
    )
    first, second, third, fourth, fifth, sixth = (value % (1 << abi.bits) for value in registers)
    six = first, second, third, fourth, fifth, sixth
    return Call(7, 7, abi, number, six), {**strings, **before}, after
