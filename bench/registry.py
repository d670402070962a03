"""Which workloads there are, by name, and which groups of them have a name of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["ALL", "GROUPS", "MODULES", "WORKLOADS", "expand"]

#: {workload: the module whose ``run(name, settings)`` compares it}
WORKLOADS: Final = {
    "one-call": "bench.one_call",
    "one-stat": "bench.one_call",
    "unselected-getppid": "bench.unselected",
    "unselected-stat": "bench.unselected",
    "true": "bench.real_programs",
    "find": "bench.real_programs",
    "gcc": "bench.real_programs",
    "python": "bench.real_programs",
    "tar": "bench.real_programs",
    "git": "bench.real_programs",
    "sqlite3": "bench.real_programs",
    "make": "bench.real_programs",
    "startup": "bench.startup",
    "trees": "bench.trees",
    "parallel": "bench.parallel",
}
#: Workloads that are run by name only: {group: {workload: its module}}
GROUPS: Final = {
    "record": {"record": "bench.record"},
    "memory": {"memory": "bench.memory"},
    "loop": {
        f"loop-{answer}-{where}": "bench.loop"
        for where in ("same-cpu", "other-cpu", "free")
        for answer in ("count", "observe", "skipexit", "skipcall", "both")
    },
    "notify": {
        "notify-skip": "bench.notify",
        "notify-continue": "bench.notify",
        "notify-threads": "bench.notify_threads",
    },
    "combinations": {
        "combinations-getppid": "bench.combinations",
        "combinations-notified": "bench.copies",
        "combinations-virtual": "bench.copies",
    },
    "sweeps": {
        "mask-sweep": "bench.mask_sweep",
        "filter-sweep": "bench.filter_sweep",
        "handlers": "bench.handlers",
        "tracees": "bench.tracees",
    },
}
MODULES: Final = WORKLOADS | {name: group[name] for group in GROUPS.values() for name in group}
#: The group that is kept, with a report: what a user may ask of tracing, and no more.
ALL: Final = "all"


def expand(names: Sequence[str]) -> tuple[str, ...]:
    """Replace groups by their workloads, each once; none mean the first ones. Raise KeyError."""
    groups = {name: tuple(group) for name, group in GROUPS.items()}
    kept = ("combinations", "sweeps", "memory", "notify")
    groups[ALL] = (*(one for name in kept for one in groups[name]), *WORKLOADS)
    workloads = [one for name in names for one in groups.get(name, (name,))]
    unknown = [name for name in workloads if name not in MODULES]
    if unknown:
        raise KeyError(unknown[0])
    return tuple(dict.fromkeys(workloads)) or tuple(WORKLOADS)
