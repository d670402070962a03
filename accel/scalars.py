"""How wide an argument is, and whether it is signed: what its C type says in its ABI.

An int occupies a 64-bit register, but the kernel looks at its low half alone; the upper half is
whatever the tracee left there (CVE-2019-7303: a filter that compared all of it was evaded).
"""

from __future__ import annotations

from typing import Final

from accel.abi import Abi
from accel.roles import Argument, Role

__all__ = ["bits", "is_signed", "value_of"]

#: By-value types of 32 bits in every ABI; all others are as wide as a register.
_WORD32: Final = frozenset(
    "int unsigned u32 __u32 s32 __s32 uint32_t int32_t pid_t uid_t gid_t mode_t clockid_t timer_t"
    " mqd_t key_t qid_t key_serial_t rwf_t".split()
) | {"unsigned int", "const int", "enum pid_type", "const clockid_t"}
_WORD16: Final = frozenset({"umode_t", "old_uid_t", "old_gid_t", "unsigned short", "short"})
_UNSIGNED: Final = frozenset(
    "u32 __u32 u64 __u64 uint32_t uint64_t size_t uid_t gid_t mode_t umode_t dev_t qid_t"
    " aio_context_t old_uid_t old_gid_t old_sigset_t cap_user_header_t cap_user_data_t".split()
)


def bits(argument: Argument, abi: Abi) -> int:
    """Tell how many low bits of the register the kernel looks at: 16, 32 or 64."""
    if argument.ctype in _WORD16:
        return 16
    return 32 if argument.ctype in _WORD32 else abi.bits


def is_signed(argument: Argument) -> bool:
    """Tell whether the type has negative values; pointers and unsigned types have none.

    Descriptors have, even where the kernel declares them unsigned: everybody writes -1.
    """
    if argument.role in (Role.FD, Role.DIRFD):
        return True
    ctype = argument.ctype
    return not (ctype.startswith("unsigned") or "*" in ctype or ctype in _UNSIGNED)


def value_of(argument: Argument, abi: Abi, register: int) -> int:
    """Interpret a raw register as the argument's type."""
    width = bits(argument, abi)
    value = register & ((1 << width) - 1)
    if is_signed(argument) and value >> (width - 1):
        value -= 1 << width
    return value
