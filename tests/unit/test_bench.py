"""The bench without a process: what it concludes from runs, and how it reports them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Self

import pytest

from accel import SetupError
from bench.__main__ import main
from bench.audit import AuditUnavailable, KernelStopCount
from bench.measure import Comparison, Contestant, Limit, Missing, Settings, Spread, compare
from bench.report import as_json, as_markdown, broken_promises
from bench.results import Results
from bench.subjects import Outcome, Run, Task

SAME = Outcome(0, "out", "err", ("file",))
TASK = Task(("program", "argument"))
THREE = Settings(rounds=3)


@dataclass
class FakeSubject:
    """A subject whose runs are given: the first is the untimed one."""

    name: str
    costs: list[float]
    outcomes: list[Outcome] = field(default_factory=list)
    own_stops: int | None = None
    absence: str = ""
    log: list[str] = field(default_factory=list)
    fails: bool = False

    def missing(self) -> str:
        return self.absence

    def run(self, _task: Task) -> Run:
        if self.fails:
            raise SetupError("ptrace is not permitted")
        self.log.append(self.name)
        outcome = self.outcomes.pop(0) if self.outcomes else SAME
        return Run(outcome, self.costs.pop(0), self.own_stops)


class FakeCount(KernelStopCount):
    """A kernel that counts seven stops whatever happens."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stops = 7


class NoCount(FakeCount):
    """A kernel that does not count."""

    def __enter__(self) -> Self:
        raise AuditUnavailable("no tracefs")


def compared(*subjects: FakeSubject, limit: Limit | None = None, **options: object) -> Comparison:
    """Compare ``subjects`` in three rounds, after a native run that costs 10 a round."""
    native = FakeSubject("native", [99.0, 10.0, 10.0, 10.0])
    contestants = [Contestant(subject, TASK, limit) for subject in subjects]
    options.setdefault("counter", FakeCount)
    return compare("work", [Contestant(native, TASK), *contestants], THREE, **options)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------- comparing


def test_ratios_are_taken_round_by_round_and_the_first_run_is_not_timed() -> None:
    """The figure is the median of the ratios to the native run of the same round."""
    native = FakeSubject("native", [1000.0, 10.0, 20.0, 40.0])
    traced = FakeSubject("traced", [1000.0, 20.0, 60.0, 160.0])
    contestants = [Contestant(native, TASK), Contestant(traced, TASK)]
    comparison = compare("work", contestants, THREE, counter=FakeCount)
    assert comparison.measured[1].costs == (20.0, 60.0, 160.0)
    assert comparison.measured[1].ratio == Spread(3.0, 2.0, 4.0)


def test_rounds_alternate_their_order() -> None:
    """Nobody always runs first, on caches that another has filled."""
    log: list[str] = []
    subjects = [FakeSubject(name, [1.0] * 4, log=log) for name in "ab"]
    contestants = [Contestant(subject, TASK) for subject in subjects]
    compare("work", contestants, THREE, counter=FakeCount)
    assert "".join(log) == "ab" + "ab" + "ba" + "ab"


def test_a_subject_whose_output_differs_gets_no_figure() -> None:
    """Speed counts only with equal output; the report says what differed, and where."""
    wrong = Outcome(0, "other", "err", ("other",))
    liar = FakeSubject("liar", [1.0] * 4, outcomes=[SAME, SAME, wrong])
    comparison = compared(liar)
    measured = comparison.measured[1]
    assert measured.ratio is None
    assert measured.problem == "stdout, files not as in the native run"
    assert broken_promises([comparison]) == [f"work, liar: {measured.problem}"]
    assert liar.costs == [1.0], "it went on after it was of no more use"


def test_a_subject_that_is_missing_is_named_and_breaks_nothing() -> None:
    """A peer that is not installed is no failure of the bench."""
    comparison = compared(FakeSubject("peer", [], absence="peer is not installed"))
    assert broken_promises([comparison]) == []
    assert "| peer | (peer is not installed) |" in as_markdown(Results((comparison,), {}, THREE))


def test_a_subject_that_fails_is_reported_with_its_reason() -> None:
    """A host that does not let us trace is told of, without a traceback."""
    comparison = compared(FakeSubject("library", [], fails=True))
    assert comparison.measured[1].problem == "ptrace is not permitted"


