"""Compiles rules to a filter.

::

    load arch
    for each architecture that has rules:                     # else: unknown_arch
        load nr
        if x86_64 and 0x40000000 <= nr < 0x80000000: return x32
        switch nr:                                            # a binary tree, by libseccomp
            a number with rules:
                the first rule whose conditions hold: return its action
        return default

Arguments are loaded only once the number is known to have conditions. A call without rules sees
nothing but its architecture and number on the way to ``default``, so that the kernel, where that
is RET_ALLOW, need not even run the filter for it (see ``bpf.cache``).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bpf import data
from bpf.action import Action
from bpf.arch import X32_SYSCALL_BIT, Arch
from bpf.assembler import Assembler, Label
from bpf.condition import Condition
from bpf.errors import CompileError
from bpf.instruction import BPF_JEQ, BPF_JGE, BPF_JGT, BPF_MAXINSNS
from bpf.libseccomp import switch
from bpf.model import Model
from bpf.program import Program
from bpf.rule import Rule
from bpf.self_check import confirm

__all__ = ["compile"]

_WORD: Final = 0xFFFFFFFF
#: Numbers from here on are negative: no ABI's. A tracer that skips a call leaves one, -1.
_NEGATIVE: Final = 0x80000000

#: The part of an argument that the kernel looks at. An int 0x80 in 64-bit code shows the filter
#: whole registers, of which the i386 calls then use the low words.
_REGISTERS: Final = {Arch.X86_64: (1 << 64) - 1, Arch.I386: _WORD}

_OPERATIONS: Final = {
    "==": BPF_JEQ,
    "!=": BPF_JEQ,
    ">": BPF_JGT,
    "<=": BPF_JGT,
    ">=": BPF_JGE,
    "<": BPF_JGE,
}
_NEGATED: Final = frozenset({"!=", "<=", "<"})


def compile(  # noqa: A001  as re.compile: always written bpf.compile
    rules: Mapping[Arch, Sequence[Rule]],
    *,
    default: Action,
    unknown_arch: Action,
    x32: Action | None = None,
) -> Program:
    """Compile the rules of each architecture; of several for a number the first match decides.

    ``default`` is for all other numbers of these architectures, ``unknown_arch`` for every other
    architecture, ``x32`` (``unknown_arch`` unless given) for x86_64 numbers with the x32 bit.
    Raise CompileError if the result has more than 4096 instructions, LibraryMissing if libseccomp
    is not installed. Costs 0.1 ms and some 10 us for every rule; the last programs are kept, for
    those who check their rules before they use them.
    """
    x32 = unknown_arch if x32 is None else x32
    return _compiled(
        tuple([(arch, tuple(rules[arch])) for arch in rules]), default, unknown_arch, x32
    )


@functools.lru_cache(4)
def _compiled(
    rules: tuple[tuple[Arch, tuple[Rule, ...]], ...],
    default: Action,
    unknown_arch: Action,
    x32: Action,
) -> Program:
    assembler = Assembler()
    otherwise = assembler.ret(unknown_arch)
    bodies = {
        arch: _arch_body(assembler, arch, of_arch, default, x32)
        for arch, of_arch in reversed(rules)
    }
    for arch, body in bodies.items():
        otherwise = assembler.branch(BPF_JEQ, arch.value, body, otherwise)
    program = assembler.program(assembler.load(data.ARCH, otherwise))
    if len(program) > BPF_MAXINSNS:
        raise CompileError(
            f"the filter needs {len(program)} instructions, the kernel accepts {BPF_MAXINSNS}"
        )
    confirm(program, Model(dict(rules), default, unknown_arch, x32))
    return program


def _arch_body(
    assembler: Assembler, arch: Arch, rules: Iterable[Rule], default: Action, x32: Action
) -> Label:
    """Write what happens once the architecture is known; nr is not loaded yet."""
    fallback = assembler.ret(default)
    by_number: dict[int, list[Rule]] = {}
    for rule in rules:
        by_number.setdefault(rule.number, []).append(rule)
    cases = {
        number: case
        for number, candidates in sorted(by_number.items())
        if (case := _first_match(assembler, candidates, fallback, _REGISTERS[arch])) != fallback
    }
    body = switch(assembler, cases, fallback)
    if arch == Arch.X86_64:
        bit_30 = assembler.branch(BPF_JGE, _NEGATIVE, fallback, assembler.ret(x32))
        body = assembler.branch(BPF_JGE, X32_SYSCALL_BIT, bit_30, body)
    return body if body == fallback else assembler.load(data.NR, body)


def _first_match(
    assembler: Assembler, rules: Sequence[Rule], fallback: Label, registers: int
) -> Label:
    """Write the rules of one number: the first one whose conditions all hold."""
    always = next((index for index, rule in enumerate(rules) if not rule.conditions), len(rules))
    label = fallback
    for rule in reversed(rules[: always + 1]):
        matched = assembler.ret(rule.action)
        for condition in reversed(rule.conditions):
            matched = _compare(assembler, condition, registers, matched, label)
        label = matched
    return label


def _compare(
    assembler: Assembler, condition: Condition, registers: int, yes: Label, no: Label
) -> Label:
    """Write a comparison; half of the operators are the others with their targets exchanged."""
    if yes == no:
        return yes
    operation = _OPERATIONS[condition.operator]
    if condition.operator in _NEGATED:
        yes, no = no, yes
    value, mask = condition.value, condition.word & registers
    label = assembler.branch(operation, value & _WORD, yes, no)
    label = _load(assembler, data.low(condition.index), mask & _WORD, label)
    if not mask >> 32 and not value >> 32:
        return label
    # high > value.high: yes; high < value.high: no; only in between does the low word matter.
    label = assembler.branch(BPF_JEQ, value >> 32, label, no)
    if operation != BPF_JEQ:
        label = assembler.branch(BPF_JGT, value >> 32, yes, label)
    return _load(assembler, data.high(condition.index), mask >> 32, label)


def _load(assembler: Assembler, offset: int, mask: int, then: Label) -> Label:
    if mask != _WORD:
        then = assembler.mask(mask, then)
    return assembler.load(offset, then)
