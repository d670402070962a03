"""Recorded calls: what a loop writes at a stop, 128 bytes each, and how it is read.

=====================  ========  =================================================================
field                  dtype     meaning
=====================  ========  =================================================================
``entered_ns``         int64     CLOCK_MONOTONIC at the stop before the call, nanoseconds
``left_ns``            int64     the same at the stop after it; 0 if there was none
``tid``, ``pid``       int32     the thread that called, and its process
``number``             int32     the call's number in its ABI
``abi``                uint8     0: x86_64; 1: i386
``rule``               uint16    position in ``Tracer.plan.rules`` of the rule that it fell under
``arguments``          6 uint64  the registers
``result``             int64     the raw return value, -errno on failure; 0 without an exit-stop
``strings``            uint64    where captured bytes begin in their ring (for ``Batch``)
``flags``              uint16    bits 0 to 5: which arguments were captured; then the FLAGS below
``string_sizes``       3 uint16  of each captured argument in order; bit 15: no NUL was found, as
                                 in any block
``instruction_pointer``  uint64  after the system call instruction
``stack_pointer``      uint64    before it
``strings_end``        uint64    how far that ring was filled (for who empties it)
=====================  ========  =================================================================

The struct and the numpy dtype describe the same bytes. numpy is imported when arrays are asked for.
"""

# Annotations are not left for later here: NamedTuple would compile each, 2 ms in all.
import struct
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

from accel.abi import Abi
from accel.call import Call

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "ABIS",
    "ALONE",
    "ANY_BLOCK",
    "BLOCKS",
    "BY_PYTHON",
    "CAPTURED",
    "ENTERED",
    "FIELDS",
    "INJECTED",
    "LAYOUT",
    "MARK",
    "MAX_STRINGS",
    "RECORD_SIZE",
    "RETURNED",
    "STRING_LIMIT",
    "UNTERMINATED",
    "Batch",
    "Blocks",
    "Captured",
    "Record",
    "RecordedMemory",
    "Sink",
    "dtype",
    "pack",
]

#: The fields, as numpy describes them.
FIELDS: Final = (
    ("entered_ns", "<i8"),
    ("left_ns", "<i8"),
    ("tid", "<i4"),
    ("pid", "<i4"),
    ("number", "<i4"),
    ("abi", "u1"),
    ("unused", "u1"),
    ("rule", "<u2"),
    ("arguments", "<u8", (6,)),
    ("result", "<i8"),
    ("strings", "<u8"),
    ("flags", "<u2"),
    ("string_sizes", "<u2", (3,)),
    ("instruction_pointer", "<u8"),
    ("stack_pointer", "<u8"),
    ("strings_end", "<u8"),
)
LAYOUT: Final = struct.Struct("<qqiiiBBH6QqQ4HQQQ")
RECORD_SIZE: Final = LAYOUT.size

#: ``abi`` is an index into these.
ABIS: Final = (Abi.X86_64, Abi.I386)

#: Flags: which arguments were captured, bit 0 for the first.
CAPTURED: Final = 0x3F
#: Flag: the call has begun; another record will tell of its end, unless it never returns.
ENTERED: Final = 1 << 6
#: Flag: the tracer answered instead of the kernel.
INJECTED: Final = 1 << 7
#: Flag: there was an exit-stop, so ``left_ns`` and ``result`` are the kernel's.
RETURNED: Final = 1 << 8
#: Flag: Python answered the stop; its observers have heard of it.
BY_PYTHON: Final = 1 << 9
#: Flag, in the ring alone: this is no call, but the place of a stop that is told of in its order.
MARK: Final = 1 << 10
#: Flag: the call stopped only when it had returned; both times are of that, and what was captured
#: is what the call left.
ALONE: Final = 1 << 11

#: Flags: which of the captured, in order, are no strings but blocks. If there are blocks that the
#: call has written, they are all that is in the record of its end.
BLOCKS: Final = tuple(1 << bit for bit in (13, 14, 15))
ANY_BLOCK: Final = sum(BLOCKS)

