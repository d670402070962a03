"""What ``accel compare`` concludes from runs; here nothing runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel import AccelError, SyscallMask, capabilities
from accel.capabilities import Capabilities
from accel.command_line import main
from accel.compare import subjects as listing
from accel.compare.job import Job, Report
from accel.compare.peers import peers
from accel.compare.rows import ENOUGH_EVENTS, Spread, rows
from accel.compare.subjects import MECHANISMS, NATIVE, Subject, subjects
from tests.unit.comparing import (
    FILTERED,
    NAIVE,
    SKIPCALL,
    SKIPEXIT,
    STRACE,
    FakeKernel,
    FakeLauncher,
    measured,
    run,
)

# ------------------------------------------------------------------------------- who takes part


def test_every_mechanism_is_compared_or_its_absence_is_explained() -> None:
    """With rules, everything but sysemu; without, nothing answers with constants."""
    for has_rules in (True, False):
        chosen, absent = subjects(has_rules=has_rules)
        named = {one.mechanism for one in chosen} | {one.name.split()[0] for one in absent}
        assert named >= set(MECHANISMS)
        assert any(one.decision == "skip()" for one in chosen) == has_rules
        assert all(one.reason for one in absent)


def test_a_mechanism_that_is_new_turns_up_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """user-notify and observe, once accel has them."""
    monkeypatch.setattr(listing, "MECHANISMS", {"user-notify", "observe"})
    chosen, _absent = subjects(has_rules=True)
    assert [(one.mechanism, one.decision) for one in chosen] == [
        ("user-notify", "resume()"), ("observe", "observe"), ("user-notify", "skip()"),
    ]  # fmt: skip


def test_what_is_chosen_is_all_there_is() -> None:
    """By its name, or its family's; and sysemu only so."""
    chosen, absent = subjects(has_rules=False, only=["exit-event", "sysemu"])
    assert [one.mechanism for one in chosen] == ["exit-event:perf", "exit-event:ebpf", "sysemu"]
    assert absent == []


def test_every_subject_is_one_that_its_mechanism_offers() -> None:
    """Its decision is among the mechanism's combinations, if it is one."""
    from accel.compare.configure import _DECISIONS  # noqa: PLC0415

    for one in subjects(has_rules=True, only=list(MECHANISMS))[0]:
        offered: Capabilities = capabilities.capabilities(one.mechanism)
        if one.decision in _DECISIONS and one.tier != "lines":
            assert _DECISIONS[one.decision].combination in offered.stops, one


def test_other_tracers_are_told_the_same_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """In their own words; a complement stays one."""
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    words = {one.name: " ".join(one.words) for one in peers("openat,close")[0]}
    assert words["strace lines"].endswith("-e trace=openat,close")
    assert "@named[3] = 1; @named[257] = 1;" in words["bpftrace counts"]
    assert "-e close,openat --" in words["perf trace lines"]
    but_one = {one.name: " ".join(one.words) for one in peers("!close")[0]}
    assert "-e !close --" in but_one["perf trace lines"]
    assert "&& !@named[args->id]" in but_one["bpftrace counts"]
    every = {one.name: " ".join(one.words) for one in peers("all")[0]}
    assert "@named" not in every["bpftrace counts"]
    assert not any("--seccomp-bpf" in name for name in every)


