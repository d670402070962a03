"""Records and batches for tests of what reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from accel.abi import Abi
from accel.records import (
    ABIS,
    BLOCKS,
    ENTERED,
    INJECTED,
    LAYOUT,
    RETURNED,
    UNTERMINATED,
    Batch,
    Blocks,
)
from accel.stops import Stop


@dataclass(frozen=True)
class Recorded:
    """One call, as a loop would record it."""

    name: str = "getppid"
    arguments: tuple[int, ...] = ()
    result: int = 0
    flags: int = RETURNED
    entered_ns: int = 1_000
    left_ns: int = 2_000
    tid: int = 7
    pid: int = 7
    abi: Abi = Abi.X86_64
    rule: int = 0
    instruction_pointer: int = 0x401000
    stack_pointer: int = 0x7FFD0000
    #: With their NUL, by the position of the argument.
    strings: Mapping[int, bytes] = field(default_factory=dict)
    #: Likewise: a record of what the call wrote has no strings.
    blocks: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """The call's number."""
        return self.abi.numbers[self.name]

    @property
    def six(self) -> tuple[int, ...]:
        """The registers, zero where nothing is given."""
        return (*self.arguments, 0, 0, 0, 0, 0, 0)[:6]

    def packed(self, at: int) -> tuple[bytes, bytes]:
        """Return the record and the bytes that what it captured occupies from ``at`` on."""
        captured, sizes, bits = b"", [], 0
        for position, text in sorted(self.strings.items()):
            raw = text.removesuffix(b"\0")
            captured += raw
            sizes.append(len(raw) | (UNTERMINATED if raw == text else 0))
            bits |= 1 << position
        for mark, (position, block) in zip(BLOCKS, sorted(self.blocks.items()), strict=False):
            captured += block
            sizes.append(len(block) | UNTERMINATED)
            bits |= 1 << position | mark
        record = LAYOUT.pack(
            self.entered_ns, self.left_ns, self.tid, self.pid, self.number, ABIS.index(self.abi),
            0, self.rule, *self.six, self.result, at, self.flags | bits,
            *(*sizes, 0, 0, 0)[:3], self.instruction_pointer, self.stack_pointer, 0,
        )  # fmt: skip
        return record, captured


def batch_of(records: Iterable[Recorded]) -> Batch:
    """Lay records and their strings out as a loop would."""
    data, ring = bytearray(), bytearray()
    for record in records:
        packed, captured = record.packed(len(ring))
        data += packed
        ring += captured
    return Batch(memoryview(bytes(data)), memoryview(bytes(ring) or b"\0"), {})


def begun(call: Recorded) -> Recorded:
    """Make the record of the call's beginning."""
    return replace(call, flags=ENTERED, result=0, left_ns=0)


class Kept:
    """A sink that keeps every record."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def write(self, batch: Batch) -> None:
        """Keep records."""
        self.told += batch

    def close(self) -> None:
        """Do nothing."""


class Observing(Kept):
    """One that hears of beginnings and of stops, too."""

    def __call__(self, stop: Stop, /) -> None:
        """Keep a stop."""
        self.told.append(stop)

    def takes_records_of(self, _abi: object, _name: str, /) -> bool:
        """Take those of every call."""
        return True

    def blocks_of(self, _abi: object, _name: str, /) -> Blocks:
        """Want no block."""
        return Blocks()


WORDS = st.integers(0, (1 << 64) - 1)
RECORDS = st.builds(
    Recorded,
    name=st.sampled_from(["read", "openat", "rename", "mmap"]),
    arguments=st.tuples(WORDS, WORDS, WORDS, WORDS, WORDS, WORDS),
    result=st.integers(-(1 << 63), (1 << 63) - 1),
    flags=st.sampled_from([0, INJECTED, RETURNED]),
    entered_ns=st.integers(0, (1 << 63) - 1),
    left_ns=st.integers(0, (1 << 63) - 1),
    tid=st.integers(1, 1 << 22),
    pid=st.integers(1, 1 << 22),
    abi=st.sampled_from(ABIS),
    rule=st.integers(0, 65535),
    strings=st.dictionaries(
        st.integers(0, 5), st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"") + b"\0"),
        max_size=3,
    ),
)  # fmt: skip
BATCHES = st.lists(st.lists(RECORDS, min_size=1, max_size=6), max_size=4)