#: So many arguments of one call can be captured, each up to PATH_MAX.
MAX_STRINGS: Final = 3
STRING_LIMIT: Final = 4096
UNTERMINATED: Final = 1 << 15


class Blocks(NamedTuple):
    """What is captured of a call besides strings: ``size`` bytes, or as many as are there."""

    #: The positions of arguments that point to what the call reads, captured when it begins.
    read: tuple[int, ...] = ()
    #: And of those that point to what it writes, captured when it has succeeded.
    written: tuple[int, ...] = ()
    size: int = 0


#: Which arguments bits 0 to 5 of the flags name.
_CAPTURED: Final = tuple(
    tuple(position for position in range(6) if bits >> position & 1) for bits in range(64)
)
_NONE: Final[Mapping[int, bytes]] = MappingProxyType({})


class Record(NamedTuple):
    """One recorded call."""

    entered_ns: int
    left_ns: int
    tid: int
    pid: int
    number: int
    abi: Abi
    rule: int
    arguments: tuple[int, int, int, int, int, int]
    result: int
    flags: int
    instruction_pointer: int
    stack_pointer: int
    #: What captured arguments pointed to, by position, with its NUL if one was found.
    strings: Mapping[int, bytes]
    #: The blocks that others pointed to before the call; and after it, where it has written some.
    blocks: Mapping[int, bytes] = _NONE
    blocks_after: Mapping[int, bytes] = _NONE

    @property
    def name(self) -> str:
        """The call's name in its ABI."""
        return self.abi.call_name(self.number)

    @property
    def call(self) -> Call:
        """The call alone."""
        return Call(
            self.tid,
            self.pid,
            self.abi,
            self.number,
            self.arguments,
            self.instruction_pointer,
            self.stack_pointer,
        )

    @property
    def memory(self) -> "RecordedMemory":
        """What is known of the tracee's memory before the call."""
        return self._memory(self.blocks)

    @property
    def memory_after(self) -> "RecordedMemory":
        """What is known of it after the call, which may have written where its strings were."""
        return self._memory(self.blocks_after)

    def _memory(self, blocks: Mapping[int, bytes]) -> "RecordedMemory":
        found = {**self.strings, **blocks} if blocks else self.strings
        if not found:
            return _NO_MEMORY
        return RecordedMemory({self.arguments[at]: text for at, text in found.items()})


class RecordedMemory:
    """The memory of a tracee as far as it was captured: what arguments point to."""

    __slots__ = ("_strings",)

    def __init__(self, strings: Mapping[int, bytes]) -> None:
        self._strings = strings

    def read(self, address: int, size: int) -> bytes:
        """Read up to ``size`` bytes; none where nothing was captured."""
        # Nearly always a string is read from its start; another may have been cut before its end.
        text = self._strings.get(address)
        if text is not None:
            return text[:size]
        for start, text in self._strings.items():
            if start <= address < start + len(text):
                return text[address - start : address - start + size]
        return b""


_NO_MEMORY: Final = RecordedMemory(_NONE)
#: Strings and blocks, by position.
Captured: TypeAlias = tuple[Mapping[int, bytes], Mapping[int, bytes]]


