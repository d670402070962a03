"""What the machine does to a program before its first instruction: it hides the vDSO.

The vDSO is code of the host that tells the time without a system call: nobody could answer instead.
The auxiliary vector, above the environment on the first stack, says where it is; a C library that
finds AT_IGNORE there makes system calls. It reads the vector before it makes its first system call,
so the first of those would be too late: the stop at PTRACE_EVENT_EXEC is early enough, the kernel
has filled the stack by then (fs/exec.c, exec_binprm).
"""

from __future__ import annotations

import os
import struct
from typing import Final

__all__ = ["hide_vdso"]

#: uapi/linux/auxvec.h
_AT_NULL, _AT_IGNORE, _AT_SYSINFO_EHDR = 0, 1, 33
_WORD: Final = struct.Struct("=Q")
_PAIR: Final = struct.Struct("=QQ")
#: Of /proc/pid/stat, counted from the third field on, which follows the name.
_START_STACK: Final = 28 - 3


def hide_vdso(pid: int) -> None:
    """Take the vDSO out of the auxiliary vector of a process that is stopped at its exec.

    Raise OSError if its memory cannot be reached.
    """
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
    try:
        address = _after_strings(memory, _start_of_stack(pid))
        key = None
        while key != _AT_NULL:
            key, _value = _PAIR.unpack(os.pread(memory, _PAIR.size, address))
            if key == _AT_SYSINFO_EHDR:
                os.pwrite(memory, _WORD.pack(_AT_IGNORE), address)
            address += _PAIR.size
    finally:
        os.close(memory)


def _start_of_stack(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[_START_STACK])


def _after_strings(memory: int, address: int) -> int:
    """Find what follows argc, the arguments and the environment, each list ended by a null."""
    (argc,) = _WORD.unpack(os.pread(memory, _WORD.size, address))
    address += _WORD.size * (1 + argc + 1)
    while os.pread(memory, _WORD.size, address) != bytes(_WORD.size):
        address += _WORD.size
    return address + _WORD.size
