"""The compiler against a plain model of its rules, for every number and for random rules."""

import errno
import operator
import random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bpf
from bpf import Action, Arch, CompileError, Condition, Rule, SeccompData, compiler, evaluate, verify
from bpf import libseccomp as libseccomp_module
from bpf.assembler import Assembler
from bpf.instruction import Instruction

ALLOW = Action.allow()
X32 = 0x40000000
#: AUDIT_ARCH_AARCH64, x86_64 without its LE bit, nothing.
FOREIGN = (0xC00000B7, 0x8000003E, 0)
OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
#: Every number of every table, with room for later kernels, and the ends of all ranges.
NUMBERS = (
    *range(-3, 600),
    *range(X32 - 2, X32 + 600),
    *(0x7FFFFFFF, -0x80000000, -0x80000000 + 257, -0x40000000, -0x40000000 + 257, 1000, 0xFFFF),
)


def model(rules, call, *, default, unknown_arch, x32):
    """What the rules say, without any BPF."""
    if call.arch not in rules:
        return unknown_arch
    if call.arch == Arch.X86_64 and X32 <= call.number <= 0x7FFFFFFF:
        return x32
    for rule in rules[call.arch]:
        if rule.number == call.number and all(holds(c, call) for c in rule.conditions):
            return rule.action
    return default


def holds(condition, call):
    """Evaluate a condition on raw registers, of which i386 uses the low words."""
    width = 32 if call.arch == Arch.I386 else condition.width
    value = call.arguments[condition.index] % 2**width
    if condition.mask is not None:
        value &= condition.mask
    return OPERATORS[condition.operator](value, condition.value)


def agrees(rules, calls, **actions):
    """Check compiled rules against the model on ``calls``; return the program."""
    program = bpf.compile(rules, **actions)
    verify(program)
    for call in calls:
        assert evaluate(program, call) == model(rules, call, **actions), f"{call}\n{program}"
    return program


TRACING = {
    "default": ALLOW,
    "unknown_arch": Action.trace(0x1FF),
    "x32": Action.trace(0x1FE),
}
ENFORCING = {
    "default": Action.errno(38),
    "unknown_arch": Action.kill_process(),
    "x32": Action.errno(1),
}
EVERY_RULE_SET = {
    "no rules": {Arch.X86_64: [], Arch.I386: []},
    "one call": {Arch.X86_64: [Rule(257, Action.trace(258))], Arch.I386: []},
    "other numbers on i386": {
        Arch.X86_64: [Rule(number, Action.trace(258)) for number in (0, 1, 59, 257, 322, 435)],
        Arch.I386: [Rule(number, Action.trace(259)) for number in (3, 4, 11, 102, 117, 295, 359)],
    },
    "x86_64 alone": {Arch.X86_64: [Rule(1, Action.errno(5))]},
    "i386 alone": {Arch.I386: [Rule(1, Action.errno(5))]},
    "newer than libseccomp": {
        arch: [Rule(number, Action.trace(number)) for number in (450, 462, 471, 599)]
        for arch in Arch
    },
    "every call its own action": {
        Arch.X86_64: [Rule(number, Action.trace(number)) for number in range(480)],
        Arch.I386: [Rule(number, Action.trace(0x1000 + number)) for number in range(480)],
    },
    "every call alike": {
        arch: [Rule(number, Action.trace(258)) for number in range(600)] for arch in Arch
    },
    "with conditions": {
        arch: [
            Rule(1, Action.errno(9), (Condition(0, "==", 2, None, 32),)),
            Rule(1, Action.trace(7), (Condition(0, "==", 0),)),
            Rule(2, Action.errno(1), (Condition(1, ">", 7, None, 32), Condition(1, "<", 9))),
            Rule(3, Action.trace(1)),
        ]
        for arch in Arch
    },
}


@pytest.mark.parametrize("actions", [TRACING, ENFORCING], ids=["tracing", "enforcing"])
@pytest.mark.parametrize("name", EVERY_RULE_SET)
def test_every_number_of_every_abi_gets_what_the_rules_say(name, actions):
    """x86_64, i386, x32, skipped calls (-1) and foreign architectures are never confused."""
    rules = EVERY_RULE_SET[name]
    calls = (
        SeccompData(number, arch) for arch in (*map(int, Arch), *FOREIGN) for number in NUMBERS
    )
    agrees(rules, calls, **actions)


