"""Calls whose rule depends on tracee memory: found by the loop, without Python; and what is not."""

from __future__ import annotations

import errno
import functools
import importlib.util
import operator
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from accel import Decision, SyscallEntryStop, Tracer, arg, jit, path, sockaddr
from accel.mechanisms.user_notify import UserNotify
from accel.plan_table import rows
from bench.audit import KernelStopCount
from tests.support import compiled, require

STAT = "newfstatat,?stat,?fstatat64@32"
DENIED = f"{errno.errorcode[errno.EACCES]}"
#: Spellings of what is in the directory: see look_up.c.
WITHIN = {
    "the directory", "a file", "the long way", "at the end of a page", "over the end of a page",
    "as long as a path can be",
}  # fmt: skip


@pytest.fixture(autouse=True, params=["python", "numba"])
def answering_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both loops judge."""
    if request.param == "numba":
        require(importlib.util.find_spec("numba"), "numba is not installed")
    monkeypatch.setenv("ACCEL_LOOP", request.param)


def stops_of_python(tracer: Tracer) -> int:
    """Count the calls that stopped, and that the loop left to Python or to a handler."""
    assert tracer._run is not None
    loop = tracer._run.loop
    return loop.stops["seccomp"] + sum(count.handler_calls for _key, count in loop.tables.calls())


def traced(tracer: Tracer) -> list[str]:
    """Run a tracer whose command prints lines; return them."""
    done = tracer.run(timeout=60)
    assert done.returncode == 0
    assert done.stdout is not None
    return done.stdout.decode().splitlines()


def stating(*names: object) -> list[str]:
    """Write the command of a Python program that opens files."""
    source = """
import os, sys
for name in sys.argv[1:]:
    try:
        os.close(os.open(name, os.O_RDONLY))
        print("there")
    except OSError as error:
        print(os.strerror(error.errno))
"""
    return [sys.executable, "-IS", "-c", source, *map(str, names)]


@pytest.mark.parametrize("flags", [(), ("-m32",)], ids=["x86_64", "i386"])
def test_a_subtree_is_refused_in_every_spelling_by_the_loop_alone(
    flags: tuple[str, ...], tmp_path: Path, count: KernelStopCount
) -> None:
    """Dots, double slashes, ends of pages, no memory: the kernel counts stops, Python none."""
    directory = tmp_path / "in"
    directory.mkdir()
    (directory / "a").touch()
    command = [compiled("look_up", *flags), str(directory)]
    native = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before = count.stops
    tracer = Tracer(command, capture_output=True)
    tracer.decide(STAT, Decision.fail(errno.EACCES), where=path.within(directory))
    lines = [line.partition(": ") for line in native.splitlines()]
    expected = [f"{name}: {DENIED if name in WITHIN else was}" for name, _, was in lines]
    assert traced(tracer) == expected
    assert expected != native.splitlines()
    assert stops_of_python(tracer) == 0
    assert count.stops - before == tracer.statistics().stops >= len(lines)
    [row] = rows(tracer.plan)
    assert (row.tier, row.stops) == ("loop", (1, 1))


@pytest.mark.parametrize("flags", [(), ("-m32",)], ids=["x86_64", "i386"])
def test_notifications_are_judged_by_the_loop_alone(flags: tuple[str, ...], tmp_path: Path) -> None:
    """The same spellings, at no stop: the supervisor's loop answers, Python hears of none."""
    directory = tmp_path / "in"
    directory.mkdir()
    (directory / "a").touch()
    command = [compiled("look_up", *flags), str(directory)]
    native = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    tracer = Tracer(command, capture_output=True, mechanism="user-notify")
    tracer.decide(STAT, Decision.fail(errno.EACCES), where=path.within(directory))
    lines = [line.partition(": ") for line in native.splitlines()]
    assert traced(tracer) == [
        f"{name}: {DENIED if name in WITHIN else was}" for name, _, was in lines
    ]
    assert calls_of_supervisors(tracer) == 0
    statistics = tracer.statistics()
    assert statistics.notifications >= len(lines)
    assert sum(call.errors for call in statistics.calls.values()) == len(WITHIN)
    [row] = rows(tracer.plan)
    assert (row.tier, row.stops) == ("loop", (0, 0))


