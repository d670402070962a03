"""A program that makes one system call over and over, and measures itself: a file in memory.

It needs no compiler, no loader and no libc: a static ELF file of some 300 bytes. On standard output
it writes two struct timespec of CLOCK_MONOTONIC, from before its calls and from after them.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from typing import Final

__all__ = ["CODE", "REPORT_SIZE", "program", "read_report"]

#: Where the number of calls is in the code: the operand of ``mov ebx``.
_CALLS: Final = slice(20, 24)
#: The times are taken by real system calls: a vDSO is not looked for.
CODE: Final = bytes.fromhex(
    "4883ec40"  #        sub  rsp, 64
    "bf01000000"  #        mov  edi, 1               ; CLOCK_MONOTONIC
    "4889e6"  #        mov  rsi, rsp
    "b8e4000000"  #        mov  eax, 228             ; clock_gettime
    "0f05"  #        syscall
    "bb00000000"  #        mov  ebx, 0               ; how many calls: filled in
    "b86e000000"  # again: mov  eax, 110             ; getppid
    "0f05"  #        syscall
    "ffcb"  #        dec  ebx
    "75f5"  #        jnz  again
    "bf01000000"  #        mov  edi, 1
    "488d742410"  #        lea  rsi, [rsp+16]
    "b8e4000000"  #        mov  eax, 228
    "0f05"  #        syscall
    "bf01000000"  #        mov  edi, 1
    "4889e6"  #        mov  rsi, rsp
    "ba20000000"  #        mov  edx, 32
    "b801000000"  #        mov  eax, 1               ; write
    "0f05"  #        syscall
    "31ff"  #        xor  edi, edi
    "b8e7000000"  #        mov  eax, 231             ; exit_group
    "0f05"  #        syscall
)

_REPORT: Final = struct.Struct("=4q")
REPORT_SIZE: Final = _REPORT.size
_SECOND_NS: Final = 1_000_000_000

# <elf.h>
_HEADER: Final = struct.Struct("=16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("=IIQQQQQQ")
_IDENTITY: Final = b"\x7fELF\x02\x01\x01"
_ET_EXEC, _EM_X86_64 = 2, 62
_PT_LOAD, _PT_GNU_STACK = 1, 0x6474E551
_R, _W, _X = 4, 2, 1
_BASE: Final = 0x400000
_PAGE: Final = 4096


@contextlib.contextmanager
def program(calls: int) -> Iterator[str]:
    """Make a program of so many calls of getppid(2); yield its path while the block lasts.

    Raise OSError where files in memory may not be executed (sysctl vm.memfd_noexec=2).
    """
    descriptor = os.memfd_create("accel-caller", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, _file(calls))
        # What is open for writing cannot be executed (ETXTBSY): a path leads to the same file.
        readable = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(descriptor)
    try:
        yield f"/proc/self/fd/{readable}"
    finally:
        os.close(readable)


def read_report(report: bytes, calls: int) -> float:
    """Compute nanoseconds a call from what the program wrote; raise ValueError if it is not all."""
    if len(report) != REPORT_SIZE:
        raise ValueError(f"{len(report)} bytes are no report of {REPORT_SIZE}")
    before, before_ns, after, after_ns = _REPORT.unpack(report)
    took: int = (after - before) * _SECOND_NS + after_ns - before_ns
    return took / calls


def _file(calls: int) -> bytes:
    """Lay out a static ELF file: two segments, the code and a stack that is none."""
    offset = _HEADER.size + 2 * _SEGMENT.size
    code = bytearray(CODE)
    code[_CALLS] = struct.pack("=I", calls)
    size = offset + len(code)
    header = _HEADER.pack(
        _IDENTITY, _ET_EXEC, _EM_X86_64, 1, _BASE + offset, _HEADER.size, 0, 0,
        _HEADER.size, _SEGMENT.size, 2, 0, 0, 0,
    )  # fmt: skip
    load = _SEGMENT.pack(_PT_LOAD, _R | _X, 0, _BASE, _BASE, size, size, _PAGE)
    stack = _SEGMENT.pack(_PT_GNU_STACK, _R | _W, 0, 0, 0, 0, 0, 16)
    return header + load + stack + bytes(code)
