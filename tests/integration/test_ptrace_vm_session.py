"""A Session of PTRACE_VM: between entries nothing is seen, whatever the kernel stops for."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from accel._kernel import ptrace
from accel.abi import Abi
from accel.ptrace_vm import (
    Dialect2006,
    NotStopped,
    Request,
    Session,
    StopError,
    TraceeDied,
    resume,
)
from tests.integration.vm_tracee import (
    ABIS,
    ALL_TAGS,
    OPTIONS,
    SKIPCALL,
    SKIPEXIT,
    VALUE,
    Started,
    TwoDirectories,
    describe_stop,
    selecting,
)
from tests.support import compiled


@pytest.fixture
def at_seccomp(tmp_path):
    with TwoDirectories(Abi.X86_64, tmp_path, selecting("mkdir")) as tracee:
        yield tracee


@pytest.fixture
def at_entry(tmp_path):
    with TwoDirectories(Abi.X86_64, tmp_path) as tracee:
        yield tracee


@pytest.mark.parametrize("abi", ABIS, ids=lambda abi: abi.value)
@pytest.mark.parametrize(
    "wanted", [tags for tags in ALL_TAGS if not tags.exit], ids=lambda wanted: repr(wanted.tags)
)
def test_a_session_goes_from_entry_to_entry(abi, tmp_path, wanted):
    """What PTRACE_VM promised: the next stop is the next call's, at the cost of a hidden one."""
    with TwoDirectories(abi, tmp_path) as tracee:
        session = Session()
        value = None if wanted.call else VALUE
        session.resume(tracee.tid, Request.SYSCALL, wanted.tags, value=value)
        seen = [tracee.describe(session.wait(tracee.tid)[1])]
        for _call in range(2):
            session.resume(tracee.tid, Request.SYSCALL, SKIPEXIT)
            seen.append(tracee.describe(session.wait(tracee.tid)[1]))
        assert seen == ["entry getppid", "entry mkdir", "entry write"]
        assert session.hidden_stops == 3
        tracee.finish()
        assert tracee.results() == (0 if wanted.call else VALUE, 1, 0)
        assert [path.exists() for path in tracee.paths] == [wanted.call, True]


def test_a_session_shows_the_exit_stops_that_are_wanted(at_entry):
    """Without tags, and with SKIPCALL of 2006 alone, nothing is hidden."""
    session = Session()
    assert session.sysvm(at_entry.tid, SKIPCALL, value=5) == 0
    assert at_entry.describe(session.wait()[1]) == "exit 5"
    session.resume(at_entry.tid, Request.SYSCALL)
    assert at_entry.describe(session.wait()[1]) == "entry getppid"
    session.resume(at_entry.tid, Request.SYSCALL)
    assert at_entry.describe(session.wait()[1]).startswith("exit ")
    assert session.hidden_stops == 0


def test_a_session_needs_no_hidden_stop_where_a_filter_selects(at_seccomp):
    """At a seccomp-stop the kernel itself leaves the exit-stop out."""
    session = Session()
    assert session.sysvm(at_seccomp.tid, Dialect2006.PTRACE_VM_TEST) == 3
    session.sysvm(at_seccomp.tid, SKIPCALL | SKIPEXIT, value=3)
    assert at_seccomp.describe(session.wait()[1]) == "seccomp mkdir"
    session.sysvm(at_seccomp.tid, SKIPEXIT)
    assert at_seccomp.describe(session.wait()[1]) == "exited 0"
    assert session.hidden_stops == 0


