"""How a descriptor is given to a tracee, by kernels of every age."""

from __future__ import annotations

import errno

import pytest

from accel.mechanisms.supervisor import _number_there

DESCRIPTOR = 7


class Kernel:
    """Adds a descriptor; ``refuses`` says with which errno, when it is to answer at once."""

    def __init__(self, refuses: int = 0) -> None:
        self._refuses = refuses
        self.asked: list[bool] = []

    def __call__(self, *, answers: bool) -> int:
        self.asked.append(answers)
        if answers and self._refuses:
            raise OSError(self._refuses, "refused")
        return DESCRIPTOR


def test_one_request_adds_and_answers() -> None:
    """Where nobody wants to look in between."""
    kernel = Kernel()
    assert _number_there(kernel, answers=True) == (DESCRIPTOR, True)
    assert kernel.asked == [True]


def test_before_linux_5_14_the_answer_follows() -> None:
    """The kernel does not know the flag."""
    kernel = Kernel(errno.EINVAL)
    assert _number_there(kernel, answers=True) == (DESCRIPTOR, False)
    assert kernel.asked == [True, False]


def test_who_looks_has_it_added_first() -> None:
    """And the answer follows."""
    assert _number_there(Kernel(), answers=False) == (DESCRIPTOR, False)


def test_any_other_error_is_one() -> None:
    """The tracee may have died, or have too many descriptors."""
    with pytest.raises(OSError, match="refused"):
        _number_there(Kernel(errno.EMFILE), answers=True)
