"""From what the kernel's tracepoints tell of calls to records for sinks and stops for observers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from accel import roles
from accel.mechanisms.recorder import Recorder
from accel.records import ENTERED, LAYOUT, RECORD_SIZE, RETURNED, Batch, Record
from accel.roles import Role
from accel.stops import SyscallEntryStop, SyscallExitStop

if TYPE_CHECKING:
    from accel.mechanisms.contract import Observer

__all__ = ["ObservedCalls"]

#: Where a record has these: accel.records.LAYOUT.
_ENTERED_NS: Final = slice(0, 8)
_TID: Final = slice(16, 20)
_RESULT: Final = struct.Struct("<80xq8xH")
_STRINGS: Final = slice(88, 96)
_FLAGS: Final = slice(96, 98)
_SIZES: Final = slice(98, 104)
_POSITION: Final = struct.Struct("<Q")
#: The last byte of the result: 0xff of an error, and of little else.
_SIGN: Final = 87
#: What the kernel keeps to itself: a signal interrupts the call. include/linux/errno.h.
_RESTART: Final = range(-516, -511)


class ObservedCalls:
    """Hands calls on in the order in which they are added: to an observer, a recorder, or both.

    A call that a signal interrupts is kept until it is known whether its thread lives on: ptrace(2)
    has no exit-stop for it where SIGKILL ends the thread.
    """

    def __init__(self, observe: Observer | None, recorder: Recorder | None) -> None:
        self._observe = observe
        self._recorder = recorder
        #: What was added and not handed to the recorder.
        self._records = bytearray()
        self._strings = bytearray()
        #: The call that the last of those is of, unless that has ended.
        self._last: tuple[bytes, bytes] | None = None
        #: {tid: its call that a signal interrupted}.
        self._interrupted: dict[int, bytes] = {}
        #: {tid: the stop that told of its call's beginning}.
        self._begun: dict[int, SyscallEntryStop] = {}

    def add(self, record: bytes) -> None:
        """Take a record of the kernel: 128 bytes, then the strings."""
        if self._interrupted:
            self.release(int.from_bytes(record[_TID], "little"))
        if record[_SIGN] == 0xFF:
            result, flags = _RESULT.unpack_from(record)
            if result in _RESTART and flags & RETURNED:
                self._interrupted[int.from_bytes(record[_TID], "little")] = record
                return
        self._hand_on(record)

    def release(self, tid: int, *, returned: bool = True) -> None:
        """Hand a thread's interrupted call on, if there is one: it went on, or was ``returned``."""
        record = self._interrupted.pop(tid, None)
        if record is None:
            return
        if not returned:
            flags = int.from_bytes(record[_FLAGS], "little") & ~RETURNED
            record = b"".join((
                record[: _FLAGS.start], flags.to_bytes(2, "little"), record[_FLAGS.stop :]
            ))  # fmt: skip
        self._hand_on(record)

    def renamed(self, former: int, tid: int) -> None:
        """Follow a thread that took its leader's tid."""
        self._begun.pop(tid, None)
        if former in self._begun:
            self._begun[tid] = self._begun.pop(former)

    def ended(self, tid: int) -> None:
        """Forget a thread."""
        self._begun.pop(tid, None)

    def flush(self) -> None:
        """Let the recorder have everything so far."""
        if self._recorder is not None and self._records:
            strings = memoryview(self._strings or b"\0")
            self._recorder.deliver(memoryview(self._records), strings)
            self._records, self._strings = bytearray(), bytearray()
            self._last = None

    def close(self) -> None:
        """Hand on what is left."""
        for tid in tuple(self._interrupted):
            self.release(tid)
        self.flush()

    def silence(self) -> None:
        """Hand nothing on any more."""
        self._observe = self._recorder = None
        self._records.clear()

    def _hand_on(self, record: bytes) -> None:
        if self._recorder is not None:
            self._keep(record)
        if self._observe is not None:
            strings = memoryview(record[RECORD_SIZE:] or b"\0")
            [told] = Batch(memoryview(record[:RECORD_SIZE]), strings, {})
            self._tell(self._observe, told)

    def _keep(self, record: bytes) -> None:
        """Put a record beside those that wait for the recorder, and its strings beside theirs.

        A call that ends before anything else is told takes the place of its beginning: half of what
        there is to hand on, where calls have strings. The recorder would leave the beginning out,
        too, but by a copy, which takes a fifth of the time of a line.
        """
        records, at = self._records, len(self._records)
        call = record[_ENTERED_NS], record[_TID]
        is_ended = call == self._last
        self._last = None if is_ended else call
        if is_ended:
            at -= RECORD_SIZE
            strings = records[at + _STRINGS.start : at + _STRINGS.stop]
            sizes = records[at + _SIZES.start : at + _SIZES.stop]
        records[at:] = record[:RECORD_SIZE]
        if len(record) > RECORD_SIZE:
            # Of an end, too, where they could not be read at the beginning.
            records[at + _STRINGS.start : at + _STRINGS.stop] = _POSITION.pack(len(self._strings))
            self._strings += record[RECORD_SIZE:]
        elif is_ended:
            records[at + _STRINGS.start : at + _STRINGS.stop] = strings
            records[at + _SIZES.start : at + _SIZES.stop] = sizes

    def _tell(self, observe: Observer, record: Record) -> None:
        begun = self._begun.pop(record.tid, None)
        if begun is None or begun.time_ns != record.entered_ns:
            begun = SyscallEntryStop(record.call, record.memory, record.entered_ns)
            observe(begun)
        if record.flags & ENTERED:
            self._begun[record.tid] = begun
            return
        returned = record.flags & RETURNED != 0
        if returned or record.left_ns or roles.result(record.name) is Role.NONE:
            result = record.result if returned else None
            left_ns = record.left_ns or record.entered_ns
            observe(SyscallExitStop(record.call, result, begun.memory, record.entered_ns, left_ns))


assert LAYOUT.size == RECORD_SIZE
