"""How a reader takes records out of a BPF ring buffer; no kernel is needed for that."""

from __future__ import annotations

import mmap
import os
import struct

import pytest

from bpf.probes.ring import Ring


class FakeRing:
    """A ring in a file: the writer's side of the protocol."""

    SIZE = mmap.PAGESIZE

    def __init__(self) -> None:
        self.file = os.memfd_create("ring")
        os.truncate(self.file, 2 * mmap.PAGESIZE + 2 * self.SIZE)
        self.written = 0

    def write(self, data: bytes, flags: int = 0) -> None:
        """Write a record to both images of the data, then the position behind it."""
        record = struct.pack("=II", len(data) | flags, 0) + data.ljust(
            -(-len(data) // 8) * 8, b"\0"
        )
        for at, byte in enumerate(record):
            place = (self.written + at) % self.SIZE
            for image in (0, self.SIZE):
                os.pwrite(self.file, bytes([byte]), 2 * mmap.PAGESIZE + image + place)
        self.written += len(record)
        os.pwrite(self.file, struct.pack("=Q", self.written), mmap.PAGESIZE)

    @property
    def consumed(self) -> int:
        return struct.unpack("=Q", os.pread(self.file, 8, 0))[0]


@pytest.fixture
def pair():
    """Make both sides of a ring."""
    fake = FakeRing()
    ring = Ring(fake.file, fake.SIZE)
    yield fake, ring
    ring.close()
    os.close(fake.file)


def test_records_are_taken_in_order_and_once(pair) -> None:
    """Of any length; the room is given back."""
    fake, ring = pair
    for data in (b"one", b"eighteen bytes long", b""):
        fake.write(data)
    assert ring.take(bytes) == [b"one", b"eighteen bytes long", b""]
    assert ring.take(bytes) == []
    assert fake.consumed == fake.written


def test_a_record_across_the_end_is_whole(pair) -> None:
    """The data follows itself in memory."""
    fake, ring = pair
    for number in range(500):
        fake.write(bytes([number % 256]) * 33)
        assert ring.take(bytes) == [bytes([number % 256]) * 33]
    assert fake.written > 4 * fake.SIZE


def test_a_record_that_is_being_written_is_waited_for(pair) -> None:
    """So are those behind it: order is kept. One that was given up is passed over."""
    fake, ring = pair
    fake.write(b"given up", flags=1 << 30)
    fake.write(b"before")
    busy = fake.written
    fake.write(b"busy", flags=1 << 31)
    fake.write(b"behind")
    assert ring.take(bytes) == [b"before"]
    assert fake.consumed == busy
    os.pwrite(fake.file, struct.pack("=I", len(b"busy")), 2 * mmap.PAGESIZE + busy)
    assert ring.take(bytes) == [b"busy", b"behind"]


def test_an_interrupted_take_loses_nothing(pair) -> None:
    """Everything is there for the next one."""
    fake, ring = pair
    fake.write(b"one")
    fake.write(b"two")

    def interrupted(record: memoryview) -> bytes:
        if bytes(record) == b"two":
            raise KeyboardInterrupt
        return bytes(record)

    with pytest.raises(KeyboardInterrupt):
        ring.take(interrupted)
    assert ring.take(bytes) == [b"one", b"two"]


def test_what_is_no_ring_is_refused() -> None:
    """And nothing stays mapped."""
    with pytest.raises(OSError, match="Bad file descriptor"):
        Ring(1 << 20, mmap.PAGESIZE)


def test_a_copy_has_all_that_is_complete_with_its_headers(pair) -> None:
    """Across the end of the ring, too; what is being written stays."""
    fake, ring = pair
    whole = b"".join(struct.pack("=II16s", 16, 0, bytes([at] * 16)) for at in range(3))
    for turn in range(2 * FakeRing.SIZE // len(whole)):
        for at in range(3):
            fake.write(bytes([at] * 16))
        assert ring.copy() == whole, turn
    fake.write(b"complete")
    fake.write(b"not yet!", 1 << 31)
    assert ring.copy() == struct.pack("=II8s", 8, 0, b"complete")
    assert ring.copy() == b""
