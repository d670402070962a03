"""What to do with the calls of one number."""

from __future__ import annotations

from bpf.action import Action
from bpf.arch import X32_SYSCALL_BIT
from bpf.condition import Condition
from bpf.value import frozen

__all__ = ["Rule"]


@frozen
class Rule:
    """``action`` for calls of ``number`` whose ``conditions`` all hold.

    Of several rules for a number the first that matches decides. Numbers that no kernel has yet are
    fine; ValueError for those that are none: negative, or with the x32 bit.
    """

    number: int
    action: Action
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.number < X32_SYSCALL_BIT:
            raise ValueError(f"{self.number:#x} is no system call number")
