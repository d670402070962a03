"""Selections as C: the function ``selected`` of exit_signal.bpf.c.

One switch for each architecture. Numbers with the same alternatives share a case, so that the
kernel's verifier sees every condition on one path only, however many numbers there are::

    if (call->arch == X86_64)
        switch (call->number) {
        case 0 ... 1:
        case 8:
            return call->result < 0LL
                || (u32)call->arguments[0] == 0x2ULL;
        }
    return false;
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from bpf.arch import Arch
from bpf.condition import Condition
from bpf.exit_selection import ExitSelection, ResultCondition

__all__ = ["selection_code"]

#: What one of must hold, each a C expression; () is never, (TRUE,) always.
Alternatives = tuple[str, ...]
_TRUE = "true"


def selection_code(selections: Sequence[ExitSelection]) -> str:
    """Write the function that tells whether one of ``selections`` holds."""
    lines = ["static __always_inline bool selected(const struct sample *call)", "{"]
    for arch in Arch:
        lines += _switch(arch, [each for each in selections if each.arch == arch])
    return "\n".join([*lines, "\treturn false;", "}", ""])


def _switch(arch: Arch, selections: Sequence[ExitSelection]) -> Iterator[str]:
    """Write what an architecture's calls are judged by; nothing if none is selected."""
    default = _alternatives(each for each in selections if each.numbers is None)
    groups = _groups(selections, default)
    if not groups and not default:
        return
    yield f"\tif (call->arch == {arch.name})"
    yield "\t\tswitch (call->number) {"
    for alternatives, numbers in groups.items():
        yield from (f"\t\tcase {label}:" for label in _labels(numbers))
        yield from _return(alternatives)
    if default:
        yield "\t\tdefault:"
        yield from _return(default)
    yield "\t\t}"


def _groups(
    selections: Sequence[ExitSelection], default: Alternatives
) -> dict[Alternatives, list[int]]:
    """Sort the numbers by their alternatives, without those that have no more than all calls."""
    groups: dict[Alternatives, list[int]] = {}
    numbers = {number for each in selections for number in each.numbers or ()}
    for number in sorted(numbers):
        alternatives = _alternatives(
            each for each in selections if each.numbers is None or number in each.numbers
        )
        if alternatives != default:
            groups.setdefault(alternatives, []).append(number)
    return groups


def _alternatives(selections: Iterator[ExitSelection]) -> Alternatives:
    found = dict.fromkeys(_conjunction(each) for each in selections)
    return (_TRUE,) if _TRUE in found else tuple(found)


def _conjunction(selection: ExitSelection) -> str:
    terms = [_result(condition) for condition in selection.result]
    terms += [_argument(condition) for condition in selection.arguments]
    return " && ".join(terms) or _TRUE


def _result(condition: ResultCondition) -> str:
    value = f"{condition.value}LL"
    if condition.value == -1 << 63:  # C has no literal for it: -X is an operator and X.
        value = f"({condition.value + 1}LL - 1)"
    return f"call->result {condition.operator} {value}"


def _argument(condition: Condition) -> str:
    register = f"call->arguments[{condition.index}]"
    if condition.width == 32:
        register = f"(u32){register}"
    if condition.mask is not None:
        register = f"({register} & {condition.mask:#x}ULL)"
    return f"{register} {condition.operator} {condition.value:#x}ULL"


def _return(alternatives: Alternatives) -> Iterator[str]:
    several = len(alternatives) > 1
    terms = [f"({term})" if several and "&&" in term else term for term in alternatives]
    yield "\t\t\treturn " + "\n\t\t\t\t|| ".join(terms) + ";"


def _labels(numbers: Collection[int]) -> Iterator[str]:
    """Write ascending numbers as labels, neighbours as a range."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return (f"{first}" if first == last else f"{first} ... {last}" for first, last in ranges)