def test_a_session_sees_every_entry_also_where_a_filter_selects_some(tmp_path):
    """A call with both stops is decided on at the second, and the next entry is not lost."""
    with TwoDirectories(Abi.X86_64, tmp_path, selecting("mkdir")) as tracee:
        session = Session()
        resume(tracee.tid, Request.SYSCALL)
        assert tracee.wait() == "exit 0"
        seen: list[str] = []
        session.resume(tracee.tid, Request.SYSCALL)
        while (stop := tracee.describe(session.wait()[1])) != "entry write":
            seen.append(stop)
            session.resume(tracee.tid, Request.SYSCALL, SKIPEXIT)
        assert seen == ["entry getppid", "entry mkdir", "seccomp mkdir"]
        assert session.hidden_stops == 2


def test_a_session_knows_that_an_emulated_call_cannot_be_run(at_entry):
    """PTRACE_SYSEMU has decided; the tags may still say what it returns."""
    session = Session()
    session.resume(at_entry.tid, Request.SYSEMU, SKIPEXIT)
    assert at_entry.describe(session.wait()[1]) == "entry getppid"
    with pytest.raises(StopError, match="will not run"):
        session.resume(at_entry.tid, Request.SYSCALL, SKIPEXIT)
    session.resume(at_entry.tid, Request.SYSCALL, SKIPCALL | SKIPEXIT, value=-7)
    assert at_entry.describe(session.wait()[1]) == "entry mkdir"
    session.resume(at_entry.tid, Request.CONT, SKIPEXIT)
    assert at_entry.describe(session.wait()[1]) == "exited 0"
    assert at_entry.results() == (0, -7, 0)


def test_wait_can_return_at_once(at_entry):
    """WNOHANG: (0, 0), as waitpid(2) says it."""
    assert Session().wait(at_entry.tid, os.WNOHANG) == (0, 0)


def test_a_session_reports_the_end_of_a_tracee_that_is_killed_in_a_hidden_stop(at_entry):
    """The exit-stop is there, and its tracee dies before anybody has looked."""
    session = Session()
    session.resume(at_entry.tid, Request.SYSCALL, SKIPEXIT)
    os.waitid(os.P_PID, at_entry.tid, os.WSTOPPED | os.WNOWAIT)
    os.kill(at_entry.tid, signal.SIGKILL)
    assert at_entry.describe(session.wait()[1]) == "killed SIGKILL"


def test_a_session_outlives_a_tracee_that_is_killed_while_its_stop_is_hidden(at_entry, monkeypatch):
    """Between waitpid(2) and the request that hides the stop: ESRCH, and then the end."""
    session = Session()
    session.resume(at_entry.tid, Request.SYSCALL, SKIPEXIT)

    def kill_first(tid, request=ptrace.syscall):
        os.kill(tid, signal.SIGKILL)
        os.waitid(os.P_PID, tid, os.WEXITED | os.WNOWAIT)
        request(tid)

    monkeypatch.setattr(ptrace, "syscall", kill_first)
    assert at_entry.describe(session.wait()[1]) == "killed SIGKILL"
    assert session.hidden_stops == 1


def test_a_call_with_both_stops_is_decided_on_at_the_second(tmp_path):
    """SKIPEXIT at its entry-stop, nothing at its seccomp-stop: the exit-stop shows."""
    with TwoDirectories(Abi.X86_64, tmp_path, selecting("mkdir"), every_call=True) as tracee:
        session = Session()
        session.resume(tracee.tid, Request.SYSCALL, SKIPEXIT)
        assert tracee.describe(session.wait()[1]) == "seccomp mkdir"
        session.resume(tracee.tid, Request.SYSCALL)
        assert tracee.describe(session.wait()[1]) == "exit 0"
        assert session.hidden_stops == 0