def test_x32_is_an_unknown_architecture_unless_said_otherwise():
    """Without ``x32`` the action of x32 numbers is ``unknown_arch``; -1 is no x32 number."""
    program = bpf.compile({Arch.X86_64: []}, default=ALLOW, unknown_arch=Action.trace(9))
    assert evaluate(program, SeccompData(X32 + 1, Arch.X86_64)) == Action.trace(9)
    assert evaluate(program, SeccompData(-1, Arch.X86_64)) == ALLOW


def test_the_architecture_is_checked_first_then_the_x32_bit_then_the_number():
    """The first three comparisons of a filter are of arch, of arch, and of nr with bit 30."""
    program = bpf.compile(EVERY_RULE_SET["every call its own action"], **TRACING)
    assert program[0] == Instruction(0x20, k=4)
    assert program[1].k == Arch.X86_64
    number_loaded = next(pc for pc, insn in enumerate(program) if insn == Instruction(0x20, k=0))
    assert {insn.code for insn in tuple(program)[1:number_loaded]} <= {0x15, 0x05, 0x06}
    assert program[number_loaded + 1].code == 0x35
    assert program[number_loaded + 1].k == X32


interesting = st.sampled_from(
    [0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 2**32, 2**32 + 1, 2**63, 2**64 - 1]
)
words = interesting | st.integers(0, 2**64 - 1)


@st.composite
def conditions(draw):
    """A comparison of any kind."""
    width = draw(st.sampled_from([32, 64]))
    mask = draw(st.none() | words)
    return Condition(
        draw(st.integers(0, 5)),
        draw(st.sampled_from(sorted(OPERATORS))),
        draw(words) % 2**width,
        None if mask is None else mask % 2**width,
        width,
    )


rule_lists = st.lists(
    st.builds(
        Rule,
        st.integers(0, 5) | st.sampled_from([257, 450]),
        st.builds(Action.trace, st.integers(1, 4)) | st.just(ALLOW),
        st.lists(conditions(), max_size=3).map(tuple),
    ),
    max_size=12,
)


@st.composite
def registers(draw, rules):
    """Six registers on which the conditions of ``rules`` are close calls."""
    values = [draw(words) for _ in range(6)]
    for rule in rules:
        for condition in rule.conditions:
            if draw(st.booleans()):
                near = condition.value + draw(st.sampled_from([-1, 0, 0, 0, 1]))
                # Whatever lies above an int must not matter; above a long there is nothing.
                dirt = draw(words) << condition.width
                values[condition.index] = (near + dirt) % 2**64
    return tuple(values)


@settings(deadline=None, max_examples=150)
@given(st.fixed_dictionaries({Arch.X86_64: rule_lists, Arch.I386: rule_lists}), st.data())
def test_random_rules_decide_as_the_model_on_close_calls(rules, data):
    """Overlaps, masks, all operators, both widths, dirty upper halves: the first match decides."""
    calls = []
    for arch, candidates in rules.items():
        for number in {rule.number for rule in candidates} | {7}:
            values = data.draw(registers([rule for rule in candidates if rule.number == number]))
            calls.append(SeccompData(number, arch, data.draw(words), values))
    agrees(rules, calls, **TRACING)


@settings(deadline=None, max_examples=300)
@given(conditions(), st.data())
def test_one_comparison_is_exact_around_its_value(condition, data):
    """Words equal in one half, off by one in the other, or with any dirt above an int."""
    rules = {Arch.X86_64: [Rule(1, Action.trace(1), (condition,))]}
    high, low = condition.value >> 32, condition.value & 0xFFFFFFFF
    calls = []
    for high_step in (-1, 0, 1):
        for low_step in (-1, 0, 1):
            value = ((high + high_step) << 32) + low + low_step
            registers = [data.draw(words)] * 6
            registers[condition.index] = value % 2**64
            calls.append(SeccompData(1, Arch.X86_64, 0, tuple(registers)))
    agrees(rules, calls, **TRACING)


