"""What each combination of START, CALL and EXIT is worth, by every mechanism that offers it.

getppid(2) is answered by a constant wherever that can be: in the filter, else by the compiled loop,
else by the mechanism's Python code. A few rows have a handler instead. All tracers and tracees
share one CPU. The program measures itself; what its start costs under mechanisms that stop at every
call does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from accel import Decision, Tracer
from accel.capabilities import MECHANISMS, MechanismName
from bench.circumstances import ByLoop, Placed
from bench.figure import Bar, Figure, Panel
from bench.measure import Comparison, Contestant, Measured, Settings, Spread, compare
from bench.subjects import Library, Subject, Wrapper
from bench.tables import markdown_table
from bench.workloads import compiled, repeated

__all__ = ["DECISIONS", "Row", "answered", "handled", "placed", "rows", "run", "table"]

_CALL: Final = "getppid"
#: No getppid returns it by itself.
_VALUE: Final = 4242
_ERRNO: Final = 18
DECISIONS: Final = (
    Decision.inspect(),
    Decision.resume(),
    Decision.skip(_VALUE, inspect=True),
    Decision.skip(_VALUE),
    Decision.exit_only(),
    Decision.allow(),
    Decision.emulate(_VALUE),
    Decision.nullify(_ERRNO),
)
_FILTER: Final = "seccomp-trace"
#: What the compiled loop answers of seccomp-trace; and it answers the exit events of perf. Of the
#: others it only waits and resumes.
_PERF: Final = "exit-event:perf"
_LOOP_ANSWERS: Final = (0, 1, 2, 3)
_NOTIFY: Final = "user-notify"
#: Where a handler is called, too: each combination by what was made for it, and the oldest way.
_HANDLED: Final[Mapping[str, Sequence[int]]] = {
    _FILTER: (0, 1, 2, 3),
    _NOTIFY: (1, 3),
    "exit-event:perf": (4,),
    "sysemu": (6,),
    "ptrace-syscall": (0,),
}
_HEAD: Final = (
    "mechanism",
    "combination",
    "START CALL EXIT",
    "answered by",
    "stops a call",
    "ns a call",
    "times combination 0",
)
_CAPTION: Final = (
    f"{_CALL}(2), tracer and tracee on one CPU; combination 0 is that of {_FILTER}, answered by the"
    " compiled loop. *filter*: no stop; *loop*: machine code; *Python*: the mechanism's own code,"
    " and none of the user's; *handler*: a function of the user's for each stop. sysemu and"
    " ptrace-syscall stop at every other call of the program as well; these are the stops of this"
    " one. user-notify takes a notification, and no stop, for each call that the filter does not"
    " answer."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One combination by one mechanism."""

    mechanism: str
    combination: int
    #: Whether Python code of the user's is called.
    has_handler: bool = False

    @property
    def name(self) -> str:
        """The subject's name."""
        return f"{self.mechanism}: {self.combination}{', handler' if self.has_handler else ''}"

    @property
    def declared_stops(self) -> int:
        """The kernel stops that one call is to take."""
        return MECHANISMS[self.mechanism].stops[self.combination]

    @property
    def is_free(self) -> bool:
        """Whether it takes neither a stop nor a notification."""
        return not (
            self.declared_stops or self.combination in MECHANISMS[self.mechanism].notifications
        )

    @property
    def tier(self) -> str:
        """Who answers."""
        if self.is_free:
            return "filter" if self.mechanism in (_FILTER, _NOTIFY) else "nobody"
        if self.has_handler:
            return "handler"
        is_loops = self.mechanism == _FILTER and self.combination in _LOOP_ANSWERS
        is_loops |= self.mechanism == _PERF and self.combination == 4
        is_loops |= self.mechanism == _NOTIFY
        return "loop" if is_loops else "Python"

    @property
    def subject(self) -> Subject:
        """What runs it."""
        answer = handled if self.has_handler else answered
        return answer(self.name, self.mechanism, _CALL, DECISIONS[self.combination])


#: What all others are compared with: PTRACE_SYSCALL's combination, at selected calls only.
_BASE: Final = Row(_FILTER, 0)


def rows() -> Iterator[Row]:
    """List every combination that a mechanism offers, and some of them with a handler."""
    for mechanism, offered in MECHANISMS.items():
        yield from (Row(mechanism, combination) for combination in offered.stops)
        yield from (Row(mechanism, one, has_handler=True) for one in _HANDLED.get(mechanism, ()))