def calls_of_supervisors(tracer: Tracer) -> int:
    """Count the calls that came by notification, fell under a rule, and were left to Python."""
    loop = tracer._run.loop
    assert isinstance(loop, UserNotify)
    supervisors = loop.supervisors._supervisors
    slow = sum(counter.calls for one in supervisors for counter in one._counters.values())
    return slow + sum(
        count.handler_calls for one in supervisors for _key, count in one.tables.calls()
    )


def test_a_supervisor_gives_a_handler_the_calls_that_it_asked_for(tmp_path: Path) -> None:
    """By path and by a scalar; what is not is resumed by the loop, or answered by another rule."""
    for name in "abc":
        (tmp_path / name).touch()
    names = [tmp_path / name for name in "abcab"]
    tracer = Tracer(stating(*names), capture_output=True, mechanism="user-notify")
    told: list[bytes] = []

    @tracer.on_entry("openat", where=(path == tmp_path / "a") & ((arg.flags & os.O_CREAT) == 0))
    def one(stop: SyscallEntryStop) -> Decision:
        told.append(stop.read_string(stop.args[1]))
        return Decision.fail(errno.EACCES)

    tracer.decide("openat", Decision.fail(errno.EPERM), where=path == tmp_path / "b")
    denied, refused = os.strerror(errno.EACCES), os.strerror(errno.EPERM)
    assert traced(tracer) == [denied, refused, "there", denied, refused]
    assert told == [os.fsencode(tmp_path / "a")] * 2
    assert calls_of_supervisors(tracer) == 2


def test_one_run_judges_at_stops_and_by_notification(tmp_path: Path) -> None:
    """Files at stops, sockets by notification: two loops, two sets of tables, no Python."""
    source = """
import os, socket, sys
try:
    print(os.open(sys.argv[1], os.O_RDONLY))
except OSError as error:
    print(os.strerror(error.errno))
with socket.socket() as one:
    print(os.strerror(one.connect_ex(("127.0.0.1", 9))))
"""
    command = [sys.executable, "-IS", "-c", source, str(tmp_path / "a")]
    tracer = Tracer(command, capture_output=True)
    tracer.decide("openat", Decision.fail(errno.EACCES), where=path.within(tmp_path))
    refused = (sockaddr.family == socket.AF_INET) & (sockaddr.port <= 1023)
    tracer.decide("connect", Decision.fail(errno.EPERM), where=refused, mechanism="user-notify")
    assert traced(tracer) == [os.strerror(errno.EACCES), os.strerror(errno.EPERM)]
    assert [row.tier for row in rows(tracer.plan)] == ["loop", "loop"]
    assert stops_of_python(tracer) == 0
    assert tracer.statistics().notifications == 1


def test_a_handler_gets_the_paths_that_it_asked_for_and_no_other_stop(tmp_path: Path) -> None:
    """The loop resumes what no rule is about; statistics count it all the same."""
    for name in "ab":
        (tmp_path / name).touch()
    names = [tmp_path / name for name in "abababb"]
    tracer = Tracer(stating(*names), capture_output=True)
    told: list[bytes] = []

    @tracer.on_entry("openat", where=path == tmp_path / "a")
    def one(stop: SyscallEntryStop) -> Decision:
        told.append(stop.read_string(stop.args[1]))
        return Decision.fail(errno.EACCES)

    denied = os.strerror(errno.EACCES)
    assert traced(tracer) == [denied if name.name == "a" else "there" for name in names]
    assert told == [os.fsencode(tmp_path / "a")] * 3
    assert stops_of_python(tracer) == 3
    counted = tracer.statistics().calls["openat"]
    assert (counted.handler_calls, counted.stops) == (3, counted.calls)
    assert counted.stops > len(names)