def test_without_a_native_run_there_is_nothing_to_compare() -> None:
    """A ratio needs its base."""
    native = FakeSubject("native", [], absence="program is not installed")
    with pytest.raises(Missing, match="program is not installed"):
        compare("work", [Contestant(native, TASK)], THREE, counter=FakeCount)


def test_a_workload_that_is_not_deterministic_is_not_compared() -> None:
    """Equal output means nothing where native runs differ."""
    native = FakeSubject("native", [1.0] * 4, outcomes=[SAME, Outcome(1, "out", "err", ())])
    with pytest.raises(Missing, match="two native runs differ: returncode, files"):
        compare("work", [Contestant(native, TASK)], THREE, counter=FakeCount)


# ------------------------------------------------------------------------------- promises


@pytest.mark.parametrize(("own", "agree"), [(7, True), (8, False), (None, None)])
def test_the_kernels_count_is_compared_with_the_tracers(
    own: int | None, agree: bool | None
) -> None:
    """Equal counts are reported, different ones break a promise, one alone says nothing."""
    comparison = compared(FakeSubject("tracer", [1.0] * 4, own_stops=own))
    assert comparison.measured[1].kernel_stops == 7
    assert comparison.measured[1].counts_agree is agree
    assert bool(broken_promises([comparison])) is (agree is False)


def test_without_the_kernels_count_the_tracers_own_is_shown() -> None:
    """The report says why the kernel did not count."""
    subject = FakeSubject("tracer", [1.0] * 4, own_stops=1234)
    comparison = compared(subject, counter=NoCount)
    report = as_markdown(Results((comparison,), {}, THREE))
    assert "| tracer | 1,234 |" in report
    assert "not counted by the kernel: no tracefs" in report


@pytest.mark.parametrize(("middle", "kept"), [(10.9, True), (11.1, False)])
def test_a_limit_is_judged_by_the_median_of_all_rounds(middle: float, kept: bool) -> None:
    """One disturbed round breaks no promise, and one lucky round keeps none."""
    comparison = compared(
        FakeSubject("tracer", [1.0, 30.0, middle, 1.0]), limit=Limit(1.1, "native")
    )
    assert (broken_promises([comparison]) == []) is kept
    verdict = "within" if kept else "more than"
    assert f"times native, {verdict} the promised 1.1" in as_markdown(
        Results((comparison,), {}, THREE)
    )


def test_a_limit_of_a_missing_subject_is_not_judged() -> None:
    """Nothing is promised of a peer that is not there."""
    comparison = compared(FakeSubject("tracer", [1.0] * 4), limit=Limit(1.1, "peer"))
    assert comparison.measured[1].limited is None
    assert broken_promises([comparison]) == []


def test_what_a_promise_is_about_takes_part_in_more_rounds() -> None:
    """So do the subject that it names and the native run; nobody else."""
    log: list[str] = []
    names = {"native": 7, "peer": 4, "reference": 7, "tracer": 7}
    subjects = [FakeSubject(name, [1.0] * runs, log=log) for name, runs in names.items()]
    contestants = [
        Contestant(subject, TASK, Limit(1.1, "reference") if subject.name == "tracer" else None)
        for subject in subjects
    ]
    comparison = compare("work", contestants, THREE, promised=2, counter=FakeCount)
    assert {one.subject: len(one.costs) for one in comparison.measured} == {
        name: runs - 1 for name, runs in names.items()
    }
    assert log[-6:] == ["native", "reference", "tracer", "tracer", "reference", "native"]
    assert comparison.measured[1].ratio == Spread(1.0, 1.0, 1.0)


def test_a_trial_has_no_more_rounds_for_promises() -> None:
    """It shows that the bench works, and judges nothing."""
    subjects = [FakeSubject(name, [1.0] * 3) for name in ("native", "tracer")]
    contestants = [Contestant(subject, TASK, Limit(1.1, "native")) for subject in subjects]
    trial = Settings(rounds=2, quick=True)
    comparison = compare("work", contestants, trial, promised=2, counter=FakeCount)
    assert [len(one.costs) for one in comparison.measured] == [2, 2]


