"""What is asked of a Tracer becomes rules, and what to record."""

from __future__ import annotations

import pytest

from accel.abi import Abi
from accel.decoding import Decoder
from accel.errors import SetupError
from accel.mask import SyscallMask
from accel.records import ABIS, Batch, Blocks
from accel.roles import string_arguments
from accel.rulebook import RuleBook
from accel.stops import Stop
from accel.writers import LineOutput, Replay, TextWriter


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
    assert {"openat", "getppid", "mmap", "stat", "read"} <= recorded.mask.names
    assert {"readv", "execve", "ioctl"} <= told.mask.names
    assert told.mask.holds_unnamed
    assert not recorded.mask & told.mask
    assert recorded.mask | told.mask == SyscallMask.all()


def test_an_observer_of_stops_among_them_hears_of_all_calls_in_their_stops():
    """Else it would hear of nothing."""
    made = book("all", Replay(observer), observer)
    assert [rule.recorded for rule in made.plan.rules] == [False]
    assert captured(made) == set()


def test_for_an_observer_memory_of_recorded_calls_is_captured():
    """Not of execve(2), which is told in its stop."""
    made = book("openat,stat,write,getppid,execve", Replay(observer))
    assert captured(made) == {"openat", "stat", "write"}
    captures = made.captures(made.plan)
    assert captures[Abi.X86_64, Abi.X86_64.numbers["openat"]] == 0b10
    # The path, and 144 bytes at the second argument.
    assert captures[Abi.X86_64, Abi.X86_64.numbers["stat"]] == 0b1 | 0b10 << 8 | 144 << 16
    assert captures[Abi.I386, Abi.I386.numbers["stat"]] == 0b1 | 0b10 << 8 | 64 << 16
    # 33 bytes at the second argument, before it runs.
    assert captures[Abi.X86_64, Abi.X86_64.numbers["write"]] == 33 << 16 | 0b10 << 32


def test_as_much_of_a_buffer_is_captured_as_its_observer_shows():
    """And one byte more."""
    writer = TextWriter(LineOutput.standard_error(), Decoder(string_limit=100))
    made = book("write", Replay(writer))
    captures = made.captures(made.plan)
    assert captures[Abi.X86_64, Abi.X86_64.numbers["write"]] == 101 << 16 | 0b10 << 32


def test_an_observer_that_wants_more_than_a_record_holds_is_refused():
    """Before anything runs: of linkat(2) there are two strings already."""

    class Greedy(Replay):
        def blocks_of(self, _abi, _name, /):
            return Blocks((0,), (2,), 8)

    made = book("linkat", Greedy(observer))
    with pytest.raises(SetupError, match="linkat: strings and blocks of 4 arguments to record"):
        made.captures(made.plan)


def test_for_a_sink_no_blocks_are_captured():
    """Nobody prints its records as they are."""
    made = book("stat")
    made.record(Sink(), exits=True, strings=True, when_full="wait")
    assert made.captures(made.plan)[Abi.X86_64, Abi.X86_64.numbers["stat"]] == 0b1


@pytest.mark.parametrize("strings", [True, False])
def test_for_a_sink_the_strings_of_all_calls_are_captured(strings: bool):
    """Unless it does not want them."""
    made = book("all")
    made.record(Sink(), exits=True, strings=strings, when_full="wait")
    with_strings = {
        name for abi in ABIS for name in abi.numbers if string_arguments(abi, name) and strings
    }
    assert captured(made) == with_strings
