"""Conditions on scalar arguments: values that print as written."""

from __future__ import annotations

import pytest

from accel import arg


def test_a_condition_prints_as_written() -> None:
    """``arg`` builds expressions that read like their source."""
    assert str(arg.fd == 2) == "arg.fd == 2"
    assert str((arg.flags & 0o100) != 0) == "(arg.flags & 0x40) != 0"
    assert str((arg[0] >= 3) & (arg.count < 10)) == "(arg[0] >= 3) & (arg.count < 10)"


def test_conditions_compare_by_value() -> None:
    """The same expression twice is the same condition."""
    assert (arg.fd == 2).value == 2
    assert hash(arg.fd == 2) == hash(arg.fd == 2)


def test_and_is_refused_rather_than_dropped() -> None:
    """Python's ``and`` would keep only its second operand."""
    with pytest.raises(TypeError, match="join conditions with &"):
        bool(arg.fd == 2)


@pytest.mark.parametrize("value", ["/etc", b"/etc", None, 1.5])
def test_only_numbers_can_be_compared(value: object) -> None:
    """A pointer's contents are out of the filter's reach, and the error says so."""
    with pytest.raises(TypeError, match="cannot read tracee memory"):
        arg.pathname.__eq__(value)


def test_positions_are_those_of_six_registers() -> None:
    """There is no seventh argument."""
    with pytest.raises(IndexError, match="0 to 5"):
        arg[6]
