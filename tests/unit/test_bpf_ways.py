"""The ways through a filter are what the filter does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bpf
from bpf import Action, Arch, Condition, Rule
from bpf.ways import Range, Way, entry, ways

WORD = (1 << 64) - 1
numbers = st.one_of(
    st.sampled_from([0, 1, 5, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (5 << 32) | 5, WORD]),
    st.integers(0, 7),
    st.integers(0, WORD),
)


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    """Draw a comparison of one of two arguments."""
    width = draw(st.sampled_from([32, 64]))
    word = (1 << width) - 1
    mask = draw(st.none() | numbers)
    return Condition(
        draw(st.integers(0, 1)),
        draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="])),
        draw(numbers) & word,
        None if mask is None else mask & word,
        width,
    )


@st.composite
def programs(draw: st.DrawFn) -> bpf.Program:
    """Draw a filter with up to three rules for the same call."""
    rules = [
        Rule(7, Action.errno(index + 1), tuple(draw(st.lists(conditions(), max_size=2))))
        for index in range(draw(st.integers(0, 3)))
    ]
    return bpf.compile(
        {Arch.X86_64: rules}, default=Action.allow(), unknown_arch=Action.kill_process()
    )


@settings(max_examples=300)
@given(programs(), st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_every_register_is_on_one_way_and_gets_its_action(
    program: bpf.Program, registers: list[tuple[int, int]]
) -> None:
    """No two ways share a register, together they are all, and each tells the answer."""
    found = ways(program, Arch.X86_64, 7)
    for first, second in registers:
        arguments = (first, second, 0, 0, 0, 0)
        on = [way for way in found if all(one.holds(arguments[at]) for at, one in way.ranges)]
        data = bpf.SeccompData(7, Arch.X86_64, 0, arguments)
        assert [way.action for way in on] == [bpf.evaluate(program, data)]


def test_halves_of_a_register_are_one_range() -> None:
    """A comparison of 64 bits takes two of words; what is told is the one that was meant."""
    rules = [Rule(7, Action.errno(1), (Condition(0, "==", (5 << 32) | 6),))]
    program = bpf.compile(
        {Arch.X86_64: rules}, default=Action.allow(), unknown_arch=Action.kill_process()
    )
    [refused] = [way for way in ways(program, Arch.X86_64, 7) if way.action == Action.errno(1)]
    assert refused == Way(Action.errno(1), ((0, Range(WORD, (5 << 32) | 6, (5 << 32) | 6)),))
    assert ways(program, Arch.X86_64, 8) == [Way(Action.allow())]
    assert ways(program, 0, 7) == [Way(Action.kill_process())]


def test_a_calls_own_instructions_begin_where_its_number_is_known() -> None:
    """At a load of an argument, or at a return."""
    rules = [Rule(7, Action.errno(1), (Condition(0, "==", 2, None, 32),)), Rule(8, Action.errno(2))]
    program = bpf.compile(
        {Arch.X86_64: rules}, default=Action.allow(), unknown_arch=Action.kill_process()
    )
    assert "args[0].low" in str(program).splitlines()[entry(program, Arch.X86_64, 7)]
    assert program[entry(program, Arch.X86_64, 8)].action == Action.errno(2)
    assert program[entry(program, Arch.X86_64, 9)].action == Action.allow()
    assert program[0].action is None


def test_a_filter_of_another_kind_is_refused() -> None:
    """What is no decision tree over arguments has no ways."""
    look_back = bpf.Program(
        (bpf.Instruction(0x20, k=8), bpf.Instruction(0x15, 0, 0, 1), bpf.Instruction(0x06))
    )
    with pytest.raises(bpf.InvalidProgram, match="instruction pointer"):
        ways(look_back, Arch.X86_64, 7)
    arithmetic = bpf.Program((bpf.Instruction(0x04, k=1), bpf.Instruction(0x06)))
    with pytest.raises(bpf.InvalidProgram, match="decision tree"):
        ways(arithmetic, Arch.X86_64, 7)
