"""What conditions are lowered to: few comparisons, exact where they can be."""

from __future__ import annotations

import errno
import random

import pytest

import bpf
from accel import Abi, Decision, arg, path, result, sockaddr
from accel.arguments import Conditions
from accel.errors import MaskError
from accel.expressions import Expression, Facts
from accel.lowering import MAX_ALTERNATIVES, lower, lower_results
from accel.mask import SyscallMask
from accel.plan import Plan, Rule
from accel.value_sets import ValueSet


def lowered(where: Expression, name: str) -> list[str]:
    """Write what a filter checks of ``where``."""
    found = lower(Conditions.of(where).all, Abi.X86_64, Abi.X86_64.numbers[name])
    assert found.is_exact
    return [" && ".join(map(str, conjunction)) for conjunction in found.alternatives]


@pytest.mark.parametrize(
    ("where", "name", "expected"),
    [
        (arg.count.between(3, 9), "write", ["args[2] >= 0x3 && args[2] <= 0x9"]),
        (arg.fd.between(3, 9), "write", ["args[0].low >= 0x3 && args[0].low <= 0x9"]),
        (arg.fd.between(-1, 1), "write", ["args[0].low <= 0x1", "args[0].low == 0xffffffff"]),
        (arg.fd < 0, "write", ["args[0].low >= 0x80000000"]),
        (~(arg.fd >= 0), "write", ["args[0].low >= 0x80000000"]),
        (arg.fd.one_of(3, 5, 4), "write", ["args[0].low >= 0x3 && args[0].low <= 0x5"]),
        (~arg.fd.one_of(3, 9), "write", ["args[0].low != 0x3 && args[0].low != 0x9"]),
        (arg.mode == 0o644, "openat", ["(args[3].low & 0xffff) == 0x1a4"]),
        (arg.flags & 0x40, "openat", ["(args[2].low & 0x40) != 0x0"]),
        (~(arg.flags & 0x40), "openat", ["(args[2].low & 0x40) == 0x0"]),
        ((arg.fd == 1) | (arg.fd != 1), "write", [""]),
        ((arg.fd == 1) & (arg.fd == 2), "write", []),
        ((arg.fd > 1) & (arg.fd < 3), "write", ["args[0].low == 0x2"]),
        (
            ~((arg.fd == 1) & (arg.count == 2)),
            "write",
            ["args[0].low != 0x1", "args[2] != 0x2"],
        ),
    ],
    ids=str,
)
def test_a_condition_is_as_few_comparisons_as_it_takes(
    where: Expression, name: str, expected: list[str]
) -> None:
    """In the width and sign of the argument's type; sets are joined before they are written."""
    assert lowered(where, name) == expected


def test_what_memory_decides_is_selected_by_its_scalar_part() -> None:
    """The filter picks the calls that it may hold for, and says that this is not all."""
    number = Abi.X86_64.numbers["openat"]
    both = lower(((arg.flags == 1) & path.within("/srv"),), Abi.X86_64, number)
    assert [str(one) for one in both.alternatives[0]] == ["args[2].low == 0x1"]
    assert not both.is_exact
    either = lower(((arg.flags == 1) | ~path.within("/srv"),), Abi.X86_64, number)
    assert either.selects_all
    assert not either.is_exact


def test_more_alternatives_than_a_filter_gets_are_left_out_where_it_costs_least() -> None:
    """Of a conjunction the small part stays; alone, every call is selected."""
    number = Abi.X86_64.numbers["write"]
    many = arg.fd.one_of(*range(0, 2 * MAX_ALTERNATIVES + 2, 2))
    found = lower((many & (arg.count == 7),), Abi.X86_64, number)
    assert [str(one) for one in found.alternatives[0]] == ["args[2] == 0x7"]
    assert not found.is_exact
    assert lower((many,), Abi.X86_64, number).selects_all
    few = arg.fd.one_of(*range(0, 2 * MAX_ALTERNATIVES, 2))
    assert lower((few,), Abi.X86_64, number).is_exact