def run(name: str, settings: Settings) -> Comparison:
    """Compare the cost of one getppid under all of them; raise Missing without a C compiler."""
    with compiled("one_call") as program:
        many = repeated(program, _CALL, 100_000 if settings.quick else 1_000_000)
        few = repeated(program, _CALL, 500 if settings.quick else 10_000)
        contestants = [Contestant(Placed(Wrapper("native"), "same-cpu"), many)]
        contestants += [Contestant(row.subject, many if row.is_free else few) for row in rows()]
        comparison = compare(name, contestants, settings, "ns")
        return replace(
            comparison,
            paragraphs=(table(comparison),),
            figures=(figure(comparison),),
            tells_itself=True,
        )


def answered(name: str, mechanism: str, calls: str, decision: Decision) -> Subject:
    """Answer ``calls`` with a constant, at a stop if ``decision`` has one before the call."""
    # Of what nobody observes, the filter would answer more, without a stop.
    mask = calls if decision.start else None
    return placed(name, mechanism, lambda tracer: tracer.decide(calls, decision), mask)


def handled(name: str, mechanism: str, calls: str, decision: Decision) -> Subject:
    """Answer ``calls`` with Python functions, one for each stop that ``decision`` has."""

    def configure(tracer: Tracer) -> None:
        if decision.start:
            tracer.on_entry(calls)(lambda _stop: decision)
        else:
            tracer.decide(calls, decision)
        if decision.exit:
            tracer.on_exit(calls)(lambda _stop: None)

    return placed(name, mechanism, configure)


def placed(
    name: str, mechanism: str, configure: Callable[[Tracer], None], mask: str | None = None
) -> Subject:
    """Trace by one mechanism with the compiled loop, on the CPU where the tracee is."""
    library = Library(name, configure, "none", mask, cast("MechanismName", mechanism))
    return Placed(ByLoop(name, "numba", library), "same-cpu")


# ------------------------------------------------------------------------------- the table


def table(comparison: Comparison) -> str:
    """Tabulate what each row cost, also as a multiple of ``seccomp-trace: 0`` of the same round."""
    native, *traced = comparison.measured
    known = {row.name: row for row in rows()}
    costs = {measured.subject: measured.costs for measured in comparison.measured}
    base = costs.get(_BASE.name, ())
    lines = [["native", "", "", "", "0", *_cells(native, base)]]
    for measured in traced:
        row = known[measured.subject]
        decision = DECISIONS[row.combination]
        flags = (decision.start, decision.call, decision.exit)
        lines.append([
            row.mechanism,
            f"{row.combination}, {str(decision).partition('(')[0]}",
            " ".join("yes" if flag else "no" for flag in flags),
            row.tier,
            _stops(row, measured),
            *_cells(measured, base),
        ])  # fmt: skip
    return f"{markdown_table(_HEAD, lines)}\n\n{_CAPTION}"


def figure(comparison: Comparison) -> Figure:
    """Draw a bar for each row that could be measured, in microseconds."""
    known = {row.name: row for row in rows()}
    bars = tuple(
        Bar(
            _label(known.get(measured.subject), measured.subject),
            Spread.of([cost / 1000 for cost in measured.costs]),
            known[measured.subject].tier if measured.subject in known else "native",
        )
        for measured in comparison.measured
        if measured.costs
    )
    panel = Panel(
        f"{_CALL}(2), by who answers it", "time of one call (µs)", bars=bars, is_x_log=True
    )
    return Figure("combinations", "What each combination costs", (panel,))


def _label(row: Row | None, name: str) -> str:
    if row is None:
        return name
    decision = str(DECISIONS[row.combination]).partition("(")[0]
    handler = ", handler" if row.has_handler else ""
    return f"{row.mechanism}: {row.combination} {decision}{handler}"


def _stops(row: Row, measured: Measured) -> str:
    """Count the stops of the call alone; say so if they are not those that are declared."""
    if not measured.calls or measured.own_call_stops is None:
        return "?"
    stops = measured.own_call_stops / measured.calls
    is_declared = stops == row.declared_stops
    return f"{stops:g}" if is_declared else f"{stops:g} (declared: {row.declared_stops})"


def _cells(measured: Measured, base: Sequence[float]) -> tuple[str, str]:
    if not measured.costs:
        return f"({measured.problem})", "?"
    ratio = str(Spread.of_ratios(measured.costs, base)) if base else "?"
    return str(Spread.of(measured.costs)), ratio
