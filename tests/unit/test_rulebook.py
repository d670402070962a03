"""What is asked of a Tracer becomes rules, and what to record."""

from __future__ import annotations

import pytest

from accel.abi import Abi
from accel.mask import SyscallMask
from accel.records import ABIS, Batch
from accel.roles import string_arguments
from accel.rulebook import RuleBook
from accel.stops import Stop
from accel.writers import Replay


class Sink:
    """Takes records, and does nothing with them."""

    def write(self, batch: Batch) -> None:
        pass

    def close(self) -> None:
        pass


def observer(stop: Stop, /) -> None:
    """Hear of a stop."""


def book(mask: str, *observers: object) -> RuleBook:
    made = RuleBook(SyscallMask(mask))
    for one in observers:
        made.observe(one, exits=True, calls=True)
    return made


def captured(made: RuleBook) -> set[str]:
    return {abi.call_name(number) for abi, number in made.captures(made.plan)}


def test_who_takes_records_gets_those_calls_whose_records_say_enough():
    """The others, and numbers that no table knows, are told of in their stops."""
    recorded, told = book("all", Replay(observer)).plan.rules
    assert recorded.recorded
    assert not told.recorded
    assert {"openat", "getppid", "mmap"} <= recorded.mask.names
    assert {"read", "execve", "stat"} <= told.mask.names
    assert told.mask.holds_unnamed
    assert not recorded.mask & told.mask
    assert recorded.mask | told.mask == SyscallMask.all()


def test_an_observer_of_stops_among_them_hears_of_all_calls_in_their_stops():
    """Else it would hear of nothing."""
    made = book("all", Replay(observer), observer)
    assert [rule.recorded for rule in made.plan.rules] == [False]
    assert captured(made) == set()


def test_for_an_observer_only_strings_of_recorded_calls_are_captured():
    """Of openat(2), which is told from its record; not of stat(2), which is told in its stop."""
    made = book("openat,stat,getppid", Replay(observer))
    assert captured(made) == {"openat"}
    assert made.captures(made.plan)[Abi.X86_64, Abi.X86_64.numbers["openat"]] == 0b10


@pytest.mark.parametrize("strings", [True, False])
def test_for_a_sink_the_strings_of_all_calls_are_captured(strings: bool):
    """Unless it does not want them."""
    made = book("all")
    made.record(Sink(), exits=True, strings=strings, when_full="wait")
    with_strings = {
        name for abi in ABIS for name in abi.numbers if string_arguments(abi, name) and strings
    }
    assert captured(made) == with_strings
