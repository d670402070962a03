"""What the bench says of the eight combinations, from made-up figures.

After an intended change, ``ACCEL_WRITE_GOLDEN=1 pytest tests/unit/test_bench_combinations.py``
writes the golden file anew; the difference is then part of the commit.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from accel.capabilities import MECHANISMS
from bench import combinations, copies
from bench.measure import Comparison, Measured, Settings
from bench.report import as_markdown
from bench.results import Results

GOLDEN = Path(__file__).parents[1] / "golden" / "bench-combinations.md"
CALLS = 100


def measured(row: combinations.Row, stops: int | None = None) -> Measured:
    """Make up a row that takes 5,000 ns a stop, and 10 % more in the second of two rounds."""
    stops = row.declared_stops if stops is None else stops
    cost = 5000.0 * stops + 200.0
    return Measured(row.name, costs=(cost, 1.1 * cost), calls=CALLS, own_call_stops=stops * CALLS)


def compared(*rows: Measured) -> Comparison:
    """Make up a comparison with a native run of 160 ns and 170 ns a call."""
    native = Measured("native", costs=(160.0, 170.0), calls=CALLS)
    return Comparison("combinations-getppid", ("one_call",), "ns", (native, *rows))


def line_of(text: str, *cells: str) -> str:
    """Find the line of a table that begins with some cells."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {' | '.join(cells)} |")]
    return line


def test_the_table_reads_as_its_golden_file() -> None:
    """A row for each combination of each mechanism; who is missing says why."""
    rows = [
        Measured(row.name, "bcc is not installed")
        if row.mechanism == "exit-event:ebpf"
        else measured(row)
        for row in combinations.rows()
    ]
    text = combinations.table(compared(*rows)) + "\n"
    if os.environ.get("ACCEL_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_every_combination_that_a_mechanism_offers_is_measured_once() -> None:
    """And none with a handler that is not there with a constant."""
    rows = list(combinations.rows())
    assert len({row.name for row in rows}) == len(rows)
    constants = {(row.mechanism, row.combination) for row in rows if not row.has_handler}
    offered = {(name, one) for name, offers in MECHANISMS.items() for one in offers.stops}
    assert constants == offered
    assert {(row.mechanism, row.combination) for row in rows if row.has_handler} <= offered


def test_a_row_that_stops_otherwise_than_declared_says_so() -> None:
    """A combination that costs more than its mechanism claims must not look as if it did not."""
    text = combinations.table(compared(measured(combinations.Row("seccomp-trace", 1), stops=2)))
    assert " | 2 (declared: 1) | " in line_of(text, "seccomp-trace", "1, resume")


def test_costs_are_told_as_multiples_of_combination_0_round_by_round() -> None:
    """Of the filter's, whatever mechanism the row has."""
    base, other = combinations.Row("seccomp-trace", 0), combinations.Row("sysemu", 3)
    text = combinations.table(
        compared(
            replace(measured(base), costs=(10.0, 20.0)),
            replace(measured(other), costs=(20.0, 80.0)),
        )
    )
    assert line_of(text, "sysemu", "3, skip").endswith("| 3 (2..4) |")
    assert line_of(text, "seccomp-trace", "0, inspect").endswith("| 1 (1..1) |")


def test_without_combination_0_there_is_no_ratio() -> None:
    """The costs are told all the same."""
    text = combinations.table(compared(measured(combinations.Row("sysemu", 3))))
    assert line_of(text, "sysemu", "3, skip").endswith("| 5,460 (5,200..5,720) | ? |")


# ------------------------------------------------------------------------------- copies


def copied(workload: str, **costs: tuple[float, ...]) -> Comparison:
    """Make up a copy under the subjects of one speed-up and some that are missing."""
    names = {name for one in copies.SPEED_UPS[workload] for name in (one.before, one.after)}
    first = copies.SPEED_UPS[workload][0]
    given = {first.before: costs["before"], first.after: costs["after"]}
    subjects = [
        Measured(name, costs=given[name], own_stops=1234)
        if name in given
        else Measured(name, "numba is not installed")
        for name in sorted(names)
    ]
    command = ("/usr/bin/dd", "if=/tmp/made/big", "of=copy")
    return Comparison(workload, command, "s", (Measured("native", costs=(1.0, 1.0)), *subjects))


def test_a_speed_up_is_told_round_by_round() -> None:
    """How many times as fast, with the times and the stops that it comes from."""
    text = copies.table(copied("combinations-notified", before=(3.0, 8.0), after=(2.0, 2.0)))
    assert (
        "| SKIPEXIT | seccomp-trace: 0: 5,500 ms, 1,234 stops"
        " | seccomp-trace: 1: 2,000 ms, 1,234 stops | 2.75 (1.5..4) |" in text
    )
    assert "`dd if=big of=copy`" in text


def test_a_speed_up_over_what_is_missing_is_unknown() -> None:
    """The reason is where the time would be."""
    text = copies.table(copied("combinations-virtual", before=(3.0, 8.0), after=(2.0, 2.0)))
    assert "| SKIPCALL | ptrace-syscall: 2, handler: (numba is not installed) | " in text
    assert text.count(" | ? |") == 1


def test_what_a_workload_alone_has_to_say_follows_its_tables() -> None:
    """The findings come last."""
    comparison = replace(compared(), paragraphs=("A table of its own.",))
    text = as_markdown(Results((comparison,), {}, Settings()))
    tables, own, findings = text.partition("A table of its own.\n")
    assert own
    assert "| ptrace-stops |" in tables
    assert "- standard output" in findings
