"""One run answers calls in the filter, by notification, and by stops."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from accel import Decision, SyscallExitStop, Tracer, path
from accel.capabilities import MechanismName
from accel.errors import HandlerError, SetupError, TimeoutExpired
from accel.stops import Stop, SyscallEntryStop
from bench.audit import KernelStopCount
from tests.support import compiled

COUNT = 25
TEXT = b"what nobody wrote\n"
SCRIPT = """
import os, socket
print(os.getuid(), os.getppid(), open("/etc/hostname").name)
try:
    socket.socket()
except OSError as error:
    print(error.errno)
"""


@pytest.fixture(autouse=True)
def no_child_stays_behind() -> Iterator[None]:
    """However a test ends, this process has no child afterwards."""
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG | 0x40000000)


def mechanisms(tracer: Tracer) -> list[tuple[str, str]]:
    """Tell of each rule its tier and mechanism."""
    lines = str(tracer.plan).splitlines()
    at = [lines[0].index(head) for head in ("tier", "mechanism", "stops")]
    return [(line[at[0] : at[1]].strip(), line[at[1] : at[2]].strip()) for line in lines[1:]]


def test_three_mechanisms_answer_one_program(count: KernelStopCount) -> None:
    """getuid in the filter, socket and getppid by notification, openat by two stops."""
    tracer = Tracer([sys.executable, "-S", "-c", SCRIPT], capture_output=True)
    tracer.decide("getuid", Decision.skip(0))
    tracer.decide("getppid", Decision.skip(5000), mechanism="user-notify")
    domains: list[int] = []

    @tracer.on_entry("socket", mechanism="user-notify")
    def refuse(stop: SyscallEntryStop) -> Decision:
        domains.append(stop.args.domain)
        return Decision.fail(errno.EPROTO)

    opened: list[int | None] = []
    tracer.on_exit("openat")(lambda stop: opened.append(stop.result))
    assert mechanisms(tracer) == [
        ("kernel", "filter"),
        ("loop", "user-notify"),
        ("handler", "user-notify"),
        ("handler", "seccomp-trace"),
    ]
    result = tracer.run(timeout=60)
    assert (result.stdout or b"").split() == [b"0", b"5000", b"/etc/hostname", b"71"]
    assert domains == [socket.AF_INET]
    statistics = tracer.statistics()
    assert statistics.notifications == 2
    assert statistics.calls["openat"].stops == 2 * len(opened) > 0
    assert statistics.calls["openat"].notifications == 0
    assert (statistics.calls["socket"].stops, statistics.calls["socket"].notifications) == (0, 1)
    assert count.stops == statistics.stops


def test_rules_that_inject_notify_by_themselves() -> None:
    """Nobody has to say so; all other rules stop as ever."""
    tracer = Tracer(["cat", "/nowhere", "/etc/hostname"], capture_output=True)
    tracer.decide("openat", Decision.inject_bytes(TEXT), where=path.within("/nowhere"))
    tracer.decide("execve", Decision.inspect())
    assert [mechanism for _tier, mechanism in mechanisms(tracer)[:2]] == [
        "user-notify",
        "seccomp-trace",
    ]
    result = tracer.run(timeout=60)
    assert result.stdout == TEXT + Path("/etc/hostname").read_bytes()
    assert tracer.statistics().calls["execve"].stops == 2


def test_handlers_of_both_take_turns() -> None:
    """No two run at once, and observers hear of all calls."""
    command = [compiled("threads"), "4", "200"]
    tracer = Tracer(command, capture_output=True, mask="getppid,getpid")
    inside = threading.Lock()
    overlaps: list[str] = []
    threads: set[str] = set()

    def look(stop: SyscallEntryStop) -> None:
        if not inside.acquire(blocking=False):
            overlaps.append(stop.name)
            return
        threads.add(threading.current_thread().name)
        inside.release()

    tracer.on_entry("getppid", mechanism="user-notify")(look)
    tracer.on_entry("write,futex,mprotect,clone3")(look)
    told: list[Stop] = []
    tracer.observe(told.append, exits=False)
    assert tracer.run(timeout=60).stdout == b"0 wrong\n"
    assert not overlaps
    assert threads == {"accel", "accel-supervisor-0"}
    entries = [stop for stop in told if isinstance(stop, SyscallEntryStop)]
    assert sum(stop.name == "getppid" for stop in entries) == 4 * 200 + 4


def test_a_notified_call_that_is_skipped_is_told_with_its_result() -> None:
    """An observer of results sees what it returns; of one that runs it would see nothing."""
    tracer = Tracer([compiled("getppid_loop"), "2"], mask="getppid", stdout=-3)
    tracer.decide("getppid", Decision.skip(4242), mechanism="user-notify")
    told: list[Stop] = []
    tracer.observe(told.append)
    tracer.run(timeout=60)
    exits = [stop for stop in told if isinstance(stop, SyscallExitStop)]
    assert [(stop.name, stop.result, stop.injected) for stop in exits] == [
        ("getppid", 4242, True)
    ] * 2


def test_a_handler_beside_that_raises_ends_the_run() -> None:
    """All tracees are killed, and the tracing thread raises it."""
    tracer = Tracer(["sh", "-c", "cat /etc/hostname; echo survived"], capture_output=True)

    @tracer.on_entry("openat", where=path.within("/etc/hostname"), mechanism="user-notify")
    def fail(_stop: SyscallEntryStop) -> None:
        raise LookupError("nobody knows")

    tracer.on_exit("execve")(lambda _stop: None)
    with pytest.raises(HandlerError, match="nobody knows"):
        tracer.run(timeout=60)
    assert tracer.result is not None
    assert tracer.result.returncode == -signal.SIGKILL


def test_a_handler_beside_may_close_the_run() -> None:
    """And does not wait for its own end."""
    tracer = Tracer(["sh", "-c", "cat /etc/hostname; sleep 1000"], capture_output=True)

    @tracer.on_entry("openat", where=path.within("/etc/hostname"), mechanism="user-notify")
    def end(_stop: SyscallEntryStop) -> None:
        tracer.end()
        tracer.close()

    assert tracer.run(timeout=60).returncode == -signal.SIGKILL


def test_a_timeout_ends_tracees_that_wait_for_an_answer() -> None:
    """Those whose handler has not come to an end among them."""
    tracer = Tracer(["sh", "-c", "getconf PAGESIZE; sleep 1000"], stdout=-3)
    tracer.on_entry("execve", mechanism="user-notify")(lambda _stop: None)
    with pytest.raises(TimeoutExpired):
        tracer.run(timeout=0.3)


# ------------------------------------------------------------------------------- what is refused


def test_a_rule_can_ask_only_where_the_tracer_does_not() -> None:
    """Auto mixes; a mechanism that was asked for does not."""
    tracer = Tracer(["true"], mechanism="seccomp-trace")
    with pytest.raises(SetupError, match="only auto mixes them"):
        tracer.decide("getppid", Decision.skip(5), mechanism="user-notify")
    with pytest.raises(SetupError, match="use seccomp-trace or user-notify"):
        Tracer(["true"]).decide("getppid", Decision.skip(5), mechanism="sysemu")  # type: ignore[arg-type]  # wrong


def test_results_of_notified_calls_are_refused() -> None:
    """Nothing runs."""
    tracer = Tracer(["touch", "/nowhere/never"])
    tracer.on_entry("openat", mechanism="user-notify")(lambda _stop: None)
    tracer.on_exit("openat")(lambda _stop: None)
    with pytest.raises(SetupError, match="a notification shows none"):
        tracer.run()


def test_a_call_that_is_judged_comes_one_way() -> None:
    """Which rule is meant turns out when it has come already."""
    tracer = Tracer(["true"])
    tracer.on_entry("openat", where=path.within("/etc"))(lambda _stop: None)
    tracer.decide("openat", Decision.inject_bytes(TEXT), where=path.within("/nowhere"))
    with pytest.raises(SetupError, match="a call can come by one"):
        tracer.run()
    tracer = Tracer(["cat", "/nowhere"], capture_output=True)
    tracer.on_entry("openat", where=path.within("/etc"), mechanism="user-notify")(
        lambda _stop: None
    )
    tracer.decide("openat", Decision.inject_bytes(TEXT), where=path.within("/nowhere"))
    assert tracer.run(timeout=60).stdout == TEXT


def test_a_running_process_has_no_filter_to_notify() -> None:
    """Attached to, it is traced or not at all."""
    tracer = Tracer(pid=os.getpid())
    tracer.decide("openat", Decision.inject_bytes(TEXT))
    with pytest.raises(SetupError, match="start the command under accel"):
        _ = tracer.plan


# ------------------------------------------------------------------------------- storms


STORM = """
import os, signal
for turn in range(30):
    pid = os.fork()
    if not pid:
        for _ in range(20):
            os.getppid()
            os.close(os.open("/etc/hostname", os.O_RDONLY))
        os._exit(0)
    if turn % 3 == 0:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print("done")
"""


@pytest.mark.parametrize("mechanism", ["auto", "user-notify"])
@pytest.mark.parametrize("supervisors", [1, 3])
def test_tracees_may_be_killed_at_any_moment(mechanism: MechanismName, supervisors: int) -> None:
    """While they notify, while they are answered, while they get a descriptor."""
    tracer = Tracer(
        [sys.executable, "-S", "-c", STORM],
        capture_output=True,
        mechanism=mechanism,
        supervisors=supervisors,
    )
    tracer.decide("openat", Decision.inject_bytes(TEXT), where=path.within("/etc/hostname"))
    tracer.on_entry("getppid", mechanism="user-notify")(lambda _stop: None)
    tracer.decide("wait4", Decision.inspect() if mechanism == "auto" else Decision.resume())
    assert tracer.run(timeout=60).stdout == b"done\n"
    # Two thirds of the children were left alone.
    assert tracer.statistics().calls["getppid"].notifications >= 20 * 20
