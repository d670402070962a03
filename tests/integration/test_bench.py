"""``python -m bench``: its first workloads run, their output is equal, their stops are counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accel import Decision, Tracer
from bench.audit import AuditUnavailable, KernelStopCount
from bench.workloads import compiled
from tests.integration.conftest import WholeBench
from tests.support import require, require_program

ROOT = Path(__file__).parents[2]


def bench(directory: Path, *words: str) -> tuple[dict[str, Any], str]:
    """Run the bench; return its JSON report and its Markdown."""
    file = directory / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--json", str(file), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(file.read_text())
    assert done.returncode == bool(report["broken_promises"])
    return report, done.stdout


def measured(report: dict[str, Any], workload: str, subject: str) -> dict[str, Any]:
    """Find what one subject took in one workload."""
    comparison = next(entry for entry in report["comparisons"] if entry["workload"] == workload)
    found: dict[str, Any] = next(
        entry for entry in comparison["measured"] if entry["subject"] == subject
    )
    return found


@pytest.fixture
def quick(whole_bench: WholeBench) -> tuple[dict[str, Any], str]:
    """All workloads, one short round each."""
    return whole_bench.report, whole_bench.text


def test_every_workload_ends_as_natively_under_every_subject(
    quick: tuple[dict[str, Any], str],
) -> None:
    """Output, produced files and exit status are equal, and nothing is missing."""
    report, _text = quick
    everything = [entry for each in report["comparisons"] for entry in each["measured"]]
    assert report["missing"] == {}
    # eBPF may be missing; the tests of combinations and of sweeps say so. Peers need not be there.
    may_miss = ("exit-event", "observe", "sandlock", "python-ptrace")
    problems = [entry["subject"] for entry in everything if entry["problem"]]
    assert [one for one in problems if not any(name in one for name in may_miss)] == []
    # Counts and output, that is: how fast it is one short round does not tell.
    broken = report["broken_promises"]
    assert [text for text in broken if "more than the promised" not in text] == []


def test_starting_is_timed_next_to_what_any_tracer_in_python_pays(
    quick: tuple[dict[str, Any], str],
) -> None:
    """An import has no stop; the trace of a program that makes no selected call has some."""
    report, text = quick
    for subject in ("import ctypes", "import accel"):
        assert measured(report, "startup", subject)["costs"]
        assert f"{subject} " in text.partition("Start-up, by itself")[2]
    assert measured(report, "startup", "accel trace -e trace=%network true")["costs"]


def test_only_selected_calls_stop(quick: tuple[dict[str, Any], str]) -> None:
    """SKIPEXIT: one stop a call; an exit-stop: two; answered in the filter: none."""
    report, _text = quick
    subjects = {"answered in the filter": 0, "SKIPEXIT": 1, "exit-stop": 2}
    for name, stops in subjects.items():
        entry = measured(report, "one-call", f"accel library, {name}")
        assert entry["own_call_stops"] == stops * entry["calls"], name


def test_the_kernel_counts_the_same_stops(quick: tuple[dict[str, Any], str]) -> None:
    """Of every run whose tracer tells its count, in all workloads."""
    try:
        with KernelStopCount():
            pass
    except AuditUnavailable as error:
        require(condition=False, reason=str(error))
    report, text = quick
    told = [
        (entry["kernel_stops"], entry["own_stops"])
        for each in report["comparisons"]
        for entry in each["measured"]
        if entry["own_stops"] is not None
    ]
    # The library in one-call, unselected-*, the real programs, trees and parallel; and in sweeps.
    assert len(told) > 4 + 2 + 8 + 2 + 1
    assert all(kernel == own for kernel, own in told)
    assert f"own count is the same in {len(told)} of {len(told)}" in text


def test_the_filter_takes_fewer_stops_than_a_trace_of_everything(
    quick: tuple[dict[str, Any], str],
) -> None:
    """strace without --seccomp-bpf stops at every call of the same programs."""
    report, _text = quick
    for workload in ("find", "gcc", "python", "tar", "git", "sqlite3", "make"):
        ours = measured(report, workload, "accel library, SKIPEXIT")["own_stops"]
        everything = measured(report, workload, "strace")["kernel_stops"]
        require(everything is not None, "the kernel's count is not to be had")
        assert 0 < 2 * ours < everything, workload


@pytest.mark.parametrize(
    ("workload", "base"), [("unselected-stat", "native"), ("unselected-getppid", "a filter")]
)
def test_an_unselected_call_costs_at_most_a_tenth_more(
    tmp_path: Path, workload: str, base: str
) -> None:
    """An ordinary call, of the native one; the cheapest one, of what any filter makes it cost.

    What else runs on the machine can only make the ratio worse: the best of five tries counts.
    """
    require_program("cc")
    texts = []
    for _try in range(5):
        report, text = bench(tmp_path, "--rounds", "2", workload)
        entry = measured(report, workload, "accel")
        assert entry["limit"]["of"].startswith(base)
        assert entry["limit"]["times"] == 1.1
        if entry["limited"]["median"] <= 1.1:
            return
        texts.append(text)
    pytest.fail("\n".join(texts))


@pytest.mark.parametrize(("turns", "wrong"), [(0, 0), (1, 4 * 64)])
def test_notify_threads_counts_wrong_answers(turns: int, wrong: int, tmp_path: Path) -> None:
    """A constant is right where nothing is to be computed."""
    require_program("cc")
    with compiled("notify_threads", "-pthread") as program:
        command = (program, "4", "64", str(turns), str(tmp_path / "report"))
        tracer = Tracer(command, mechanism="user-notify", capture_output=True)
        tracer.decide("getppid", Decision.skip(4242))
        assert tracer.run(timeout=60).stdout == b"%d wrong\n" % wrong
