"""Which calls a selection holds for, and the C that says the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bpf import Arch, Condition
from bpf.exit_selection import ExitSelection, ResultCondition
from bpf.probes.selection_code import selection_code

GOLDEN = Path(__file__).parents[1] / "golden" / "exit-selection.c"
NONE = (0, 0, 0, 0, 0, 0)
FAILS = ResultCondition("<", 0)
DIRTY = 0xDEADBEEF_00000002


def x86_64(*numbers, result=(), arguments=()):
    """Select calls of x86_64, all of them if no number is given."""
    return ExitSelection(Arch.X86_64, frozenset(numbers) or None, result, arguments)


# ------------------------------------------------------------------------------- the model


def test_a_number_belongs_to_an_architecture():
    """The same number of another table is another call."""
    selection = x86_64(8, 110)
    assert selection.holds(Arch.X86_64, 110, NONE, 0)
    assert not selection.holds(Arch.X86_64, 111, NONE, 0)
    assert not selection.holds(Arch.I386, 110, NONE, 0)


def test_no_set_of_numbers_is_every_call_and_an_empty_one_is_none():
    """None and the empty set are opposites."""
    assert x86_64().holds(Arch.X86_64, -1, NONE, 0)
    assert not ExitSelection(Arch.X86_64, frozenset()).holds(Arch.X86_64, 1, NONE, 0)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("==", (False, True, False)),
        ("!=", (True, False, True)),
        ("<", (True, False, False)),
        ("<=", (True, True, False)),
        (">", (False, False, True)),
        (">=", (False, True, True)),
    ],
)
def test_results_are_compared_with_their_sign(operator, expected):
    """-10, -9 and 0 against -9."""
    condition = ResultCondition(operator, -9)
    assert tuple(condition.holds(result) for result in (-10, -9, 0)) == expected


def test_all_conditions_must_hold():
    """Each alone is not enough."""
    two = Condition(0, "==", 2, None, 32)
    selection = x86_64(1, result=(FAILS, ResultCondition("!=", -11)), arguments=(two,))
    assert selection.holds(Arch.X86_64, 1, (DIRTY, *NONE[1:]), -9)
    assert not selection.holds(Arch.X86_64, 1, (DIRTY, *NONE[1:]), -11)
    assert not selection.holds(Arch.X86_64, 1, (DIRTY, *NONE[1:]), 0)
    assert not selection.holds(Arch.X86_64, 1, NONE, -9)


def test_an_argument_is_compared_in_its_width_under_its_mask():
    """An int has rubbish above it; registers of i386 have 32 bits whatever the width."""
    arguments = (DIRTY, *NONE[1:])
    wide, masked = Condition(0, "==", 2), Condition(0, "==", 2, 0xF)
    assert not x86_64(arguments=(wide,)).holds(Arch.X86_64, 0, arguments, 0)
    assert x86_64(arguments=(masked,)).holds(Arch.X86_64, 0, arguments, 0)
    i386 = ExitSelection(Arch.I386, None, (), (wide,))
    assert i386.holds(Arch.I386, 0, arguments, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ResultCondition("=", 0),
        lambda: ResultCondition("<", 1 << 63),
        lambda: ResultCondition("<", (-1 << 63) - 1),
        lambda: x86_64(1 << 31),
        lambda: x86_64((-1 << 31) - 1),
    ],
)
def test_what_no_register_holds_is_refused(wrong):
    """At once, where the value is made."""
    with pytest.raises(ValueError, match=r"is no|is none of|does not fit"):
        wrong()


# ------------------------------------------------------------------------------- the code


def test_selections_read_as_their_golden_file():
    """Ranges, shared cases, alternatives, every form of a condition, both architectures.

    After an intended change, ACCEL_WRITE_GOLDEN=1 writes the file anew.
    """
    text = selection_code(
        [
            x86_64(0, 1, 2, 8, *range(20, 30), result=(FAILS,)),
            x86_64(1, 9, result=(FAILS,), arguments=(Condition(0, "==", 2, None, 32),)),
            x86_64(59),
            x86_64(59, 257, result=(ResultCondition("==", -2),)),
            x86_64(-1, 0x40000000, arguments=(Condition(5, ">=", 1 << 63, 0xF << 60),)),
            ExitSelection(Arch.I386, None, (ResultCondition(">", -1 << 63),)),
            ExitSelection(Arch.I386, frozenset({5}), (), (Condition(1, "!=", 0, 0o100, 32),)),
        ]
    )
    if os.environ.get("ACCEL_WRITE_GOLDEN") == "1":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_nothing_selected_is_a_function_that_says_no():
    """No selection, or one without numbers."""
    for nothing in ([], [ExitSelection(Arch.I386, frozenset())]):
        assert selection_code(nothing).splitlines()[1:] == ["{", "\treturn false;", "}"]


def test_all_calls_make_single_ones_superfluous():
    """A number that has nothing of its own has no case."""
    code = selection_code([x86_64(1, result=(FAILS,)), x86_64()])
    assert "case" not in code
    assert "default:\n\t\t\treturn true;" in code
