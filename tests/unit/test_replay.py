"""What is told from records reads like what was told live."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from accel.call import Call
from accel.records import BY_PYTHON, ENTERED, INJECTED, RETURNED, RecordedMemory
from accel.stops import Stop, SyscallEntryStop, SyscallExitStop
from accel.testing import FakeMemory
from accel.writers import JsonWriter, LineOutput, Replay, TextFormat, TextWriter
from tests.unit.recorded import Recorded, batch_of

PATHS = {0x1000: b"/etc/hostname\0", 0x2000: b"/tmp/" + b"n" * 300 + b"\0", 0x3000: b"x\n\xff\0"}
MEMORY = FakeMemory(PATHS)
CWD = (1 << 64) - 100


def call_of(record: Recorded) -> Call:
    """The call that a record describes."""
    first, second, third, fourth, fifth, sixth = record.six
    return Call(
        record.tid, record.pid, record.abi, record.number,
        (first, second, third, fourth, fifth, sixth),
        record.instruction_pointer, record.stack_pointer,
    )  # fmt: skip


def stops_of(*records: Recorded) -> list[Stop]:
    """Collect what an observer is told of some records, one batch each."""
    told: list[Stop] = []
    replay = Replay(told.append)
    for record in records:
        replay.write(batch_of([record]))
    replay.close()
    return told


def some_call(choose: random.Random, tid: int, now: int) -> Recorded:
    """Make a call of any kind, captured strings and all."""
    name, arguments = choose.choice([
        ("getppid", ()),
        ("openat", (CWD, choose.choice([*PATHS]), 0o100, 0o644)),
        ("rename", (choose.choice([*PATHS]), choose.choice([*PATHS, 0]))),
        ("mmap", (0, 4096, 3, 0x22, CWD + 99, 0)),
        ("exit_group", (3,)),
    ])  # fmt: skip
    strings = {at: PATHS[value] for at, value in enumerate(arguments) if value in PATHS}
    record = Recorded(name, arguments, entered_ns=now, tid=tid, strings=strings)
    if name == "exit_group":
        return replace(record, flags=0, left_ns=0)
    if choose.random() < 0.2:
        return replace(record, flags=INJECTED, result=-1, left_ns=0)
    return replace(record, result=choose.choice([0, 3, -2, 0x7F0000000000]))


def run(choose: random.Random) -> Iterator[Recorded]:
    """Let three threads make calls that overlap; yield what begins and what ends, in order."""
    under_way: dict[int, Recorded] = {}
    for now in range(1_000_000, 4_000_000, 10_000):
        tid = choose.choice([7, 8, 9])
        ended = under_way.pop(tid, None)
        if ended is not None:
            yield replace(ended, left_ns=now) if ended.flags & RETURNED else ended
            continue
        begun = some_call(choose, tid, now)
        if begun.flags & INJECTED:
            # Answered at its entry: there is nothing to wait for.
            yield begun
            continue
        under_way[tid] = begun
        yield replace(begun, flags=ENTERED, left_ns=0)


def tell_live(events: list[Recorded], observer: Callable[[Stop], None]) -> None:
    """Tell of events as the tracing thread does."""
    for event in events:
        call = call_of(event)
        if event.flags & (ENTERED | INJECTED):
            observer(SyscallEntryStop(call, MEMORY, event.entered_ns))
        if not event.flags & ENTERED:
            result = event.result if event.flags & (RETURNED | INJECTED) else None
            left_ns, injected = event.left_ns or event.entered_ns, event.flags & INJECTED != 0
            observer(SyscallExitStop(call, result, MEMORY, event.entered_ns, left_ns, injected))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["text", "durations", "json"])
def test_the_lines_are_those_of_live_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, seed: int
) -> None:
    """Halves of overlapping calls, strings, results, durations: byte for byte."""
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000_000_000)
    monkeypatch.setattr("time.monotonic_ns", lambda: 0)
    choose = random.Random(seed)
    events = list(run(choose))

    def written(name: str, tell: Callable[[Callable[[Stop], None]], None]) -> str:
        output = LineOutput.open(str(tmp_path / name))
        layout = TextFormat(timestamps="epoch", durations=kind == "durations", pid_column=True)
        writer = JsonWriter(output) if kind == "json" else TextWriter(output, layout=layout)
        tell(writer)
        writer.close()
        output.close()
        return (tmp_path / name).read_text()

    def tell_recorded(observer: Callable[[Stop], None]) -> None:
        replay, rest = Replay(observer), list(events)
        while rest:
            size = choose.randrange(1, 40)
            replay.write(batch_of(rest[:size]))
            del rest[:size]
        replay.close()

    live = written("live", lambda observer: tell_live(events, observer))
    assert live.count("\n") > 100
    assert ("<unfinished ...>" in live) == (kind != "json")
    assert written("recorded", tell_recorded) == live


def test_a_whole_call_has_both_its_stops() -> None:
    """With its memory, its result, and the times of both."""
    record = Recorded("openat", (CWD, 0x1000), result=3, strings={1: PATHS[0x1000]})
    entry, exit_ = stops_of(record)
    assert entry == SyscallEntryStop(call_of(record), MEMORY, 1_000)
    assert exit_ == SyscallExitStop(call_of(record), 3, MEMORY, 1_000, 2_000)
    assert isinstance(exit_, SyscallExitStop)
    assert exit_.read_string(0x1000) == b"/etc/hostname"


def test_what_was_told_to_begin_only_ends() -> None:
    """The second record of a call adds its exit-stop, and no second entry-stop."""
    record = Recorded()
    begun = replace(record, flags=ENTERED, left_ns=0)
    assert stops_of(begun, record) == stops_of(record)
    assert [type(stop) for stop in stops_of(begun)] == [SyscallEntryStop]


def test_a_call_after_one_whose_end_was_lost_is_told_whole() -> None:
    """It began at another time."""
    lost = Recorded(flags=ENTERED, left_ns=0)
    record = replace(lost, flags=RETURNED, entered_ns=5_000, left_ns=6_000)
    assert stops_of(lost, record)[1:] == stops_of(record)


def test_what_python_answered_is_not_told_again() -> None:
    """Its observers heard of it at the stop."""
    assert stops_of(Recorded(flags=RETURNED | BY_PYTHON)) == []


def test_a_call_let_run_without_exit_stop_has_begun_and_no_more() -> None:
    """As live: nobody knows what it returned, or when."""
    assert [type(stop) for stop in stops_of(Recorded(flags=0, left_ns=0))] == [SyscallEntryStop]


@pytest.mark.parametrize(
    "records",
    [
        [Recorded("exit_group", flags=0, left_ns=0)],
        [Recorded("read", flags=ENTERED, left_ns=0), Recorded("read", flags=0, left_ns=0)],
    ],
    ids=["by nature", "killed in it"],
)
def test_a_call_that_never_returned_has_an_exit_stop_without_result(
    records: list[Recorded],
) -> None:
    """strace's question mark."""
    last = stops_of(*records)[-1]
    assert isinstance(last, SyscallExitStop)
    assert last.result is None


def test_recorded_strings_that_overlap_are_each_whole() -> None:
    """A path that begins inside another that was too long for its record."""
    memory = RecordedMemory({0x1000: b"a" * 4096, 0x1800: b"a" * 4095 + b"\0"})
    assert memory.read(0x1800, 4096) == b"a" * 4095 + b"\0"
