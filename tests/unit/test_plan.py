"""Plans: what the filter answers is what the rules say, for any rules and any call."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bpf
from accel import Abi, Call, Decision, SyscallMask, arg
from accel.arguments import Condition, Conditions
from accel.errors import FilterError, MaskError
from accel.plan import Plan, Rule, check

NAMES = ("getppid", "write", "socket", "openat", "lseek", "mmap", "kill")
ARGUMENTS = {
    "write": ("fd", "buf", "count"),
    "socket": ("domain", "type"),
    "openat": ("dirfd", "flags"),
    "lseek": ("offset", "whence"),
    "kill": ("pid", "sig"),
}
OPERATORS = ("==", "!=", "<", "<=", ">", ">=")
DECISIONS = (
    Decision.inspect(),
    Decision.resume(),
    Decision.resume().with_signal(10),
    Decision.skip(7),
    Decision.fail(errno.EPERM),
    Decision.fail(errno.EPERM).delayed(entry_ns=1),
    Decision.allow(),
    Decision.nullify(errno.EACCES),
)

edges = st.sampled_from(
    [0, 1, 2, 5, -1, -2, -100, 0x7FFFFFFF, 0x80000000, -0x80000000, 0xFFFFFFFF, 1 << 32, 1 << 63]
)
#: Constants that an int can be compared with; -1 may be written 0xFFFFFFFF.
numbers = st.one_of(
    edges.filter(lambda n: -(1 << 31) <= n < 1 << 32), st.integers(-(1 << 31), (1 << 32) - 1)
)
registers = st.one_of(
    edges.map(lambda n: n & 0xFFFFFFFFFFFFFFFF),
    st.integers(0, (1 << 64) - 1),
    # What a tracee leaves in the upper half of an int.
    numbers.map(lambda n: (n & 0xFFFFFFFF) | 0xDEAD << 48),
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Draw a rule on one call, with up to two conditions on its arguments."""
    name = draw(st.sampled_from(NAMES))
    conditions = []
    for _number in range(draw(st.integers(0, 2)) if name in ARGUMENTS else 0):
        argument: str | int = draw(st.sampled_from([*ARGUMENTS[name], 4]))
        mask = draw(st.none() | st.sampled_from([1, 0o100, 0xFFFF, 0xFFFFFFFF]))
        operator = draw(st.sampled_from(OPERATORS))
        conditions.append(Condition(argument, operator, draw(numbers), mask))
    return Rule(
        SyscallMask.parse(name),
        draw(st.sampled_from(DECISIONS)),
        where=Conditions(tuple(conditions)),
        observed=draw(st.booleans()),
    )


def call(name: str, abi: Abi, arguments: tuple[int, ...]) -> Call:
    """Make a call as the kernel reports it: 32-bit registers on i386."""
    width = (1 << abi.bits) - 1
    return Call(1, 1, abi, abi.numbers[name], tuple(value & width for value in arguments))  # type: ignore[arg-type]


def answer(program: bpf.Program, made: Call) -> bpf.Action:
    """Run the filter on a call."""
    data = bpf.SeccompData(made.number, made.abi.audit_arch, 0, made.arguments)
    return bpf.evaluate(program, data)


@given(
    st.lists(rules(), min_size=1, max_size=5),
    st.sampled_from(NAMES),
    st.sampled_from([Abi.X86_64, Abi.I386]),
    st.tuples(*[registers] * 6),
)
def test_the_filter_agrees_with_the_rules(
    drawn: list[Rule], name: str, abi: Abi, arguments: tuple[int, ...]
) -> None:
    """The first rule that matches decides, whichever way it is evaluated."""
    if name not in abi.numbers:
        return
    plan = Plan(tuple(drawn))
    made = call(name, abi, arguments)
    action = answer(plan.compile(), made)
    expected = plan.match(made)
    if expected is None:
        assert action == bpf.Action.allow()
    elif plan.rules[expected].action is not None:
        assert action == plan.rules[expected].action
    else:
        assert plan.rule_of(action.data) == expected


