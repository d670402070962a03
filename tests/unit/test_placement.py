"""When tracer and tracee are put together, and that everybody gets back what was theirs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from accel import Tracer
from accel.errors import SetupError
from accel.mechanisms import placement as module
from accel.mechanisms.placement import Placement


class Host:
    """Affinities of threads that exist here only, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.masks = {os.getpid(): {0, 1, 2, 3}}
        self.now = 0
        self.stops = 0
        monkeypatch.setattr(module.os, "sched_getaffinity", self.get)
        monkeypatch.setattr(module.os, "sched_setaffinity", self.set)
        monkeypatch.setattr(module.threading, "get_native_id", os.getpid)
        monkeypatch.setattr(module, "monotonic_ns", lambda: self.now)
        monkeypatch.setattr(module, "_cpu_of", lambda _tid: 2)
        # The watching thread has tests of its own, on live programs.
        monkeypatch.setattr(Placement, "_watch", lambda _self: None)

    def get(self, tid: int) -> set[int]:
        if tid not in self.masks:
            raise ProcessLookupError
        return set(self.masks[tid])

    def set(self, tid: int, mask: set[int]) -> None:
        self.get(tid)
        self.masks[tid] = set(mask)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host with four CPUs; no CPU stays taken."""
    yield Host(monkeypatch)
    assert not +module._trees


def frequent(host: Host, name: str = "auto", **masks: set[int]) -> Placement:
    """A placement after 64 stops in 30 ms."""
    host.masks |= {int(tid[1:]): mask for tid, mask in masks.items()}
    placement = Placement(name, lambda: host.stops)
    placement.started(101)
    if name == "auto":
        placement.release()  # The start is over; what follows is about frequent stops.
    host.stops, host.now = 64, 30_000_000
    placement.beat([int(tid[1:]) for tid in masks])
    return placement


def test_frequent_stops_bring_tracer_and_tracees_together(host: Host) -> None:
    """On the CPU of the tracee, and apart again with what each had."""
    placement = frequent(host, t101={0, 1, 2, 3}, t102={2, 3})
    assert host.masks == {os.getpid(): {2}, 101: {2}, 102: {2}}
    placement.release()
    assert host.masks == {os.getpid(): {0, 1, 2, 3}, 101: {0, 1, 2, 3}, 102: {2, 3}}


def test_rare_stops_change_nothing(host: Host) -> None:
    """64 stops in 65 ms are less than 1,000 a second."""
    host.masks[101] = {0, 1}
    placement = Placement("auto", lambda: host.stops)
    placement.started(101)
    placement.release()
    host.stops, host.now = 64, 65_000_000
    placement.beat([101])
    assert host.masks[101] == {0, 1}


def test_a_program_begins_together_with_its_tracer(host: Host) -> None:
    """It has one thread and makes many calls; a release is followed by a pause."""
    host.masks[101] = {0, 1, 2}
    placement = Placement("auto", lambda: host.stops)
    placement.started(101)
    assert host.masks[101] == {2}
    placement.release()
    host.stops, host.now = 1000, 10_000_000
    placement.beat([101])
    assert host.masks[101] == {0, 1, 2}
    host.stops, host.now = 2000, 21_000_000
    placement.beat([101])
    assert host.masks[101] == {2}
    placement.release()


def test_a_child_made_before_a_release_follows_to_another_cpu(host: Host) -> None:
    """It inherited a CPU that the tree has left since, and gets back its own in the end."""
    placement = frequent(host, t101={0, 1, 2})
    host.masks[102] = {2}
    placement.release()
    other = Placement("same-cpu", lambda: 0)
    host.masks[201] = {2}
    host.masks[os.getpid()] = {2, 3}
    other.started(201)
    host.masks[os.getpid()] = {0, 1, 2, 3}
    host.stops, host.now = 1000, 60_000_000
    placement.beat([101])
    assert host.masks[101] == {0}
    placement.born(101, 102)
    assert host.masks[102] == {0}
    placement.release()
    assert host.masks[102] == {0, 1, 2}
    other.release()


def test_a_tracee_that_may_not_run_there_stays_where_it_is(host: Host) -> None:
    """Its user has chosen."""
    placement = frequent(host, t101={0, 1, 2, 3}, t102={3})
    assert host.masks[102] == {3}
    placement.release()
    assert host.masks[102] == {3}


def test_without_a_common_cpu_nothing_changes(host: Host) -> None:
    """The tracer's affinity is respected, too."""
    host.masks[os.getpid()] = {0, 1}
    placement = frequent(host, t101={2, 3})
    assert placement.cpu is None
    assert host.masks == {os.getpid(): {0, 1}, 101: {2, 3}}


def test_what_the_tracee_sets_meanwhile_is_kept(host: Host) -> None:
    """Only what is still ours is taken back."""
    placement = frequent(host, t101={0, 1, 2, 3})
    host.masks[101] = {0, 1}
    placement.release()
    assert host.masks[101] == {0, 1}


def test_a_child_gets_what_its_parent_had(host: Host) -> None:
    """It inherited the one CPU, and is released with all others."""
    placement = frequent(host, t101={1, 2})
    host.masks[102] = {2}
    placement.born(101, 102)
    placement.release()
    assert host.masks[102] == {1, 2}


def test_a_child_that_is_heard_of_after_the_release_is_released_then(host: Host) -> None:
    """The fork came first, its event second."""
    placement = frequent(host, t101={1, 2})
    host.masks[102] = {2}
    placement.release()
    placement.born(101, 102)
    assert host.masks[102] == {1, 2}


def test_an_execve_in_a_thread_keeps_what_that_thread_had(host: Host) -> None:
    """Its tid is the leader's from then on."""
    placement = frequent(host, t101={0, 1, 2, 3}, t102={1, 2})
    placement.renamed(102, 101)
    host.masks[101] = host.masks.pop(102)
    placement.release()
    assert host.masks[101] == {1, 2}


def test_threads_that_ended_are_no_trouble(host: Host) -> None:
    """Neither those that wait reported, nor those that it has not yet."""
    placement = frequent(host, t101={1, 2}, t102={1, 2}, t103={1, 2})
    del host.masks[102], host.masks[103]
    placement.ended(102)
    placement.release()
    assert host.masks[101] == {1, 2}


def test_two_trees_are_put_on_two_cpus(host: Host) -> None:
    """Whatever CPU both ran on last."""
    first = frequent(host, t101={0, 1, 2, 3})
    second = Placement("same-cpu", lambda: 0)
    host.masks |= {os.getpid(): {0, 1, 2, 3}, 201: {0, 1, 2, 3}}
    second.started(201)
    assert {first.cpu, second.cpu} == {2, 0}
    first.release()
    second.release()


@pytest.mark.parametrize("name", ["none", "same-cpu", "auto"])
def test_the_name_says_when(host: Host, name: str) -> None:
    """Never; at once and for good; at once and while stops are frequent."""
    host.masks[101] = {0, 1, 2, 3}
    placement = Placement(name, lambda: host.stops)
    placement.started(101)
    assert (placement.cpu is not None) == (name != "none")
    placement.release()
    placement = frequent(host, name, t101={0, 1, 2, 3})
    assert (placement.cpu is not None) == (name != "none")
    placement.release()


def test_an_unknown_placement_is_refused() -> None:
    """Before anything runs."""
    with pytest.raises(SetupError, match="moon"):
        Tracer(["true"], placement="moon")
