"""Reads a BPF ring buffer: shared memory, without a system call and without a callback.

bcc can do that too, but its callback is entered from C: what is raised in it, a KeyboardInterrupt
for example, is lost. The layout is documented in the kernel's Documentation/bpf/ringbuf.rst and
used by libbpf's src/ringbuf.c: a page with the consumer's position, one with the producer's, and
the data twice in a row, so that no record is torn at its end.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["Ring"]

T = TypeVar("T")

# <linux/bpf.h>: the first word of a record's header is its length and these flags.
_BUSY: Final = 1 << 31
_DISCARDED: Final = 1 << 30
_HEADER: Final = 8


class Ring:
    """The reader of the ring buffer map ``descriptor``, whose data has ``size`` bytes.

    A ring has one reader. OSError if the descriptor is no ring of that size.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._size = size
        self._consumer = mmap.mmap(descriptor, page)
        try:
            self._rest = mmap.mmap(descriptor, page + 2 * size, prot=mmap.PROT_READ, offset=page)
        except BaseException:
            self._consumer.close()
            raise
        # Positions are whole words for these views, never read or written byte by byte; and x86
        # does not reorder loads: a record whose header is not busy is all there.
        self._consumed = memoryview(self._consumer).cast("Q")
        self._produced = memoryview(self._rest)[:page].cast("Q")
        self._data = memoryview(self._rest)[page:]
        self._words = self._data.cast("I")

    def take(self, read: Callable[[memoryview], T]) -> list[T]:
        """Return what ``read`` makes of each record that is complete, in order.

        They leave the ring together, at the end: if anything is raised they are all still there.
        """
        taken: list[T] = []
        position, end = self._consumed[0], self._produced[0]
        while position < end:
            at = position % self._size
            header = self._words[at // 4]
            if header & _BUSY:
                break
            length = header & ~_DISCARDED
            if not header & _DISCARDED:
                taken.append(read(self._data[at + _HEADER : at + _HEADER + length]))
            position += (_HEADER + length + 7) & ~7
        self._consumed[0] = position
        return taken

    def copy(self) -> bytes:
        """Return all records that are complete, as they lie in the ring: with their headers.

        They leave the ring: so it has room again before anybody has looked at them. Cost: 0.2 us
        a record, and no system call.
        """
        start, end = self._consumed[0], self._produced[0]
        position, words, size = start, self._words, self._size
        while position < end:
            header = words[position % size // 4]
            if header & _BUSY:
                break
            position += (_HEADER + (header & ~_DISCARDED) + 7) & ~7
        at = start % size
        copied = bytes(self._data[at : at + position - start])
        self._consumed[0] = position
        return copied

    def close(self) -> None:
        """Unmap the ring; it must not be used after that."""
        for view in (self._consumed, self._produced, self._words, self._data):
            view.release()
        self._consumer.close()
        self._rest.close()