class Batch:
    """Recorded calls in the order in which they ended; valid only until the sink returns.

    ``data`` holds whole records, ``strings`` is the ring that captured bytes lie in; ``known`` is
    what was captured when calls began, by (tid, entered_ns).
    """

    def __init__(
        self,
        data: memoryview,
        strings: memoryview,
        known: Mapping[tuple[int, int], "Captured"],
    ) -> None:
        self._data = data
        self._strings = strings
        self._known = known

    def __len__(self) -> int:
        return len(self._data) // RECORD_SIZE

    @property
    def raw(self) -> memoryview:
        """The records themselves, ``RECORD_SIZE`` bytes each: not a copy."""
        return self._data

    def array(self) -> "np.ndarray":
        """Copy the records into an array of ``dtype()``, of shape (len(self),). Needs numpy."""
        import numpy as np  # noqa: PLC0415 - an extra

        return np.frombuffer(self._data, dtype()).copy()

    def __iter__(self) -> Iterator[Record]:
        for (
            entered, left, tid, pid, number, abi, _, rule, first, second, third, fourth, fifth,
            sixth, result, at, flags, size, size2, size3, ip, sp, _,
        ) in LAYOUT.iter_unpack(self._data):  # fmt: skip
            strings = before = after = _NONE
            if flags & CAPTURED:
                sizes = size, size2, size3
                strings, before, after = self._captured(tid, entered, at, flags, sizes)
            yield Record(
                entered, left, tid, pid, number, ABIS[abi], rule,
                (first, second, third, fourth, fifth, sixth),
                result, flags, ip, sp, strings, before, after,
            )  # fmt: skip

    def parts(self, length: int) -> "Iterator[Batch]":
        """Divide into batches of at most ``length`` records."""
        size = length * RECORD_SIZE
        for start in range(0, len(self._data), size):
            yield Batch(self._data[start : start + size], self._strings, self._known)

    def strings_at(self, index: int) -> Mapping[int, bytes]:
        """Tell which strings the arguments of one record pointed to, by position."""
        return self.captured_at(index)[0]

    def captured_at(self, index: int) -> "Captured":
        """Tell what the arguments of one record pointed to before the call: strings, and blocks."""
        words = LAYOUT.unpack_from(self._data, index * RECORD_SIZE)
        flags, tid, entered = words[16], words[2], words[0]
        if not flags & CAPTURED:
            return _NONE, _NONE
        return self._captured(tid, entered, words[15], flags, words[17:20])[:2]

    def _captured(
        self, tid: int, entered: int, at: int, flags: int, sizes: tuple[int, ...]
    ) -> tuple[Mapping[int, bytes], Mapping[int, bytes], Mapping[int, bytes]]:
        """Find the strings of a record, and the blocks before and after the call."""
        known = self._known.get((tid, entered)) if self._known else None
        if known is not None and not flags & ANY_BLOCK:
            return known[0], known[1], known[1]
        strings: dict[int, bytes] = {}
        blocks: dict[int, bytes] = {}
        for mark, position, word in zip(BLOCKS, _CAPTURED[flags & CAPTURED], sizes, strict=False):
            size = word & ~UNTERMINATED
            start = at % len(self._strings)
            text = bytes(self._strings[start : start + size])
            found = blocks if flags & mark else strings
            found[position] = text if word & UNTERMINATED else text + b"\0"
            at += size
        if known is None:
            return strings, blocks, blocks
        return known[0], known[1], {**known[1], **blocks}


class Sink(Protocol):
    """Where records go: called from one thread at a time, while the tracees run."""

    def write(self, batch: Batch) -> None:
        """Take some records; what it keeps, it copies."""

    def close(self) -> None:
        """Write what is left: there will be no more."""


def dtype() -> "np.dtype":
    """Return the dtype of a record: 128 bytes. Needs numpy."""
    import numpy as np  # noqa: PLC0415 - an extra

    return np.dtype([*FIELDS])


def pack(
    call: Call,
    *,
    entered_ns: int,
    left_ns: int,
    rule: int,
    result: int,
    strings: int,
    flags: int,
) -> bytes:
    """Lay out a record; ``flags`` has the string sizes above its low 16 bits."""
    signed = result - (1 << 64) if result >> 63 > 0 else result
    sizes = flags & 0xFFFF, flags >> 16 & 0xFFFF, flags >> 32 & 0xFFFF, flags >> 48 & 0xFFFF
    return LAYOUT.pack(
        entered_ns, left_ns, call.tid, call.pid, call.number, ABIS.index(call.abi), 0, rule,
        *call.arguments, signed,
        strings, *sizes, call.instruction_pointer, call.stack_pointer, 0,
    )  # fmt: skip
