"""The system call tables of one machine: x86_64 runs three ABIs and accel traces two.

A 64-bit process may enter the kernel through ``int 0x80`` and a 32-bit program may be executed, so
every stop carries its own ABI, and numbers are never compared across ABIs. The x32 ABI shares
x86_64's architecture word and marks its numbers with bit 30: accel knows its names, to report them,
but selects nothing in it.
"""

from __future__ import annotations

import enum
import functools
import importlib
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["X32_SYSCALL_BIT", "Abi"]

#: Set in every number of the x32 ABI, <asm/unistd.h>.
X32_SYSCALL_BIT = 0x40000000


class Abi(enum.Enum):
    """How a tracee entered the kernel; the value is the name of its table in ``system-calls``."""

    X86_64 = "x86_64"
    I386 = "i386"
    X32 = "x32"

    # There is one object for each: Enum's own hash, in Python, costs every look-up by ABI 100 ns.
    __hash__ = object.__hash__

    @property
    def audit_arch(self) -> int:
        """The architecture word that seccomp and PTRACE_GET_SYSCALL_INFO report."""
        return _AUDIT_ARCH[self]

    @property
    def bits(self) -> int:
        """Width of a register argument: 64 or 32."""
        return 32 if self is Abi.I386 else 64

    @property
    def numbers(self) -> Mapping[str, int]:
        """Every call of this ABI: {name: number}, in order of number."""
        return _numbers(self)

    @property
    def names(self) -> Mapping[int, str]:
        """The reverse: {number: name}."""
        return _names(self)

    def call_name(self, number: int) -> str:
        """Name a number as strace does: ``syscall_0x1b7`` when the table does not know it."""
        return self.names.get(number) or f"syscall_{number & 0xFFFFFFFF:#x}"

    @staticmethod
    def of(audit_arch: int, number: int = 0) -> Abi | None:
        """Tell the ABI of a stop from its architecture word and number; None if accel has none."""
        abi = _BY_AUDIT_ARCH.get(audit_arch)
        # orig_rax == -1 has bit 30 set and is not x32: it is "no system call".
        is_x32 = number >= X32_SYSCALL_BIT and number & X32_SYSCALL_BIT
        return Abi.X32 if is_x32 and abi is Abi.X86_64 else abi


# <linux/audit.h>: EM_X86_64 (62) and EM_386 (3) with __AUDIT_ARCH_LE and, for the first, _64BIT.
_AUDIT_ARCH = {Abi.X86_64: 0xC000003E, Abi.I386: 0x40000003, Abi.X32: 0xC000003E}
_BY_AUDIT_ARCH = {0xC000003E: Abi.X86_64, 0x40000003: Abi.I386}


@functools.cache
def _numbers(abi: Abi) -> Mapping[str, int]:
    # system_calls.syscalls() would load the names of every architecture; the table alone is a
    # dictionary in a module of its own.
    module = importlib.import_module(f"system_calls.tables.{abi.value}")
    table: dict[str, int] = getattr(module, f"syscalls_{abi.value}")
    return MappingProxyType(dict(sorted(table.items(), key=lambda item: item[1])))


@functools.cache
def _names(abi: Abi) -> Mapping[int, str]:
    return MappingProxyType({number: name for name, number in _numbers(abi).items()})
