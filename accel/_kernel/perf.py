"""perf_event_open(2): a tracepoint of one thread, which signals that thread and keeps samples.

An event here has ``sigtrap``: when the tracepoint is hit, the thread gets a SIGTRAP before it runs
user code again, which its tracer sees as one signal-delivery-stop (kernel commit 97ba62b27867). The
sample that goes with it is in a ring of memory that the kernel writes and this process reads.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from accel._kernel.libc import syscall
from accel._kernel.words import words_at
from bpf.value import frozen

__all__ = [
    "TRAP_PERF",
    "TRAP_PERF_FLAG_ASYNC",
    "Sample",
    "Tracepoint",
    "TracepointEvents",
    "only_sample",
    "parse_trap",
    "take_only_sample",
]

_SYS_MMAP, _SYS_MUNMAP, _SYS_IOCTL = 9, 11, 16
_SYS_PERF_EVENT_OPEN: Final = 298

# <linux/perf_event.h>
_PERF_TYPE_TRACEPOINT: Final = 2
_PERF_FLAG_FD_CLOEXEC: Final = 8
_PERF_EVENT_IOC_SET_FILTER: Final = 0x4008_2406
_PERF_EVENT_IOC_ENABLE, _PERF_EVENT_IOC_DISABLE = 0x2400, 0x2401
_PERF_EVENT_IOC_SET_OUTPUT: Final = 0x2405
_SAMPLE_TID, _SAMPLE_TIME, _SAMPLE_RAW, _SAMPLE_REGS_USER = 1 << 1, 1 << 2, 1 << 10, 1 << 12
_DISABLED, _EXCLUDE_KERNEL = 1 << 0, 1 << 5
_USE_CLOCKID, _REMOVE_ON_EXEC, _SIGTRAP = 1 << 25, 1 << 36, 1 << 37
_CLOCK_MONOTONIC: Final = 1
_PERF_RECORD_LOST: Final = 2
_PERF_RECORD_SAMPLE: Final = 9
#: <asm/perf_regs.h>, in the order in which a sample holds them: bit, name.
_REGISTERS: Final = (1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 18)  # bx cx dx si di bp sp ip r8 r9 r10
_REGISTER_MASK: Final = sum(1 << bit for bit in _REGISTERS)
_PERF_SAMPLE_REGS_ABI_32: Final = 1
#: A sample after its header: pid, tid, time, size of raw data; in that, behind the common fields of
#: a tracepoint, number and result, padded to 28 bytes; ABI, registers.
_SAMPLE: Final = struct.Struct("=IIQI8xqq4xQ11Q")
#: A record of lost samples: id, how many.
_LOST: Final = struct.Struct("=8xQ")
_WORD: Final = struct.Struct("=Q")
#: How many descriptors are not taken for events: to let tracees go takes some, too.
_RESERVED: Final = 64
_HEADER: Final = struct.Struct("=IHH")
_RECORD_SIZE: Final = _HEADER.size + _SAMPLE.size
# struct perf_event_mmap_page.
_DATA_HEAD, _DATA_TAIL, _DATA_OFFSET = 1024, 1032, 1040
_HEAD_WORD, _PAGE_WORDS = _DATA_HEAD // 8, 512

#: siginfo_t: si_code of such a SIGTRAP, and the flag of one that comes late because it was blocked.
TRAP_PERF: Final = 6
TRAP_PERF_FLAG_ASYNC: Final = 1
_SIGINFO: Final = struct.Struct("=iii4x8xQII")
_SIGTRAP_NUMBER: Final = 5


@frozen
class Sample:
    """A hit of a sys_exit tracepoint: the call, as the thread's registers have it."""

    tid: int
    time_ns: int
    number: int
    result: int
    is_32bit: bool
    #: bx, cx, dx, si, di, bp, sp, ip, r8, r9, r10.
    registers: tuple[int, ...]

    @property
    def arguments(self) -> tuple[int, ...]:
        """The six arguments of a call made in the code's own way; syscall(2)."""
        return self.arguments_32bit if self.is_32bit else self._chosen(4, 3, 2, 10, 8, 9)

    @property
    def arguments_32bit(self) -> tuple[int, ...]:
        """The six arguments of a call made by int 0x80."""
        return tuple([word & 0xFFFF_FFFF for word in self._chosen(0, 1, 2, 3, 4, 5)])

    def _chosen(self, *positions: int) -> tuple[int, ...]:
        return tuple([self.registers[at] for at in positions])

    @property
    def stack_pointer(self) -> int:
        """Where the thread's stack ends."""
        return self.registers[6]

    @property
    def instruction_pointer(self) -> int:
        """Where the thread goes on."""
        return self.registers[7]

    @property
    def is_by_syscall(self) -> bool:
        """Whether cx is where the thread goes on, as the instruction ``syscall`` leaves it.

        A processor with FRED does not, and int 0x80 may do so by chance.
        """
        return self.registers[1] == self.registers[7]