@pytest.mark.parametrize("operator_", ["==", "!=", "<", "<=", ">", ">="])
def test_an_int_is_compared_without_its_upper_half(operator_):
    """CVE-2019-7303: TIOCSTI with dirt above is still TIOCSTI to the kernel, and to the filter."""
    tiocsti = 0x5412
    condition = Condition(1, operator_, tiocsti, None, 32)
    program = bpf.compile({Arch.X86_64: [Rule(16, Action.errno(1), (condition,))]}, **TRACING)
    for value in (tiocsti - 1, tiocsti, tiocsti + 1):
        clean, dirty = (
            evaluate(program, SeccompData(16, Arch.X86_64, 0, (0, value | dirt, 0, 0, 0, 0)))
            for dirt in (0, 0xDEADBEEF_00000000)
        )
        assert clean == dirty
        assert (clean == Action.errno(1)) == OPERATORS[operator_](value, tiocsti)


def test_an_i386_register_has_32_bits():
    """An int 0x80 in 64-bit code passes whole registers; the kernel uses their low words."""
    rules = {Arch.I386: [Rule(54, Action.errno(1), (Condition(1, "==", 0x5412),))]}
    program = bpf.compile(rules, **TRACING)
    dirty = SeccompData(54, Arch.I386, 0, (0, 0xDEADBEEF_00005412, 0, 0, 0, 0))
    assert evaluate(program, dirty) == Action.errno(1)
    beyond = {Arch.I386: [Rule(54, Action.errno(1), (Condition(1, "==", 0xDEADBEEF_00005412),))]}
    assert evaluate(bpf.compile(beyond, **TRACING), dirty) == ALLOW


def test_jumps_over_more_than_255_instructions_arrive():
    """400 calls with conditions of their own need 2,000 instructions; each gets its action."""
    rng = random.Random(0)
    rules = {
        arch: [
            Rule(number, Action.trace(number + offset), (Condition(0, "==", number << 8 | 1),))
            for number in range(200)
        ]
        for offset, arch in ((0, Arch.X86_64), (1000, Arch.I386))
    }
    calls = [
        SeccompData(number, arch, 0, (argument, *(rng.getrandbits(64) for _ in range(5))))
        for arch in Arch
        for number in range(-1, 202)
        for argument in (number << 8 & 0xFFFFFFFF | 1, number << 8 & 0xFFFFFFFF, 1 << 40)
    ]
    assert len(agrees(rules, calls, **TRACING)) > 2000


def test_rules_behind_an_unconditional_one_cost_nothing():
    """The first match decides, so that what cannot be reached is not compiled."""
    never = [Rule(1, Action.errno(1)), Rule(1, Action.trace(2), (Condition(0, "==", 5),))]
    assert bpf.compile({Arch.X86_64: never}, **TRACING) == bpf.compile(
        {Arch.X86_64: never[:1]}, **TRACING
    )


def test_rules_that_change_nothing_cost_nothing():
    """A rule with the default's action is refused by libseccomp; here it means what it says."""
    same = [Rule(1, ALLOW), Rule(2, ALLOW, (Condition(0, "==", 5), Condition(1, "<", 2**40)))]
    assert bpf.compile({Arch.X86_64: same}, **TRACING) == bpf.compile({Arch.X86_64: []}, **TRACING)


def test_an_exception_before_the_rule_is_kept():
    """ "write to 2 is allowed, every other write traced": the default's action as first match."""
    rules = {
        Arch.X86_64: [
            Rule(1, ALLOW, (Condition(0, "==", 2, None, 32),)),
            Rule(1, Action.trace(1)),
        ]
    }
    program = bpf.compile(rules, **TRACING)
    assert evaluate(program, SeccompData(1, Arch.X86_64, 0, (2, 0, 0, 0, 0, 0))) == ALLOW
    assert evaluate(program, SeccompData(1, Arch.X86_64, 0, (3, 0, 0, 0, 0, 0))) == Action.trace(1)


def test_equal_conditions_of_many_calls_are_compiled_once():
    """60 calls with one condition share its instructions."""
    condition = Condition(0, ">=", 2**40 + 5)
    one, sixty = (
        len(
            bpf.compile(
                {Arch.X86_64: [Rule(n, Action.trace(1), (condition,)) for n in range(count)]},
                **TRACING,
            )
        )
        for count in (1, 60)
    )
    assert sixty - one < 60 * 2


def test_the_same_rules_compile_to_the_same_program():
    """Compilation is deterministic, and rules of different numbers may come in any order."""
    rules = EVERY_RULE_SET["every call its own action"]
    shuffled = {arch: random.Random(1).sample(rules[arch], len(rules[arch])) for arch in rules}
    assert bpf.compile(rules, **TRACING) == bpf.compile(rules, **TRACING)
    assert bpf.compile(shuffled, **TRACING) == bpf.compile(rules, **TRACING)


