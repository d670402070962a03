"""One comparison at many places: a series for each subject, and what one call costs at each place.

All places are measured in the same rounds, so that what else the machine does disturbs all alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.figure import Curve
from bench.measure import Comparison, Contestant, Measured, Settings, compare
from bench.spread import Spread
from bench.tables import markdown_table

__all__ = ["Place", "Swept", "key", "sweep", "under_settings"]

#: What costs are told in, in nanoseconds: calls without stops in ns, all others in µs.
SCALES: Final = {"ns": 1.0, "µs": 1000.0}


@dataclass(frozen=True, slots=True)
class Place:
    """A series at one place of its sweep; the contestant's name is ``key(series, at)``."""

    series: str
    at: float
    contestant: Contestant


def key(series: str, at: float) -> str:
    """Name a subject after its series and its place."""
    return f"{series} @ {at:g}"


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep measured, by series and place."""

    comparison: Comparison
    _by_key: Mapping[str, Measured]
    _places: Sequence[tuple[str, float]]

    @classmethod
    def of(cls, comparison: Comparison, places: Iterable[Place]) -> Swept:
        """Find the places in a comparison that has them, and perhaps others."""
        by_key = {measured.subject: measured for measured in comparison.measured}
        return cls(comparison, by_key, [(place.series, place.at) for place in places])

    @property
    def series(self) -> tuple[str, ...]:
        """The series, in the order of their first places."""
        return tuple(dict.fromkeys(series for series, _at in self._places))

    def places(self, series: str) -> tuple[float, ...]:
        """Where a series has costs, in ascending order."""
        ats = sorted(at for each, at in self._places if each == series)
        return tuple(at for at in ats if self.costs(series, at))

    def costs(self, series: str, at: float) -> tuple[float, ...]:
        """List the nanoseconds of one call, round by round; empty if the subject could not run."""
        measured = self._by_key.get(key(series, at))
        return measured.costs if measured else ()

    def problem(self, series: str) -> str:
        """Say why a series lacks places; empty if it has all."""
        problems = [
            self._by_key[key(each, at)].problem for each, at in self._places if each == series
        ]
        return next(filter(None, problems), "")

    def told(self, series: str, at: float, scale: str = "µs") -> Spread:
        """Sum up the costs of a place that has some, in a unit of SCALES."""
        return Spread.of([cost / SCALES[scale] for cost in self.costs(series, at)])

    def curve(
        self, series: str, scale: str = "µs", *, group: str = "", is_dashed: bool = False
    ) -> Curve:
        """Draw the costs of a series, in a unit of SCALES."""
        places = self.places(series)
        spreads = tuple(self.told(series, at, scale) for at in places)
        return Curve(series, places, spreads, is_dashed, group)

    def table(
        self, head: str, unit: str = "", series: Sequence[str] = (), scale: str = "µs"
    ) -> str:
        """Tabulate costs: a row for each place, a column for each series."""
        shown = tuple(series) or self.series
        ats = sorted({at for each, at in self._places if each in shown})
        rows = [[f"{at:g}{unit}", *(self._cell(each, at, scale) for each in shown)] for at in ats]
        table = markdown_table([head, *shown], rows)
        problems = [f"{each}: {self.problem(each)}" for each in shown if self.problem(each)]
        return "\n\n".join([table, "; ".join(problems)] if problems else [table])

    def _cell(self, series: str, at: float, scale: str) -> str:
        return str(self.told(series, at, scale)) if self.costs(series, at) else ""


def sweep(
    workload: str, native: Contestant, places: Sequence[Place], settings: Settings
) -> Comparison:
    """Compare all places with one native run; raise Missing if there is none."""
    return compare(workload, [native, *(place.contestant for place in places)], settings, "ns")


def under_settings(
    settings: Settings, full: Sequence[float], quick: Sequence[float]
) -> Sequence[float]:
    """Choose the places: few for a trial."""
    return quick if settings.quick else full
