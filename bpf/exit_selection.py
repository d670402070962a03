"""Which calls are stopped after they have returned: by number, result and scalar arguments.

No filter does this: a perf event or an eBPF program on the sys_exit tracepoint does.
"""

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
    """A comparison of a call's result, a signed word, with a number; ValueError if out of range.

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
            raise ValueError(f"a result has 64 bits, with sign; {self.value} does not fit")

    def holds(self, result: int) -> bool:
        """Compare."""
        return COMPARISONS[self.operator](result, self.value)

    def __str__(self) -> str:
        return f"result {self.operator} {self.value}"


@frozen
class ExitSelection:
    """Calls of one architecture; all that is said here must hold.

    Arguments are those that the call was made with; of i386 they have 32 bits. Numbers of the x32
    ABI are X86_64's and have its bit; -1 is a call that was skipped, or rt_sigreturn. ValueError
    for a number that is no C int.
    """

    arch: Arch
    #: None: every number.
    numbers: frozenset[int] | None
    result: tuple[ResultCondition, ...] = ()
    arguments: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        for number in self.numbers or ():
            if not -_S32 <= number < _S32:
                raise ValueError(f"{number:#x} is no system call number")

    def holds(self, arch: int, number: int, arguments: Sequence[int], result: int) -> bool:
        """Judge a call that has returned, as the kernel is to judge it."""
        word = _WORD[self.arch]
        return (
            arch == self.arch
            and (self.numbers is None or number in self.numbers)
            and all(one.holds(result) for one in self.result)
            and all(one.holds(arguments[one.index] & word) for one in self.arguments)
        )


@frozen
class ExitSample:
    """A call as it was when it returned."""

    tid: int
    arch: Arch
    number: int
    #: Registers: unsigned, 64 bits wide, 32 for i386.
    arguments: tuple[int, int, int, int, int, int]
    #: Signed.
    result: int
    #: CLOCK_MONOTONIC, nanoseconds.
    time_ns: int
    #: Where the call was made; 0 if that is not known.
    instruction_pointer: int = 0
    stack_pointer: int = 0
