"""A comparison as one JSON object, schema 1; a member may be added without a new schema."""

from __future__ import annotations

import json
from typing import Any, Final

from accel.compare.comparison import Comparison
from accel.compare.rows import Row, Spread

__all__ = ["as_json"]

_SCHEMA: Final = 1


def as_json(comparison: Comparison) -> str:
    """Write everything; of spreads the median, and ``_low`` and ``_high`` besides."""
    report = {
        "schema": _SCHEMA,
        "command": comparison.command,
        "calls": comparison.calls,
        "runs": comparison.runs,
        "audited": comparison.is_audited,
        "environment": {
            "kernel": comparison.kernel,
            "cpus": comparison.cpus,
            "python": comparison.python,
        },
        "rows": [_row(row) for row in comparison.rows],
        "absent": [{"name": one.name, "reason": one.reason} for one in comparison.absent],
        "notes": comparison.notes,
        "faults": comparison.faults,
    }
    return json.dumps(report, indent=1)


def _row(row: Row) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name in Row.__match_args__:
        value = getattr(row, name)
        if isinstance(value, Spread):
            members[name] = value.median
            members[f"{name}_low"], members[f"{name}_high"] = value.low, value.high
        elif name == "naive":
            for one in ("overhead", "ns_per_stop", "stops"):
                members[f"{one}_of_naive"] = None if value is None else getattr(value, one)
        else:
            members[name] = value
    return members
