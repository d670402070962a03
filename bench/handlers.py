"""Who answers a stop, and what he looks at: from a filter, which needs none, to decoded text.

The call is stat(2) of "/", whose first argument points to a string; each tracer sees each call
once, before it runs, on the CPU of its tracee.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from accel import Decision, Tracer, path
from accel.records import Batch
from accel.stops import SyscallEntryStop
from bench.circumstances import Placed
from bench.combinations import placed
from bench.figure import Bar, Figure, Panel
from bench.measure import Comparison, Contestant, Measured, Settings, Takes, compare
from bench.spread import Spread
from bench.subjects import SIGN, Wrapper
from bench.tables import markdown_table
from bench.workloads import compiled, mixed

__all__ = ["TIERS", "Tier", "run"]

_CALL: Final = "stat"
_PATH: Final = b"/"
_RESUME: Final = Decision.resume()
_FAIL: Final = Decision.fail(SIGN)
_ONE_STOP: Final = Takes(stops=1)
_NOTIFIED: Final = Takes(notifications=1)
_UNSEEN: Final = Takes(is_seen=False)


@dataclass(frozen=True, slots=True)
class Tier:
    """Who answers, with what."""

    name: str
    #: filter, loop, jit or Python: figures have a colour for each.
    tier: str
    configure: Callable[[Tracer], None]
    takes: Takes = _ONE_STOP
    answers: bool = False
    #: Whether the Tracer's own mask selects the call.
    is_observed: bool = False
    mechanism: str = "seccomp-trace"


def run(name: str, settings: Settings) -> Comparison:
    """Compare the cost of one call under each tier; raise Missing without a C compiler."""
    with compiled("mixed_calls") as program:
        many = mixed(program, _CALL, 100, 20_000 if settings.quick else 200_000)
        few = mixed(program, _CALL, 100, 500 if settings.quick else 10_000)
        contestants = [Contestant(Placed(Wrapper("native"), "same-cpu"), many)]
        contestants += [
            Contestant(
                placed(one.name, one.mechanism, one.configure, _CALL if one.is_observed else None),
                few if one.takes.is_seen else many,
                takes=one.takes,
                answers=one.answers,
            )
            for one in _available()
        ]
        comparison = compare(name, contestants, settings, "ns")
    text = sentences(comparison)
    return replace(
        comparison,
        paragraphs=(f"{table(comparison)}\n\n{_CAPTION}", text),
        figures=(figure(comparison, text),),
        tells_itself=True,
    )


# ------------------------------------------------------------------------------- the tiers


class _Nowhere:
    """A sink that lets records go."""

    def write(self, _batch: Batch) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _count(tracer: Tracer) -> None:
    """Look at nothing: the loop counts."""
    del tracer


def _record(tracer: Tracer) -> None:
    """Keep arguments and path of each call, and let them go later."""
    tracer.record(_Nowhere(), exits=False)


def _constant(decision: Decision) -> Callable[[Tracer], None]:
    return lambda tracer: tracer.decide(_CALL, decision)


def _judge(tracer: Tracer) -> None:
    """Let the loop read the path: it is another one."""
    tracer.decide(_CALL, _FAIL, where=path.within("/secret"))


def _python(look: Callable[[SyscallEntryStop], object]) -> Callable[[Tracer], None]:
    """Let Python look, and decide by what it sees."""

    def answer(stop: SyscallEntryStop) -> Decision:
        return _FAIL if look(stop) is None else _RESUME

    def configure(tracer: Tracer) -> None:
        tracer.on_entry(_CALL)(answer)

    return configure


def _jit_nothing(tracer: Tracer) -> None:
    from accel import jit  # noqa: PLC0415 - it imports numba

    def resume(_call: jit.JitCall, _state: object) -> tuple[int, int]:
        return jit.RESUME, 0

    tracer.on_entry(_CALL, jit=True)(resume)  # type: ignore[type-var]


def _jit_argument(tracer: Tracer) -> None:
    from accel import jit  # noqa: PLC0415 - as above

    def resume(call: jit.JitCall, _state: object) -> tuple[int, int]:
        return (jit.RESUME, 0) if call.arguments[0] else (jit.SKIP, -SIGN)

    tracer.on_entry(_CALL, jit=True)(resume)  # type: ignore[type-var]


def _jit_memory(tracer: Tracer) -> None:
    from accel import jit  # noqa: PLC0415 - as above

    def resume(call: jit.JitCall, _state: object) -> tuple[int, int]:
        if jit.equals(call, call.arguments[0], _PATH):
            return jit.RESUME, 0
        return jit.SKIP, -SIGN

    tracer.on_entry(_CALL, jit=True)(resume)  # type: ignore[type-var]


TIERS: Final = (
    Tier("filter: not selected", "filter", lambda tracer: tracer.decide("socket", _FAIL), _UNSEEN),
    Tier("filter: an error", "filter", _constant(_FAIL), _UNSEEN, answers=True),
    Tier("observe: no stop", "eBPF", _count, Takes(), is_observed=True, mechanism="observe"),
    Tier(
        "notification: let it run",
        "loop",
        _constant(_RESUME),
        _NOTIFIED,
        is_observed=True,
        mechanism="user-notify",
    ),
    Tier(
        "notification: an error",
        "loop",
        _constant(_FAIL),
        _NOTIFIED,
        answers=True,
        is_observed=True,
        mechanism="user-notify",
    ),
    Tier("loop: count", "loop", _count, is_observed=True),
    Tier("loop: let it run", "loop", _constant(_RESUME), is_observed=True),
    Tier("loop: skip, an error", "loop", _constant(_FAIL), answers=True, is_observed=True),
    Tier("loop: record, with the path", "loop", _record, is_observed=True),
    Tier("loop: a condition on the path", "loop", _judge),
    Tier("jit function: reads nothing", "jit", _jit_nothing),
    Tier("jit function: an argument", "jit", _jit_argument),
    Tier("jit function: the path", "jit", _jit_memory),
    Tier(
        "Python handler: notification",
        "Python",
        _python(lambda _stop: True),
        _NOTIFIED,
        mechanism="user-notify",
    ),
    Tier("Python handler: reads nothing", "Python", _python(lambda _stop: True)),
    Tier("Python handler: an argument", "Python", _python(lambda stop: stop.args[0])),
    Tier(
        "Python handler: the path", "Python", _python(lambda stop: stop.read_string(stop.args[0]))
    ),
    Tier("Python handler: decoded text", "Python", _python(str)),
)


def _available() -> Iterator[Tier]:
    """Leave out compiled functions where there is no compiler, which is numba."""
    for one in TIERS:
        if one.tier != "jit" or importlib.util.find_spec("numba"):
            yield one


# ------------------------------------------------------------------------------- findings

_CAPTION: Final = (
    f'{_CALL}(2) of "/", tracer and tracee on one CPU, at most one stop or notification a call.'
    " *added*: what it costs more than natively."
)


def table(comparison: Comparison) -> str:
    """Tabulate what each tier costs and adds."""
    native = comparison.measured[0]
    lines = [["native", "0", "0", str(Spread.of(native.costs)), ""]]
    for measured in comparison.measured[1:]:
        if not measured.costs:
            lines.append([measured.subject, "?", "?", f"({measured.problem})", ""])
            continue
        added = Spread.of(_added(measured, native))
        lines.append(
            [measured.subject, *_taken(measured), str(Spread.of(measured.costs)), str(added)]
        )
    return markdown_table(
        ("who answers", "stops a call", "notifications", "ns a call", "added"), lines
    )


def _taken(measured: Measured) -> tuple[str, str]:
    """Tell the stops and the notifications of a call."""
    counted = measured.counted
    if counted is None or counted.stops is None or counted.notifications is None:
        return "?", "?"
    return f"{counted.stops / counted.made:g}", f"{counted.notifications / counted.made:g}"


def sentences(comparison: Comparison) -> str:
    """Say what Python costs, by what a stop costs that needs none."""
    found = {measured.subject: measured for measured in comparison.measured if measured.costs}
    named = ("loop: let it run", "jit function: the path", *(one.name for one in TIERS[-4:]))
    if any(name not in found for name in named):
        return "Not every tier could be measured."
    native = comparison.measured[0]
    loop, jit, nothing, _argument, string, text = (
        Spread.of(_added(found[name], native)).median for name in named
    )
    return (
        f"A stop that the loop answers adds {loop / 1000:.1f} µs to a call, and a compiled"
        f" function that reads the path {jit / 1000:.1f} µs; a handler in Python adds"
        f" {nothing / 1000:.1f} µs before it looks at anything, {string / 1000:.1f} µs if it reads"
        f" the path, and {text / 1000:.1f} µs if it makes a line of text as strace does."
    )


def figure(comparison: Comparison, caption: str) -> Figure:
    """Draw a bar for each tier."""
    tiers = {one.name: one.tier for one in TIERS}
    bars = tuple(
        Bar(
            measured.subject,
            Spread.of([cost / 1000 for cost in measured.costs]),
            tiers.get(measured.subject, "native"),
        )
        for measured in comparison.measured
        if measured.costs
    )
    panel = Panel(
        "one call of stat, at most one stop or notification", "time of one call (µs)", bars=bars
    )
    panel = replace(panel, is_x_log=True)
    return Figure("handlers", "Who answers a stop, and what he reads", (panel,), caption)


def _added(measured: Measured, native: Measured) -> list[float]:
    return [cost - base for cost, base in zip(measured.costs, native.costs, strict=True)]
