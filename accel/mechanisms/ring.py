"""The ring that the loop writes records to, and a ring of captured strings beside it.

One thread writes, one reads (whoever holds the reader's lock). Positions only grow; the writer
publishes its own after the bytes, and frees nothing. x86_64 keeps stores in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from accel._kernel.words import Words
from accel.records import BLOCKS, MAX_STRINGS, RECORD_SIZE, STRING_LIMIT, UNTERMINATED

__all__ = ["Ring", "bits"]

# Its control words; the others are the loop's, see stop_tables.
RECORDING, DROPS, DROPPED, RING_HEAD, RING_TAIL, RING_SIZE = 12, 13, 14, 15, 16, 17
STRINGS_HEAD, STRINGS_TAIL, STRINGS_SIZE = 18, 19, 20
CONTROL_WORDS: Final = 104
#: What the compiled loop found.
FOUND: Final = 81
#: Whether it is at work, without Python; of tracing threads.
RUNNING: Final = 103
#: RECORDING: whole calls; calls and their beginnings.
WHOLE_CALLS: Final = 1
BEGINNINGS: Final = 2

#: 8 MiB of records and as much of strings; what is never used takes no memory.
_RECORDS: Final = 1 << 16
_STRING_BYTES: Final = 1 << 23
#: So many records are read at a time: so long a tracer waits for room.
_PIECE: Final = 1 << 12
_LAST_WORD: Final = RECORD_SIZE - 8

#: What is captured of a call: a bit for each argument that is a string; for each that points to a
#: block that it writes; the size of blocks; a bit for each that points to one that it reads.
ALL_STRINGS: Final = 0x3F
FIRST_WRITTEN: Final = 8
BLOCK_SIZE: Final = 16
FIRST_READ: Final = 32
ALL_WRITTEN: Final = 0x3F << FIRST_WRITTEN
ALL_READ: Final = 0x3F << FIRST_READ
ALL_CAPTURED: Final = ALL_STRINGS | ALL_WRITTEN | ALL_READ


def bits(positions: Iterable[int]) -> int:
    """Make a bit of each position."""
    return sum(1 << at for at in positions)


class Ring:
    """Two rings of ``records`` records and ``strings`` bytes, powers of two.

    A full ring makes the loop return; with ``drops`` it counts what it cannot write instead. With
    ``beginnings``, a call that goes on to an exit-stop is also written when it begins.
    """

    def __init__(
        self,
        *,
        drops: bool = False,
        beginnings: bool = False,
        records: int = _RECORDS,
        strings: int = _STRING_BYTES,
    ) -> None:
        #: The words shared with the loop.
        self.control = Words(CONTROL_WORDS)
        self.records = Words(records * RECORD_SIZE // 8)
        self.strings = Words(strings // 8)
        view = self.control.view
        view[RECORDING] = BEGINNINGS if beginnings else WHOLE_CALLS
        view[DROPS], view[RING_SIZE], view[STRINGS_SIZE] = drops, records, strings
        self.drops, self.beginnings = drops, beginnings
        self._view = view

    @property
    def tables(self) -> tuple[Words, Words]:
        """The two rings."""
        return self.records, self.strings

    @property
    def dropped(self) -> int:
        """How many records found no room."""
        return self._view[DROPPED]

    @property
    def waiting(self) -> int:
        """How many records have not been read."""
        return self._view[RING_HEAD] - self._view[RING_TAIL]

    @property
    def is_full(self) -> bool:
        """Whether the rings may not hold what one more stop writes."""
        view = self._view
        strings = view[STRINGS_HEAD] - view[STRINGS_TAIL]
        # Captured bytes are in one piece, so as much may be left out at the end of the ring.
        needed = 2 * MAX_STRINGS * STRING_LIMIT
        return self.waiting + 2 > view[RING_SIZE] or strings + needed > view[STRINGS_SIZE]

    def append(self, record: bytes) -> None:
        """Write a record; count it as dropped if there is no room."""
        view = self._view
        if self.is_full:
            view[DROPPED] += 1
            return
        at = (view[RING_HEAD] & (view[RING_SIZE] - 1)) * RECORD_SIZE
        self.records.bytes[at : at + _LAST_WORD] = record[:_LAST_WORD]
        self.records.view[(at + _LAST_WORD) // 8] = view[STRINGS_HEAD]
        view[RING_HEAD] += 1

    def capture(
        self,
        captured: int,
        arguments: tuple[int, ...],
        read: Callable[[int, int], tuple[bytes, int]],
    ) -> tuple[int, int]:
        """Copy what arguments point to; return the words STRINGS and FLAGS of a record.

        ``read`` returns what is at an address: a block of a size, or a string without its NUL if
        that is 0; and UNTERMINATED, or 0 after a NUL.
        """
        view = self._view
        size, start = view[STRINGS_SIZE], view[STRINGS_HEAD]
        left = size - (start & (size - 1))
        if left < MAX_STRINGS * STRING_LIMIT:
            start += left
        head, block_size = start, captured >> BLOCK_SIZE & 0xFFFF
        flags = (captured | captured >> FIRST_WRITTEN | captured >> FIRST_READ) & ALL_STRINGS
        positions = [position for position in range(6) if flags >> position & 1]
        for shift, mark, position in zip((16, 32, 48), BLOCKS, positions, strict=False):
            is_string = captured >> position & 1
            text, flag = read(arguments[position], 0 if is_string else block_size)
            flags |= 0 if is_string else mark
            at = head & (size - 1)
            self.strings.bytes[at : at + len(text)] = text
            flags |= (len(text) | flag) << shift
            head += len(text)
        view[STRINGS_HEAD] = head
        return start, flags

    def pieces(self) -> Iterator[memoryview]:
        """Read what is there, whole records at a time; a piece is freed when the next is asked for.

        Only by the one reader.
        """
        view, size = self._view, self._view[RING_SIZE]
        end = view[RING_HEAD]
        while view[RING_TAIL] < end:
            first = view[RING_TAIL] & (size - 1)
            count = min(end - view[RING_TAIL], size - first, _PIECE)
            yield self.records.bytes[first * RECORD_SIZE : (first + count) * RECORD_SIZE]
            last = (first + count) * RECORD_SIZE // 8 - 1
            view[STRINGS_TAIL] = self.records.view[last]
            view[RING_TAIL] += count


assert UNTERMINATED > STRING_LIMIT  # A flag beside a length.
