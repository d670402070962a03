"""Histograms: what is in them, and how they are drawn."""

from __future__ import annotations

import itertools
import json

from accel.command_line.latency import as_json, as_text
from bpf.probes import Histogram, Latencies

#: 2 of 4 to 7 ns, 80 of 8 to 15, none of 16 to 31, 1 of 32 to 63.
SOME = Histogram((0, 0, 0, 2, 80, 0, 1, 0), 900)
DRAWN = """\
                   nsecs : count     distribution
         4 -> 7          : 2        |*                                       |
         8 -> 15         : 80       |****************************************|
        16 -> 31         : 0        |                                        |
        32 -> 63         : 1        |*                                       |"""
NONE = Histogram((0,) * 64)


def test_slots_are_drawn_from_the_first_to_the_last_that_has_any() -> None:
    """The longest bar is of the most, and one is always seen."""
    assert str(SOME) == DRAWN
    assert all(len(line) < 80 for line in DRAWN.splitlines())


def test_a_slot_ends_where_the_next_begins() -> None:
    """Powers of two, as far as 64 bits go."""
    rows = list(Histogram((1,) * 64).rows())
    assert rows[:3] == [(0, 0, 1), (1, 1, 1), (2, 3, 1)]
    assert rows[-1] == (1 << 62, (1 << 63) - 1, 1)
    assert all(high + 1 == low for (_, high, _), (low, _, _) in itertools.pairwise(rows))


def test_the_mean_is_of_all() -> None:
    """The times themselves are added up, not the slots."""
    assert (SOME.count, SOME.mean_ns) == (83, 900 / 83)


def test_nothing_is_no_error() -> None:
    """Neither to draw nor to add up."""
    assert (NONE.count, NONE.mean_ns, list(NONE.rows())) == (0, 0.0, [])
    assert str(NONE).count("\n") == 0


# ------------------------------------------------------------------------------- the command


def test_a_line_sums_the_histograms_up() -> None:
    """And stops that the tracer never knew of are told, as the parts have less."""
    parts = Histogram((0, 0, 82), 41_000), Histogram((0, 0, 82), 123_000)
    text = as_text(Latencies(Histogram((0, 0, 0, 83), 166_000), *parts, unseen=1, lost=0))
    assert text.splitlines()[:4] == [
        "83 stops of 2.0 us each: 0.5 us until the tracer knew, 1.5 us until it resumed the tracee",
        "1 of them ended by a kill before the tracer knew",
        "",
        "whole stops",
    ]
    assert as_text(Latencies(NONE, NONE, NONE, 0, 0)) == "no stops\n"


def test_the_same_as_one_object() -> None:
    """For programs: slots with their limits, and the sum."""
    told = json.loads(as_json(Latencies(SOME, NONE, SOME, unseen=0, lost=3)))
    assert (told["schema"], told["stops"], told["unseen"], told["lost"]) == (1, 83, 0, 3)
    assert told["waiting"] == {"nanoseconds": 0, "slots": []}
    assert told["whole"]["nanoseconds"] == 900
    assert told["whole"]["slots"][0] == {"lowest": 4, "highest": 7, "count": 2}
