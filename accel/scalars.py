"""How wide an argument is, and whether it is signed: what its C type says in its ABI.

An int occupies a 64-bit register, but the kernel looks at its low half alone; the upper half is
whatever the tracee left there (CVE-2019-7303: a filter that compared all of it was evaded). Of a
short, as umode_t is, the kernel looks at 16 bits.
"""

from __future__ import annotations

import functools
from typing import Final

from accel.abi import Abi
from accel.errors import MaskError
from accel.roles import Argument, Role, signature
from bpf.value import frozen

__all__ = ["Scalar", "bits", "is_signed", "scalar", "value_of"]

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


@frozen
class Scalar:
    """Where an argument is, and what of its register is its value."""

    #: 0 to 5.
    position: int
    #: How many low bits of the register the kernel looks at: 16, 32 or 64.
    bits: int
    is_signed: bool

    @property
    def word(self) -> int:
        """The bits that the kernel looks at."""
        return (1 << self.bits) - 1

    def value(self, register: int) -> int:
        """Interpret a raw register; a constant, too: 0xFFFFFFFF is -1 to an int."""
        return _value(register, self.bits, self.is_signed)


@functools.cache
def scalar(abi: Abi, number: int, argument: str | int) -> Scalar:
    """Find an argument of a call; raise MaskError if it has none of that name.

    A position that the tables do not describe is unsigned, and as wide as a register.
    """
    name = abi.call_name(number)
    arguments = signature(abi, name)
    if isinstance(argument, int):
        position = argument
    else:
        names = [one.name for one in arguments]
        if argument not in names:
            raise MaskError(
                f"{name} has no argument {argument!r}",
                hint=f"it has {', '.join(names) or 'none'}; or use arg[0] to arg[5]",
            )
        position = names.index(argument)
    if position >= len(arguments):
        return Scalar(position, abi.bits, is_signed=False)
    return Scalar(position, bits(arguments[position], abi), is_signed(arguments[position]))


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
    return _value(register, bits(argument, abi), is_signed(argument))


def _value(register: int, width: int, signed: bool) -> int:
    value = register & ((1 << width) - 1)
    return value - (1 << width) if signed and value >> (width - 1) else value
