"""Real programs under each tracer: their time and their stops, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bench.figure import Dot, Figure, Panel
from bench.measure import Comparison, Measured
from bench.registry import WORKLOADS
from bench.spread import Spread

__all__ = ["PROGRAMS", "programs_figure"]

#: ``true`` does nothing: its ratio says only how long a tracer takes to start.
PROGRAMS: Final = tuple(
    name for name, module in WORKLOADS.items() if module == "bench.real_programs" and name != "true"
)


def programs_figure(comparisons: Sequence[Comparison]) -> Figure | None:
    """Draw those programs that were measured; None if none was."""
    programs = [one for one in comparisons if one.workload in PROGRAMS]
    if not programs:
        return None
    times = tuple(
        Dot(row, measured.subject, measured.ratio)
        for row, measured in _traced(programs)
        if measured.ratio is not None
    )
    stops = tuple(
        Dot(row, measured.subject, Spread.of([measured.kernel_stops]))
        for row, measured in _traced(programs)
        if measured.kernel_stops
    )
    panels = [Panel("time, native = 1", "times the native run", dots=times, is_x_log=True)]
    if stops:
        panels.append(
            Panel("ptrace-stops, counted by the kernel", "stops", dots=stops, is_x_log=True)
        )
    return Figure("programs", "Real programs, openat selected", tuple(panels), _caption(programs))


def _traced(programs: Sequence[Comparison]) -> Iterator[tuple[str, Measured]]:
    for comparison in programs:
        for measured in comparison.measured[1:]:
            yield comparison.workload, measured


def _caption(programs: Sequence[Comparison]) -> str:
    """Tell between which programs a tracer's cost lies."""
    told = []
    for subject in dict.fromkeys(measured.subject for _row, measured in _traced(programs)):
        ratios = {
            row: measured.ratio.median
            for row, measured in _traced(programs)
            if measured.subject == subject and measured.ratio
        }
        if ratios:
            least, most = (
                min(ratios, key=lambda row: ratios[row]),
                max(ratios, key=ratios.__getitem__),
            )
            told.append(f"{subject} {ratios[least]:.3g} ({least}) to {ratios[most]:.3g} ({most})")
    return f"Times the native run of real programs, of which openat is selected: {', '.join(told)}."