def test_sets_of_values_are_what_comparisons_select() -> None:
    """Joined, met, complemented, written: by membership of every value of six bits."""
    rng = random.Random(1)
    operators = ("==", "!=", "<", "<=", ">", ">=")
    holds = {"==": int.__eq__, "!=": int.__ne__, "<": int.__lt__,
             "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__}  # fmt: skip
    for _ in range(2000):
        signed = rng.random() < 0.5
        operator, value = (
            rng.choice(operators),
            rng.randrange(-32, 32) if signed else rng.randrange(64),
        )
        one = ValueSet.compared(6, operator, value, signed=signed)
        expected = {
            word for word in range(64)
            if holds[operator](word - 64 if signed and word > 31 else word, value)
        }  # fmt: skip
        low = rng.randrange(64)
        two = ValueSet.of(6, [(low, rng.randrange(low, 64)), (60, 61)])
        members = {word for first, last in two.ranges for word in range(first, last + 1)}
        for found, words in (
            (one, expected), (~one, set(range(64)) - expected),
            (one | two, expected | members), (one & two, expected & members),
        ):  # fmt: skip
            written = {
                word
                for word in range(64)
                if any(all(holds[o](word, v) for o, v in each) for each in found.alternatives())
            }
            assert written == words, (operator, value, signed, two)


def test_results_are_selected_as_they_are_judged() -> None:
    """Alternatives of signed comparisons; too many are an error, as a text in the kernel is one."""
    cases = (
        (result < 0) & (result != -2), (result == 7) | (result < -5), ~result.between(-9, 9),
        result.one_of(-2, -13), ~(result.one_of(-2, -13) | (result >= 0)), result >= -(1 << 63),
    )  # fmt: skip
    for where in cases:
        found = lower_results((where,))
        for returned in (*range(-20, 20), -(1 << 63), (1 << 63) - 1):
            selected = any(all(one.holds(returned) for one in each) for each in found)
            assert selected is where.judge(Facts(result=returned)), (str(where), returned)
    with pytest.raises(MaskError, match="too many results"):
        lower_results((result.one_of(*range(0, 100, 2)),))


def plan_of(*rules: Rule) -> Plan:
    """Fit rules into a filter."""
    return Plan(rules).fitted()


def test_the_biggest_conditions_leave_a_filter_that_is_full() -> None:
    """All others stay; the plan says of which calls it is true, and why."""
    small = Rule(SyscallMask.parse("lseek"), Decision.fail(1), where=Conditions.of(arg.whence == 7))
    big = [
        Rule(
            SyscallMask.parse(name),
            Decision.fail(2 + at),
            where=Conditions.of(arg.count.one_of(*range(at, 500, 3)) & (arg.fd == at)),
        )
        for at, name in enumerate(("write", "read", "pread64", "pwrite64"))
    ]
    assert [rule.judged for rule in plan_of(small, big[0]).rules] == ["", ""]
    full = plan_of(small, *big)
    assert len(full.compile()) <= 4096
    assert full.rules[0].judged == ""
    moved = [rule.judged for rule in full.rules[1:]]
    assert "" in moved
    assert any("has no room" in why for why in moved)
    assert any("has no room" in note for note in full.notes_on_judging())


def test_a_race_is_noted_unless_every_call_that_is_looked_at_is_skipped() -> None:
    """Skipping what holds is sound; letting run what does not is not."""
    mask = SyscallMask.parse("connect")
    where = Conditions.of(sockaddr.port == 443)
    refused = Rule(mask, Decision.fail(errno.EACCES), where=where)
    assert any("race" in note for note in plan_of(refused).notes_on_judging())
    rest = Rule(mask, Decision.fail(errno.EPERM))
    sound = list(plan_of(refused, rest).notes_on_judging())
    assert len(sound) == 1
    assert "no filter can read" in sound[0]


def test_calls_without_conditions_stay_in_the_kernels_cache() -> None:
    """A rule whose conditions can never hold, or allow whatever they are, costs nothing."""
    never = Rule(
        SyscallMask.parse("lseek"), where=Conditions.of((arg.whence > 5) & (arg.whence < 3))
    )
    some = Rule(SyscallMask.parse("write"), Decision.fail(1), where=Conditions.of(arg.fd == 9))
    program = plan_of(never, some).compile()
    for abi in (Abi.X86_64, Abi.I386):
        cached = {
            name: bpf.is_constant_allow(program, abi.audit_arch, abi.numbers[name])
            for name in ("lseek", "read", "write")
        }
        assert cached == {"lseek": True, "read": True, "write": False}
