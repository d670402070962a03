"""Zeroed memory of 64-bit words at a fixed address: what Python and compiled code share."""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

__all__ = ["Words", "words_at"]

_WORD: Final = 8
#: <asm/mman-common.h>; the mmap module names it since Python 3.13.
_MAP_NORESERVE: Final = 0x4000


class Words:
    """``count`` signed 64-bit words; a page of them takes memory once one of its words is set."""

    __slots__ = ("_memory", "address", "bytes", "view")

    def __init__(self, count: int) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self._memory = mmap.mmap(-1, count * _WORD, flags=flags)
        #: The memory, as Python reads and writes it: bytes, and words.
        self.bytes = memoryview(self._memory)
        self.view = self.bytes.cast("q")
        #: Where compiled code finds the first.
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))


def words_at(address: int, count: int) -> memoryview:
    """View memory of this process as signed words; it must stay mapped."""
    return memoryview((ctypes.c_int64 * count).from_address(address)).cast("B").cast("q")
