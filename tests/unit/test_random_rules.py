"""Filter, loop, stop and a naive model decide alike: on 100,000 random rule sets and calls."""

from __future__ import annotations

import errno
import random
from collections import Counter

import bpf
from accel import Call, Decision
from accel.call import Look
from accel.plan import Plan
from accel.policy import HandlerPolicy
from tests.random_rules import calls, first_match, rules, tracee_memory

RULE_SETS = 2000
CALLS = 50
DECISIONS = (
    Decision.inspect(),
    Decision.resume(),
    Decision.skip(7),
    Decision.allow(),
    *(Decision.fail(number) for number in (errno.EPERM, errno.EACCES, errno.ENOENT, 4000, 4001)),
)


def answer(program: bpf.Program, made: Call) -> bpf.Action:
    """Run the filter on a call."""
    return bpf.evaluate(
        program, bpf.SeccompData(made.number, made.abi.audit_arch, 0, made.arguments)
    )


def test_filter_and_stop_decide_as_the_model_on_random_rules_and_calls() -> None:
    """The first rule that matches decides: in the filter, or at the stop that it makes."""
    rng = random.Random(20080616)
    memory = tracee_memory()
    seen: Counter[str] = Counter()
    for _ in range(RULE_SETS):
        drawn = rules(rng, DECISIONS)
        plan = Plan(tuple(one.rule for one in drawn)).fitted()
        program = plan.compile()
        answers = HandlerPolicy(plan, calls_observed=False).loop_answers()
        for made in calls(rng, drawn, CALLS):
            expected = first_match(drawn, made)
            action = answer(program, made)
            named = plan.rule_of(action.data)
            if named is None:
                expected_action = (
                    bpf.Action.allow() if expected is None else plan.rules[expected].action
                )
                assert action == expected_action, f"{made}\n{plan}\n{program}"
                seen["nobody" if expected is None else "the filter"] += 1
                continue
            settled = plan.settle(named, made, Look(memory)) if plan.rules[named].judged else named
            assert settled == expected, f"{made}\n{plan}\n{program}"
            # Without a filter: what registers leave open, memory decides.
            matched = plan.match(made)
            assert (None if matched is None else plan.settle(matched, made, memory)) == expected
            if not plan.rules[named].judged:
                # The loop knows no more than which rule the filter named, and that suffices.
                assert answers[action.data].rule == expected
                assert answers[action.data].decision == plan.rules[named].decision
            moved_on = "a later rule" if settled != named else "that rule"
            seen[f"the stop, {moved_on}" if plan.rules[named].judged else "a stop"] += 1
    assert seen.total() == RULE_SETS * CALLS == 100_000
    assert min(seen.values()) > 1000, seen
    assert len(seen) == 5
