"""The kernel's always-allow cache: what is not selected must not run the filter at all."""

import pytest

import bpf
from bpf import Action, Arch, Condition, Instruction, Program, Rule, is_constant_allow

ACTIONS = {"default": Action.allow(), "unknown_arch": Action.trace(0x1FF)}
#: As many as either table has, and more.
NUMBERS = range(600)


def selection(count, *conditions):
    """Select every 600/count-th number of both ABIs, shifted by one in i386."""
    step = len(NUMBERS) // count
    return {
        arch: [
            Rule(number, Action.trace(258), conditions)
            for number in range(shift, len(NUMBERS), step)
        ]
        for shift, arch in enumerate(Arch)
    }


@pytest.mark.parametrize("count", [1, 3, 20, 60, 300])
@pytest.mark.parametrize(
    "conditions",
    [(), (Condition(0, "==", 2, None, 32),), (Condition(5, "<", 2**40), Condition(1, "!=", 0, 7))],
    ids=["unconditional", "int", "two"],
)
def test_unselected_calls_are_constant_allow(count, conditions):
    """Every call without rules is allowed knowing arch and nr alone; no selected call ever is."""
    rules = selection(count, *conditions)
    program = bpf.compile(rules, **ACTIONS)
    for arch, selected in rules.items():
        expected = set(NUMBERS) - {rule.number for rule in selected}
        assert {n for n in NUMBERS if is_constant_allow(program, arch, n)} == expected


def test_a_rule_that_always_allows_leaves_its_call_constant_allow():
    """An exception that in the end changes nothing loads no argument."""
    rules = [
        Rule(1, Action.allow(), (Condition(0, "==", 2),)),
        Rule(2, Action.allow()),
        Rule(2, Action.trace(1)),
    ]
    program = bpf.compile({Arch.X86_64: rules}, **ACTIONS)
    assert is_constant_allow(program, Arch.X86_64, 1)
    assert is_constant_allow(program, Arch.X86_64, 2)


def test_foreign_architectures_and_x32_are_not_constant_allow():
    """What is reported for its ABI is not in the cache, whatever its number."""
    program = bpf.compile(selection(3), **ACTIONS)
    assert not is_constant_allow(program, 0xC00000B7, 1)
    assert not is_constant_allow(program, Arch.X86_64, 0x40000001)
    assert is_constant_allow(program, Arch.X86_64, -1)


LOAD_NR = Instruction(0x20, k=0)
RETURN_ALLOW = Instruction(0x06, k=0x7FFF0000)


@pytest.mark.parametrize(
    ("instructions", "constant"),
    [
        ((RETURN_ALLOW,), True),
        ((Instruction(0x06, k=0x7FFF0001),), False),
        ((Instruction(0x06, k=0x7FFC0000),), False),
        ((LOAD_NR, Instruction(0x54, k=0xF), Instruction(0x15, 0, 1, 5), RETURN_ALLOW), True),
        ((LOAD_NR, Instruction(0x45, 1, 0, 8), RETURN_ALLOW), True),
        ((Instruction(0x05, k=1), Instruction(0x06), RETURN_ALLOW), True),
        ((Instruction(0x20, k=8), RETURN_ALLOW), False),
        ((Instruction(0x20, k=16), RETURN_ALLOW), False),
        ((LOAD_NR, Instruction(0x74, k=1), RETURN_ALLOW), False),
        ((Instruction(0x07), RETURN_ALLOW), False),
        ((LOAD_NR, Instruction(0x1D, 0, 0), RETURN_ALLOW), False),
        ((LOAD_NR,), False),
    ],
)
def test_the_emulator_gives_up_where_the_kernels_does(instructions, constant):
    """It knows loads of nr and arch, AND, JA, comparisons with constants and constant returns."""
    assert is_constant_allow(Program(instructions), Arch.X86_64, 0x25) is constant
