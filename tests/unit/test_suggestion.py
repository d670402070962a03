"""Which calls are worth selecting for what, and what they cost."""

from __future__ import annotations

import pytest

from accel.mask import SyscallMask
from accel.results import CallStatistics
from accel.suggestion import PURPOSES, SuggestedCall, stops_of, suggest


def counted(**calls: int) -> dict[str, CallStatistics]:
    """Make up the counts of a run; ``name__i386`` is a call of that ABI."""
    return {name.replace("__", "@"): CallStatistics(calls=count) for name, count in calls.items()}


def judged(purpose: str, **calls: int) -> dict[str, SuggestedCall]:
    found = suggest(purpose, counted(**calls))  # type: ignore[arg-type]  # one of PURPOSES
    return {call.name: call for call in found.calls}


def test_what_opens_or_changes_files_is_worth_it_and_what_only_looks_is_not() -> None:
    """There is far more of that; calls on descriptors are not considered."""
    calls = judged("files", openat=10, rename=1, execve=1, newfstatat=90, access=5, read=700)
    assert {name for name, call in calls.items() if call.is_worth} == {"openat", "rename", "execve"}
    assert {name for name, call in calls.items() if not call.is_worth} == {"newfstatat", "access"}


def test_every_call_that_looks_is_known_by_its_name() -> None:
    """And none that opens, creates, changes or executes."""
    names = SyscallMask.parse("%file").names
    calls = judged("files", **dict.fromkeys(names, 1))
    worth = {name for name, call in calls.items() if call.is_worth}
    assert names - worth >= SyscallMask.parse("%stat,%lstat,%statfs").names & names
    assert worth >= {
        "open", "openat2", "creat", "unlinkat", "truncate", "setxattr", "chmod", "mount", "utime"
    }  # fmt: skip
    assert not worth & {"readlink", "faccessat2", "lgetxattr", "statx", "getcwd", "statfs64"}


def test_of_the_network_those_calls_that_tell_who_talks_with_whom_are_worth_it() -> None:
    """What moves data tells it only where nothing is connected."""
    tcp = judged("network", socket=1, connect=1, sendto=500, recvfrom=500, setsockopt=2, openat=9)
    assert {name for name, call in tcp.items() if call.is_worth} == {"socket", "connect"}
    udp = judged("network", socket=1, sendto=500, recvfrom=500)
    assert {name for name, call in udp.items() if call.is_worth} == {"socket", "sendto"}


def test_a_sandbox_allows_every_call_of_the_run_and_what_interruptions_need() -> None:
    """At no stop: a filter does it."""
    found = suggest("sandbox", counted(read=700, getpid__i386=1))
    [choice] = found.choices
    allowed = SyscallMask.parse(choice.mask).names
    assert allowed == {"read", "getpid", "exit", "exit_group", "restart_syscall", "rt_sigreturn"}
    assert (choice.stops, choice.exit_stops) == (0, 0)


def test_calls_of_both_abis_are_one_as_a_mask_selects_both() -> None:
    """Their stops add up."""
    [call] = suggest("files", counted(openat=3, openat__i386=4)).calls
    assert (call.name, call.calls, call.stops, call.exit_stops) == ("openat", 7, 14, 7)


@pytest.mark.parametrize(
    ("name", "both", "exit_only"),
    [("openat", 6, 3), ("exit_group", 3, 0), ("execve", 6, 6)],
)
def test_a_call_stops_twice_or_at_its_exit_if_it_has_one(
    name: str, both: int, exit_only: int
) -> None:
    """Of an execve nothing is left to be told at the exit alone."""
    assert (stops_of(name, 3), stops_of(name, 3, exit_only=True)) == (both, exit_only)


def test_choices_are_the_worthy_calls_then_the_whole_class() -> None:
    """With what each costs; the most frequent calls come first."""
    found = suggest("files", counted(openat=10, mkdir=11, newfstatat=90))
    worthy, whole = found.choices
    assert (worthy.mask, worthy.stops, worthy.exit_stops) == ("mkdir,openat", 42, 21)
    assert (whole.mask, whole.stops, whole.exit_stops) == ("%file", 222, 111)
    assert [call.name for call in found.calls] == ["newfstatat", "mkdir", "openat"]


def test_without_a_call_for_it_there_is_nothing_to_choose() -> None:
    """Nor is a class that would cost nothing."""
    assert suggest("network", counted(openat=3)).choices == ()
    [only] = suggest("files", counted(openat=3)).choices
    assert only.mask == "openat"
    assert len(PURPOSES) == 3
