"""The filter of a plan as text: its disassembly, with what each part of it is for.

A comment before an instruction says which calls have their own instructions from there on, and the
rules that these keep; one behind a return says which rule gives that answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import bpf
from accel.abi import Abi
from accel.plan import Plan
from accel.plan_table import rule_text
from bpf.ways import entry

__all__ = ["listing"]

_ABIS: Final = {bpf.Arch.X86_64: Abi.X86_64, bpf.Arch.I386: Abi.I386}
#: So many calls are named; more are counted.
_SHOWN: Final = 6
#: A call that no rule can name.
_UNNAMED: Final = 0x3FFF_FFFF
#: Where a comment behind an instruction begins, as in ``bpf.disassemble``.
_COMMENT: Final = 38


def listing(plan: Plan, program: bpf.Program) -> str:
    """Disassemble what ``plan`` compiled to. Costs some milliseconds a hundred calls."""
    heads = _heads(plan, program)
    lines = []
    for pc, line in enumerate(bpf.disassemble(program.instructions, _name).splitlines()):
        lines += [f"      ; {head}" for head in heads.get(pc, ())]
        comment = _answer(plan, program, pc)
        lines.append(f"{line:{_COMMENT}}; {comment}" if comment else line)
    return "\n".join(lines)


def _name(arch: bpf.Arch, number: int) -> str | None:
    return _ABIS[arch].names.get(number)


def _heads(plan: Plan, program: bpf.Program) -> Mapping[int, list[str]]:
    """Say, by instruction, whose instructions begin there."""
    found: dict[int, dict[str, dict[str, None]]] = {}
    for arch, abi in _ABIS.items():
        others = entry(program, arch, _UNNAMED)
        for number, name in abi.names.items():
            pc = entry(program, arch, number)
            rules = ", ".join(_rules_of(plan, abi, number))
            if pc == others and not rules:
                continue
            found.setdefault(pc, {}).setdefault(rules, {})[name] = None
        found.setdefault(others, {}).setdefault("every other call", {})
    return {pc: list(_head(groups)) for pc, groups in found.items()}


def _head(groups: Mapping[str, Mapping[str, None]]) -> Iterator[str]:
    for rules, names in groups.items():
        shown = ", ".join(list(names)[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        if not names:
            yield rules
        else:
            yield f"{shown}{more}: {rules or 'accel itself'}"


def _rules_of(plan: Plan, abi: Abi, number: int) -> Iterator[str]:
    """List the rules that may decide on a call, in order."""
    for index, rule in enumerate(plan.rules):
        if (abi, number) in rule.mask:
            yield f"rule {index + 1}"
            if not rule.where.all:
                return


def _answer(plan: Plan, program: bpf.Program, pc: int) -> str:
    """Say whose answer a return is, if it is a stop."""
    action = program[pc].action
    if action == bpf.Action.notify():
        return "a notification"
    if action is None or action != bpf.Action.trace(action.data):
        return ""
    rule = plan.rule_of(action.data)
    if rule is not None:
        return f"rule {rule + 1}: {rule_text(plan.rules[rule])}"
    return "accel itself: what it has to see" if plan.is_watched(action.data) else "no known ABI"
