"""The architecture words of <linux/audit.h> that a filter on x86 can meet."""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["X32_SYSCALL_BIT", "Arch"]

#: Set in every number of the x32 ABI, which shares x86_64's architecture word; <asm/unistd.h>.
X32_SYSCALL_BIT: Final = 0x40000000


class Arch(enum.IntEnum):
    """``seccomp_data.arch``: the table that a system call number belongs to."""

    #: AUDIT_ARCH_X86_64: EM_X86_64 (62), 64-bit, little-endian.
    X86_64 = 0xC000003E
    #: AUDIT_ARCH_I386: EM_386 (3), little-endian; also what ``int 0x80`` in 64-bit code enters.
    I386 = 0x40000003
