"""The table of costs, for people and for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from accel import costs
from accel.capabilities import MECHANISMS
from accel.costs import NATIVE, CostTable, Way, microseconds
from bpf import user_cache

__all__ = ["as_json", "lines", "measured"]

#: What each combination is called: ``accel.Decision`` has a method of that name.
_NAMES: Final = (
    "inspect", "resume", "skip, inspect", "skip", "exit_only", "allow", "emulate", "nullify",
)  # fmt: skip


def measured(*, again: bool) -> CostTable:
    """Measure this host's table and keep it, unless that was done; say what goes on.

    Raise UnsupportedKernel where it cannot be measured.
    """
    table = None if again else costs.load()
    if table is not None:
        return table
    from accel.cost_measurement import measure  # noqa: PLC0415 - only for this option

    try:
        table = measure(_progress)
    finally:
        _progress("")
    if not costs.store(table):
        where = user_cache.directory() or "$HOME"
        print(f"accel: the table cannot be kept: see {where}", file=sys.stderr, flush=True)
    return table


def _progress(text: str) -> None:
    """Show what goes on, on one line, if somebody looks on."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def lines(table: CostTable) -> Iterator[str]:
    """Draw the table: a line for every combination of every mechanism."""
    native = table.ns[NATIVE]
    cells = [["mechanism", "combination", "stops", "a call", "times native"]]
    for way, ns in table.ns.items():
        times = ns / native
        ratio = f"{times:.2f}" if times < 10 else f"{times:.0f}"
        name = "" if way == NATIVE else f"{way.combination} {_NAMES[way.combination]}"
        cells.append([way.mechanism, name, _stops(way), microseconds(ns), ratio])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for mechanism, combination, *figures in cells:
        right = (cell.rjust(width) for cell, width in zip(figures, widths[2:], strict=True))
        left = (mechanism.ljust(widths[0]), combination.ljust(widths[1]))
        yield "  ".join((*left, *right))
    reasons: dict[str, list[Way]] = {}
    for way, why in table.missing.items():
        reasons.setdefault(why, []).append(way)
    for why, ways in reasons.items():
        names = ", ".join(f"{way} {way.combination}" for way in ways)
        yield f"not measured: {names}: {why}"
    yield _origin(table)


def _origin(table: CostTable) -> str:
    if table.measured_at is None:
        return "assumed, from another host; measure with: accel doctor --measure"
    when = costs.age(table.measured_at, time.time())
    loop = "the compiled loop" if table.loop == "compiled" else "the loop in Python"
    return (
        f"getppid(2), tracer and tracee on one CPU, with {loop}; measured {when}"
        " (anew: accel doctor --measure again)"
    )


def _stops(way: Way) -> str:
    known = MECHANISMS.get(way.mechanism)
    if known is None:
        return "0"
    notifications = known.notifications.get(way.combination, 0)
    return "notification" if notifications else str(known.stops.get(way.combination, "?"))


def as_json(table: CostTable) -> dict[str, Any]:
    """Describe the table: ``source`` is ``measured`` or ``assumed``, times are nanoseconds."""
    when = table.measured_at
    return {
        "source": table.source,
        "measured_at": when,
        "age_seconds": None if when is None else max(0, int(time.time()) - when),
        "loop": table.loop,
        "calls": [
            {"mechanism": way.mechanism, "combination": way.combination, "ns": round(ns, 1)}
            for way, ns in table.ns.items()
        ],
        "missing": [
            {"mechanism": way.mechanism, "combination": way.combination, "why": why}
            for way, why in table.missing.items()
        ],
    }