def test_an_exit_stop_that_never_comes_does_not_hide_another():
    """At the event of a fork the tracer asks for no more stops; at that of the next it does."""
    options = OPTIONS | ptrace.PTRACE_O_TRACEFORK
    script = "/bin/true & /bin/true & wait"
    with Started(["sh", "-c", script], options=options, every_call=True) as parent:
        session = Session()
        session.resume(parent.tid, Request.SYSCALL)
        while (stop := parent.describe(session.wait(parent.tid)[1])) != "event 1":
            session.resume(parent.tid, Request.SYSCALL, SKIPEXIT if "entry" in stop else 0)
        hidden = session.hidden_stops
        session.resume(parent.tid, Request.CONT)
        # No child has run: no SIGCHLD comes in between.
        assert parent.describe(session.wait(parent.tid)[1]) == "event 1"
        second = ptrace.get_event_message(parent.tid)
        session.resume(parent.tid, Request.SYSCALL)
        assert parent.describe(session.wait(parent.tid)[1]) == f"exit {second}"
        assert session.hidden_stops == hidden
        session.resume(parent.tid, Request.CONT)
        assert run_family(session, parent) == ["exited 0"] * 3


def run_family(session: Session, parent: Started) -> list[str]:
    """Let all tracees run to their ends; tell these."""
    ends: list[str] = []
    with contextlib.suppress(ChildProcessError):
        while True:
            tid, status = session.wait()
            if os.WIFSTOPPED(status):
                is_signal = not status >> 16
                session.resume(tid, Request.CONT, signal=os.WSTOPSIG(status) if is_signal else 0)
            else:
                ends.append(parent.describe(status))
    return ends


FAMILY = (
    OPTIONS
    | ptrace.PTRACE_O_TRACEFORK
    | ptrace.PTRACE_O_TRACEVFORK
    | ptrace.PTRACE_O_TRACECLONE
    | ptrace.PTRACE_O_TRACEEXEC
)


def follow(argv, tags_of):
    """Resume a family of tracees from entry to entry; list its (tid, stop), and how it ended.

    Each call is answered with the tags that ``tags_of`` has for its thread.
    """
    session, seen = Session(), []
    with Started(argv, options=FAMILY, every_call=True) as root:
        session.resume(root.tid, Request.SYSCALL)
        while True:
            tid, status = session.wait()
            if not os.WIFSTOPPED(status):
                if tid == root.tid:
                    root.describe(status)
                    return session, seen, os.waitstatus_to_exitcode(status)
                continue
            try:
                stop = describe_stop(tid, status)
                seen.append((tid, stop))
                tags = tags_of(tid, root.tid) if stop.startswith("entry") else 0
                injected = 0 if stop.split()[0] in KINDS else signal.Signals[stop]
                session.resume(tid, Request.SYSCALL, tags, signal=injected)
            except (ProcessLookupError, TraceeDied, NotStopped):
                continue  # Another thread has ended its process, or executed.


KINDS = {"entry", "exit", "event"}


@pytest.mark.parametrize(
    ("name", "arguments", "status"),
    [("spawn_kinds", [], 0), ("threads", ["4", "20"], 0), ("exec_from_thread", [], 7)],
)
def test_a_session_shows_no_exit_stop_of_a_whole_family(name, arguments, status):
    """Forks, threads, and an execve that takes another's tid; events do not make one show."""
    session, seen, ended = follow([compiled(name), *arguments], lambda _tid, _root: SKIPEXIT)
    assert {stop.split()[0] for _tid, stop in seen} <= {"entry", "event", "SIGCHLD"}
    assert session.hidden_stops > 20
    assert ended == status


@pytest.mark.parametrize("thread_skips", [True, False], ids=["skipped", "wanted"])
def test_the_exit_stop_of_an_execve_is_the_executing_threads(thread_skips):
    """It returns under its leader's tid; what was decided on the leader's own call is void."""

    def tags_of(tid, leader):
        return SKIPEXIT if (tid != leader) == thread_skips else 0

    _session, seen, ended = follow([compiled("exec_from_thread")], tags_of)
    events = [index for index, (_tid, stop) in enumerate(seen) if stop == "event 4"]
    # The first is that of the start.
    leader, following = seen[events[1]][0], seen[events[1] + 1]
    assert (following == (leader, "exit 0")) != thread_skips
    assert ended == 7
