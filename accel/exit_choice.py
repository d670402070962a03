"""Which exit_only() rules stop by exit events, and which twice, as without exit events.

Both tell the same. With an exit event the kernel compares the result, so that other calls do not
stop at all: a condition on results asks for one. Otherwise the costs of a call that stops decide;
one exit event is one stop, but eBPF makes it cost more than two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

from accel.costs import CostTable, Ranking, Way, current, rank
from accel.decision import Decision
from accel.mask import SyscallMask
from accel.plan import EXECUTING, Plan, Rule
from bpf.value import frozen, replace

__all__ = ["Candidate", "candidates"]

_EXIT_ONLY: Final = Decision.exit_only()
_COMBINATION: Final = 4
#: Where no costs are compared, what is there at once comes first: eBPF may have to be compiled.
_EVENTS: Final = tuple(Way(f"exit-event:{source}", _COMBINATION) for source in ("perf", "ebpf"))

#: What keeps a rule; None: it is no matter of exit events.
_Wish: TypeAlias = Literal["event", "cheapest"] | None


@frozen
class Candidate:
    """A plan, and the source of exit events that it needs: ``perf``, ``ebpf``, or "" for none."""

    plan: Plan
    source: str = ""


def candidates(
    plan: Plan, *, attaches: bool, costs: Callable[[], CostTable] = current
) -> Iterator[Candidate]:
    """Make the plans that are to be tried, best first; the last needs no exit events.

    Who takes one has found that the sources of those before it cannot be had. ``costs`` is asked
    only if costs decide. Of a process that is attached to, all rules are exit_only().
    """
    wishes = _of_process(plan.rules) if attaches else _of_command(plan.rules)
    twice = Way(plan.mechanism, _COMBINATION)
    ranking = rank((*_EVENTS, twice), costs()) if "cheapest" in wishes else None
    for way in _EVENTS if ranking is None else ranking.ways:
        takes: set[_Wish] = {"event"}
        if ranking is not None and way in ranking.before(twice):
            takes.add("cheapest")
        if way not in _EVENTS or takes.isdisjoint(wishes):
            continue
        rules: list[Rule] = []
        for rule, wish in zip(plan.rules, wishes, strict=True):
            if wish in takes:
                rules += _by_event(_explained(rule, wish, ranking, way), attaches=attaches)
            else:
                rules.append(_explained(rule, wish, ranking, twice))
        mechanism = "exit-event" if attaches else plan.mechanism
        source = way.mechanism.partition(":")[2]
        yield Candidate(replace(plan, rules=tuple(rules), mechanism=mechanism), source)
    stopping_twice = (
        _explained(rule, wish, ranking, twice)
        for rule, wish in zip(plan.rules, wishes, strict=True)
    )
    yield Candidate(replace(plan, rules=tuple(stopping_twice)))


def _of_command(rules: Sequence[Rule]) -> list[_Wish]:
    """Tell what keeps each rule where a filter is installed."""
    wishes: list[_Wish] = []
    looked_at = SyscallMask.none()
    for at, rule in enumerate(rules):
        looked_at |= rule.mask if rule.where.reads_memory else SyscallMask.none()
        if rule.decision != _EXIT_ONLY or rule.mask & looked_at:
            # What arguments point to is looked at before the call, or never.
            wishes.append(None)
        elif rule.where.results or any(
            other.decision == _EXIT_ONLY and other.mask & rule.mask
            for other in (*rules[:at], *rules[at + 1 :])
        ):
            # Rules that share calls are kept by the same, so that no call stops for one by an event
            # and for the other without.
            wishes.append("event")
        else:
            wishes.append("cheapest")
    return wishes


def _of_process(rules: Sequence[Rule]) -> list[_Wish]:
    """Tell what keeps the rules where every call stops that does not stop by an event.

    That can be as cheap only if every call is to stop.
    """
    left = SyscallMask.all()
    for rule in rules:
        left -= SyscallMask.none() if rule.where else rule.mask
    is_all = not left and not left.holds_unnamed
    return ["cheapest" if is_all else "event" for _rule in rules]


def _by_event(rule: Rule, *, attaches: bool) -> Iterator[Rule]:
    """Let a rule stop by exit events, but for what has no arguments left at its exit."""
    executing = SyscallMask.parse(",".join(EXECUTING))
    rest = rule
    if not attaches and rule.where.tells(0):
        # Of an execve that succeeds nothing is left to tell at its exit but the result.
        rest = replace(rule, mask=rule.mask - executing)
        if rest != rule:
            seen = rule.decision if rule.where.results else Decision.inspect()
            yield replace(rule, mask=rule.mask & executing, decision=seen, chosen="")
    if rest.mask:
        yield replace(rest, by_event=True)


def _explained(rule: Rule, wish: _Wish, ranking: Ranking | None, chosen: Way) -> Rule:
    """Say of a rule why it is kept so, where there was a choice."""
    if wish == "cheapest" and ranking is not None:
        return replace(rule, chosen=ranking.why(chosen))
    return rule
