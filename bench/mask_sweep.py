"""Where a filter stops paying: a program of which from 0 to 100 % of the calls are selected.

A filter stops selected calls only; PTRACE_SYSCALL stops all of them, twice. Each way is measured in
C, in accel and in strace, on one CPU with its tracee, and does the same at the calls it selects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from accel import Decision
from bench.circumstances import Placed
from bench.combinations import answered, placed
from bench.crossover import Crossing, crossings
from bench.figure import Curve, Figure, Mark, Panel
from bench.measure import Comparison, Contestant, Settings, Takes
from bench.spread import Spread
from bench.subjects import Subject, Task, Wrapper, strace
from bench.sweep import Place, Swept, key, sweep, under_settings
from bench.workloads import compiled, mixed

__all__ = ["run"]

_CALL: Final = "getpgid"
_NUMBER: Final = "121"
_SHARES: Final = (0, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100)
_QUICK_SHARES: Final = (0, 10, 50, 100)


@dataclass(frozen=True, slots=True)
class _Pair:
    """The same tracer with a filter and without."""

    tracer: str
    filtered: str
    unfiltered: str


_FILTER: Final = "seccomp-trace"
_ONCE: Final = "accel: filter, 1 stop"
_NOTIFIED: Final = "accel: 1 notification"
_OBSERVED: Final = "accel: observe, no stop"
_PAIRS: Final = (
    _Pair("a loop in C", "C loop: filter, 2 stops", "C loop: PTRACE_SYSCALL"),
    _Pair("accel", "accel: filter, 2 stops", "accel: PTRACE_SYSCALL"),
    _Pair("strace", "strace --seccomp-bpf", "strace"),
)
#: Those that are told in the figure; strace's line would be far above them.
_DRAWN: Final = _PAIRS[:2]
_ACCEL: Final = _PAIRS[1]


def run(name: str, settings: Settings) -> Comparison:
    """Compare the cost of one call at each share; raise Missing without a C compiler."""
    shares = under_settings(settings, _SHARES, _QUICK_SHARES)
    with compiled("mixed_calls") as program, compiled("reference_loop") as reference:
        native = Contestant(Placed(Wrapper("native"), "same-cpu"), _native(program, settings))
        places = list(_places(program, reference, shares, settings))
        comparison = sweep(name, native, places, settings)
    swept = Swept.of(comparison, places)
    text = sentences(swept)
    return replace(
        comparison,
        paragraphs=(f"{swept.table('selected', ' %')}\n\n{_CAPTION}", text),
        figures=(figure(swept, text),),
        tells_itself=True,
    )


_CAPTION: Final = (
    f"Microseconds of one call of a program of which that share of the calls is selected"
    f" ({_CALL}(2)), and all others are not (getsid(2)); tracer and tracee on one CPU."
)


def _native(program: str, settings: Settings) -> Task:
    return mixed(program, _CALL, 50, 100_000 if settings.quick else 1_000_000)


def _places(
    program: str, reference: str, shares: Sequence[float], settings: Settings
) -> Iterator[Place]:
    for share in shares:
        for series, subject, takes in _subjects(reference, share):
            is_filtered = "PTRACE_SYSCALL" not in series and series != "strace"
            task = mixed(program, _CALL, int(share), _calls(share, settings, is_filtered))
            on_one_cpu = subject if isinstance(subject, Placed) else Placed(subject, "same-cpu")
            yield Place(series, share, Contestant(on_one_cpu, task, takes=takes))


def _calls(share: float, settings: Settings, is_filtered: bool) -> int:
    """Make as many calls as take as long: few if all of them stop, more if few do."""
    stopping = 2_500 if settings.quick else 5_000
    return min(40 * stopping, int(100 * stopping / max(share, 1))) if is_filtered else stopping


def _subjects(reference: str, share: float) -> Iterator[tuple[str, Subject, Takes | None]]:
    """List the series, what runs them, and what accel promises to take for a selected call."""
    c, accel, other = _PAIRS

    def wrapped(series: str, *words: str) -> tuple[str, Subject, None]:
        return series, Wrapper(key(series, share), words), None

    def by_accel(
        series: str, mechanism: str, decision: Decision, takes: Takes
    ) -> tuple[str, Subject, Takes]:
        return series, answered(key(series, share), mechanism, _CALL, decision), takes

    yield wrapped(c.filtered, reference, "both", _NUMBER)
    yield wrapped(c.unfiltered, reference, "syscall", _NUMBER)
    yield by_accel(_ONCE, _FILTER, Decision.resume(), Takes(stops=1))
    yield by_accel(accel.filtered, _FILTER, Decision.inspect(), Takes(stops=2))
    yield by_accel(accel.unfiltered, "ptrace-syscall", Decision.inspect(), Takes(stops=2))
    yield by_accel(_NOTIFIED, "user-notify", Decision.resume(), Takes(notifications=1))
    observing = placed(key(_OBSERVED, share), "observe", lambda _tracer: None, _CALL)
    yield _OBSERVED, observing, Takes()
    yield other.filtered, strace(key(other.filtered, share), _CALL, "--seccomp-bpf"), None
    yield other.unfiltered, strace(key(other.unfiltered, share), _CALL), None


# ------------------------------------------------------------------------------- findings


def sentences(swept: Swept) -> str:
    """Say where a filter stops paying, from what was measured, and why."""
    found = {pair.tracer: _crossing(swept, pair) for pair in _PAIRS}
    told = [f"for {tracer} {crossing.describe()}" for tracer, crossing in found.items() if crossing]
    if not told:
        return "No pair of tracers could be measured."
    where = f"Taking the same two stops at a selected call, a filter pays {'; '.join(told)}."
    return f"{where} {_why(swept)}".rstrip()


def _crossing(swept: Swept, pair: _Pair) -> Crossing | None:
    return crossings(
        [
            (at, swept.costs(pair.filtered, at), swept.costs(pair.unfiltered, at))
            for at in swept.places(pair.filtered)
            if swept.costs(pair.unfiltered, at)
        ]
    )


def _why(swept: Swept) -> str:
    """Explain it by what an unselected call costs without a filter, and one stop at all."""
    none, both = swept.costs(_ACCEL.unfiltered, 0), swept.costs(_ACCEL.filtered, 0)
    once, twice = swept.costs(_ONCE, 100), swept.costs(_ACCEL.unfiltered, 100)
    if not (none and both and once and twice):
        return ""
    ratio = Spread.of_ratios(once, twice)
    return (
        "What it saves is the two stops of every call that is not selected"
        f" ({_microseconds(both)} µs instead of {_microseconds(none)} in accel), so it saves"
        " nothing where there are none of those; but a filter also lets the exit-stop be left out,"
        " and with one stop even a program whose every call is selected takes"
        f" {ratio.median:.2f} times what PTRACE_SYSCALL takes."
    )


def _microseconds(costs: Sequence[float]) -> str:
    return f"{Spread.of(costs).median / 1000:.3g}"


def figure(swept: Swept, caption: str) -> Figure:
    """Draw costs by share: as they are, where lines cross, and by powers of ten, where few stop."""
    curves: list[Curve] = []
    for pair in _DRAWN:
        for series in (pair.filtered, pair.unfiltered):
            is_dashed = series == pair.unfiltered
            curves.append(swept.curve(series, group=pair.tracer, is_dashed=is_dashed))
    curves += [swept.curve(series) for series in (_ONCE, _NOTIFIED, _OBSERVED)]
    curves = [curve for curve in curves if curve.x]
    few = tuple(_positive(curve) for curve in curves)
    native = Spread.of(swept.comparison.measured[0].costs).median / 1000
    x_label, y_label = "share of calls that are selected (%)", "time of one call (µs)"
    left = Panel(
        "where the filter stops paying", x_label, y_label, tuple(curves), marks=_marks(swept)
    )
    right = Panel(
        f"few selected calls (untraced: {native:.2f} µs)", x_label, y_label, few,
        is_x_log=True, is_y_log=True, x_ticks=(1, 2, 5, 10, 20, 50, 100),
    )  # fmt: skip
    return Figure("mask-sweep", "A filter stops selected calls only", (left, right), caption)


def _marks(swept: Swept) -> tuple[Mark, ...]:
    marks = []
    for pair in _DRAWN:
        crossing = _crossing(swept, pair)
        if crossing and crossing.at:
            marks.append(Mark(crossing.at.median, f"{pair.tracer}: {crossing.at.median:.0f} %"))
    return tuple(marks)


def _positive(curve: Curve) -> Curve:
    """Leave out what a logarithmic axis cannot show."""
    kept = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if x > 0]
    return replace(curve, x=tuple(x for x, _ in kept), y=tuple(y for _, y in kept))
