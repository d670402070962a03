"""A plan as a table: who answers the calls of each rule, at which cost, and why not cheaper."""

from __future__ import annotations

import json
from typing import Any, Final

from accel.capabilities import capabilities
from accel.plan import Plan, Rule
from bpf.value import frozen

__all__ = ["Row", "as_json", "rows", "table"]

_HEAD: Final = ("rule", "decision", "tier", "mechanism", "stops", "why")
#: A mask of many calls is not written out.
_WIDEST: Final = 48
#: The version of the JSON form; a member may be added without a new one.
_SCHEMA: Final = 1


@frozen
class Row:
    """What is planned for the calls of one rule."""

    rule: str
    decision: str
    #: Who answers: ``kernel``, ``loop`` (compiled, no Python) or ``handler`` (Python).
    tier: str
    #: ``filter`` answers in the kernel; the others are those of ``accel.capabilities``.
    mechanism: str
    #: Kernel stops for each call, at least and at most: a handler may want to see a result, or not.
    stops: tuple[int, int]
    #: User notifications for each call.
    notifications: int
    #: Why no lower tier answers; "" if there is none.
    why: str


def rows(plan: Plan, *, widest: int | None = _WIDEST) -> list[Row]:
    """Describe every rule, in the order in which they are tried; cut masks after ``widest``."""
    return [_Planned(plan, index).row(widest) for index in range(len(plan.rules))]


def table(plan: Plan) -> str:
    """Draw the rows, and what could not be had as it was asked for."""
    cells = [_HEAD]
    cells += [
        (row.rule, row.decision, row.tier, row.mechanism, _cost(row), row.why) for row in rows(plan)
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in plan.notes)])


def as_json(plan: Plan) -> str:
    """Write the rows as one JSON object, schema 1; masks are whole, ``stops`` is the most."""
    described: list[dict[str, Any]] = [
        {
            "rule": row.rule,
            "decision": row.decision,
            "tier": row.tier,
            "mechanism": row.mechanism,
            "stops": row.stops[1],
            "least_stops": row.stops[0],
            "notifications": row.notifications,
            "why": row.why,
        }
        for row in rows(plan, widest=None)
    ]
    return json.dumps({"schema": _SCHEMA, "rules": described, "notes": list(plan.notes)}, indent=1)


def _cost(row: Row) -> str:
    """Write what a call takes: kernel stops, or a notification and no stop."""
    if row.notifications:
        return f"0, {row.notifications} notification"
    least, most = row.stops
    if least == most:
        return str(least)
    return f"{least} or {most}" if most == least + 1 else f"{least} to {most}"


class _Planned:
    """One rule in its plan."""

    def __init__(self, plan: Plan, index: int) -> None:
        self._plan = plan
        self._rule = plan.rules[index]
        self._python = plan.python[index] if plan.python else ""
        inspected = self._rule.mask & plan.inspected
        self._some_inspected = bool(inspected)
        self._all_inspected = bool(inspected) and not self._rule.mask - inspected

    def row(self, widest: int | None) -> Row:
        """Describe it."""
        plan, rule = self._plan, self._rule
        decision = "handler" if rule.handler is not None else str(_answer(rule))
        text = rule_text(rule, widest)
        if plan.has_filter and rule.action is not None and not rule.by_event:
            return Row(text, decision, "kernel", "filter", (0, 0), 0, "")
        if plan.mechanism == "observe":
            return Row(text, decision, "kernel", "observe", (0, 0), 0, "")
        return Row(
            text,
            decision,
            "handler" if self._python else "loop",
            self._mechanism,
            self._stops(),
            int(rule.by_notify),
            "; ".join(filter(None, (self._why_not_kernel(), self._python))),
        )

    @property
    def _mechanism(self) -> str:
        if self._rule.by_notify:
            return "user-notify"
        return self._plan.exit_event if self._rule.by_event else self._plan.mechanism

    def _stops(self) -> tuple[int, int]:
        rule = self._rule
        if rule.by_notify:
            return 0, 0
        if rule.by_event:
            return 1, 1
        stops = capabilities(self._plan.mechanism).stops
        if rule.decision is not None:
            only = stops[rule.decision.combination]
            # What is judged at a stop has had one, whatever it is answered with.
            only = max(only, 1) if rule.judged else only
            return only, only
        least, most = stops.get(1, 1), stops.get(0, 1)
        if rule.handler is not None:
            # It may answer with skip() as well as with inspect().
            return min(least, stops.get(3, least)), most
        return (most if self._all_inspected else least), (most if self._some_inspected else least)

    def _why_not_kernel(self) -> str:
        rule, decision = self._rule, self._rule.decision
        if rule.judged or rule.handler is not None:
            return rule.judged or "a handler decides"
        if rule.action is not None and not rule.by_event:
            return f"{self._plan.mechanism} installs no filter"
        if decision is not None and decision.exit:
            name = str(decision).partition("(")[0]
            why = f"{name}() needs a{' stop' if name == 'emulate' else 'n exit-stop'}"
            if rule.by_event and rule.where.all and self._plan.exit_event == "exit-event:perf":
                why += "; perf events do not compare arguments"
            return f"{why}; {rule.chosen}" if rule.chosen else why
        if decision is not None and not decision.call and decision.constant_errno is None:
            injects = decision.injected is not None
            return "no filter has files" if injects else "the value is not from -4095 to 0"
        return f"its arguments{' and results' * self._some_inspected} are observed"


def _answer(rule: Rule) -> object:
    if rule.enforced is not None:
        return rule.enforced
    return rule.decision or "observe"


def rule_text(rule: Rule, widest: int | None = _WIDEST) -> str:
    """Write which calls a rule is for; cut the mask after ``widest`` characters."""
    mask = str(rule.mask)
    if widest is not None and len(mask) > widest:
        mask = f"{mask[: widest - 3]}..."
    return f"{mask} where {rule.where}" if rule.where else mask
