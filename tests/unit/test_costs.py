"""The table of costs: how it ranks, what it says, and which files are believed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from accel import costs
from accel.capabilities import MECHANISMS
from accel.command_line.cost_table import as_json, lines
from accel.costs import ASSUMED, NATIVE, CostTable, Way, rank
from accel.errors import SetupError
from bpf import user_cache
from bpf.value import replace

PERF, EBPF, TWICE = (
    Way(name, 4) for name in ("exit-event:perf", "exit-event:ebpf", "seccomp-trace")
)
MEASURED = replace(ASSUMED, measured_at=1_700_000_000)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("ACCEL_COSTS")


def table(**ns: float) -> CostTable:
    """Make a measured table of the three ways to stop at exits."""
    named = {"perf": PERF, "ebpf": EBPF, "twice": TWICE}
    return CostTable({NATIVE: 1.0} | {named[name]: value for name, value in ns.items()}, 1)


def kept_file() -> Path:
    """Tell where this host's table is kept."""
    return Path(user_cache.directory(), costs.file_name())


# ------------------------------------------------------------------------------- ranking


def test_the_cheapest_comes_first() -> None:
    """Whichever it is."""
    ways = (PERF, EBPF, TWICE)
    assert rank(ways, table(perf=1, ebpf=3, twice=2)).ways == (PERF, TWICE, EBPF)
    assert rank(ways, table(perf=3, ebpf=2, twice=1)).ways == (TWICE, EBPF, PERF)


def test_what_may_be_noise_changes_no_order() -> None:
    """A way must be cheaper by a tenth; otherwise the usual one stays."""
    assert rank((PERF, TWICE), table(perf=100, twice=91)).ways == (PERF, TWICE)
    assert rank((PERF, TWICE), table(perf=100, twice=89)).ways == (TWICE, PERF)


def test_figures_of_two_hosts_are_not_compared() -> None:
    """If one is missing on this host, all are those that are assumed."""
    ranking = rank((PERF, EBPF, TWICE), table(perf=100_000, twice=1))
    assert ranking.ways == (PERF, TWICE, EBPF)
    assert ranking.table is ASSUMED


def test_a_ranking_says_what_the_chosen_way_costs_and_what_is_behind_it() -> None:
    """With two digits, and where the figures are from."""
    ranking = rank((PERF, EBPF, TWICE), table(perf=11_097, ebpf=118_400, twice=9_440))
    assert ranking.why(TWICE) == (
        "9.4 µs a call, exit-event:perf 11 µs, exit-event:ebpf 118 µs (measured)"
    )
    assert ranking.why(EBPF) == "118 µs a call (measured)"
    assert rank((PERF,), ASSUMED).why(PERF) == "11 µs a call (assumed)"


def test_what_is_assumed_is_known_of_every_combination_of_these_mechanisms() -> None:
    """And of nothing that they do not offer."""
    for name in {way.mechanism for way in ASSUMED.ns} - {"native"}:
        known = {way.combination for way in ASSUMED.ns if way.mechanism == name}
        assert known == set(MECHANISMS[name].stops)
    assert ASSUMED.source == "assumed"


# ------------------------------------------------------------------------------- keeping


def test_a_table_is_read_as_it_was_kept() -> None:
    """With the reasons for what is missing."""
    kept = replace(MEASURED, loop="python", missing={EBPF: "no bcc"})
    assert costs.load() is None
    assert costs.current() is ASSUMED
    assert costs.store(kept)
    assert costs.load() == kept
    assert costs.current().source == "measured"
    assert os.stat(kept_file()).st_mode & 0o777 == 0o600


def _change(**changes: object) -> Callable[[Path], object]:
    def apply(file: Path) -> None:
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return apply


def _another_users(file: Path) -> None:
    if os.geteuid() == 0:
        os.chown(file, 65534, 65534)
    else:
        os.chmod(file, 0o606)


def _fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


