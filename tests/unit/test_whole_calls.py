"""A call that was decoded before reads as if it were decoded again."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from accel.abi import Abi
from accel.call import Call, Memory
from accel.decoding import Decoder, Entered
from accel.decoding.captures import captured_arguments, captured_blocks
from accel.decoding.whole import WholeCall, WholeCalls
from accel.records import RETURNED, Record
from tests.unit.captured import CAPTURED, RESULTS, random_call
from tests.unit.recorded import Recorded, batch_of

PATHS = (b"/etc/passwd\0", b"/etc/group\0")


class Counting(Decoder):
    """A decoder that counts its calls."""

    decoded = 0

    def enter(self, call: Call, memory: Memory) -> Entered:
        """Count, and decode."""
        self.decoded += 1
        return super().enter(call, memory)


def record_of(call: Call, result: int, *captured: dict[int, bytes]) -> Record:
    """Record a call; strings, and blocks before and after it, are by position."""
    return Record(
        1_000, 2_000, 7, 7, call.number, call.abi, 0, call.arguments, result, RETURNED, 1, 2,
        *captured,
    )  # fmt: skip


def line_of(record: Record) -> WholeCall:
    """Decode a record as if there had been no other."""
    decoder = Decoder()
    entered = decoder.enter(record.call, record.memory)
    left = decoder.leave(entered, record.result, record.memory_after)
    return WholeCall(entered.name, entered.text, left.text, left.result)


def decoded(decoder: Counting, *records: Recorded) -> int:
    """Count how many of some calls had to be decoded."""
    calls = WholeCalls(decoder)
    for record in batch_of(records):
        assert calls.decode(record) == line_of(record)
    return decoder.decoded


@pytest.mark.parametrize(("abi", "name"), CAPTURED, ids=str)
def test_lines_are_those_of_calls_decoded_alone(abi: Abi, name: str) -> None:
    """Whatever came before them: the same memory elsewhere, other there, and stray registers."""
    captured = captured_arguments(abi, name)
    assert captured is not None
    blocks = captured_blocks(abi, name, 32)
    choose = random.Random(f"{abi} {name}")
    calls = WholeCalls(Decoder())
    for _ in range(20):
        call, before, after = random_call(choose, abi, name, captured, 32)
        result = choose.choice([result for result in RESULTS if result is not None])
        for moved in (0, 0x5000, 0):
            arguments = [*call.arguments]
            strings = {at: before[arguments[at]] for at in captured if arguments[at]}
            read = {at: before[arguments[at]] for at in blocks.read if arguments[at]}
            written = {at: after[arguments[at]] for at in blocks.written if arguments[at]}
            for position in strings | read | written:
                arguments[position] += moved
            left = {} if result < 0 else written
            for _ in range(2):
                first, second, third, fourth, fifth, sixth = arguments
                six = first, second, third, fourth, fifth, sixth
                changed = Call(7, 7, abi, call.number, six)
                record = record_of(changed, result, strings, read, {**read, **left})
                assert calls.decode(record) == line_of(record)
                # Nobody set it, or the call has all six, or its name is all that is printed.
                arguments[5] = choose.getrandbits(abi.bits)


def test_the_same_call_is_decoded_once() -> None:
    """Wherever its strings lie, and whatever is in registers that it has not."""
    call = Recorded("openat", (3, 0x1000, 0, 0, 1, 2), result=-2, strings={1: PATHS[0]})
    moved = replace(call, arguments=(3, 0x2000, 0, 0, 4, 5), tid=8, entered_ns=5_000)
    assert decoded(Counting(), call, call, moved, call) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"arguments": (4, 0x1000, 0, 0)},
        {"arguments": (3, 0x1000, 0o100, 0o644)},
        {"result": 3},
        {"name": "faccessat2"},
        {"abi": Abi.I386},
        {"strings": {1: PATHS[1]}},
        {"strings": {1: PATHS[0][:-1]}},
        {"strings": {}},
    ],
    ids=str,
)
def test_another_call_is_decoded_anew(other: dict[str, object]) -> None:
    """If anything of it differs that its line shows."""
    call = Recorded("openat", (3, 0x1000, 0, 0), result=-2, strings={1: PATHS[0]})
    assert decoded(Counting(), call, call, replace(call, **other)) == 2  # type: ignore[arg-type]


def test_calls_that_take_other_memory_are_decoded_each_time() -> None:
    """Of a buffer only the address is known, which may be that of something else."""
    call = Recorded("getdents64", (3, 0x2000, 100), result=7)
    assert decoded(Counting(), call, call, call) == 3


def test_long_lines_are_decoded_each_time() -> None:
    """Else a thousand of them could fill 60 MB."""
    call = Recorded("chdir", (0x1000,), strings={0: b"/" * 2_000 + b"\0"})
    assert decoded(Counting(), call, call) == 2


def test_what_is_known_is_bounded() -> None:
    """A hostile program can make calls without end, and no two alike."""
    calls = WholeCalls(Decoder())
    for number in range(3_000):
        [record] = batch_of([Recorded("close", (number,))])
        calls.decode(record)
    assert len(calls._known) <= 1_024