def test_a_filter_that_is_too_long_says_so():
    """More than 4096 instructions raise CompileError with both numbers."""
    rules = {
        Arch.X86_64: [
            Rule(number, Action.trace(1), (Condition(index, "==", number * 8 + index),))
            for number in range(400)
            for index in range(6)
        ]
    }
    with pytest.raises(CompileError, match=r"needs \d{4,} instructions, the kernel accepts 4096"):
        bpf.compile(rules, **TRACING)


@pytest.mark.parametrize("number", [-1, X32, X32 + 1])
def test_a_rule_is_for_a_number_that_a_table_can_have(number):
    """Negative numbers and x32 numbers raise ValueError: no rule could ever match them."""
    with pytest.raises(ValueError, match="no system call number"):
        Rule(number, ALLOW)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((6, "==", 0), "arguments 0 to 5"),
        ((-1, "==", 0), "arguments 0 to 5"),
        ((0, "=", 0), "'=' is none of == != < <= > >="),
        ((0, "==", 0, None, 16), "32 or 64 bits, not 16"),
        ((0, "==", -1), "no unsigned number of 64 bits"),
        ((0, "==", 2**32, None, 32), "0x100000000 is no unsigned number of 32 bits"),
        ((0, "==", 0, 2**32, 32), "no unsigned number of 32 bits"),
    ],
)
def test_a_condition_that_means_nothing_cannot_be_made(arguments, reason):
    """Positions, operators, widths and values out of range raise ValueError with the reason."""
    with pytest.raises(ValueError, match=reason):
        Condition(*arguments)


def test_a_condition_prints_as_the_comparison_it_is():
    """str() shows argument, mask, operator and value; an int's low word as in a disassembly."""
    assert str(Condition(0, "==", 2, None, 32)) == "args[0].low == 0x2"
    assert str(Condition(2, "!=", 0, 0x40)) == "(args[2] & 0x40) != 0x0"


def test_what_libseccomp_never_wrote_before_is_refused():
    """Whatever in its output is not understood raises CompileError; nothing is guessed."""
    prologue = (
        Instruction(0x20, k=4),
        Instruction(0x15, 0, 1, Arch.X86_64.value),
        Instruction(0x20, k=0),
    )
    is_one, load_argument = Instruction(0x15, 0, 1, 1), Instruction(0x20, k=16)
    mark, allow = Instruction(0x06, k=0x7FF00000), Instruction(0x06, k=0x7FFF0000)
    assembler = Assembler()
    label = assembler.ret(ALLOW)
    for exported, reason in (
        ((load_argument, is_one, mark, mark), "does not know: 1"),
        ((*prologue, is_one, load_argument, mark, mark), "does not know: 4"),
        ((*prologue, is_one, mark, allow), "0x7fff0000 for a call of its own"),
    ):
        with pytest.raises(CompileError, match=reason):
            libseccomp_module._transplant(exported, [label], assembler)
    assert libseccomp_module._transplant((*prologue, is_one, mark, mark), [label], assembler)


def test_a_missing_library_is_named(monkeypatch):
    """Without libseccomp.so, LibraryMissing says what to install."""
    monkeypatch.setattr(libseccomp_module, "_SONAME", "libno-such-library.so.2")
    libseccomp_module._library.cache_clear()
    compiler._compiled.cache_clear()
    with pytest.raises(bpf.LibraryMissing, match="libseccomp is not installed: apt-get install"):
        bpf.compile({Arch.X86_64: [Rule(1, Action.errno(1))]}, **TRACING)
    libseccomp_module._library.cache_clear()


def test_what_libseccomp_refuses_is_said(monkeypatch):
    """Its functions return a negative errno."""
    library = SimpleNamespace(
        seccomp_init=lambda _action: 1,
        seccomp_attr_set=lambda *_: 0,
        seccomp_rule_add_exact_array=lambda *_: -errno.EDOM,
        seccomp_release=lambda _rules: None,
    )
    monkeypatch.setattr(libseccomp_module, "_library", lambda: library)
    compiler._compiled.cache_clear()
    with pytest.raises(CompileError, match="cannot compile the filter: Numerical argument out of"):
        bpf.compile({Arch.X86_64: [Rule(1, Action.errno(1))]}, **TRACING)
