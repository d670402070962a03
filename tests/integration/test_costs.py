"""``accel doctor --measure`` where it really measures: figures that are sane, and kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accel import Decision, Tracer
from accel._kernel.caller import REPORT_SIZE, program, read_report
from accel.capabilities import MECHANISMS
from accel.costs import ASSUMED, NATIVE, CostTable, Way, store
from accel.mechanisms import loop_cache
from accel.mechanisms.perf_exit_events import PerfExitEvents
from accel.stops import Stop, SyscallExitStop
from bpf.value import replace
from tests.support import require

ROOT = Path(__file__).parents[2]
DOCTOR = [sys.executable, "-m", "accel", "doctor"]
CALL = "sched_get_priority_max"
TWICE, PERF = Way("seccomp-trace", 4), Way("exit-event:perf", 4)


def doctor(cache: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run accel doctor with a cache of its own."""
    return subprocess.run(
        [*DOCTOR, *words], capture_output=True, text=True, check=False, cwd=ROOT, timeout=120,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
    )  # fmt: skip


def told(cache: Path, *words: str) -> dict[str, Any]:
    """Read what doctor says to programs of costs."""
    done = doctor(cache, "--json", *words)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)["costs"]
    return found


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("ACCEL_COSTS")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Measure once, into a cache of its own: the cache, and what was printed."""
    cache = tmp_path_factory.mktemp("cache")
    compiled = loop_cache.path()
    if os.path.exists(compiled):
        # The machine code of the loop is no part of what is tested here: it takes long to compile.
        (cache / "accel").mkdir()
        shutil.copy(compiled, cache / "accel")
    done = doctor(cache, "--measure")
    assert (done.returncode, done.stderr) == (0, "")
    return cache, done.stdout


def test_every_combination_is_measured_and_shown(measured: tuple[Path, str]) -> None:
    """Or it is said why not; nothing is left out."""
    cache, printed = measured
    found = told(cache)
    known = {(one["mechanism"], one["combination"]) for one in found["calls"] + found["missing"]}
    offered = {(name, at) for name, one in MECHANISMS.items() for at in one.stops}
    assert known == offered | {("native", 5)}
    for name in ("native", *MECHANISMS):
        assert f"\n{name} " in printed
    assert printed.splitlines()[-1].startswith("getppid(2), tracer and tracee on one CPU")


def test_figures_are_sane(measured: tuple[Path, str]) -> None:
    """A filter costs less than a stop, one stop less than two.

    What else a host does disturbs a measurement of some seconds: one of three is to be right.
    """
    wrong = _wrong(told(measured[0]))
    for _ in range(2):
        if wrong:
            wrong = _wrong(told(measured[0], "--measure", "again"))
    assert not wrong


def _wrong(table: dict[str, Any]) -> list[str]:
    found = {f"{one['mechanism']} {one['combination']}": one["ns"] for one in table["calls"]}
    one_stop = found["seccomp-trace 1"]
    expected = [(way, one_stop / 4) for way in ("native 5", "seccomp-trace 5", "seccomp-trace 7")]
    expected += [
        ("seccomp-trace 1", found["seccomp-trace 0"]),
        ("seccomp-trace 3", found["seccomp-trace 2"]),
        ("seccomp-trace 0", found["ptrace-syscall 0"]),
        ("exit-event:perf 4", found["seccomp-trace 4"]),
        ("exit-event:perf 5", one_stop / 4),
    ]
    return [
        f"{way}: {found[way]}, not below {limit}"
        for way, limit in expected
        if way in found and found[way] >= limit
    ]


def test_the_second_time_nothing_is_measured(measured: tuple[Path, str]) -> None:
    """The table is that of the first time, to the last digit; only the age differs."""
    cache, _printed = measured
    printed = doctor(cache, "--measure").stdout
    kept = {file.name: file.read_bytes() for file in (cache / "accel").glob("costs-*")}
    assert len(kept) == 1
    again = doctor(cache, "--measure").stdout
    assert again.splitlines()[:-1] == printed.splitlines()[:-1]
    assert told(cache, "--measure") | {"age_seconds": 0} == told(cache) | {"age_seconds": 0}
    assert {file.name: file.read_bytes() for file in (cache / "accel").glob("costs-*")} == kept
    plain = doctor(cache).stdout
    assert "costs" in plain
    assert "measured" in plain


def test_without_a_table_doctor_says_what_to_type(tmp_path: Path) -> None:
    """And what is assumed; it measures nothing unasked."""
    found = told(tmp_path)
    assert (found["source"], found["measured_at"]) == ("assumed", None)
    assert len(found["calls"]) == len(ASSUMED.ns)
    assert "-> type: accel doctor --measure" in doctor(tmp_path).stdout
    assert not list(tmp_path.iterdir())


def test_a_table_that_cannot_be_kept_is_shown_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says where it was to go."""
    from accel.command_line import cost_table  # noqa: PLC0415 - not public

    table = CostTable({NATIVE: 167.0}, 1)
    monkeypatch.setattr("accel.cost_measurement.measure", lambda _progress: table)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    assert cost_table.measured(again=False) is table
    assert "the table cannot be kept: see /proc/accel" in capsys.readouterr().err


