"""Conditions on scalar arguments: values that print as written."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from accel import arg, path, result, sockaddr
from accel.arguments import Conditions
from accel.errors import MaskError


def test_a_condition_prints_as_written() -> None:
    """``arg`` builds expressions that read like their source."""
    assert str(arg.fd == 2) == "arg.fd == 2"
    assert str((arg.flags & 0o100) != 0) == "(arg.flags & 0x40) != 0"
    assert str((arg[0] >= 3) & (arg.count < 10)) == "(arg[0] >= 3) & (arg.count < 10)"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ((arg.fd == 1) | (arg.count > 2), "(arg.fd == 1) | (arg.count > 2)"),
        (~(arg.fd == 1) & arg.fd.between(3, 9), "~(arg.fd == 1) & arg.fd.between(3, 9)"),
        ((arg.flags & os.O_CREAT) | (arg.fd < 0), "(arg.flags & 0x40) | (arg.fd < 0)"),
        ((arg.fd == 1) & (arg.flags & 1), "(arg.fd == 1) & (arg.flags & 0x1)"),
        (~(arg.flags & 1), "~(arg.flags & 0x1)"),
        (arg.domain.one_of(socket.AF_UNIX, socket.AF_INET), "arg.domain.one_of(1, 2)"),
        (result.one_of(-2, -13) & (result != 0), "result.one_of(-2, -13) & (result != 0)"),
        (
            (arg[0] == 1) & ((arg[1] == 2) | (arg[2] == 3)),
            "(arg[0] == 1) & ((arg[1] == 2) | (arg[2] == 3))",
        ),
        (path.within("/srv") & (path[1] != "/x"), "path.within('/srv') & (path[1] != '/x')"),
        (path["newpath"].startswith(b"/a"), "path['newpath'].startswith('/a')"),
        (~(sockaddr.port == 443), "~(sockaddr.port == 443)"),
    ],
    ids=str,
)
def test_an_expression_prints_as_written(expression: object, text: str) -> None:
    """What it prints is Python, and means an equal value."""
    assert str(expression) == text
    names = {"arg": arg, "path": path, "result": result, "sockaddr": sockaddr}
    again = eval(text, names)
    assert str(Conditions.of(again)) == str(Conditions.of(expression))
    assert Conditions.of(again) == Conditions.of(expression)  # type: ignore[arg-type]
    assert hash(Conditions.of(again)) == hash(Conditions.of(expression))  # type: ignore[arg-type]


def test_different_expressions_differ() -> None:
    """In operator, constant, mask, kind, order."""
    different = {
        arg.fd == 1, arg.fd != 1, arg.fd == 2, arg[0] == 1, (arg.fd & 1) == 1,
        (arg.fd == 1) & (arg.fd == 2), (arg.fd == 1) | (arg.fd == 2), ~(arg.fd == 1),
        arg.fd.between(1, 2), arg.fd.one_of(1, 2), result == 1, path == "/a", path[1] == "/a",
    }  # fmt: skip
    assert len(different) == 13


def test_conditions_compare_by_value() -> None:
    """The same expression twice is the same condition."""
    assert (arg.fd == 2).value == 2
    assert hash(arg.fd == 2) == hash(arg.fd == 2)


def test_and_is_refused_rather_than_dropped() -> None:
    """Python's ``and`` would keep only its second operand."""
    with pytest.raises(TypeError, match="join conditions with &"):
        bool(arg.fd == 2)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: (arg.fd == 1) and (arg.fd == 2),
        lambda: (arg.fd == 1) or (arg.count == 2),
        lambda: not arg.fd == 1,  # noqa: SIM201 - that is what is written
        lambda: not (arg.flags & 1),
        lambda: 1 < arg.fd < 3,
        lambda: arg.fd in (1, 2),
        lambda: 1 in arg.fd,
        lambda: (arg.fd == 1) & arg.count,
        lambda: (arg.fd == 1) & 7,
        lambda: arg.fd == 1 | arg.count == 2,
        lambda: ~arg.fd,
        lambda: not path,
        lambda: path == 5,
        lambda: sockaddr.port == 70000,
        lambda: (arg.fd & 1) & 2,
    ],
)
def test_what_python_would_read_otherwise_is_refused(wrong: Callable[[], object]) -> None:
    """Each raises TypeError, and nothing is left out silently."""
    with pytest.raises(TypeError):
        wrong()


def test_empty_ranges_and_choices_are_refused() -> None:
    """They would never hold."""
    with pytest.raises(ValueError, match="no number is between 9 and 3"):
        arg.fd.between(9, 3)
    with pytest.raises(ValueError, match="one of none"):
        arg.fd.one_of()


def test_arguments_and_results_are_joined_by_and_alone() -> None:
    """They are judged at different times; the error says what to write."""
    both = Conditions.of((arg.fd == 1) & ((result < 0) | (result == 7)))
    assert both.all == (arg.fd == 1,)
    assert both.tells(-1)
    assert both.tells(7)
    assert not both.tells(0)
    with pytest.raises(MaskError, match="two rules"):
        Conditions.of((arg.fd == 1) | (result < 0))


@pytest.mark.parametrize("value", ["/etc", b"/etc", None, 1.5])
def test_only_numbers_can_be_compared(value: object) -> None:
    """A pointer's contents are out of the filter's reach, and the error says so."""
    with pytest.raises(TypeError, match="cannot read tracee memory"):
        arg.pathname.__eq__(value)


def test_positions_are_those_of_six_registers() -> None:
    """There is no seventh argument."""
    with pytest.raises(IndexError, match="0 to 5"):
        arg[6]
