"""Which system calls to stop at once they have returned, and what is known of such a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bpf.arch import Arch
from bpf.condition import COMPARISONS, Condition
from bpf.value import frozen

__all__ = ["ExitSample", "ExitSelection", "ResultCondition"]

_S64: Final = 1 << 63
_S32: Final = 1 << 31
#: What there is of an argument register.
_WORD: Final = {Arch.X86_64: (1 << 64) - 1, Arch.I386: (1 << 32) - 1}


@frozen
class ResultCondition:
    """``result operator value``, both signed, in 64 bits; ValueError if one is out of range.

    A result is what the kernel has in the register: an error is -1 to -4095. -512 to -516 are
    ERESTARTSYS and its kin (include/linux/errno.h): a signal interrupted the call, and the program
    will see EINTR or have it made again.
    """

    operator: str
    value: int

    def __post_init__(self) -> None:
        if self.operator not in COMPARISONS:
            raise ValueError(f"{self.operator!r} is none of {' '.join(COMPARISONS)}")
        if not -_S64 <= self.value < _S64:
            raise ValueError(f"{self.value:#x} is no signed number of 64 bits")

    def holds(self, result: int) -> bool:
        """Tell whether it is true of a result."""
        return COMPARISONS[self.operator](result, self.value)


@frozen
class ExitSelection:
    """Calls of one architecture by number, result and arguments: all of it must hold.

    Arguments are those that the call was made with; of i386 they have 32 bits. Numbers of the x32
    ABI are X86_64's and have its bit; -1 is a call that was skipped, or rt_sigreturn. ValueError
    for a number that is no C int.
    """

    arch: Arch
    #: None: every call.
    numbers: frozenset[int] | None
    result: tuple[ResultCondition, ...] = ()
    arguments: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        for number in self.numbers or ():
            if not -_S32 <= number < _S32:
                raise ValueError(f"{number:#x} is no system call number")

    def holds(self, arch: int, number: int, arguments: Sequence[int], result: int) -> bool:
        """Tell whether it selects a call: the model that the program in the kernel must equal."""
        word = _WORD[self.arch]
        return (
            arch == self.arch
            and (self.numbers is None or number in self.numbers)
            and all(condition.holds(result) for condition in self.result)
            and all(each.holds(arguments[each.index] & word) for each in self.arguments)
        )


@frozen
class ExitSample:
    """A call that has returned, as the kernel saw it."""

    tid: int
    arch: Arch
    number: int
    #: As in ExitSelection: what the call was made with, unsigned.
    arguments: tuple[int, int, int, int, int, int]
    result: int
    #: When it returned, by CLOCK_MONOTONIC.
    time_ns: int