class _Attributes(ctypes.Structure):
    """struct perf_event_attr up to sig_data, PERF_ATTR_SIZE_VER7 (Linux 5.13)."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("config1", ctypes.c_uint64),
        ("config2", ctypes.c_uint64),
        ("branch_sample_type", ctypes.c_uint64),
        ("sample_regs_user", ctypes.c_uint64),
        ("sample_stack_user", ctypes.c_uint32),
        ("clockid", ctypes.c_int32),
        ("sample_regs_intr", ctypes.c_uint64),
        ("aux_watermark", ctypes.c_uint32),
        ("sample_max_stack", ctypes.c_uint16),
        ("reserved_2", ctypes.c_uint16),
        ("aux_sample_size", ctypes.c_uint32),
        ("reserved_3", ctypes.c_uint32),
        ("sig_data", ctypes.c_uint64),
    )


@frozen
class Tracepoint:
    """A sys_exit tracepoint: its id in tracefs, and which of its hits count.

    ``condition`` is in the grammar of Documentation/trace/events.rst, as in "id==2 && ret<0"; empty
    takes every hit. Without privilege the kernel's own hits are refused, so that only the events of
    single calls (syscalls:sys_exit_*) can be taken, which are hits of user code.
    """

    id: int
    condition: str = ""
    excludes_kernel: bool = False


class TracepointEvents:
    """Tracepoints armed on one thread, with one ring; they are gone when it executes a program.

    ``cookie`` is what the signal carries, ``pages`` (a power of two) the size of the ring. Each
    takes a descriptor. Raise OSError: EACCES or EPERM without the right, EMFILE when few are left,
    EINVAL where the kernel has no sigtrap (before 5.13) or cannot read a condition, ESRCH when the
    thread has ended.
    """

    def __init__(
        self, tid: int, tracepoints: Sequence[Tracepoint], *, cookie: int = 0, pages: int = 8
    ) -> None:
        self._descriptors: list[int] = []
        self._ring: _Ring | None = None
        #: How much of the ring was no sample.
        self._others = 0
        #: Hits without a sample, as the ring was full; all of them are known once it is closed.
        self.lost = 0
        try:
            for tracepoint in tracepoints:
                self._descriptors.append(_open(tid, tracepoint, cookie))
                _set_filter(self._descriptors[-1], tracepoint.condition)
            if self._descriptors[-1] >= _descriptors_allowed():
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # noqa: TRY301
            first, *others = self._descriptors
            self._ring = _Ring(first, pages)
            for other in others:
                _ioctl(other, _PERF_EVENT_IOC_SET_OUTPUT, first)
            for descriptor in self._descriptors:
                _ioctl(descriptor, _PERF_EVENT_IOC_ENABLE, 0)
        except BaseException:
            self._release()
            raise

    def close(self) -> None:
        """Disarm; samples that were not taken are gone."""
        for descriptor in self._descriptors:
            # A process that was just forked may have a copy, which keeps the event alive.
            _ioctl(descriptor, _PERF_EVENT_IOC_DISABLE, 0)
        # What the ring says of lost samples comes with the next that fits, and none may have come.
        hits = sum(_WORD.unpack(os.read(one, _WORD.size))[0] for one in self._descriptors)
        for _untaken in self.samples():
            pass
        assert self._ring is not None
        # Others take samples, too, see ``take_only_sample``: what is left behind tells of all.
        self.lost = hits - (self._ring.tail - self._others) // _RECORD_SIZE
        self._release()

    @staticmethod
    def check(tracepoint: Tracepoint) -> None:
        """Raise the OSError that arming it on a thread would; arm nothing."""
        # On itself, where it must never be enabled: nobody would take the signal.
        descriptor = _open(0, tracepoint, 0)
        try:
            _set_filter(descriptor, tracepoint.condition)
        finally:
            os.close(descriptor)

    def _release(self) -> None:
        if self._ring is not None:
            self._ring.close()
        for descriptor in self._descriptors:
            os.close(descriptor)

    @property
    def address(self) -> int:
        """Where the ring is mapped: for ``only_sample``, and for compiled code."""
        assert self._ring is not None
        return self._ring.address

    def samples(self) -> Iterator[Sample]:
        """Take the samples that have come since the last time."""
        assert self._ring is not None
        for kind, record in self._ring.records():
            if kind == _PERF_RECORD_SAMPLE:
                yield _sample(record)
                continue
            self._others += _HEADER.size + len(record)
            if kind == _PERF_RECORD_LOST:
                self.lost += _LOST.unpack_from(record)[0]


class _Ring:
    """The ring of an event: memory that the kernel writes records to, and this process reads.

    Mapped by hand: a ``mmap.mmap`` keeps a copy of the descriptor, and there are few.
    """

    def __init__(self, descriptor: int, pages: int) -> None:
        self._length = (1 + pages) * mmap.PAGESIZE
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        #: Where it is mapped, beginning with a page of positions.
        self.address = syscall(
            _SYS_MMAP, 0, self._length, protection, mmap.MAP_SHARED, descriptor, 0,
            what="mmap of a perf event",
        )  # fmt: skip
        self._memory = memoryview((ctypes.c_char * self._length).from_address(self.address))
        self._offset, self._size = struct.unpack_from("=QQ", self._memory, _DATA_OFFSET)

    def close(self) -> None:
        """Unmap it; it must not be used after that."""
        self._memory.release()
        syscall(_SYS_MUNMAP, self.address, self._length, what="munmap of a perf event")

    @property
    def tail(self) -> int:
        """How many bytes have been taken."""
        taken: int = _WORD.unpack_from(self._memory, _DATA_TAIL)[0]
        return taken

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Take the records that have come since the last time: kind, and what follows the header.

        A record has left the ring when the next is asked for.
        """
        head, tail = struct.unpack_from("=QQ", self._memory, _DATA_HEAD)
        while tail < head:
            kind, _misc, size = _HEADER.unpack(self._bytes(tail, _HEADER.size))
            record = self._bytes(tail + _HEADER.size, size - _HEADER.size)
            tail += size
            struct.pack_into("=Q", self._memory, _DATA_TAIL, tail)
            yield kind, record

    def _bytes(self, position: int, size: int) -> bytes:
        """Copy from the ring, whose end continues at its beginning."""
        at = position % self._size
        first = self._offset + at
        if at + size <= self._size:
            return self._memory[first : first + size].tobytes()
        rest = size - (self._size - at)
        end = self._offset + self._size
        beginning = self._memory[self._offset : self._offset + rest]
        return self._memory[first:end].tobytes() + beginning.tobytes()