@pytest.mark.parametrize(("times", "kept"), [(0.4, True), (0.3, False)])
def test_an_overhead_is_that_of_medians(times: float, kept: bool) -> None:
    """Round by round the shares would be 1/12, 5/8 and 4/22 here; of medians it is 4/11."""
    native = FakeSubject("native", [99.0, 10.0, 12.0, 11.0])
    slow = FakeSubject("slow", [99.0, 22.0, 20.0, 33.0])
    tracer = FakeSubject("tracer", [99.0, 11.0, 17.0, 15.0])
    limit = Limit(times, "slow", overhead=True)
    contestants = [
        Contestant(native, TASK),
        Contestant(slow, TASK),
        Contestant(tracer, TASK, limit),
    ]
    comparison = compare("work", contestants, THREE, counter=FakeCount)
    limited = comparison.measured[2].limited
    assert limited is not None
    assert limited.median == pytest.approx(4 / 11)
    assert (broken_promises([comparison]) == []) is kept


def test_an_overhead_of_nobody_is_not_judged() -> None:
    """Where the other costs nothing more than the native run there is no share of it."""
    other = FakeSubject("other", [10.0] * 4)
    native = FakeSubject("native", [10.0] * 4)
    limit = Limit(0.3, "other", overhead=True)
    contestants = [
        Contestant(native, TASK),
        Contestant(other, TASK),
        Contestant(FakeSubject("tracer", [11.0] * 4), TASK, limit),
    ]
    comparison = compare("work", contestants, THREE, counter=FakeCount)
    assert comparison.measured[2].limited is None
    assert broken_promises([comparison]) == []


# ------------------------------------------------------------------------------- reporting


def test_a_spread_is_written_with_three_digits_and_no_exponent() -> None:
    """Median first, then the lowest and the highest."""
    assert str(Spread.of([1.0, 1234.5, 1.2345])) == "1.23 (1..1,234)"


def test_workloads_with_the_same_subjects_share_a_table() -> None:
    """A row for each subject, a column for each workload."""
    first = compared(FakeSubject("traced", [1.0, 20.0, 20.0, 20.0]))
    second = compared(FakeSubject("traced", [1.0, 30.0, 30.0, 30.0]))
    lines = as_markdown(
        Results(
            (
                first,
                second,
            ),
            {},
            THREE,
        )
    ).splitlines()
    assert "| time, native = 1 | work | work |" in lines
    assert "| native | 1 (10000.0 ms) | 1 (10000.0 ms) |" in lines
    assert "| traced | 2 (2..2) | 3 (3..3) |" in lines


@pytest.mark.parametrize("workload", ["startup", "true"])
def test_the_time_to_start_is_told_in_milliseconds(workload: str) -> None:
    """Of workloads that do nothing a ratio says little."""
    started = replace(compared(FakeSubject("traced", [1.0, 0.1, 0.3, 0.2])), workload=workload)
    text = as_markdown(Results((started,), {}, THREE))
    assert f"(`{workload}`): native 10,000 (10,000..10,000) ms, traced 200 (100..300) ms." in text


def test_missing_workloads_are_named() -> None:
    """What could not be measured is in the report, with the reason."""
    assert "- missing: gcc: gcc is not installed" in as_markdown(
        Results((compared(),), {"gcc": "gcc is not installed"}, THREE)
    )


def test_a_short_run_says_that_it_is_not_to_be_quoted() -> None:
    """Fewer than five rounds are a trial."""
    assert "Too short to be quoted" in as_markdown(Results((compared(),), {}, THREE))
    assert "Too short to be quoted" not in as_markdown(
        Results((compared(),), {}, Settings(rounds=5))
    )


def test_the_json_report_has_every_cost() -> None:
    """Whoever wants another statistic than the median can compute it."""
    comparison = compared(FakeSubject("traced", [1.0, 20.0, 30.0, 40.0], own_stops=7))
    report = json.loads(as_json(Results((comparison,), {}, THREE)))
    traced = report["comparisons"][0]["measured"][1]
    assert report["schema"] == 1
    assert traced["costs"] == [20.0, 30.0, 40.0]
    assert traced["kernel_stops"] == traced["own_stops"] == 7


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("no-such-workload", "choose from one-call"),
        ("--rounds 0", "at least one round"),
        ("--cpu 65000", "--cpu 65000: Invalid argument"),
        ("--json /no/such/directory/file", "/no/such/directory/file: No such file"),
    ],
)
def test_a_wrong_command_line_runs_nothing(
    words: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what is wrong, before minutes of work; the exit status is 2."""
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err
