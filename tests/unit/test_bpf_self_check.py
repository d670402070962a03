"""A program that answers otherwise than its rules is refused before anybody installs it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

import bpf
from bpf import Action, Arch, CompileError, Condition, Instruction, Program, Rule
from bpf.model import Model
from bpf.self_check import close_calls, confirm

ACTIONS = (Action.allow(), Action.trace(1), Action.trace(2))
RULES = {
    Arch.X86_64: [
        Rule(1, Action.errno(9), (Condition(0, "==", 2, None, 32),)),
        Rule(1, Action.errno(8), (Condition(2, ">", 1 << 32), Condition(0, "!=", 7, None, 32))),
        Rule(257, Action.trace(3)),
    ],
    Arch.I386: [Rule(4, Action.errno(5), (Condition(0, "<=", 2),))],
}


def compiled(rules: Mapping[Arch, list[Rule]] = RULES) -> Program:
    """Compile the rules above."""
    default, unknown_arch, x32 = ACTIONS
    return bpf.compile(rules, default=default, unknown_arch=unknown_arch, x32=x32)


def test_what_is_compiled_answers_as_the_model() -> None:
    """Every call that is tried, of four rules twenty."""
    confirm(compiled(), Model(RULES, *ACTIONS))
    assert len(set(close_calls(RULES))) >= 20


@pytest.mark.parametrize("rules", [
    {**RULES, Arch.X86_64: RULES[Arch.X86_64][1:]},
    {**RULES, Arch.X86_64: [*RULES[Arch.X86_64][:2], Rule(257, Action.trace(4))]},
    {**RULES, Arch.I386: []},
    {**RULES, Arch.I386: [Rule(4, Action.errno(5), (Condition(0, "<", 2),))]},
])  # fmt: skip
def test_a_program_of_other_rules_is_found_out(rules: dict[Arch, list[Rule]]) -> None:
    """One comparison that is off by one, one action, one rule that is missing."""
    with pytest.raises(CompileError, match="miscompiled"):
        confirm(compiled(rules), Model(RULES, *ACTIONS))


def test_most_wrong_instructions_are_found_out() -> None:
    """Each return changed, each comparison's targets exchanged: nine of ten are seen."""
    program = compiled()
    seen = {True: 0, False: 0}
    for pc, one in enumerate(program):
        if one.jt == one.jf and one.code & 7 != 6:
            continue
        wrong = Instruction(one.code, one.jf, one.jt, one.k ^ (one.code & 7 == 6))
        changed = Program(tuple(wrong if at == pc else same for at, same in enumerate(program)))
        try:
            confirm(changed, Model(RULES, *ACTIONS))
        except CompileError:
            seen[True] += 1
        else:
            seen[False] += 1
    assert seen[True] > 9 * seen[False]


def test_a_check_is_bounded_however_many_rules_there_are() -> None:
    """It tries some of a thousand rules, of either kind."""
    many = {
        Arch.X86_64: [
            Rule(number, Action.errno(1), (Condition(0, "==", number),)) for number in range(1000)
        ]
    }
    calls = list(itertools.islice(close_calls(many), 1000))
    assert 30 < len(calls) < 100