def test_a_tracer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a footnote, with the reason."""
    monkeypatch.setattr("shutil.which", lambda _name: None)
    found, absent = peers("openat")
    assert found == []
    assert {one.reason for one in absent} == {
        "strace is not installed", "bpftrace is not installed", "perf is not installed",
    }  # fmt: skip


# ------------------------------------------------------------------------------- rounds


def test_rounds_alternate_their_order() -> None:
    """Nobody always runs behind the same one, whose caches it would find."""
    launcher = FakeLauncher({name: [run()] for name in ("native", NAIVE.name, SKIPEXIT.name)})
    measured([NAIVE, SKIPEXIT], {}, 3, launcher=launcher)
    short = {"native": "n", NAIVE.name: "a", SKIPEXIT.name: "b"}
    assert "".join(short[name] for name in launcher.log) == "n" + "nab" + "ban" + "nab"


def test_the_first_native_run_is_not_in_the_figures() -> None:
    """It found cold caches."""
    result = measured([], {"native": [run(99.0), run(1.0), run(3.0)]}, 2)
    assert rows(result.entries)[0].wall_seconds == Spread(2.0, 1.0, 3.0)


def test_what_this_host_does_not_offer_is_absent_and_no_fault() -> None:
    """It is not run a second time."""
    broken = run(problem="eBPF programs need root", is_unavailable=True)
    launcher = FakeLauncher({"native": [run()], SKIPEXIT.name: [broken]})
    result = measured([SKIPEXIT], {}, 3, launcher=launcher)
    assert [(one.name, one.reason) for one in result.absent] == [
        (SKIPEXIT.name, "eBPF programs need root")
    ]
    assert result.faults == ()
    assert launcher.log.count(SKIPEXIT.name) == 1


def test_a_tracer_that_breaks_is_a_fault() -> None:
    """And the comparison goes on without it."""
    result = measured([SKIPEXIT, NAIVE], {SKIPEXIT.name: [run(problem="it crashed")]})
    assert result.faults == (f"{SKIPEXIT.name}: it crashed",)
    assert [entry.subject for entry in result.entries] == [NATIVE, NAIVE]


@pytest.mark.parametrize(
    ("trial", "reason"),
    [
        (run(returncode=1, tail="strace: PTRACE_TRACEME: denied\n"), "PTRACE_TRACEME: denied"),
        (run(problem="it did not run the command"), "it did not run the command"),
        (run(tail="strace: a warning\n"), "it says of its own: strace: a warning"),
        (run(returncode=3), "exit status 3"),
    ],
)
def test_another_tracer_is_tried_first(trial: object, reason: str) -> None:
    """On a command that does nothing; if that fails it does not take part."""
    runs = {"native": [run()], f"trial of {STRACE.name}": [trial]}
    result = measured([STRACE], runs)  # type: ignore[arg-type]
    assert reason in result.absent[0].reason
    assert [entry.subject for entry in result.entries] == [NATIVE]


# ------------------------------------------------------------------------------- differences


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (run(stdout="other"), "standard output"),
        (run(stderr="other"), "standard error"),
        (run(returncode=1), "exit status"),
    ],
)
def test_a_difference_is_reported_and_not_averaged_away(wrong: object, part: str) -> None:
    """With the run that it is of, and who ran."""
    runs = {SKIPEXIT.name: [run(), wrong, run()]}
    result = measured([SKIPEXIT], runs, 3)  # type: ignore[arg-type]
    assert result.faults == (f"{SKIPEXIT.name}: run 2: {part} not as in the native run",)


def test_what_differs_between_native_runs_is_said_and_not_compared() -> None:
    """A pid or a date in the output is nobody's fault; everything else still counts."""
    runs = {
        "native": [run(stdout="1"), run(stdout="2")],
        SKIPEXIT.name: [run(stdout="3", stderr="other")],
    }
    result = measured([SKIPEXIT], runs)
    assert "this is not compared: standard output" in result.notes[0]
    assert result.faults == (f"{SKIPEXIT.name}: run 1: standard error not as in the native run",)


def test_native_runs_that_end_differently_leave_nothing_to_compare_with() -> None:
    """The usual reason is said."""
    with pytest.raises(AccelError, match=r"exit status 0 or 1.*--copy PATH"):
        measured([SKIPEXIT], {"native": [run(), run(returncode=1)]})


def test_a_death_by_signal_is_the_same_through_a_shell() -> None:
    """Which says 128 + N."""
    runs = {"native": [run(returncode=-9)], SKIPEXIT.name: [run(returncode=137)]}
    result = measured([SKIPEXIT], runs)
    assert result.faults == ()
    assert result.notes == ("the command is killed by signal 9, also natively",)


def test_a_command_that_fails_is_compared_and_its_last_words_are_shown() -> None:
    """It may be meant so; or it is a typing error."""
    failing = run(returncode=2, tail="usage: ...\nno such option\n")
    result = measured([SKIPEXIT], {"native": [failing], SKIPEXIT.name: [failing]})
    assert result.faults == ()
    assert result.notes == ("the command ends with exit status 2, also natively: no such option",)


def test_answers_of_a_profile_are_compared_with_the_filters() -> None:
    """They change what the command does, so the native output says nothing of them."""
    other = run(stdout="denied", returncode=1)
    result = measured([SKIPCALL, FILTERED], {SKIPCALL.name: [other], FILTERED.name: [other]})
    assert result.faults == ()
    assert "the profile changes what the command does" in result.notes[0]
    result = measured([SKIPCALL, FILTERED], {FILTERED.name: [other]})
    assert result.faults == (
        f"{SKIPCALL.name}: run 1: exit status, standard output not as in the filtered run",
    )


# ------------------------------------------------------------------------------- the audit


def test_a_count_that_is_not_the_kernels_is_a_fault() -> None:
    """Both numbers are said."""
    runs = {SKIPEXIT.name: [run(stops=7), run(stops=8)]}
    result = measured([SKIPEXIT], runs, 2, counter=FakeKernel(0, 0, 7, 9, 0))
    assert result.faults == (f"{SKIPEXIT.name}: run 2: the kernel counted 9 stops, the tracer 8",)
    assert rows(result.entries)[1].audited_stops == 7


def test_stops_of_warming_up_are_not_the_commands() -> None:
    """The kernel counts them as well."""
    runs = {SKIPEXIT.name: [run(stops=7, stops_before=3)]}
    result = measured([SKIPEXIT], runs, counter=FakeKernel(0, 0, 10))
    assert result.faults == ()
    assert rows(result.entries)[1].audited_stops == 7


