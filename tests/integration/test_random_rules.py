"""The real kernel agrees: filter, loop, handlers and stops answer as the model, of random rules.

A program makes the calls and tells what each returned; the model says what its rule was to return.
``test_conditions`` has the same for 500 filters alone, ``tests/unit/test_random_rules`` for 100,000
rule sets and calls without a kernel.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import random
import struct
from collections import Counter
from collections.abc import Sequence
from typing import Final

import pytest

from accel import Abi, Call, Decision, SyscallMask, Tracer
from accel.capabilities import MechanismName, capabilities
from accel.stops import SyscallEntryStop
from tests.random_rules import MEMORY, TYPES, DrawnRule, calls, first_match, rules
from tests.support import compiled, require

RULE_SETS: Final = 100
CALLS: Final = 20
#: What calls get that no rule is about: hardly any of those that are drawn may really be made.
NOBODY: Final = 4095
UNNAMED: Final = SyscallMask.of([(Abi.X86_64, 1000), (Abi.I386, 1000)])
DRAWN: Final = SyscallMask(*TYPES) | UNNAMED
#: These may: one tells the parent, the other does not exist.
HARMLESS: Final = SyscallMask("getppid") | UNNAMED
ANSWERING: Final = (
    Decision.skip(7),
    Decision.skip(8, inspect=True),
    Decision.emulate(9),
    Decision.nullify(errno.EXDEV),
    *(Decision.fail(number) for number in (errno.EPERM, errno.EACCES, errno.ENOENT, 4000)),
)
RUNNING: Final = (Decision.inspect(), Decision.resume(), Decision.allow())
SIZE: Final = 1 << 16


def decided(
    rng: random.Random, drawn: Sequence[DrawnRule], mechanism: MechanismName
) -> list[tuple[DrawnRule, Decision]]:
    """Draw decisions that a mechanism offers; let only what is harmless run."""
    offered = capabilities(mechanism).stops
    running, answering = (
        [decision for decision in some if decision.combination in offered]
        for some in (RUNNING, ANSWERING)
    )
    return [
        (one, rng.choice(running if not one.rule.mask - HARMLESS else answering)) for one in drawn
    ]


def returned(made: Call, decision: Decision | None) -> int:
    """Tell what a call is to return."""
    if decision is None:
        return -NOBODY
    if not decision.call:
        assert decision.value is not None
        return decision.value
    return os.getpid() if made.name == "getppid" else -errno.ENOSYS


def job(made: Sequence[Call]) -> bytes:
    """Write what tests/programs/random_calls.c reads."""
    return b"".join(
        (
            struct.pack("=II", len(made), len(MEMORY)),
            *(
                struct.pack("=ii6Q", one.abi is Abi.I386, one.number, *one.arguments)
                for one in made
            ),
            *(
                struct.pack("=QQ48s", address, len(content), content)
                for address, content in MEMORY.items()
            ),
        )
    )


def trace(rng: random.Random, mechanism: MechanismName) -> tuple[Counter[str], int]:
    """Draw rules and calls, let the kernel answer, compare.

    Tell who answered, and how many stops and notifications it took.
    """
    ruled = decided(rng, rules(rng, ANSWERING), mechanism)
    made = list(calls(rng, [one for one, _decision in ruled], CALLS))
    given = os.memfd_create("calls")
    told = os.memfd_create("results")
    try:
        os.write(given, job(made))
        for descriptor in (given, told):
            os.truncate(descriptor, SIZE)
        tracer = Tracer(
            [compiled("random_calls", "-static", "-nostdlib", "-ffreestanding")],
            # What is observed stops, however it is answered.
            mask=rng.choice((None, DRAWN)), stdin=given, stdout=told, mechanism=mechanism,
        )  # fmt: skip
        handled = add_rules(rng, tracer, ruled)
        result = tracer.run(timeout=60)
        assert result.returncode == 0, tracer.plan
        found = struct.unpack(f"={CALLS}q", os.pread(told, 8 * CALLS, 0))
    finally:
        os.close(given)
        os.close(told)
    who: Counter[str] = Counter()
    for one, value in zip(made, found, strict=True):
        first = first_match([drawn for drawn, _decision in ruled], one)
        decision = None if first is None else ruled[first][1]
        assert value == returned(one, decision), f"{one}\n{decision}\n{tracer.plan}"
        name = "nobody" if decision is None else str(decision).partition("(")[0]
        who["handler" if first in handled else name] += 1
    counted = tracer.statistics().calls.values()
    return who, sum(call.stops + call.notifications for call in counted)


def add_rules(
    rng: random.Random, tracer: Tracer, ruled: Sequence[tuple[DrawnRule, Decision]]
) -> set[int]:
    """Give a Tracer the rules, some as handlers; what the program is made of comes first."""
    handled: set[int] = set()
    tracer.decide(~DRAWN, Decision.allow())
    for at, (drawn, decision) in enumerate(ruled):
        mask, where = drawn.rule.mask - ~DRAWN, drawn.expression
        if decision.start and rng.random() < 0.2:
            handled.add(at)
            tracer.on_entry(mask, where=where)(_always(decision))
        else:
            tracer.decide(mask, decision, where=where)
    tracer.decide(DRAWN, Decision.nullify(NOBODY))
    return handled


def _always(decision: Decision):
    def handler(_stop: SyscallEntryStop) -> Decision:
        return decision

    return handler


@pytest.mark.parametrize(
    ("mechanism", "loop"),
    [
        ("auto", "numba"),
        ("auto", "python"),
        ("ptrace-syscall", "python"),
        ("user-notify", "numba"),
        ("user-notify", "python"),
    ],
)
def test_the_kernel_answers_as_the_model_whoever_decides(
    mechanism: MechanismName, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,000 rule sets and calls each: loops, supervisors, and two stops for every call."""
    if loop == "numba":
        require(importlib.util.find_spec("numba"), "numba is not installed")
    monkeypatch.setenv("ACCEL_LOOP", loop)
    rng = random.Random(20060712)
    seen: Counter[str] = Counter()
    told = 0
    for _ in range(RULE_SETS):
        who, taken = trace(rng, mechanism)
        seen += who
        told += taken
    assert seen.total() == RULE_SETS * CALLS == 2000
    assert told > RULE_SETS
    # Every decision was taken by somebody, and a handler took some.
    assert {"nobody", "handler", "skip", "fail", "nullify", "resume", "allow"} <= seen.keys()
    assert mechanism == "user-notify" or {"inspect", "emulate"} <= seen.keys()
