"""A comparison that a filter can make: one argument register with a number, both unsigned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import eq, ge, gt, le, lt, ne
from types import MappingProxyType
from typing import Final

from bpf.value import frozen

__all__ = ["COMPARISONS", "OPERATORS", "Condition"]

COMPARISONS: Final[Mapping[str, Callable[[int, int], bool]]] = MappingProxyType(
    {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
)
OPERATORS: Final = tuple(COMPARISONS)


@frozen
class Condition:
    """``(argument & mask) operator value``; ValueError if anything is out of range.

    ``width`` is what the kernel itself looks at: 32 for an int, whose upper half is whatever the
    caller left in the register, 64 for a long or a pointer. A filter that compares all 64 bits of
    an int is evaded by setting one of the upper ones (CVE-2019-7303). Registers of i386 have 32
    bits, whatever the width.
    """

    #: Position of the argument, 0 to 5.
    index: int
    operator: str
    #: Unsigned: a negative number is given as its two's complement in ``width`` bits.
    value: int
    #: None compares all bits.
    mask: int | None = None
    width: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.index <= 5:
            raise ValueError(f"a system call has arguments 0 to 5, not {self.index}")
        if self.operator not in OPERATORS:
            raise ValueError(f"{self.operator!r} is none of {' '.join(OPERATORS)}")
        if self.width not in (32, 64):
            raise ValueError(f"an argument is compared in 32 or 64 bits, not {self.width}")
        for number in (self.value, self.word):
            if not 0 <= number < 1 << self.width:
                raise ValueError(f"{number:#x} is no unsigned number of {self.width} bits")

    @property
    def word(self) -> int:
        """The mask in force, all ones unless one was given."""
        return (1 << self.width) - 1 if self.mask is None else self.mask

    def holds(self, argument: int) -> bool:
        """Tell whether it is true of what the register holds, all 64 bits of it."""
        return COMPARISONS[self.operator](argument & self.word, self.value)

    def __str__(self) -> str:
        argument = f"args[{self.index}]" + (".low" if self.width == 32 else "")
        if self.mask is not None:
            argument = f"({argument} & {self.mask:#x})"
        return f"{argument} {self.operator} {self.value:#x}"