#: {what happened to the file: how}
HAZARDS: dict[str, Callable[[Path], object]] = {
    "others may write to it": lambda file: file.chmod(0o602),
    "a group may write to it": lambda file: file.chmod(0o620),
    "another user's": _another_users,
    "a FIFO that nobody writes to": _fifo,
    "a directory": lambda file: (file.unlink(), file.mkdir()),
    "gone": Path.unlink,
    "empty": lambda file: file.write_bytes(b""),
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:-20]),
    "no text": lambda file: file.write_bytes(b"\xff\0"),
    "deep": lambda file: file.write_bytes(b"[" * 100_000),
    "not an object": lambda file: file.write_bytes(b"[]"),
    "of another version": _change(schema=0),
    "of another kernel": _change(kernel="2.6.18"),
    "of another processor": _change(processor="80386"),
    "without a date": _change(measured_at=None),
    "of no loop": _change(loop="quick"),
    "without figures": _change(ns=[]),
    "with a negative cost": _change(ns=[["native", 5, 167.0], ["seccomp-trace", 0, -1.0]]),
    "with no number": _change(ns=[["native", 5, float("nan")]]),
    "with a word for a cost": _change(ns=[["native", 5, "fast"]]),
    "with too few words": _change(ns=[["native", 5]]),
}


@pytest.mark.parametrize("hazard", HAZARDS)
def test_a_file_that_cannot_be_trusted_is_as_none(hazard: str) -> None:
    """What is assumed holds; the next measurement takes the file's place, if anything can."""
    assert costs.store(MEASURED)
    file = kept_file()
    HAZARDS[hazard](file)
    assert costs.load() is None
    assert costs.current() is ASSUMED
    if hazard != "a directory":
        assert costs.store(MEASURED)
        assert costs.load() == MEASURED


def test_where_nothing_can_be_kept_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be made, and a user without a home."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    assert not costs.store(MEASURED)
    assert costs.current() is ASSUMED
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert not costs.store(MEASURED)
    assert costs.load() is None


def test_whoever_wants_the_same_plans_everywhere_can_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ACCEL_COSTS=assumed; what is no such word is an error that says what is."""
    assert costs.store(MEASURED)
    monkeypatch.setenv("ACCEL_COSTS", "assumed")
    assert costs.current() is ASSUMED
    monkeypatch.setenv("ACCEL_COSTS", "auto")
    assert costs.current() == MEASURED
    monkeypatch.setenv("ACCEL_COSTS", "cheap")
    with pytest.raises(SetupError, match="use auto or assumed"):
        costs.current()


# ------------------------------------------------------------------------------- showing


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (-5, "just now"),
        (60, "1 minute ago"),
        (7_200, "2 hours ago"),
        (259_200, "3 days ago"),
    ],
)
def test_ages_are_said_as_people_say_them(seconds: int, said: str) -> None:
    """A clock that was set back makes none negative."""
    assert costs.age(1000, 1000 + seconds) == said


def test_the_table_has_a_line_for_every_way() -> None:
    """Aligned, with what is missing, and where it is from."""
    found = list(lines(table(perf=11_097, twice=167)))
    assert found[:4] == [
        "mechanism        combination  stops   a call  times native",
        "native                            0  0.00 µs          1.00",
        "exit-event:perf  4 exit_only      1    11 µs         11097",
        "seccomp-trace    4 exit_only      2  0.17 µs           167",
    ]
    assert found[4].startswith("getppid(2), tracer and tracee on one CPU, with the compiled loop")
    assert list(lines(ASSUMED))[-1].startswith("assumed")
    gaps = replace(MEASURED, missing={EBPF: "no bcc", PERF: "no bcc", TWICE: "no seccomp"})
    assert "not measured: exit-event:ebpf 4, exit-event:perf 4: no bcc" in list(lines(gaps))


def test_programs_get_nanoseconds() -> None:
    """And the source, and the age."""
    found = as_json(table(perf=11_097.26))
    assert found["source"] == "measured"
    assert found["age_seconds"] > 1_700_000_000
    assert {"mechanism": "exit-event:perf", "combination": 4, "ns": 11_097.3} in found["calls"]
    assert as_json(ASSUMED)["age_seconds"] is None
