"""``python -m bench all``: its sweeps count and are counted, and its report can be made anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench.report import as_json
from bench.results import read
from tests.integration.conftest import ROOT, WholeBench
from tests.integration.test_bench import measured
from tests.support import require

SWEEPS = ("mask-sweep", "filter-sweep", "handlers", "tracees")
FIGURES = {*SWEEPS, "combinations", "programs"}


def report_on(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m bench report``."""
    return subprocess.run(
        [sys.executable, "-m", "bench", "report", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def entries(bench: WholeBench, workload: str) -> list[dict[str, Any]]:
    """List what all subjects of a workload took."""
    (found,) = [one for one in bench.report["comparisons"] if one["workload"] == workload]
    listed: list[dict[str, Any]] = found["measured"]
    return listed


# ------------------------------------------------------------------------------- counts


@pytest.mark.parametrize("workload", SWEEPS)
def test_program_tracer_and_kernel_count_the_same(whole_bench: WholeBench, workload: str) -> None:
    """The program its calls, the tracer calls and stops, the kernel stops."""
    subjects = entries(whole_bench, workload)
    observing = [one for one in subjects if "observe" in one["subject"]]
    for one in observing:
        require(not one["problem"], one["problem"])
    assert [one for one in subjects if one["miscount"] or one["problem"]] == []
    assert all(one["counted"]["made"] >= 0 for one in subjects)
    by_accel = [one for one in subjects if one["own_stops"] is not None]
    assert len(by_accel) > 5
    for one in by_accel:
        require(one["kernel_stops"] is not None, "the kernel's count is not to be had")
        assert one["kernel_stops"] == one["own_stops"], one["subject"]


def test_a_filter_stops_the_share_that_is_selected(whole_bench: WholeBench) -> None:
    """One stop or two at each of those, and none at any other."""
    for series, stops in (("accel: filter, 1 stop", 1), ("accel: filter, 2 stops", 2)):
        for share in (0, 10, 50, 100):
            one = measured(whole_bench.report, "mask-sweep", f"{series} @ {share}")
            assert one["counted"]["made"] == share * one["calls"] / 100
            assert one["own_call_stops"] == stops * one["counted"]["made"]


def test_ptrace_syscall_stops_at_every_call_whatever_is_selected(whole_bench: WholeBench) -> None:
    """Twice; by accel, by strace, and by the loop in C."""
    for series in ("accel: PTRACE_SYSCALL", "strace", "C loop: PTRACE_SYSCALL"):
        for share in (0, 100):
            one = measured(whole_bench.report, "mask-sweep", f"{series} @ {share}")
            require(one["kernel_stops"] is not None, "the kernel's count is not to be had")
            start = one["kernel_stops"] - 2 * one["calls"]
            assert 0 < start < 300, series


def test_the_filter_answers_whatever_its_size(whole_bench: WholeBench) -> None:
    """All calls of the program, with no stop; under a stack of filters, too."""
    for series in ("answered by the filter", "answered, by its argument"):
        for size in (1, 20, 370):
            one = measured(whole_bench.report, "filter-sweep", f"{series} @ {size}")
            assert one["counted"]["answered"] == one["calls"]
            assert one["counted"]["stops"] == 0
    one = measured(whole_bench.report, "filter-sweep", "stack: answered by the filter @ 16")
    assert one["counted"]["answered"] == one["calls"]


def test_all_calls_of_sixty_four_tracees_are_seen(whole_bench: WholeBench) -> None:
    """Processes and threads."""
    for kind in ("processes", "threads"):
        one = measured(whole_bench.report, "tracees", f"{kind}: accel's loop @ 64")
        assert one["counted"] == {
            "made": one["calls"], "answered": 0, "seen": one["calls"], "stops": one["calls"],
            "notifications": 0,
        }  # fmt: skip


# ------------------------------------------------------------------------------- the report


def test_results_are_read_back_as_they_were(whole_bench: WholeBench) -> None:
    """To the last digit."""
    assert as_json(read(whole_bench.file)) == whole_bench.file.read_text(encoding="utf-8")


def test_the_report_has_every_figure(whole_bench: WholeBench) -> None:
    """The Markdown as a link, the page within itself."""
    page = whole_bench.file.with_suffix(".html").read_text(encoding="utf-8")
    directory = whole_bench.file.with_suffix("")
    assert {path.stem for path in directory.iterdir()} == FIGURES
    for name in FIGURES:
        ET.parse(directory / f"{name}.svg")
        assert f"]({directory.name}/{name}.svg)" in whole_bench.text
    assert page.count("data:image/svg+xml;base64,") == len(FIGURES)
    assert "a filter pays" in whole_bench.text.partition("## In short")[2].partition("##")[0]


def test_a_figure_is_drawn_anew_from_the_results(whole_bench: WholeBench, tmp_path: Path) -> None:
    """The same file each time: it can be committed."""
    drawn = tmp_path / "figure.svg"
    done = report_on(str(whole_bench.file), "--figure", "mask-sweep", str(drawn))
    assert (done.returncode, done.stderr) == (0, "")
    kept = whole_bench.file.with_suffix("") / "mask-sweep.svg"
    assert drawn.read_bytes() == kept.read_bytes()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("{file}", "--figure", "no-such", "x.svg"), "no figure no-such: there is combinations"),
        (("{file}", "--figure", "tracees", "/no/such/directory/x.svg"), "No such file"),
        (("{file}", "--figure", "tracees", "x.nonsense"), "nonsense"),
        (("/no/such/results.json",), "python -m bench all measures"),
        (("{page}",), "no results of a bench"),
    ],
)
def test_what_cannot_be_reported_is_said_in_one_line(
    whole_bench: WholeBench, tmp_path: Path, words: tuple[str, ...], reason: str
) -> None:
    """With exit status 2, and no traceback."""
    del tmp_path
    page = whole_bench.file.with_suffix(".html")
    done = report_on(*(word.format(file=whole_bench.file, page=page) for word in words))
    assert done.returncode == 2
    assert reason in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
