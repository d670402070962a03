"""How a comparison is written: a table for people, JSON for programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

from accel.compare import Comparison, Progress, Relative, Row, Spread, as_json, table
from accel.compare.subjects import NATIVE, Absent
from tests.unit.comparing import NAIVE

GOLDEN = Path(__file__).parents[1] / "golden"


def row(mechanism: str, decision: str, tier: str, wall: float, **members: object) -> Row:
    """A row of a command that takes a tenth of a second."""
    given = {
        "family": "traced", "syscalls": 12_848, "selected": 889, "stops": None,
        "audited_stops": None, "notifications": None, "handler_calls": None,
        "tracer_cpu_seconds": 0.01, "tracee_cpu_seconds": 0.0, "ns_per_stop": None, "naive": None,
        "start_seconds": 0.15, "includes_start": False,
    } | members  # fmt: skip
    return Row(
        mechanism=mechanism, decision=decision, tier=tier,
        wall_seconds=Spread(wall, 0.9 * wall, 1.1 * wall),
        overhead=Spread(10 * wall - 1, 9 * wall - 1, 11 * wall - 1), **given,
    )  # type: ignore[arg-type]  # fmt: skip


COMPARISON = Comparison(
    ("find", "/usr", "-name", "a b"), "openat", 3, True,
    (
        row("native", "", "", 0.1, selected=None, audited_stops=0, tracer_cpu_seconds=None,
            tracee_cpu_seconds=0.09),
        row("ptrace-syscall", "inspect()", "mechanism", 1.6, stops=25_698, audited_stops=25_698,
            notifications=0, handler_calls=0, tracer_cpu_seconds=0.8, tracee_cpu_seconds=0.2,
            ns_per_stop=58_370.4, naive=Relative(1.0, 1.0, 1.0)),
        row("seccomp-trace", "resume()", "handler", 0.15, stops=891, audited_stops=890,
            notifications=0, handler_calls=889, naive=Relative(0.0333, None, 0.0347)),
        row("seccomp-trace", "resume()", "loop", 0.0995, stops=891, audited_stops=891,
            notifications=0, handler_calls=0, naive=Relative(-0.0003, None, 0.0347)),
        row("strace", "lines", "", 0.9, audited_stops=25_709, start_seconds=0.01,
            includes_start=True, naive=Relative(0.5333, 0.5, 1.0)),
    ),
    absent=(
        Absent("bpftrace", "bpftrace is not installed"),
        Absent("sysemu", "a reason of so many words that they do not stand on one line, which is"
               " what every footnote ought to do"),
        Absent("exit-event:ebpf exit_only()", "eBPF programs need root; run as root"),
        Absent("observe", "eBPF programs need root; run as root"),
    ),
    notes=("the command ends with exit status 1, also natively",),
    faults=("seccomp-trace resume(), handler: run 1: the kernel counted 890 stops",),
    kernel="6.18", cpus=2, python="3.11.7",
)  # fmt: skip


def test_the_table_is_as_expected() -> None:
    """Counts apart, times with their spread, and below what one has to know of them."""
    assert table(COMPARISON) == (GOLDEN / "compare.txt").read_text().rstrip("\n")


def test_a_column_without_anything_in_it_is_left_out() -> None:
    """Nobody audited, nothing was notified, and no tracer was naive."""
    plain = Comparison(("true",), "all", 1, False, (row("native", "", "", 0.1, syscalls=None),))
    head = next(line for line in table(plain).splitlines() if line.startswith("mechanism"))
    assert head.split() == "mechanism decision answered by stops time x native".split() + (
        "tracer CPU tracee CPU".split()
    )


def test_json_has_schema_1_and_every_member() -> None:
    """Flat rows: a spread is its median, with low and high besides."""
    read = json.loads(as_json(COMPARISON))
    assert read["schema"] == 1
    assert read["command"] == ["find", "/usr", "-name", "a b"]
    assert read["environment"] == {"kernel": "6.18", "cpus": 2, "python": "3.11.7"}
    assert len(read["rows"]) == 5
    handled = read["rows"][2]
    required = (
        "mechanism", "decision", "syscalls", "stops", "audited_stops", "notifications",
        "handler_calls", "wall_seconds", "overhead",
    )  # fmt: skip
    assert [handled[name] for name in required] == [
        "seccomp-trace", "resume()", 12_848, 891, 890, 0, 889, 0.15, 0.5,
    ]  # fmt: skip
    assert handled["wall_seconds_low"] < 0.15 < handled["wall_seconds_high"]
    assert handled["overhead_of_naive"] == 0.0333
    assert read["rows"][0]["overhead_of_naive"] is None
    assert {tuple(row) for row in read["rows"]} == {tuple(handled)}, "all have the same members"
    assert read["absent"][0] == {"name": "bpftrace", "reason": "bpftrace is not installed"}
    assert read["faults"] == list(COMPARISON.faults)


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal_and_nowhere_else() -> None:
    """One line that is drawn anew, and that is gone at the end."""
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file, None):
        progress = Progress(stream)
        progress.begins(NATIVE, 0, 4)
        progress.begins(NAIVE, 2, 4)
        progress.clear()
    assert file.getvalue() == ""
    frames = terminal.getvalue().split("\r\033[K")
    assert frames[1] == f"[{'-' * 24}] 0/4 native"
    assert frames[2].startswith(f"[{'#' * 12}{'-' * 12}] 2/4 ptrace-syscall inspect() (about ")
    assert frames[-1] == ""
