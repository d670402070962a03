"""Which exit_only() rules stop by exit events: their conditions choose, and where none, the costs.

Tables are made up: whichever way is cheapest wins.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from accel import Decision, SyscallMask, arg, path, result
from accel.arguments import AnyCondition, Conditions
from accel.costs import ASSUMED, NATIVE, CostTable, Way
from accel.exit_choice import Candidate, candidates
from accel.plan import Plan, Rule
from bpf.value import replace

WAYS = {
    "perf": Way("exit-event:perf", 4),
    "ebpf": Way("exit-event:ebpf", 4),
    "seccomp": Way("seccomp-trace", 4),
    "ptrace": Way("ptrace-syscall", 4),
}


def rule(mask: str, where: AnyCondition | None = None, decision: Decision | None = None) -> Rule:
    """Make a rule, exit_only() unless said otherwise."""
    return Rule(
        SyscallMask.parse(mask), decision or Decision.exit_only(), where=Conditions.of(where)
    )


def table(order: str) -> CostTable:
    """Make a measured table in which ways cost more from left to right."""
    ns = {WAYS[name]: 1000.0 * (at + 1) for at, name in enumerate(order.split())}
    return CostTable({NATIVE: 100.0, **ns}, 1)


def tried(
    rules: Sequence[Rule], order: str = "perf seccomp ebpf ptrace", *, attaches: bool = False
) -> list[Candidate]:
    """List the plans that are tried on a host with such costs."""
    plan = Plan(tuple(rules), mechanism="ptrace-syscall" if attaches else "seccomp-trace")
    return list(candidates(plan, attaches=attaches, costs=lambda: table(order)))


def sources(found: Sequence[Candidate]) -> list[tuple[str, str]]:
    """Sum up: the source of each candidate, and which of its rules stop by events."""
    return [
        (one.source, "".join("e" if rule.by_event else "-" for rule in one.plan.rules))
        for one in found
    ]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("perf ebpf seccomp", [("perf", "e"), ("ebpf", "e"), ("", "-")]),
        ("ebpf seccomp perf", [("ebpf", "e"), ("", "-")]),
        ("perf seccomp ebpf", [("perf", "e"), ("", "-")]),
        ("seccomp perf ebpf", [("", "-")]),
    ],
)
def test_the_cheapest_keeps_a_rule_without_conditions(
    order: str, expected: list[tuple[str, str]]
) -> None:
    """What costs more than two stops is not even tried."""
    assert sources(tried([rule("openat")], order)) == expected


def test_the_plan_says_what_decided() -> None:
    """What a call costs, by this way and by those that would have been next."""
    first, last = tried([rule("openat")])
    assert first.plan.rules[0].chosen == (
        "1.0 µs a call, seccomp-trace 2.0 µs, exit-event:ebpf 3.0 µs (measured)"
    )
    # perf could not be had, or this would not have been tried.
    assert last.plan.rules[0].chosen == "2.0 µs a call, exit-event:ebpf 3.0 µs (measured)"


def test_results_are_compared_by_the_kernel_whatever_that_costs() -> None:
    """Two stops would stop at calls of no interest; nobody asks for costs."""

    def unasked() -> CostTable:
        raise AssertionError("no costs decide here")

    plan = Plan((rule("openat", result < 0),))
    found = list(candidates(plan, attaches=False, costs=unasked))
    assert sources(found) == [("perf", "e"), ("ebpf", "e"), ("", "-")]
    assert not found[0].plan.rules[0].chosen


def test_costs_decide_on_rules_with_conditions_on_arguments() -> None:
    """What a call costs that stops is what counts; the plan says what perf events do not do."""
    where = [rule("write", arg.fd == 2)]
    assert sources(tried(where)) == [("perf", "e"), ("", "-")]
    assert sources(tried(where, "seccomp perf ebpf")) == [("", "-")]
    plan = replace(tried(where)[0].plan, exit_event="exit-event:perf")
    why = "perf events do not compare arguments; 1.0 µs a call, seccomp-trace 2.0 µs"
    assert why in str(plan)


def test_rules_that_share_calls_are_kept_alike() -> None:
    """Or one call would stop for both."""
    shared = [rule("write", arg.fd == 2), rule("write", result < 0), rule("read", arg.fd == 0)]
    assert sources(tried(shared, "seccomp perf ebpf"))[0] == ("perf", "ee-")
    shared = [rule("write", arg.fd == 2), rule("write,read")]
    assert sources(tried(shared, "seccomp perf ebpf"))[0] == ("perf", "ee")


def test_a_source_that_one_rule_needs_is_no_reason_for_the_others() -> None:
    """They stop by it only if that is cheaper, too."""
    found = tried([rule("openat"), rule("close", result < 0)], "perf seccomp ebpf")
    assert sources(found) == [("perf", "ee"), ("ebpf", "-e"), ("", "--")]
    assert found[1].plan.rules[0].chosen.startswith("2.0 µs a call, exit-event:ebpf")


def test_what_is_looked_at_before_the_call_stops_there() -> None:
    """Memory is not what it was, and execve leaves none; other decisions are left alone."""
    looked = [rule("openat", path == "/etc"), rule("openat"), rule("close", None, Decision.allow())]
    assert sources(tried(looked)) == [("", "---")]
    first, *_rest = tried([rule("execve,close")])
    assert [str(one.mask) for one in first.plan.rules] == ["execve", "close"]
    assert [one.by_event for one in first.plan.rules] == [False, True]
    assert first.plan.rules[0].decision == Decision.inspect()


def test_a_running_process_stops_at_every_call_only_if_all_are_selected_and_that_is_cheaper() -> (
    None
):
    """Where some are not, events leave them alone."""
    everything, one = [rule("all")], [rule("openat")]
    dear = "ptrace perf ebpf"
    assert sources(tried(everything, attaches=True)) == [("perf", "e"), ("ebpf", "e"), ("", "-")]
    assert sources(tried(everything, dear, attaches=True)) == [("", "-")]
    assert sources(tried(one, dear, attaches=True))[0] == ("perf", "e")
    both = [rule("openat"), rule("!openat")]
    assert sources(tried(both, dear, attaches=True)) == [("", "--")]
    failing = [rule("all", result < 0)]
    assert sources(tried(failing, dear, attaches=True))[0] == ("perf", "e")


def test_what_is_assumed_prefers_perf_events_to_two_stops_and_these_to_ebpf() -> None:
    """As README.md has it; assumed is what is said."""
    plan = Plan((rule("openat"),))
    found = list(candidates(plan, attaches=False, costs=lambda: ASSUMED))
    assert sources(found) == [("perf", "e"), ("", "-")]
    assert found[0].plan.rules[0].chosen == (
        "11 µs a call, seccomp-trace 27 µs, exit-event:ebpf 36 µs (assumed)"
    )


def test_costs_change_nothing_but_how_stops_are_obtained() -> None:
    """Masks, decisions and conditions are the same in every candidate."""
    rules = [rule("openat"), rule("write", arg.fd == 2), rule("read", result < 0)]
    for one in tried(rules):
        bare = [replace(kept, by_event=False, chosen="") for kept in one.plan.rules]
        assert bare == rules