@given(st.sampled_from(["getppid", "%network", "!openat", "all", "openat,write", "/^s"]))
def test_unselected_calls_stay_in_the_kernels_cache(text: str) -> None:
    """No argument is loaded on the path of a call that no rule names, in either ABI."""
    mask = SyscallMask.parse(text)
    plan = Plan((Rule(SyscallMask.parse("socket"), where=Conditions((arg.domain == 2,))),
                 Rule(mask, observed=True)))  # fmt: skip
    program = plan.compile()
    for abi in (Abi.X86_64, Abi.I386):
        # clone is looked at in every run, for CLONE_UNTRACED.
        looked_at = {abi.numbers["socket"], abi.numbers["clone"]}
        for number in set(abi.names) - mask.numbers(abi) - looked_at:
            assert bpf.is_constant_allow(program, abi.audit_arch, number)


def test_a_constant_answer_needs_no_stop_unless_it_is_observed() -> None:
    """skip(0) and fail() go into the filter; a mask that names the call keeps the stop."""
    mask = SyscallMask.parse("getuid")
    assert Rule(mask, Decision.skip(0)).action == bpf.Action.errno(0)
    assert Rule(mask, Decision.fail(errno.EPERM)).action == bpf.Action.errno(errno.EPERM)
    assert Rule(mask, Decision.skip(0), observed=True).action is None
    assert Rule(mask, Decision.nullify(), observed=True).action == bpf.Action.errno(0)
    assert Rule(mask, Decision.skip(1)).action is None
    assert Rule(mask, Decision.inspect()).action is None


def test_numbers_that_no_table_knows_follow_all_and_complements() -> None:
    """A call newer than the tables is traced by ``all``, and not by a list of names."""
    unknown = call("getppid", Abi.X86_64, (0,) * 6)
    newer = Call(1, 1, Abi.X86_64, 1000, unknown.arguments)
    assert answer(Plan((Rule(SyscallMask.all(), observed=True),)).compile(), newer).data
    listed = Plan((Rule(SyscallMask.parse("getppid"), observed=True),)).compile()
    assert answer(listed, newer) == bpf.Action.allow()


@pytest.mark.parametrize("number", [0x40000000 + 110, 0x40000000])
def test_the_x32_bit_is_never_taken_for_x86_64(number: int) -> None:
    """An x32 number stops, to be reported, and names no rule."""
    plan = Plan((Rule(SyscallMask.parse("getppid"), observed=True),))
    made = Call(1, 1, Abi.X86_64, number, (0,) * 6)
    action = answer(plan.compile(), made)
    assert plan.rule_of(action.data) is None
    assert action != bpf.Action.allow()


def test_an_unknown_architecture_is_reported() -> None:
    """Whatever its number is."""
    plan = Plan((Rule(SyscallMask.parse("getppid"), observed=True),))
    data = bpf.SeccompData(110, 0xC00000B7)
    assert plan.rule_of(bpf.evaluate(plan.compile(), data).data) is None


def test_watched_calls_stop_without_being_selected() -> None:
    """A blind spot is reported, not traced."""
    plan = Plan((Rule(SyscallMask.parse("getppid")),), SyscallMask.parse("io_uring_setup"))
    made = call("io_uring_setup", Abi.X86_64, (0,) * 6)
    assert plan.match(made) is None
    assert plan.is_watched(answer(plan.compile(), made).data)


def test_a_mask_of_nothing_is_an_error() -> None:
    """There would be nothing to trace."""
    with pytest.raises(MaskError, match="no system call is selected"):
        Plan((Rule(SyscallMask.none()),)).compile()


def test_an_argument_that_the_call_does_not_have_is_an_error() -> None:
    """The error lists those that it has."""
    with pytest.raises(MaskError, match="it has fd, buf, count"):
        check(Conditions((arg.flags == 1,)), SyscallMask.parse("write"))


def test_a_constant_that_the_argument_cannot_have_is_an_error() -> None:
    """An int is never equal to 1 << 33; the comparison would silently be another."""
    with pytest.raises(MaskError, match="has 32 bits"):
        check(Conditions((arg.fd == 1 << 33,)), SyscallMask.parse("write"))
    check(Conditions((arg.count == 1 << 33,)), SyscallMask.parse("write@64"))


def test_a_filter_that_is_too_long_is_an_error() -> None:
    """4096 instructions is the kernel's limit; the error says what to do."""
    many = tuple(
        Rule(SyscallMask.parse("write"), where=Conditions((arg.count == 3 * n, arg.fd == n)))
        for n in range(2000)
    )
    with pytest.raises(FilterError, match="select fewer"):
        Plan(many).compile()
