"""``struct seccomp_data``: what a filter can look at."""

from __future__ import annotations

import struct
from typing import Final

from bpf.value import frozen

__all__ = ["ARCH", "NR", "SeccompData", "field_name", "high", "low"]

#: Offsets of the members, <linux/seccomp.h>. Words are 32 bits wide, so that the three 64-bit kinds
#: of member take two loads; on x86 the low word comes first.
NR: Final = 0
ARCH: Final = 4
_INSTRUCTION_POINTER: Final = 8
_ARGS: Final = 16
_WORDS: Final = struct.Struct("=16I")
_STRUCT: Final = struct.Struct("=II7Q")

#: sizeof(struct seccomp_data), which BPF_LEN loads.
SIZE: Final = _STRUCT.size


def low(index: int) -> int:
    """Offset of the low word of argument ``index``."""
    return _ARGS + 8 * index


def high(index: int) -> int:
    """Offset of the high word of argument ``index``."""
    return low(index) + 4


def field_name(offset: int) -> str:
    """Name the word at ``offset``: ``nr``, ``arch``, ``args[0].high`` and so on."""
    if offset == NR:
        return "nr"
    if offset == ARCH:
        return "arch"
    half = "high" if offset & 4 else "low"
    if offset < _ARGS:
        return f"instruction_pointer.{half}"
    return f"args[{(offset - _ARGS) // 8}].{half}"


@frozen
class SeccompData:
    """One system call as a filter sees it: number, architecture, origin and raw registers."""

    #: Signed: a tracer that skips a call leaves -1 here.
    number: int
    arch: int
    instruction_pointer: int = 0
    arguments: tuple[int, ...] = (0, 0, 0, 0, 0, 0)

    def words(self) -> tuple[int, ...]:
        """Return the 16 words that LD|W|ABS can load, the one at offset 4*i at index i."""
        packed = _STRUCT.pack(
            self.number & 0xFFFFFFFF, self.arch, self.instruction_pointer, *self.arguments
        )
        return _WORDS.unpack(packed)
