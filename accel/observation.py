"""What is observed, of a plan: the calls that are told, and what of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from accel.abi import Abi
from accel.decision import Decision
from accel.errors import SetupError
from accel.plan import Plan, Rule
from accel.records import ABIS
from accel.roles import string_arguments
from bpf.value import replace

if TYPE_CHECKING:
    from bpf.probes.observe import Wanted

__all__ = ["planned", "wanted"]

_NOTE: Final = (
    "nothing stops: what arguments point to is shown of strings alone, and of signals those that a"
    " process does not ignore"
)
#: What an observer can be asked to do with a call.
_SEES_ALL, _SEES_ENTRY, _SEES_NOTHING = Decision.inspect(), Decision.resume(), Decision.allow()
_MOST_RULES: Final = 256


def planned(draft: Plan) -> Plan:
    """Let a draft be kept by observing alone.

    Raise SetupError where that cannot be: a call that has not stopped cannot be decided on.
    """
    for rule in draft.rules:
        if rule.where:
            raise SetupError(
                f"{rule.where}: observe selects by call alone", hint="use mechanism auto"
            )
    if len(draft.rules) > _MOST_RULES:
        raise SetupError(f"observe takes {_MOST_RULES} rules", hint="use mechanism auto")
    return replace(draft, mechanism="observe", notes=(*draft.notes, _NOTE))


def wanted(plan: Plan, *, has_records: bool, has_beginnings: bool, call_flags: int) -> Wanted:
    """Say what the kernel is to tell: of each call, whether, how much, and which strings."""
    from bpf.probes.observe import NUMBERS, Wanted  # noqa: PLC0415 - few want it

    choices: dict[tuple[int, int], int] = {}
    unnamed = 0
    for index, rule in enumerate(plan.rules):
        for at, abi in enumerate(ABIS):
            for number in rule.mask.numbers(abi):
                choices.setdefault((at, number), _choice(plan, rule, index, abi, number))
        if rule.mask.holds_unnamed:
            unnamed = unnamed or _choice(plan, rule, index, ABIS[0], NUMBERS)
            for at, number in _unnamed_numbers(rule, NUMBERS):
                choices.setdefault((at, number), _choice(plan, rule, index, ABIS[at], number))
    return Wanted(choices, unnamed, has_records, has_beginnings, call_flags)


def _choice(plan: Plan, rule: Rule, index: int, abi: Abi, number: int) -> int:
    from bpf.probes.observe import ENTRY_ONLY, RULE_SHIFT, SELECTED  # noqa: PLC0415 - as above

    if rule.decision == _SEES_NOTHING:
        return 0
    chosen = index << RULE_SHIFT | SELECTED
    sees_exit = (abi, number) in plan.inspected if rule.decision is None else rule.decision.exit
    if not sees_exit:
        chosen |= ENTRY_ONLY
    return chosen | sum(1 << at for at in string_arguments(abi, abi.call_name(number)))


def _unnamed_numbers(rule: Rule, below: int) -> Iterator[tuple[int, int]]:
    """List the numbers that a complement holds, and no table has."""
    for at, abi in enumerate(ABIS):
        for number in range(below):
            if number not in abi.names and (abi, number) in rule.mask:
                yield at, number