# ------------------------------------------------------------------------------- choosing


def exits(script: str, mask: str) -> tuple[list[str], Tracer]:
    """Run a program; return the exits that were told, and its Tracer."""
    seen: list[str] = []

    def note(stop: Stop) -> None:
        if isinstance(stop, SyscallExitStop):
            seen.append(f"{stop.name}{stop.call.arguments[:1]} {stop.result}")

    tracer = Tracer([sys.executable, "-c", f"import os\n{script}"])
    tracer.decide(mask, Decision.exit_only())
    tracer.observe(note)
    assert tracer.run(timeout=60).returncode == 0
    return seen, tracer


@pytest.mark.parametrize(
    ("figures", "mechanism", "stops"),
    [((1000, 2000), "exit-event:perf", 5), ((2000, 1000), "", 10)],
    ids=["perf is cheaper", "two stops are cheaper"],
)
def test_what_was_measured_chooses_and_nothing_else_changes(
    figures: tuple[int, int],
    mechanism: str,
    stops: int,
) -> None:
    """The same exits are told, by one stop each or by two; the plan says why."""
    require(PerfExitEvents([]), "perf events stop calls at their exit")
    assert store(
        replace(
            ASSUMED,
            measured_at=1,
            ns={**ASSUMED.ns, **dict(zip((PERF, TWICE), figures, strict=True))},
        )
    )
    script = "for _ in range(5): os.sched_get_priority_max(3)"
    seen, tracer = exits(script, "sched_get_priority_max")
    assert seen == ["sched_get_priority_max(3,) 0"] * 5
    assert tracer.plan.exit_event == mechanism
    assert tracer.statistics().calls["sched_get_priority_max"].stops == stops
    assert f"{min(figures) / 1000:.1f} µs a call" in str(tracer.plan)
    assert "(measured)" in str(tracer.plan)
    assert not tracer.plan.notes


@pytest.mark.parametrize(
    ("mask", "times", "mechanism"),
    [("all", 10, "ptrace-syscall"), ("all", 1, "exit-event"), (CALL, 10, "exit-event")],
    ids=["all, and events are dear", "all, and events are not", "some"],
)
def test_a_process_stops_at_every_call_where_all_are_selected_and_that_is_cheaper(
    mask: str, times: int, mechanism: str
) -> None:
    """The same exits are told of a process that is attached to; with a mask of some, by events."""
    dear = {way: ns * times for way, ns in ASSUMED.ns.items() if "event" in way.mechanism}
    assert store(replace(ASSUMED, measured_at=1, ns={**ASSUMED.ns, **dear}))
    script = f"import os; print(flush=True); os.read(0, 1); [os.{CALL}(3) for _ in range(5)]"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        seen: list[int | None] = []

        def note(stop: Stop) -> None:
            if isinstance(stop, SyscallExitStop) and stop.name == CALL:
                seen.append(stop.result)

        tracer = Tracer(pid=process.pid)
        tracer.decide(mask, Decision.exit_only())
        tracer.observe(note)
        assert tracer.plan.mechanism == mechanism
        tracer.start()
        process.stdin.write(b"!")
        process.stdin.flush()
        tracer.wait(60)
        tracer.close()
    assert seen == [0] * 5


def test_the_program_that_is_measured_makes_the_calls_it_says() -> None:
    """So many of getppid, each of them counted; and it reports to standard output."""
    with program(321) as path:
        tracer = Tracer([path], mask="getppid", capture_output=True)
        done = tracer.run(timeout=60)
    assert done.returncode == 0
    assert tracer.statistics().calls["getppid"].calls == 321
    assert done.stdout is not None
    assert len(done.stdout) == REPORT_SIZE
    assert read_report(done.stdout, 321) > 0
