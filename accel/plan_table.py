"""A plan as a table: what becomes of the calls of each rule, by which mechanism, at which cost."""

from __future__ import annotations

from typing import Final

from accel.capabilities import capabilities
from accel.plan import Plan, Rule
from bpf.value import frozen

__all__ = ["Row", "rows", "table"]

_HEAD: Final = ("rule", "decision", "mechanism", "stops")
#: A mask of many calls is not written out.
_WIDEST: Final = 48


@frozen
class Row:
    """What is planned for the calls of one rule."""

    rule: str
    decision: str
    #: ``filter`` answers in the kernel; the others are those of ``accel.capabilities``.
    mechanism: str
    #: Kernel stops for each call: a number, or two where it depends on who looks at results.
    stops: str


def rows(plan: Plan) -> list[Row]:
    """Describe every rule, in the order in which they are tried."""
    return [_row(plan, rule) for rule in plan.rules]


def table(plan: Plan) -> str:
    """Draw the rows, and what could not be had as it was asked for."""
    cells = [_HEAD]
    cells += [(row.rule, row.decision, row.mechanism, row.stops) for row in rows(plan)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in plan.notes)])


def _row(plan: Plan, rule: Rule) -> Row:
    decision = "handler" if rule.handler is not None else str(rule.decision or "observe")
    has_filter = plan.mechanism == "seccomp-trace"
    if rule.by_event:
        return Row(_condition(rule), decision, plan.exit_event, "1")
    if has_filter and rule.action is not None:
        return Row(_condition(rule), decision, "filter", "0")
    stops = capabilities(plan.mechanism).stops
    if rule.decision is None:
        # resume, or inspect if somebody wants to see the result.
        least, most = stops.get(1, 1), stops.get(0, 1)
        return Row(_condition(rule), decision, plan.mechanism, _range(least, most))
    return Row(_condition(rule), decision, plan.mechanism, str(stops[rule.decision.combination]))


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} or {most}"


def _condition(rule: Rule) -> str:
    mask = str(rule.mask)
    if len(mask) > _WIDEST:
        mask = f"{mask[: _WIDEST - 3]}..."
    return f"{mask} where {rule.where}" if rule.where else mask