def _descriptors_allowed() -> int:
    """Tell from which descriptor on the rest is left to the host, and to tracing itself."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - min(_RESERVED, soft // 2)


def _open(tid: int, tracepoint: Tracepoint, cookie: int) -> int:
    flags = _DISABLED | _USE_CLOCKID | _REMOVE_ON_EXEC | _SIGTRAP
    attributes = _Attributes(
        type=_PERF_TYPE_TRACEPOINT,
        size=ctypes.sizeof(_Attributes),
        config=tracepoint.id,
        sample_period=1,
        sample_type=_SAMPLE_TID | _SAMPLE_TIME | _SAMPLE_RAW | _SAMPLE_REGS_USER,
        flags=flags | (_EXCLUDE_KERNEL if tracepoint.excludes_kernel else 0),
        # Nobody polls the ring: to wake up whoever does would double the cost of a hit.
        wakeup_events=0,
        sample_regs_user=_REGISTER_MASK,
        clockid=_CLOCK_MONOTONIC,
        sig_data=cookie,
    )
    address = ctypes.addressof(attributes)
    return syscall(
        _SYS_PERF_EVENT_OPEN, address, tid, -1, -1, _PERF_FLAG_FD_CLOEXEC, what="perf_event_open"
    )


def _set_filter(descriptor: int, condition: str) -> None:
    if condition:
        text = ctypes.create_string_buffer(condition.encode())
        _ioctl(descriptor, _PERF_EVENT_IOC_SET_FILTER, ctypes.addressof(text))


def _ioctl(descriptor: int, request: int, argument: int) -> None:
    syscall(_SYS_IOCTL, descriptor, request, argument, what="ioctl of a perf event")


def _sample(record: bytes) -> Sample:
    _pid, tid, time_ns, _size, number, result, abi, *registers = _SAMPLE.unpack_from(record)
    is_32bit = abi == _PERF_SAMPLE_REGS_ABI_32
    # Events of single calls have an int there, and padding behind it.
    return Sample(tid, time_ns, number & 0xFFFF_FFFF, result, is_32bit, tuple(registers))


def only_sample(address: int) -> Sample | None:
    """Look at the one sample in a ring; None if there are none or several, or it is broken.

    It is broken where the ring ends: ``TracepointEvents.samples`` puts it together.
    """
    page = words_at(address, _PAGE_WORDS)
    head, tail, offset, size = page[_HEAD_WORD : _HEAD_WORD + 4]
    position = tail % size
    if head - tail != _RECORD_SIZE or position + _RECORD_SIZE > size:
        return None
    record = words_at(address + offset + position, _RECORD_SIZE // 8).cast("B")
    kind = _HEADER.unpack_from(record)[0]
    return _sample(bytes(record[_HEADER.size :])) if kind == _PERF_RECORD_SAMPLE else None


def take_only_sample(address: int) -> None:
    """Let the kernel write over that sample."""
    page = words_at(address, _PAGE_WORDS)
    page[_HEAD_WORD + 1] = page[_HEAD_WORD]


def parse_trap(siginfo: bytes) -> tuple[int, int] | None:
    """Read cookie and flags of the siginfo_t of a perf event's SIGTRAP; None of another signal."""
    signal, _errno, code, cookie, _type, flags = _SIGINFO.unpack_from(siginfo)
    return (cookie, flags) if (signal, code) == (_SIGTRAP_NUMBER, TRAP_PERF) else None
