"""What a plan says of each rule: tier, mechanism, stops, and why no lower tier answers."""

from __future__ import annotations

import json

import pytest

import bpf
from accel import Decision, SyscallMask, Tracer, arg, path
from accel.arguments import Conditions
from accel.plan import Plan, Rule
from accel.plan_listing import listing
from accel.plan_table import as_json, rows, table


def described(tracer: Tracer) -> list[tuple[str, str, tuple[int, int], str]]:
    """Say of each rule who answers, by what, at how many stops, and why."""
    return [(row.tier, row.mechanism, row.stops, row.why) for row in rows(tracer.plan)]


@pytest.mark.parametrize(
    ("decision", "tier", "stops", "why"),
    [
        (Decision.nullify(13), "kernel", 0, ""),
        (Decision.allow(), "kernel", 0, ""),
        (Decision.skip(-4095), "kernel", 0, ""),
        (Decision.skip(1), "loop", 1, "the value is not from -4095 to 0"),
        (Decision.inspect(), "loop", 2, "inspect() needs an exit-stop"),
        (Decision.skip(0, inspect=True), "loop", 2, "skip() needs an exit-stop"),
        (Decision.emulate(), "handler", 1, "emulate() needs a stop; Python answers it"),
    ],
)
def test_a_constant_goes_as_low_as_it_can(
    decision: Decision, tier: str, stops: int, why: str
) -> None:
    """Into the filter if that has the answer, else into the loop."""
    tracer = Tracer(["true"])
    tracer.decide("getuid", decision)
    mechanism = "filter" if tier == "kernel" else "seccomp-trace"
    assert described(tracer) == [(tier, mechanism, (stops, stops), why)]


def test_what_somebody_observes_stops() -> None:
    """Once if only arguments are looked at; in the loop if records are enough."""
    tracer = Tracer(["true"], mask="close")
    assert described(tracer) == [("loop", "seccomp-trace", (1, 1), "its arguments are observed")]
    tracer.observe(lambda _stop: None)
    why = "its arguments and results are observed; Python looks at its stops"
    assert described(tracer) == [("handler", "seccomp-trace", (2, 2), why)]


def test_a_handler_decides_in_python() -> None:
    """What it returns is not known: one stop, or two."""
    tracer = Tracer(["true"])
    tracer.on_entry("socket")(lambda _stop: None)
    why = "a handler decides; its handler is not compiled (jit=True)"
    assert described(tracer) == [("handler", "seccomp-trace", (1, 2), why)]


@pytest.mark.parametrize(
    ("decision", "mask", "python"),
    [
        (Decision.fail(13), None, ""),
        (Decision.allow(), "openat", ""),
        (Decision.inspect(), None, ""),
        (Decision.exit_only(), None, "Python hides its entry"),
        (Decision.resume().delayed(entry_ns=1), None, "Python signals, or delays"),
    ],
)
def test_what_no_filter_can_judge_is_the_loops(
    decision: Decision, mask: str | None, python: str
) -> None:
    """One stop more than the decision needs, and Python only for what the loop cannot do."""
    tracer = Tracer(["true"], mask=mask)
    tracer.decide("openat", decision, where=path.within("/etc"))
    row = described(tracer)[0]
    why = "it looks at tracee memory, which no filter can read"
    assert row[0] == ("handler" if python else "loop")
    assert row[1:] == (
        "seccomp-trace",
        (1 + decision.exit,) * 2,
        "; ".join(filter(None, [why, python])),
    )


def test_a_handler_asks_for_python_only_where_its_condition_holds() -> None:
    """The plan says so of that rule; a compiled one needs none."""
    tracer = Tracer(["true"])
    tracer.on_entry("openat", where=path == "/a")(lambda _stop: None)
    tracer.decide("openat", Decision.fail(2), where=path == "/b")
    tiers = [(row.tier, row.why.partition("; ")[2]) for row in rows(tracer.plan)]
    assert tiers == [("handler", "its handler is not compiled (jit=True)"), ("loop", "")]


def test_python_judges_where_every_call_stops() -> None:
    """Without a filter there is no rule for the loop to begin at."""
    tracer = Tracer(["true"], mechanism="ptrace-syscall")
    tracer.decide("openat", Decision.fail(2), where=path == "/a")
    assert described(tracer)[0][0] == "handler"


def test_a_race_is_noted_where_the_call_may_then_run() -> None:
    """Not where all calls that are looked at are skipped."""
    tracer = Tracer(["true"])
    tracer.decide("openat", Decision.fail(2), where=path == "/a")
    assert any("a race where the call then runs" in note for note in tracer.plan.notes)
    tracer.decide("openat", Decision.fail(13))
    assert not any("a race" in note for note in tracer.plan.notes)


def test_without_a_filter_the_kernel_answers_nothing() -> None:
    """Every call stops, and Python answers."""
    tracer = Tracer(["true"], mechanism="ptrace-syscall")
    tracer.decide("getuid", Decision.nullify())
    why = "ptrace-syscall installs no filter; every stop of ptrace-syscall goes to Python"
    assert described(tracer) == [("handler", "ptrace-syscall", (2, 2), why)]


def test_exit_events_say_what_they_cannot_compare() -> None:
    """A plan as it is where perf events stop calls at their exit."""
    where = Conditions.of(arg.fd == 2)
    rule = Rule(SyscallMask("close"), Decision.exit_only(), where=where, by_event=True)
    plan = Plan((rule,), exit_event="exit-event:perf", python=("Python compares its arguments",))
    [row] = rows(plan)
    assert (row.tier, row.mechanism, row.stops) == ("handler", "exit-event:perf", (1, 1))
    assert "perf events do not compare arguments" in row.why


def test_the_table_and_json_say_the_same() -> None:
    """JSON does not cut masks, and has numbers."""
    tracer = Tracer(["true"], mask="!read")
    assert table(tracer.plan).splitlines()[0].split() == [
        "rule", "decision", "tier", "mechanism", "stops", "why",
    ]  # fmt: skip
    read = json.loads(as_json(tracer.plan))
    assert read == {
        "schema": 1,
        "rules": [
            {
                "rule": "!read", "decision": "observe", "tier": "loop",
                "mechanism": "seccomp-trace", "stops": 1, "least_stops": 1,
                "notifications": 0, "why": "its arguments are observed",
            }
        ],
        "notes": [],
    }  # fmt: skip


def test_the_listing_says_whose_instructions_these_are() -> None:
    """Before a call's own instructions its name and rules; behind a stop its rule."""
    tracer = Tracer(["true"], placement="none")
    tracer.decide("close", Decision.skip(7), where=arg.fd == 2)
    tracer.decide("close,dup", Decision.nullify(9))
    text = listing(tracer.plan, tracer.program)
    lines = [line.strip() for line in text.splitlines()]
    at = lines.index("; close: rule 1, rule 2")
    assert lines[at + 1].endswith("ld   args[0].low")
    at = lines.index("; dup: rule 2")
    assert lines[at + 1].endswith("ret  RET_ERRNO(EBADF)")
    assert any(line.endswith("; rule 1: close where (arg.fd == 2)") for line in lines)
    assert "; clone: accel itself" in lines
    assert "; every other call" in lines
    # What is left without comments is the disassembly.
    bare = [line for line in text.splitlines() if not line.lstrip().startswith(";")]
    plain = bpf.disassemble(tracer.program.instructions).splitlines()
    assert [line.partition(";")[0].rstrip() for line in bare] == [
        line.partition(";")[0].rstrip() for line in plain
    ]
