"""A comparison as a table for people, with what they have to know of it below."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final

from accel.compare.comparison import Comparison
from accel.compare.rows import Row, Spread
from bpf.value import frozen

__all__ = ["ns", "ratio", "seconds", "table"]

#: What nobody counted, or what means nothing.
_NOTHING: Final = "-"
_GAP: Final = "  "
_WIDTH: Final = 100
_FACTORS: Final = {"s": 1.0, "ms": 1e3, "us": 1e6}


@frozen
class _Column:
    head: str
    cell: Callable[[Row], str]
    #: Words stand to the left.
    is_text: bool = False
    #: Whether it is left out where no row has anything in it.
    is_optional: bool = False


def table(comparison: Comparison) -> str:
    """Draw the comparison; ends without a newline."""
    columns = [one for one in _COLUMNS if _is_drawn(one, comparison)]
    body = [[column.cell(row) for column in columns] for row in comparison.rows]
    heads = [column.head for column in columns]
    widths = [max(map(len, cells)) for cells in zip(heads, *body, strict=True)]

    def line(cells: list[str]) -> str:
        padded = (
            cell.ljust(width) if column.is_text else cell.rjust(width)
            for cell, width, column in zip(cells, widths, columns, strict=True)
        )
        return _GAP.join(padded).rstrip()

    lines = [*_title(comparison), "", line(heads), _GAP.join("-" * width for width in widths)]
    lines += [line(cells) for cells in body]
    footnotes = list(_footnotes(comparison))
    return "\n".join([*lines, *([""] if footnotes else []), *footnotes])


def _is_drawn(column: _Column, comparison: Comparison) -> bool:
    cells = (column.cell(row) for row in comparison.rows)
    return not column.is_optional or any(cell not in (_NOTHING, "0", "") for cell in cells)


def _title(comparison: Comparison) -> Iterator[str]:
    yield comparison.shown_command(_WIDTH)
    native = comparison.rows[0]
    calls = f"-e trace={comparison.calls}"
    if native.syscalls is not None:
        traced = [row for row in comparison.rows if row.family == "traced"]
        told = [row.selected for row in traced if row.selected is not None]
        selected = f", {max(told):,} of them selected by {calls}" if told else f"; {calls}"
        yield f"{native.syscalls:,} system calls{selected}"
    else:
        yield calls
    runs = f"median of {comparison.runs} interleaved runs" if comparison.runs > 1 else "one run"
    yield f"{runs}; Linux {comparison.kernel}, {comparison.cpus} CPUs, Python {comparison.python}"


# ------------------------------------------------------------------------------- cells


def seconds(value: float) -> str:
    """Write a time with three digits and its unit."""
    if not value:
        return "0 s"
    unit = next((unit for unit, factor in _FACTORS.items() if value * factor >= 1), "us")
    return f"{_three(value * _FACTORS[unit])} {unit}"


def ns(value: float | None) -> str:
    """Write nanoseconds as whole numbers; what is less than nothing is noise."""
    if value is None:
        return _NOTHING
    return f"{value:,.0f}" if value >= 0 else "~0"


def ratio(value: float | None) -> str:
    """Write a share as per cent, three digits; what is less than nothing is noise."""
    if value is None:
        return _NOTHING
    return f"{_three(100 * value)} %" if value >= 0 else "~0 %"


def _three(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _number(value: int | None) -> str:
    return _NOTHING if value is None else f"{value:,}"


def _wall(row: Row) -> str:
    spread = row.wall_seconds
    if spread.low == spread.high:
        return seconds(spread.median)
    number, unit = seconds(spread.median).split()
    factor = _FACTORS[unit]
    low, high = _three(spread.low * factor), _three(spread.high * factor)
    return f"{number} {unit} ({low}..{high})"


def _times(row: Row) -> str:
    """Write the time as a multiple of the native one."""
    if row.mechanism == "native":
        return "1"
    return _three(1 + row.overhead.median)


def _cpu(value: float | None) -> str:
    return _NOTHING if value is None else seconds(value)


def _of_naive(row: Row) -> float | None:
    return None if row.naive is None else row.naive.overhead


_COLUMNS: Final = (
    _Column("mechanism", lambda row: row.mechanism, is_text=True),
    _Column("decision", lambda row: row.decision, is_text=True),
    _Column("answered by", lambda row: row.tier, is_text=True),
    _Column("stops", lambda row: _number(row.stops)),
    _Column("kernel's", lambda row: _number(row.audited_stops), is_optional=True),
    _Column("notified", lambda row: _number(row.notifications), is_optional=True),
    _Column("handlers", lambda row: _number(row.handler_calls), is_optional=True),
    _Column("time", _wall),
    _Column("x native", _times),
    _Column("tracer CPU", lambda row: _cpu(row.tracer_cpu_seconds)),
    _Column("tracee CPU", lambda row: _cpu(row.tracee_cpu_seconds)),
    _Column("ns a stop", lambda row: ns(row.ns_per_stop), is_optional=True),
    _Column("of naive", lambda row: ratio(_of_naive(row)), is_optional=True),
)


# ------------------------------------------------------------------------------- below


def _footnotes(comparison: Comparison) -> Iterator[str]:
    for note in comparison.notes:
        yield from _wrapped(f"note: {note}")
    if any(row.naive is not None for row in comparison.rows):
        yield from _wrapped(
            "of naive: added time, as a share of what ptrace-syscall adds, which stops twice for"
            " every call"
        )
    yield from _wrapped(_starts(comparison))
    by_reason = sorted(comparison.absent, key=lambda one: one.reason)
    for reason, group in groupby(by_reason, key=lambda one: one.reason):
        yield from _wrapped(f"absent: {', '.join(one.name for one in group)}: {reason}")


def _starts(comparison: Comparison) -> str:
    """Say what starting takes, and in whose times it is."""
    without = [row.start_seconds for row in comparison.rows[1:] if not row.includes_start]
    texts = []
    if without:
        span = Spread.of(without)
        texts.append(
            f"accel's are without its own start ({seconds(span.low)} to {seconds(span.high)})"
        )
    including = [
        f"{row.mechanism} {seconds(row.start_seconds)}"
        for row in comparison.rows
        if row.includes_start
    ]
    if including:
        texts.append(f"those of others contain it ({', '.join(including)})")
    return f"times: {', '.join(texts)}" if texts else ""


def _wrapped(text: str) -> Iterator[str]:
    """Break a footnote between words; what follows is indented."""
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > _WIDTH:
            yield line
            line = f"  {word}"
        else:
            line = f"{line} {word}" if line else word
    if line:
        yield line
