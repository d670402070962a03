"""What a call costs by each mechanism: measured on this host, or else assumed.

``accel doctor --measure`` measures, in ``accel.cost_measurement``, and the table is kept in
``bpf.user_cache`` as ``costs-KEY.json``: KEY is that of the kernel's release, the processor's
model, and of this format. No run measures: it takes seconds. Without a table of this host the one
of README.md is assumed. ``ACCEL_COSTS=assumed`` takes that in any case, so that plans are the same
on every host; ``auto`` is the default.

The figures decide between ways that give the same results, and only by their ratios, which differ
far less from host to host than the times do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args

from accel.errors import SetupError
from bpf import user_cache
from bpf.value import frozen

__all__ = [
    "ASSUMED", "NATIVE", "CostTable", "Loop", "Ranking", "Way", "age", "current", "file_name",
    "load", "microseconds", "rank", "store",
]  # fmt: skip

_VARIABLE: Final = "ACCEL_COSTS"
_WISHES: Final = ("auto", "assumed")
#: Of the file; tables of another are not read.
_SCHEMA: Final = 1
#: A way must be so much cheaper than the one before it to be preferred: what is measured varies.
_CLEARLY_CHEAPER: Final = 0.9
#: No call takes a second; this also leaves NaN and infinity out.
_LONGEST_NS: Final = 1e9

#: Which loop answered while it was measured: the compiled one, or its twin in Python.
Loop: TypeAlias = Literal["compiled", "python"]


@frozen
class Way:
    """How a call is answered: a mechanism of ``accel.capabilities``, and one of its combinations.

    Combination 5 stands for calls that are not selected, too. ``NATIVE`` is no mechanism's.
    """

    mechanism: str
    combination: int

    def __str__(self) -> str:
        return self.mechanism


#: A call that nobody traces.
NATIVE: Final = Way("native", 5)


@frozen
class CostTable:
    """Nanoseconds of a call of getppid(2) by each way, tracer and tracee on one CPU."""

    ns: Mapping[Way, float]
    #: Seconds since the epoch; None: these are of another host.
    measured_at: int | None = None
    loop: Loop = "compiled"
    #: Ways that this host does not have, and why.
    missing: Mapping[Way, str] = MappingProxyType({})

    @property
    def source(self) -> str:
        """Where the figures are from: ``measured`` on this host, or ``assumed``."""
        return "assumed" if self.measured_at is None else "measured"


def _readme() -> Mapping[Way, float]:
    """Write the table of README.md: multiples of combination 0, by seccomp-trace."""
    inspect_ns = 13_700
    multiples = {
        "seccomp-trace": (1, 0.53, 1.17, 0.71, 2.0, 0.016, 1.4, 0.012),
        "exit-event:perf": (None, None, None, None, 0.81, 0.015, None, None),
        "exit-event:ebpf": (None, None, None, None, 2.6, 0.029, None, None),
        "sysemu": (4.3, 3.3, None, 1.5, None, None, 1.5, None),
        "ptrace-syscall": (2.1, 1.9, 2.3, 2.2, 2.1, 1.9, 2.3, 2.3),
    }
    return {NATIVE: 167.0} | {
        Way(mechanism, combination): multiple * inspect_ns
        for mechanism, row in multiples.items()
        for combination, multiple in enumerate(row)
        if multiple is not None
    }


#: Of ``python -m bench combinations`` on a quiet 2-CPU KVM guest, Linux 6.18; see README.md.
ASSUMED: Final = CostTable(MappingProxyType(_readme()))


# ------------------------------------------------------------------------------- comparing


@frozen
class Ranking:
    """Ways in the order in which to try them, and what they cost."""

    ways: tuple[Way, ...]
    table: CostTable

    def before(self, last: Way) -> tuple[Way, ...]:
        """List the ways that are better than ``last``."""
        return self.ways[: self.ways.index(last)]

    def why(self, chosen: Way) -> str:
        """Say what a call costs by the chosen way, and by those behind it."""
        ns = self.table.ns
        behind = self.ways[self.ways.index(chosen) + 1 :]
        others = "".join(f", {way} {microseconds(ns[way])}" for way in behind)
        return f"{microseconds(ns[chosen])} a call{others} ({self.table.source})"


def rank(ways: Sequence[Way], table: CostTable) -> Ranking:
    """Order ways by their cost; one that is not clearly cheaper stays behind those before it.

    If one was not measured, what is assumed decides on all: figures of two hosts are not compared.
    Raise KeyError for a way of which nothing is known.
    """
    table = table if all(way in table.ns for way in ways) else ASSUMED
    left, found = list(ways), []
    while left:
        best = left[0]
        for way in left[1:]:
            if table.ns[way] < _CLEARLY_CHEAPER * table.ns[best]:
                best = way
        left.remove(best)
        found.append(best)
    return Ranking(tuple(found), table)


def microseconds(ns: float) -> str:
    """Write a time: two digits, or a whole number: 0.17, 9.4, 14, 118."""
    value = ns / 1000
    digits = 2 if value < 1 else 1 if value < 10 else 0
    return f"{value:.{digits}f} µs"


def age(measured_at: int, now: float) -> str:
    """Say how long ago that was."""
    seconds = now - measured_at
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length)
        if count > 0:
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "just now"


# ------------------------------------------------------------------------------- keeping


def current() -> CostTable:
    """Return this host's table, or the one that is assumed.

    Raise SetupError for an ACCEL_COSTS that is not known. Cost: some 2 ms, or 0.1 without a table.
    """
    wish = os.environ.get(_VARIABLE, "auto")
    if wish not in _WISHES:
        raise SetupError(f"{_VARIABLE} is {wish!r}", hint=f"use {' or '.join(_WISHES)}")
    return ASSUMED if wish == "assumed" else load() or ASSUMED


def load() -> CostTable | None:
    """Read this host's table; None if it was not measured, or the file cannot be trusted."""
    content = user_cache.take(file_name())
    if content is None:
        return None
    import json  # noqa: PLC0415 - few plans have a choice to make, and fewer hosts a table

    try:
        return _parse(json.loads(content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def store(table: CostTable) -> bool:
    """Keep a measured table for later processes; False where nothing can be written."""
    import json  # noqa: PLC0415 - only for who has measured

    release, processor = _host()
    kept = {
        "schema": _SCHEMA,
        "kernel": release,
        "processor": processor,
        "measured_at": table.measured_at,
        "loop": table.loop,
        "ns": _listed(table.ns),
        "missing": _listed(table.missing),
    }
    return user_cache.keep(file_name(), json.dumps(kept, indent=1).encode())


def file_name() -> str:
    """Name the file of this host's table."""
    key = "\n".join((str(_SCHEMA), *_host())).encode()
    return user_cache.named("costs", after=key) + ".json"


def _host() -> tuple[str, str]:
    """Tell the kernel's release and the processor's model."""
    model = ""
    try:
        # The file describes every processor: the first will do, and more takes long to write.
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            lines = file.read(2048).decode("ascii", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return os.uname().release, model


def _listed(values: Mapping[Way, Any]) -> list[list[Any]]:
    return [[way.mechanism, way.combination, value] for way, value in values.items()]


def _parse(kept: Mapping[str, Any]) -> CostTable | None:
    """Read what ``store`` wrote; None, or any of Python's errors, for something else."""
    ns = {Way(str(name), int(at)): float(value) for name, at, value in kept["ns"]}
    measured_at, loop = kept["measured_at"], kept["loop"]
    is_whole = (
        kept["schema"] == _SCHEMA
        and (kept["kernel"], kept["processor"]) == _host()
        and isinstance(measured_at, int)
        and loop in get_args(Loop)
        and NATIVE in ns
        and all(0 < value < _LONGEST_NS for value in ns.values())
    )
    if not is_whole:
        return None
    missing = {Way(str(name), int(at)): str(why) for name, at, why in kept["missing"]}
    return CostTable(MappingProxyType(ns), measured_at, loop, MappingProxyType(missing))
