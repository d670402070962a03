"""What Count makes of the kernel's maps; no kernel is asked."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

import pytest

from bpf import Arch
from bpf.probes import Count, count


class FakeMap:
    """A map of sums."""

    def __init__(self, sums: dict[bytes, int]) -> None:
        self.values = sums

    def sums(self) -> dict[bytes, int]:
        return dict(self.values)

    def set(self, key: bytes, value: bytes) -> None:
        self.values[key] = int.from_bytes(value, "little")


class FakeProgram:
    """A program that has counted from 1 on, and missed some."""

    def __init__(self) -> None:
        self.missed = 5
        self.closed = 0
        self.maps = {
            "counters": FakeMap({bytes([at]): at + 1 for at in range(9)}),
            "calls": FakeMap({struct.pack("=Ii", Arch.I386, -1): 20, call(110): 10}),
            "tree": FakeMap({b"0": 30, b"1": 40}),
            "expected": FakeMap({}),
            "expectations": FakeMap({}),
        }

    def map(self, name: str) -> FakeMap:
        return self.maps[name]

    def close(self) -> None:
        self.closed += 1


def call(number: int) -> bytes:
    return struct.pack("=Ii", Arch.X86_64, number)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> FakeProgram:
    """Load that program, whatever the text."""
    fake = FakeProgram()
    load: Callable[[str], FakeProgram] = lambda _text: fake  # noqa: E731
    monkeypatch.setattr(count, "load", load)
    return fake


def test_every_counter_has_its_place(program: FakeProgram) -> None:
    """The order is that of the enum in count.bpf.c."""
    counts = Count().read()
    assert dict(counts.system_calls) == {(Arch.X86_64, 110): 10, (Arch.I386, -1): 20}
    assert counts.total_system_calls == 30
    assert (counts.stops, counts.signalled_stops, counts.told_stops) == (1, 2, 3)
    assert (counts.context_switches, counts.migrations, counts.tracees) == (5, 6, 30)
    source = count.source("count.bpf.c")
    names = source[source.index("STOPS,") : source.index("COUNTERS\n")].replace(",", "").split()
    assert [getattr(count, f"_{name.replace('TRACEE_', '')}") for name in names] == list(range(9))
    assert program.closed == 0


def test_what_is_in_no_number_is_lost_not_silently(program: FakeProgram) -> None:
    """Calls without a place, threads without a place, and programs that did not run."""
    counts = Count().read()
    assert counts.lost == 9 + 40 + 5
    program.missed = 0
    assert Count().read().lost == 9 + 40


def test_the_tracers_numbers_are_there_when_one_is_followed(program: FakeProgram) -> None:
    """Zero would be a claim."""
    counting = Count()
    counts = counting.read()
    assert (
        counts.notifications is counts.tracer_context_switches is counts.tracer_migrations is None
    )
    counting.follow_tracer(os.getpid())
    counts = counting.read()
    assert (counts.notifications, counts.tracer_context_switches) == (4, 7)
    assert counts.tracer_migrations == 8
    assert program.maps["expected"].values[struct.pack("=I", os.getpid())] == 2


def test_after_a_reset_only_what_is_new_is_counted(program: FakeProgram) -> None:
    """The kernel's counters go on: nothing falls between two of them."""
    counting = Count()
    counting.reset()
    program.maps["calls"].values[call(39)] = 7
    program.maps["counters"].values[b"\0"] = 101
    counts = counting.read()
    assert (dict(counts.system_calls), counts.stops) == ({(Arch.X86_64, 39): 7}, 100)
    assert counts.lost == counts.tracees == 0


def test_the_end_keeps_the_counts_and_detaches_once(program: FakeProgram) -> None:
    """They may be read as often as one likes."""
    with Count() as counting:
        before = counting.read()
    program.maps["counters"].values[b"\0"] = 101
    assert counting.read() == counting.read() == before
    counting.close()
    assert program.closed == 1