def test_rules_are_asked_in_order_whoever_answers_them(tmp_path: Path) -> None:
    """A constant, a compiled function, Python, the filter's answer: the first that holds."""
    require(importlib.util.find_spec("numba"), "numba is not installed")
    names = [tmp_path / name for name in "abcdea"]
    for name in names:
        name.touch()
    wanted = os.fsencode(names[1])
    tracer = Tracer(stating(*names), capture_output=True)
    tracer.decide("openat", Decision.fail(errno.EPERM), where=path == names[0])

    @tracer.on_entry("openat", where=path == names[1], jit=True)
    def compiled_one(call, state):
        state[0] += jit.equals(call, call.arguments[1], wanted)
        return jit.SKIP, -errno.EROFS

    @tracer.on_entry("openat", where=path == names[2])
    def python(_stop: SyscallEntryStop) -> Decision:
        return Decision.fail(errno.ENOTDIR)

    tracer.decide("openat", Decision.nullify(errno.ENOTTY), where=path == names[3])
    tracer.decide("openat", Decision.fail(errno.EXDEV), where=path == names[0])
    tracer.decide("openat", Decision.allow(), where=arg.flags & os.O_CLOEXEC)
    numbers = (errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOTTY)
    expected = [*map(os.strerror, numbers), "there", os.strerror(errno.EPERM)]
    assert traced(tracer) == expected
    assert compiled_one.state[0] == 1
    assert stops_of_python(tracer) == 1


def test_what_is_judged_is_recorded_with_its_strings(tmp_path: Path) -> None:
    """A rule of observed calls, by the loop; what the rule leaves is observed as ever."""
    for name in "ab":
        (tmp_path / name).touch()
    tracer = Tracer(stating(tmp_path / "a", tmp_path / "b"), mask="openat", capture_output=True)
    tracer.decide("openat", Decision.fail(errno.EACCES), where=path.startswith(f"{tmp_path}/a"))
    recorded = tracer.record()
    assert traced(tracer) == [os.strerror(errno.EACCES), "there"]
    calls = recorded.array()
    found = {recorded.strings(at)[1]: call["result"] for at, call in enumerate(calls)}
    assert found[os.fsencode(tmp_path / "a") + b"\0"] == -errno.EACCES
    assert found[os.fsencode(tmp_path / "b") + b"\0"] > 0
    assert stops_of_python(tracer) == 0
    assert len(calls) == tracer.statistics().calls["openat"].calls


def test_results_of_judged_calls_are_seen_after_one_more_stop(tmp_path: Path) -> None:
    """inspect() of one path: two stops, both the loop's, and one for every other path."""
    (tmp_path / "a").touch()
    tracer = Tracer(stating(tmp_path / "a", tmp_path / "b", tmp_path / "b"), capture_output=True)
    tracer.decide("openat", Decision.inspect(), where=path.within(tmp_path / "a"))
    missing = os.strerror(errno.ENOENT)
    assert traced(tracer) == ["there", missing, missing]
    counted = tracer.statistics().calls["openat"]
    assert (counted.stops - counted.calls, counted.errors) == (1, 0)
    assert stops_of_python(tracer) == 0


def test_one_call_is_judged_by_one_look_at_its_memory() -> None:
    """Another thread changes the path all the time: it is never two things to one call's rules."""
    one, other = "/aaaaaaa", "/bbbbbbb"
    # The other thread is to run while the loop looks.
    tracer = Tracer([compiled("flip"), "2000", one, other], capture_output=True, placement="none")
    both = (path == one) & (path == other)
    asked_often = functools.reduce(operator.or_, [both] * 50)
    tracer.decide("newfstatat", Decision.fail(errno.EXDEV), where=asked_often)
    assert traced(tracer) == ["0"]
    assert stops_of_python(tracer) == 0


def test_connections_are_judged_by_family_and_port() -> None:
    """One port of two is refused, and everything that is not of the internet."""
    source = """
import os, socket, sys
for port in sys.argv[1:]:
    with socket.socket() as one:
        print(os.strerror(one.connect_ex(("127.0.0.1", int(port)))))
with socket.socket(socket.AF_UNIX) as one:
    print(os.strerror(one.connect_ex("/nowhere")))
"""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        ports = [each.getsockname()[1] for each in (one, two)]
        command = [sys.executable, "-IS", "-c", source, *map(str, ports)]
        tracer = Tracer(command, capture_output=True)
        refused = sockaddr.port == ports[0]
        tracer.decide("connect", Decision.fail(errno.EACCES), where=refused)
        unix = ~sockaddr.family.one_of(socket.AF_INET, socket.AF_INET6)
        tracer.decide("connect", Decision.fail(errno.EPERM), where=unix)
        numbers = (errno.EACCES, 0, errno.EPERM)
        assert traced(tracer) == [*map(os.strerror, numbers)]
        assert stops_of_python(tracer) == 0
