"""Asks a compiled program what its rules answer, where that is likeliest to be wrong.

Those are the values next to each constant that it compares with, dirt above an int, and the numbers
next to those that have rules. A program that answers otherwise than the model is never installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bpf.arch import X32_SYSCALL_BIT, Arch
from bpf.data import SeccompData
from bpf.errors import CompileError
from bpf.evaluator import evaluate
from bpf.model import Model
from bpf.program import Program
from bpf.rule import Rule
from bpf.value import replace

__all__ = ["close_calls", "confirm"]

#: So many rules of each architecture are tried, evenly chosen; and so many with conditions.
_RULES: Final = 12
#: The model looks at no more rules than this, one after the other: a millisecond.
_MOST_LOOKED_AT: Final = 2000
#: In the upper half of every register that should be an int.
_DIRT: Final = 0xDEAD_BEEF << 32


def confirm(program: Program, model: Model) -> None:
    """Raise CompileError if ``program`` answers a call otherwise than ``model``.

    Tries some calls of each architecture; costs at most about a millisecond, however many rules
    there are.
    """
    calls = list(close_calls(model.rules))
    tried = {call.number for call in calls}
    few = {
        arch: [rule for rule in rules if rule.number in tried]
        for arch, rules in model.rules.items()
    }
    model = replace(model, rules=few)
    most = 1 + max(map(len, few.values()), default=0)
    for call in calls[: max(4, _MOST_LOOKED_AT // most)]:
        found, expected = evaluate(program, call), model.decide(call)
        if found != expected:
            raise CompileError(f"miscompiled: {call} gets {found}, the rules say {expected}")


def close_calls(rules: Mapping[Arch, Sequence[Rule]]) -> Iterator[SeccompData]:
    """List calls that rules just match, or just do not match."""
    yield SeccompData(0, 0)
    for arch, of_arch in rules.items():
        yield SeccompData(-1, arch)
        yield SeccompData(X32_SYSCALL_BIT, arch)
        for rule in _evenly([rule for rule in of_arch if rule.conditions]):
            for distance in (0, 1, -1):
                yield _close_call(arch, rule, distance)
        for rule in _evenly(of_arch):
            yield SeccompData(rule.number, arch)
            yield SeccompData(rule.number + 1, arch)


def _close_call(arch: Arch, rule: Rule, distance: int) -> SeccompData:
    arguments = [0] * 6
    for condition in rule.conditions:
        value = (condition.value + distance) % (1 << condition.width)
        arguments[condition.index] = value | (_DIRT if condition.width == 32 else 0)
    return SeccompData(rule.number, arch, 0, tuple(arguments))


def _evenly(rules: Sequence[Rule]) -> Sequence[Rule]:
    return rules[:: max(1, -(-len(rules) // _RULES))]