def test_stops_of_who_does_not_count_are_the_kernels() -> None:
    """strace's, for one."""
    runs = {f"trial of {STRACE.name}": [run()]}
    result = measured([STRACE], runs, counter=FakeKernel(0, 0, 5000))
    row = rows(result.entries)[1]
    assert (row.stops, row.audited_stops, row.events) == (None, 5000, 5000)
    assert result.faults == ()


def test_lost_records_are_a_fault() -> None:
    """A trace with holes is not cheaper."""
    result = measured([SKIPEXIT], {SKIPEXIT.name: [run(lost=3)]})
    assert result.faults == (f"{SKIPEXIT.name}: run 1: 3 records were lost",)


# ------------------------------------------------------------------------------- rows


def test_figures_are_taken_round_by_round() -> None:
    """What else the machine does mostly disturbs all runs of a round."""
    runs = {
        "native": [run(1.0), run(1.0), run(2.0), run(4.0)],
        NAIVE.name: [run(11.0, stops=10_000, syscalls=5000)] * 3,
        SKIPEXIT.name: [run(2.0, stops=2000), run(4.0, stops=2000), run(6.0, stops=2000)],
    }
    native, naive, ours = rows(measured([NAIVE, SKIPEXIT], runs, 3).entries)
    assert ours.overhead == Spread(1.0, 0.5, 1.0)
    assert ours.ns_per_stop == pytest.approx(1e6)
    assert naive.ns_per_stop == pytest.approx(0.9e6)
    assert ours.naive is not None
    assert ours.naive.stops == 0.2
    assert ours.naive.overhead == pytest.approx(2 / 9)
    assert (native.syscalls, ours.syscalls) == (5000, 5000)
    assert native.naive is None


def test_few_stops_have_no_price() -> None:
    """What they take is lost in the rest."""
    runs = {"native": [run(1.0)], SKIPEXIT.name: [run(1.5, stops=ENOUGH_EVENTS - 1)]}
    assert rows(measured([SKIPEXIT], runs).entries)[1].ns_per_stop is None
    runs[SKIPEXIT.name] = [run(1.5, stops=2, notifications=ENOUGH_EVENTS - 2)]
    cost = rows(measured([SKIPEXIT], runs).entries)[1].ns_per_stop
    assert cost == pytest.approx(0.5e9 / ENOUGH_EVENTS)


def test_the_price_of_a_stop_is_without_the_start_of_the_tracer() -> None:
    """That is measured on a command that does nothing; the wall time contains it."""
    runs = {
        "native": [run(1.0)],
        f"trial of {STRACE.name}": [run(0.5)],
        STRACE.name: [run(2.5)],
    }
    row = rows(measured([STRACE], runs, counter=FakeKernel(0, 0, 1000)).entries)[1]
    assert row.ns_per_stop == pytest.approx(1e6)
    assert (row.includes_start, row.start_seconds, row.wall_seconds.median) == (True, 0.5, 2.5)


# ------------------------------------------------------------------------------- between processes


def test_a_job_and_its_report_survive_their_way() -> None:
    """Also an argument that is no text."""
    job = Job(STRACE, ("a", "b c", "\udcff"), str(SyscallMask("!read")), "", 3, 4, 5, 6, 7)
    assert Job.load(job.dump()) == job
    assert isinstance(Job.load(job.dump()).subject, Subject)
    report = Report(wall=1.5, stops=3, tracer_cpu=None)
    assert Report.load(report.dump()) == report


# ------------------------------------------------------------------------------- bad options


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ([], 2, "give a command after --"),
        (["--runs", "0", "--", "touch", "marker"], 2, "1 or more"),
        (["-e", "trace=opena", "--", "touch", "marker"], 2, "did you mean openat"),
        (["-e", "inject=read:error=EIO", "--", "touch", "marker"], 2, "--rules FILE"),
        (["--rules", "/nonexistent", "--", "touch", "marker"], 2, "cannot read /nonexistent"),
        (["--only", "straces", "--", "touch", "marker"], 2, "use bpftrace, "),
        (["--plot", "figure.gif", "--", "touch", "marker"], 2, "use one of .png, .svg, .html"),
        (["--copy", "/proc", "--", "touch", "marker"], 2, "mount point"),
        (["--copy", "/nonexistent/file", "--", "touch", "marker"], 2, "no directory /nonexistent"),
        (["--", "no-such-command"], 127, "command not found"),
        (["--", "/etc/passwd"], 126, "permission denied"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, text: str
) -> None:
    """One line that says what to type."""
    with pytest.raises(SystemExit) as ended:
        main(["compare", *words])
    assert ended.value.code == status
    out, err = capsys.readouterr()
    assert text in err
    assert len([line for line in err.splitlines() if line.startswith("accel")]) == 1
    assert out == ""
    assert list(elsewhere.iterdir()) == []
