"""Which calls are stopped after they have returned: by number, result and scalar arguments.

No filter does this: a perf event or an eBPF program on the sys_exit tracepoint does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Final

from bpf.arch import Arch
from bpf.condition import OPERATORS, Condition
from bpf.value import frozen

__all__ = ["ExitSample", "ExitSelection", "ResultCondition"]

_COMPARE: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@frozen
class ResultCondition:
    """A comparison of a call's result, a signed word, with a number; -errno where it failed."""

    operator: str
    value: int

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise ValueError(f"{self.operator!r} is none of {' '.join(OPERATORS)}")
        if not -(1 << 63) <= self.value < 1 << 63:
            raise ValueError(f"a result has 64 bits, with sign; {self.value} does not fit")

    def holds(self, result: int) -> bool:
        """Compare."""
        return _COMPARE[self.operator](result, self.value)

    def __str__(self) -> str:
        return f"result {self.operator} {self.value}"


@frozen
class ExitSelection:
    """Calls of one architecture; all that is said here must hold."""

    arch: Arch
    #: None: every number.
    numbers: frozenset[int] | None
    result: tuple[ResultCondition, ...] = ()
    arguments: tuple[Condition, ...] = ()

    def holds(self, arch: Arch, number: int, arguments: tuple[int, ...], result: int) -> bool:
        """Judge a call that has returned, as the kernel is to judge it."""
        return (
            arch is self.arch
            and (self.numbers is None or number in self.numbers)
            and all(one.holds(result) for one in self.result)
            and all(
                _COMPARE[one.operator](arguments[one.index] & one.word, one.value)
                for one in self.arguments
            )
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
