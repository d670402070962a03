"""Which mechanism ``auto`` takes, with sources of exit events and costs that are made up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import bpf
from accel import Decision, SyscallMask, result
from accel.arguments import AnyCondition, Conditions
from accel.costs import NATIVE, CostTable, Way
from accel.errors import UnsupportedKernel
from accel.mechanism_choice import choose
from accel.plan import Plan, Rule

TWICE = Way("seccomp-trace", 4)
PERF, EBPF = (Way(f"exit-event:{source}", 4) for source in ("perf", "ebpf"))


class Source:
    """Exit events that stop nobody; ``made`` lists what each was made for."""

    made: list[tuple[str, int]]

    def __init__(self, name: str, selections: Sequence[bpf.ExitSelection]) -> None:
        self.made.append((name, sum(len(one.numbers) for one in selections)))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Take such sources instead of the real ones; perf is refused after ``refused`` is in it."""
    Source.made = []

    def source(name: str):
        def make(selections: Sequence[bpf.ExitSelection]) -> Source:
            if ("refused", 0) in Source.made and name == "perf":
                raise UnsupportedKernel("no perf", hint="ask root")
            return Source(name, selections)

        return make

    sources = {name: source(name) for name in ("perf", "ebpf")}
    monkeypatch.setattr("accel.mechanism_choice._SOURCES", sources)
    return Source.made


def plan(where: AnyCondition | None = None) -> Plan:
    """Plan to be told of exits of one call."""
    rule = Rule(SyscallMask("getppid"), Decision.exit_only(), where=Conditions.of(where))
    return Plan((rule,))


def costs(perf: float, ebpf: float, twice: float) -> CostTable:
    """Make a measured table."""
    return CostTable({NATIVE: 100, PERF: perf, EBPF: ebpf, TWICE: twice}, 1)


def test_what_costs_less_is_taken_and_said(made: list[tuple[str, int]]) -> None:
    """Either way around; what is dearer is not even made."""
    choice = choose(plan(), "auto", attaches=False, costs=lambda: costs(1000, 3000, 2000))
    assert (choice.plan.exit_event, made) == ("exit-event:perf", [("perf", 2)])
    assert choice.exit_events is not None
    choice = choose(plan(), "auto", attaches=False, costs=lambda: costs(3000, 2000, 1000))
    assert (choice.plan.exit_event, choice.exit_events, len(made)) == ("", None, 1)
    assert choice.plan.notes == ()
    assert "1.0 µs a call, exit-event:ebpf 2.0 µs" in str(choice.plan)


def test_what_this_host_refuses_is_said_and_the_next_is_taken(made: list[tuple[str, int]]) -> None:
    """The next by cost, which need not be the other source."""
    made.append(("refused", 0))
    choice = choose(plan(), "auto", attaches=False, costs=lambda: costs(1000, 3000, 2000))
    assert choice.plan.exit_event == ""
    assert choice.plan.notes == (
        "calls that are exit_only() stop twice, and the first is not told: no perf; ask root",
    )
    choice = choose(plan(), "auto", attaches=False, costs=lambda: costs(1000, 2000, 3000))
    assert (choice.plan.exit_event, choice.plan.notes) == ("exit-event:ebpf", ())


@pytest.mark.usefixtures("made")
def test_costs_are_asked_only_where_they_decide() -> None:
    """Reading a table takes time, and few runs have a choice."""

    def unasked() -> CostTable:
        raise AssertionError("nobody needs costs here")

    observed = Plan((Rule(SyscallMask("getppid"), observed=True),))
    for draft, mechanism in (
        (observed, "auto"),
        (plan(result < 0), "auto"),
        (plan(), "seccomp-trace"),
        (plan(), "exit-event"),
    ):
        choose(draft, mechanism, attaches=False, costs=unasked)
    choose(plan(), "auto", attaches=True, costs=unasked)
