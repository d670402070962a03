"""What the loop needs to know of a plan to judge calls itself, see ``accel.checks``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from accel.abi import Abi
from accel.checks import Candidate, Judgements, checks
from accel.decision import Answer
from accel.mask import SyscallMask
from accel.plan import Plan
from accel.records import ABIS

__all__ = ["judgements", "judgements_of_notified"]


def judgements(plan: Plan, judged: AbstractSet[int], answers: Mapping[int, Answer]) -> Judgements:
    """List, for every call that may fall under a ``judged`` rule, the rules that ``settle`` asks.

    ``answers`` are the loop's, by RET_DATA. Costs some microseconds a rule and call.
    """
    calls = {
        (abi, number): None
        for abi in ABIS
        for index in sorted(judged)
        for number in sorted(plan.rules[index].mask.numbers(abi))
    }
    candidates = ((call, tuple(_candidates(plan, min(judged), call))) for call in calls)
    return Judgements(
        frozenset(map(plan.ret_data_of, judged)), tuple(candidates), tuple(answers.items())
    )


def judgements_of_notified(plan: Plan, answers: Mapping[int, Answer]) -> Judgements:
    """List, for every call that comes by notification, the rules to ask, where any is conditional.

    A notification does not say which rule the filter found: all are asked, from the first. Blind
    spots are left out, as Python reports them.
    """
    conditional = SyscallMask.none()
    notified = SyscallMask.none()
    for rule in plan.rules:
        conditional |= rule.mask if rule.where.all else SyscallMask.none()
        notified |= rule.mask if rule.by_notify else SyscallMask.none()
    calls = (conditional & notified) - plan.watched
    candidates = ((call, tuple(_candidates(plan, 0, call))) for call in calls)
    return Judgements(frozenset(), tuple(candidates), tuple(answers.items()))


def _candidates(plan: Plan, first: int, call: tuple[Abi, int]) -> Iterator[Candidate]:
    abi, number = call
    for index in range(first, len(plan.rules)):
        rule = plan.rules[index]
        if call not in rule.mask:
            continue
        if rule.where.all and rule.mask.holds_unnamed and number not in abi.names:
            continue  # Such numbers have no arguments to judge: Rule.judge.
        yield Candidate(plan.ret_data_of(index), checks(rule.where.all, abi, number))
        if not rule.where.all:
            return
