"""What is asked of the kernel, from the rules of a plan; and what cannot be asked."""

from __future__ import annotations

import struct

import pytest

from accel import Decision, Tracer, arg
from accel.abi import Abi
from accel.capabilities import capabilities
from accel.errors import SetupError
from accel.observation import wanted
from accel.plan_table import rows
from accel.stops import Stop
from bpf.probes.observe import ENTRY_ONLY, NUMBERS, RULE_SHIFT, SELECTED, Wanted

OPENAT, READ, RENAME, GETPID = 257, 0, 82, 39
I386_OPENAT = 295
UNKNOWN = 900


def ignore(_stop: Stop, /) -> None:
    pass


def observing(mask: str = "all", *, exits: bool = True) -> Tracer:
    tracer = Tracer(["true"], mask=mask, mechanism="observe")
    tracer.observe(ignore, exits=exits)
    return tracer


def choices(tracer: Tracer) -> Wanted:
    return wanted(tracer.plan, has_records=True, has_beginnings=False, call_flags=0)


def test_the_selected_calls_of_both_abis_are_chosen_with_their_strings() -> None:
    """And no others."""
    found = choices(observing("openat,rename,getpid"))
    assert found.choices[0, OPENAT] == found.choices[1, I386_OPENAT] == SELECTED | 0b10
    assert found.choices[0, RENAME] == SELECTED | 0b11
    assert found.choices[0, GETPID] == SELECTED
    assert (0, READ) not in found.choices
    assert found.unnamed == 0


def test_a_complement_has_the_numbers_that_no_table_knows() -> None:
    """Calls of a kernel that is newer."""
    found = choices(observing("!openat"))
    assert UNKNOWN not in Abi.X86_64.names
    assert found.choices[0, UNKNOWN] == found.unnamed == SELECTED
    assert (0, OPENAT) not in found.choices


def test_without_exits_the_beginning_alone_is_told() -> None:
    """Half of the work, for the kernel and for the reader."""
    assert choices(observing("getpid", exits=False)).choices[0, GETPID] == SELECTED | ENTRY_ONLY


def test_rules_are_tried_in_order() -> None:
    """allow() hides a call; inspect() and resume() say how much is told."""
    tracer = observing("all")
    tracer.decide("openat", Decision.allow())
    tracer.decide("read", Decision.resume())
    found = choices(tracer)
    assert found.choices[0, OPENAT] == 0
    assert found.choices[0, READ] == 1 << RULE_SHIFT | SELECTED | ENTRY_ONLY
    assert found.choices[0, GETPID] == 2 << RULE_SHIFT | SELECTED


def test_the_table_has_a_word_for_each_number_of_both_abis() -> None:
    """As struct settings of observe.bpf.c does."""
    words = struct.unpack(f"={2 * NUMBERS}H", Wanted({(0, 3): 5, (1, 4): 6}).numbers())
    assert (words[3], words[NUMBERS + 4], sum(words)) == (5, 6, 11)


def test_most_numbers_are_passed_over() -> None:
    """But for those of either ABI that are chosen, and those that make, change and end threads."""
    none = int.from_bytes(Wanted({(0, READ): 0}).noted(), "little")
    assert not none >> READ & 1
    assert all(none >> number & 1 for number in (56, 57, 58, 59, 60, 231, 425, 435))
    assert none.bit_count() < 20
    some = int.from_bytes(Wanted({(0, 3): 5, (1, 1000): 6, (1, NUMBERS): 7}).noted(), "little")
    assert some == none | 1 << 3 | 1 << 1000


@pytest.mark.parametrize("decision", [Decision.skip(0), Decision.fail(1), Decision.exit_only()])
def test_a_decision_that_needs_a_stop_names_who_has_one(decision: Decision) -> None:
    """Before anything runs."""
    with pytest.raises(SetupError, match="mechanism observe does not offer") as raised:
        observing().decide("openat", decision)
    assert "use mechanism seccomp-trace" in raised.value.hint


def test_handlers_and_conditions_are_refused() -> None:
    """They are asked in a stop."""
    for register in (observing().on_entry("read"), observing().on_exit("read")):
        with pytest.raises(SetupError, match="stops nothing"):
            register(lambda _stop: None)
    tracer = observing()
    tracer.decide("write", Decision.allow(), where=arg.fd == 2)
    with pytest.raises(SetupError, match="selects by call alone"):
        _ = tracer.plan


def test_a_plan_says_that_the_kernel_answers_at_no_stop() -> None:
    """And what is not shown."""
    plan = observing("openat").plan
    [row] = rows(plan)
    assert (row.tier, row.mechanism, row.stops) == ("kernel", "observe", (0, 0))
    assert "strings alone" in plan.notes[0]
    assert set(capabilities("observe").stops.values()) == {0}
