"""Sinks that are observers hear of a beginning where something happens before its end."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

from accel.mechanisms.recorder import Recorder
from accel.mechanisms.ring import Ring
from accel.records import ENTERED, Batch, Record
from accel.stops import GroupStop, Stop
from tests.unit.recorded import Kept, Observing, Recorded, begun

OPEN = Recorded("open", (0x1000,), 3, strings={0: b"/etc/passwd\0"})
#: What it reads is in the record of its beginning, what it writes in that of its end.
LIMIT = Recorded("prlimit64", (7, 7, 0x3000, 0x4000), tid=9, blocks={2: b"new"})
LIMIT_END = replace(LIMIT, blocks={3: b"old"})
STAT = Recorded("stat", (0x1000, 0x2000), tid=9, strings={0: b"/etc\0"})
STAT_END = replace(STAT, strings={}, blocks={1: b"a file"})
OTHER = Recorded("open", (0x1000,), 4, tid=8, strings={0: b"/etc/group\0"})


def told_of(*events: Recorded | Stop) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Let a ring's reader tell an observing sink and another; what they hear, with the strings."""
    ring = Ring(records=16, strings=1 << 16)
    sinks = Observing(), Kept()
    recorder = Recorder(ring, sinks)
    texts = bytearray()
    places: dict[tuple[int, int, bool], int] = {}
    for event in events:
        if not isinstance(event, Recorded):
            recorder.tell_later(event)
            continue
        # What was captured at the beginning is in the record of the end, too, unless it has blocks.
        place = event.tid, event.entered_ns, bool(event.blocks)
        at = places.setdefault(place, len(texts))
        record, captured = event.packed(at)
        if at == len(texts):
            texts += captured
        ring.append(record)
    ring.strings.bytes[: len(texts)] = texts
    recorder.drain()
    seen, ended = ([_short(told) for told in sink.told] for sink in sinks)
    return seen, ended


def _short(told: Record | Stop) -> tuple[int, str]:
    if not isinstance(told, Record):
        return told.tid, "stop"
    text = told.strings[0].decode().rstrip("\0")
    for block in told.blocks_after.values():
        text += f", {block.decode()}"
    return told.tid, f"{text} begins" if told.flags & ENTERED else f"{text} = {told.result}"


def test_a_call_whose_end_follows_is_told_once() -> None:
    """To whoever listens."""
    seen, ended = told_of(begun(OPEN), OPEN, begun(OTHER), OTHER)
    assert seen == ended == [(7, "/etc/passwd = 3"), (8, "/etc/group = 4")]


def test_calls_that_overlap_are_told_in_halves() -> None:
    """To those that hear of beginnings; and each has its own strings."""
    seen, ended = told_of(begun(OPEN), begun(OTHER), OPEN, OTHER)
    assert seen == [
        (7, "/etc/passwd begins"),
        (8, "/etc/group begins"),
        (7, "/etc/passwd = 3"),
        (8, "/etc/group = 4"),
    ]
    assert ended == [(7, "/etc/passwd = 3"), (8, "/etc/group = 4")]


def test_a_call_is_told_in_halves_around_a_stop() -> None:
    """A signal that interrupts it is told between."""
    seen, ended = told_of(begun(OPEN), GroupStop(7, 7, 19), OPEN)
    assert seen == [(7, "/etc/passwd begins"), (7, "stop"), (7, "/etc/passwd = 3")]
    assert ended == [(7, "/etc/passwd = 3")]


def test_what_a_call_wrote_is_told_with_the_strings_of_its_beginning() -> None:
    """Whether its end follows or not."""
    at_once = told_of(begun(STAT), STAT_END, begun(OTHER), OTHER)
    assert at_once == ([(9, "/etc, a file = 0"), (8, "/etc/group = 4")],) * 2
    seen, ended = told_of(begun(STAT), begun(OTHER), STAT_END, OTHER)
    assert seen == [
        (9, "/etc begins"),
        (8, "/etc/group begins"),
        (9, "/etc, a file = 0"),
        (8, "/etc/group = 4"),
    ]
    assert ended == [(9, "/etc, a file = 0"), (8, "/etc/group = 4")]


def test_blocks_that_a_call_read_are_told_with_those_that_it_wrote() -> None:
    """At its end; what it read is what it was at its beginning."""
    for between in ([], [begun(OTHER), OTHER]):
        observing = Observing()
        recorder = Recorder(Ring(records=16, strings=1 << 16), [observing])
        ring, at = recorder.ring, 0
        for event in (begun(LIMIT), *between, LIMIT_END):
            record, captured = event.packed(at)
            ring.strings.bytes[at : at + len(captured)] = captured
            at += len(captured)
            ring.append(record)
        recorder.drain()
        last = observing.told[-1]
        assert (last.blocks, last.blocks_after) == ({2: b"new"}, {2: b"new", 3: b"old"})
        assert last.memory.read(0x3000, 3) == b"new"
        assert last.memory.read(0x4000, 3) == b""
        assert last.memory_after.read(0x4000, 3) == b"old"


class Slow(Kept):
    """A sink that waits for leave to return."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = threading.Event()
        self.leave = threading.Semaphore(0)

    def write(self, batch: Batch) -> None:
        """Keep records."""
        super().write(batch)
        self.is_asked.set()
        self.leave.acquire()


def test_a_tracer_waits_for_room_and_no_longer() -> None:
    """Its tracees run on while a slow sink has most of the ring before it."""
    sink = Slow()
    recorder = Recorder(Ring(records=1 << 14, strings=1 << 16), [sink])
    record, _ = Recorded().packed(0)
    while not recorder.ring.is_full:
        recorder.ring.append(record)
    recorder.start()
    tracer = threading.Thread(target=recorder.make_room)
    try:
        sink.is_asked.wait()
        tracer.start()
        while not recorder._is_urgent:
            os.sched_yield()
        sink.leave.release()
        tracer.join(timeout=60)
        assert not tracer.is_alive()
        assert not recorder.ring.is_full
        assert recorder.ring.waiting > 1 << 13
    finally:
        sink.leave.release(100)
        recorder.close()
    # The draining thread goes on where it left off.
    assert len(sink.told) == (1 << 14) - 1


def test_captures_of_beginnings_are_forgotten() -> None:
    """A tracer that runs for days would else keep those of every call."""
    recorder = Recorder(Ring(records=16, strings=1 << 16), [Observing()])
    for events in ([begun(STAT), STAT_END], [begun(STAT)], [STAT_END], [begun(OPEN), OPEN]):
        for event in events:
            record, captured = event.packed(0)
            recorder.ring.strings.bytes[: len(captured)] = captured
            recorder.ring.append(record)
        recorder.drain()
    assert not recorder._known
    assert not recorder._under_way


def test_a_thread_whose_end_was_lost_begins_again() -> None:
    """What follows is of another time, and no end of that."""
    later = replace(OPEN, entered_ns=5_000, left_ns=6_000)
    seen, ended = told_of(begun(OPEN), begun(later), later)
    assert seen == [(7, "/etc/passwd begins"), (7, "/etc/passwd = 3")]
    assert ended == [(7, "/etc/passwd = 3")]
