"""Faults injected by accel and by strace: programs see the same, and the traces say the same."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from accel import Decision, SetupError, TimeoutExpired, Tracer
from accel.capabilities import MechanismName
from accel.injection_rules import inject
from accel.stops import Stop, SyscallExitStop
from tests.injection_words import ACCEPTED, FAULTS, REFUSED, REFUSED_FAULTS
from tests.support import compiled, require_program

ACCEL = [sys.executable, "-m", "accel", "trace"]
#: No message catalogue is looked for, no byte code is written: two runs make the same calls.
ENVIRONMENT = {**os.environ, "LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1"}


class Run(NamedTuple):
    """What became of one run under a tracer."""

    status: int
    stdout: str
    stderr: str
    #: The lines of the trace, without what differs from run to run.
    lines: list[str]


class Case(NamedTuple):
    """One command and what is injected into it; ``{x}`` in a word is the directory of the run."""

    name: str
    options: str
    command: list[str]
    #: Whether the calls are made in the same order every time.
    is_ordered: bool = True


def probe(*words: str) -> list[str]:
    """Name the command of tests/programs/injected.c."""
    return ["injected", *words]


def probe32(*words: str) -> list[str]:
    """Name the same, as a 32-bit program."""
    return ["injected32", *words]


def python(source: str) -> list[str]:
    """Name a Python program."""
    return [sys.executable, "-S", "-c", source]


CALLS = "trace=sched_yield -e inject=sched_yield"
PYTHON_FILE = "try: open('{x}/file')\nexcept OSError as e: print(e.errno, e.strerror)"
#: A command, a fault, and the program that meets it.
CASES = [
    # ---- errors
    Case("error-by-name", f"{CALLS}:error=ENOSPC", probe("calls")),
    Case("error-by-number", f"{CALLS}:error=4095", probe("calls")),
    Case("error-in-small-letters", f"{CALLS}:error=eagain", probe("calls")),
    Case("fault", "trace=sched_yield -e fault=sched_yield", probe("calls")),
    Case("fault-when", "trace=sched_yield -e fault=sched_yield:error=EIO:when=2", probe("calls")),
    Case("cat-open", "trace=openat -e inject=openat:error=EACCES -P {x}/file",
         ["cat", "{x}/file", "{x}/other"]),
    Case("cat-read", "trace=read -e inject=read:error=EIO:when=2 -P {x}/file", ["cat", "{x}/file"]),
    Case("cat-close", "trace=close -e inject=close:error=EBADF -P {x}/file", ["cat", "{x}/file"]),
    Case("ls-getdents", "trace=getdents64 -e inject=getdents64:error=EIO:when=2",
         ["ls", "{x}/tree"]),
    Case("ls-statx", "trace=statx -e inject=statx:error=EACCES:when=2+2",
         ["ls", "-l", "--time-style=+", "{x}/tree"]),
    Case("dd-write", "trace=write -e inject=write:error=ENOSPC:when=3",
         ["dd", "if={x}/file", "of={x}/out", "bs=4", "status=none"]),
    Case("tar-read", "trace=read -e inject=read:error=EIO -P {x}/tree/b",
         ["tar", "cf", "{x}/tar", "-C", "{x}", "tree"]),
    Case("tar-open", "trace=openat -e inject=openat:error=ENOENT:when=1+ -P tree",
         ["tar", "cf", "{x}/tar", "-C", "{x}", "tree"]),
    Case("tar-disk-full", "trace=write -e inject=write:error=ENOSPC -P {x}/tar",
         ["tar", "cf", "{x}/tar", "-C", "{x}", "tree"]),
    Case("sh-execve", "trace=execve -e inject=execve:error=ENOMEM",
         ["sh", "-c", "/bin/true; echo $?"], is_ordered=False),
    Case("sh-fork", "trace=clone,fork,vfork,clone3 -e inject=clone,fork,vfork,clone3:error=EAGAIN",
         ["sh", "-c", "/bin/true; echo not reached"]),
    Case("sh-redirection", "trace=openat -e inject=openat:error=EROFS -P {x}/out",
         ["sh", "-c", "echo x > {x}/out; echo $?"]),
    Case("python-open", "trace=openat -e inject=openat:error=EMFILE -P {x}/file",
         python(PYTHON_FILE)),
    # ---- results
    Case("retval", f"{CALLS}:retval=42", probe("calls")),
    Case("retval-hexadecimal", f"{CALLS}:retval=0x7fffffffffffffff", probe("calls")),
    Case("retval-of-33-bits", f"{CALLS}:retval=4294967296", probe("calls")),
    Case("retval-minus-4096", f"{CALLS}:retval=-4096", probe("calls")),
    Case("retval-short-read", "trace=read -e inject=read:retval=0:when=2 -P {x}/file",
         ["dd", "if={x}/file", "of={x}/out", "bs=4", "status=none"]),
    Case("retval-euid", "trace=geteuid -e inject=geteuid:retval=1234", ["id", "-u"]),
    Case("retval-syscall", f"{CALLS}:retval=7:syscall=getpid", probe("calls")),
    Case("error-syscall", f"{CALLS}:error=EPERM:syscall=getuid", probe("calls")),
    # ---- when
    *(
        Case(f"when-{when}", f"{CALLS}:error=EPERM:when={when}", probe("calls"))
        for when in ("1", "2", "6", "7", "3+", "2+2", "1+4", "2..3", "2..5+2", "3..3", "2..4+")
    ),
    Case("when-last-holds", f"{CALLS}:error=EPERM:when=2:when=5", probe("calls")),
    Case("when-in-a-thread", f"{CALLS}:error=EPERM:when=2..3", probe("calls", "thread", "calls")),
    Case("when-in-a-child", f"{CALLS}:error=EPERM:when=2..3", probe("calls", "fork", "calls"),
         is_ordered=False),
    Case("when-after-exec", f"{CALLS}:error=EPERM:when=8", probe("calls", "exec", "calls")),
    Case("when-after-exec-of-thread", f"{CALLS}:error=EPERM:when=8",
         probe("calls", "thread", "calls", "calls", "exec", "calls"), is_ordered=False),
    Case("when-by-call", "trace=getuid,geteuid -e inject=getuid,geteuid:error=EPERM:when=1",
         python("import os\nfor i in range(3): print(os.getuid(), os.geteuid())")),
    # ---- several
    Case("last-injection-holds", f"{CALLS}:error=EPERM -e inject=sched_yield:retval=5",
         probe("calls")),
    Case("last-injection-holds-by-call",
         "trace=getuid,geteuid -e inject=getuid,geteuid:retval=5 -e inject=geteuid:retval=6:when=2",
         python("import os\nfor i in range(3): print(os.getuid(), os.geteuid())")),
    Case("two-injections", "trace=getuid,geteuid -e inject=getuid:retval=5 -e fault=geteuid",
         python("import os\nprint(os.getuid(), os.geteuid())")),
    # ---- signals
    Case("signal-handled", f"{CALLS}:signal=USR1:when=2", probe("handle", "calls")),
    Case("signal-and-error", f"{CALLS}:signal=SIGUSR1:error=EINTR:when=2+2",
         probe("handle", "calls")),
    Case("signal-kills", f"{CALLS}:signal=TERM:when=3", probe("calls")),
    Case("signal-sigkill", f"{CALLS}:signal=9:when=3", probe("calls")),
    Case("signal-sigsegv", f"{CALLS}:signal=sigsegv", probe("calls")),
    Case("signal-ignored", f"{CALLS}:signal=CHLD", probe("calls")),
    Case("signal-real-time", f"{CALLS}:signal=RT_5", probe("calls")),
    Case("signal-interrupts", "trace=pause -e inject=pause:signal=USR1", probe("handle", "pause")),
    Case("signal-in-a-thread", f"{CALLS}:signal=USR1:when=4",
         probe("handle", "thread", "calls"), is_ordered=False),
    Case("python-signal", "trace=getpgrp -e inject=getpgrp:signal=INT:error=EPERM",
         python("import os\ntry: os.getpgrp()\nexcept KeyboardInterrupt: print('interrupted')")),
    # ---- delays
    Case("delay-enter", f"{CALLS}:delay_enter=80000", probe("time", "80")),
    Case("delay-exit", f"{CALLS}:delay_exit=80ms", probe("time", "80")),
    Case("delay-both", f"{CALLS}:delay_enter=0.05s:delay_exit=50000us", probe("time", "100")),
    Case("delay-and-error", f"{CALLS}:delay_enter=50ms:delay_exit=30ms:error=EPERM",
         probe("time", "80")),
    Case("delay-exit-and-signal", f"{CALLS}:delay_exit=50ms:signal=USR1:when=2",
         probe("handle", "calls")),
    Case("delay-when", f"{CALLS}:delay_exit=80000000ns:when=2", probe("time", "0", "time", "80")),
    Case("delay-in-a-thread", f"{CALLS}:delay_enter=80ms", probe("thread", "time", "80"),
         is_ordered=False),
    # ---- 32-bit programs
    Case("32-error", f"{CALLS}:error=ENOSPC:when=2+", probe32("calls")),
    Case("32-retval", f"{CALLS}:retval=77", probe32("calls")),
    Case("32-retval-clipped", f"{CALLS}:retval=0x1122334455667788", probe32("calls")),
    Case("32-signal", f"{CALLS}:signal=USR1:error=EINTR:when=3", probe32("handle", "calls")),
    Case("32-delay", f"{CALLS}:delay_enter=50ms:delay_exit=30ms", probe32("time", "80")),
]  # fmt: skip


#: Those that are run under every mechanism and loop: one of each kind.
CROSSED = [
    case
    for case in CASES
    if case.name
    in (
        "cat-read", "retval-hexadecimal", "when-2..5+2", "when-in-a-child", "signal-and-error",
        "signal-interrupts", "signal-sigkill", "delay-both", "delay-and-error", "32-signal",
    )
]  # fmt: skip


def prepare(directory: Path) -> None:
    """Make the files that the commands work on."""
    (directory / "tree").mkdir(parents=True)
    (directory / "file").write_text("one two three four\n")
    (directory / "other").write_text("another\n")
    for name in "abc":
        (directory / "tree" / name).write_text(name * 600)


def traced(tracer: Sequence[str], case: Case, directory: Path) -> Run:
    """Run a case under one of the two."""
    prepare(directory)
    log = directory / "log"
    programs = {"injected": (), "injected32": ("-m32",)}
    program, *rest = case.command
    if program in programs:
        program = compiled("injected", *programs[program])
    words = [word.replace("{x}", str(directory)) for word in case.options.split()]
    command = [program, *(word.replace("{x}", str(directory)) for word in rest)]
    done = subprocess.run(
        [*tracer, "-o", str(log), "-e", *words, "--", *command],
        capture_output=True, text=True, check=False, timeout=60, env=ENVIRONMENT,
    )  # fmt: skip
    return Run(
        done.returncode,
        done.stdout.replace(str(directory), ""),
        re.sub(r"(?m)^\S*strace: .*\n", "", done.stderr).replace(str(directory), ""),
        [comparable(line, directory) for line in log.read_text().splitlines()],
    )  # fmt: skip


def comparable(line: str, directory: Path) -> str:
    """Take from a line what differs from run to run: pids, addresses, times of the processor."""
    line = re.sub(r"^\d+ +", "", line.replace(str(directory), ""))
    if line.startswith("[ Process PID="):
        return ""  # strace says when a process begins to run in another mode.
    line = re.sub(r"0x[0-9a-f]{6,}|in pid \d+|si_pid=\d+|si_[us]time=\d+", "~", line)
    line = re.sub(r"(clone3?|v?fork)(\(.*| resumed>.*)= \d+$", r"\1\2= ~", line)
    return re.sub(r"/\* \d+ vars \*/", "", line)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_program_sees_what_it_sees_under_strace(case: Case, tmp_path: Path) -> None:
    """Its output, its end; and the traced calls have the same lines, with the same notes."""
    strace = require_program("strace")
    wanted = traced([strace, "-f"], case, tmp_path / "1")
    found = traced(ACCEL, case, tmp_path / "2")
    assert found[:3] == wanted[:3]
    wanted_lines, found_lines = (list(filter(None, run.lines)) for run in (wanted, found))
    if case.is_ordered:
        assert found_lines == wanted_lines
    else:
        assert notes(found_lines) == notes(wanted_lines)
    assert any(re.search(r"INJECTED|DELAYED|---|killed", line) for line in found_lines) or (
        case.name in ("when-7", "when-by-call")
    )


@pytest.mark.parametrize("mechanism", ["seccomp-trace", "ptrace-syscall"])
@pytest.mark.parametrize("loop", ["python", "numba"])
@pytest.mark.parametrize("case", CROSSED, ids=lambda case: case.name)
def test_every_mechanism_and_loop_injects_alike(
    case: Case, loop: str, mechanism: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a program sees does not depend on how its stops are obtained, nor on who answers."""
    wanted = traced(ACCEL, case, tmp_path / "1")
    monkeypatch.setitem(ENVIRONMENT, "ACCEL_LOOP", loop)
    found = traced([*ACCEL, "--mechanism", mechanism], case, tmp_path / "2")
    assert found[:3] == wanted[:3]
    assert notes(found.lines) == notes(wanted.lines)


def notes(lines: Sequence[str]) -> list[str]:
    """List the results of the calls, which come in no order, and the signals."""
    ends = (line.rpartition("= ")[2] if " = " in line else line for line in lines)
    return sorted(end for end in ends if "<unfinished" not in end)


# ------------------------------------------------------------------------- beside the calls traced


def test_calls_that_are_not_traced_are_injected_into_and_not_shown() -> None:
    """What -e trace= says is what is shown; strace injects only into what it traces."""
    program = compiled("injected")
    for answer in ("error=EPERM", "retval=3", "error=EPERM:when=2+"):
        done = subprocess.run(
            [*ACCEL, "-e", "trace=none", "-e", f"inject=sched_yield:{answer}", program, "calls"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.stderr.splitlines() == ["+++ exited with 0 +++"]
        wanted = "6: 3 errno 0" if answer == "retval=3" else f"6: -1 errno {errno.EPERM}"
        assert done.stdout.splitlines()[-1] == wanted


def test_an_error_for_every_call_is_answered_in_the_filter() -> None:
    """Where nobody watches: no stop, whatever the command does."""
    program = compiled("injected")
    tracer = Tracer([program, "calls"], capture_output=True)
    inject(tracer, "sched_yield:error=ENOSPC", "getppid:retval=0")
    result = tracer.run(timeout=60)
    assert f"6: -1 errno {errno.ENOSPC}".encode() in result.stdout
    calls = tracer.statistics().calls
    assert not [name for name in ("sched_yield", "getppid") if name in calls]


@pytest.mark.parametrize("mechanism", ["seccomp-trace", "ptrace-syscall"])
def test_the_start_of_the_command_is_left_alone(mechanism: MechanismName) -> None:
    """An injection into every execve does not keep the command from its own."""
    command = ["sh", "-c", "exec /bin/true || echo $?"]
    tracer = Tracer(command, capture_output=True, mechanism=mechanism)
    inject(tracer, "execve:error=EACCES")
    assert tracer.run(timeout=60).returncode == 126


def test_a_handler_may_send_a_signal_and_wait() -> None:
    """Constant decisions, too, may have both; they need a stop, and the call runs."""
    tracer = Tracer([compiled("injected"), "handle", "time", "30"], capture_output=True)
    decision = Decision.resume().with_signal(signal.SIGUSR1).delayed(entry_ns=30_000_000)
    tracer.decide("sched_yield", decision)
    result = tracer.run(timeout=60)
    assert result.stdout == b"signal 10 code 128 pid 0 uid 0\n0, late\n"
    assert tracer.statistics().calls["sched_yield"].stops == 1


def test_a_delay_does_not_lose_the_signal() -> None:
    """As strace(1) says; strace 6.1 forgets it when it delays the entry."""
    tracer = Tracer([compiled("injected"), "handle", "time", "20"], capture_output=True)
    inject(tracer, "sched_yield:delay_enter=20ms:signal=USR1:error=EPERM")
    result = tracer.run(timeout=60)
    assert result.stdout == b"signal 10 code 128 pid 0 uid 0\n-1, late\n"


def test_a_signal_that_is_blocked_comes_when_it_is_unblocked() -> None:
    """And is the kernel's then, as it would have been at once."""
    program = compiled("injected")
    words = ["handle", "block", "calls", "unblock"]
    tracer = Tracer([program, *words], capture_output=True)
    inject(tracer, "sched_yield:signal=USR1:when=1")
    lines = tracer.run(timeout=60).stdout.decode().splitlines()
    assert lines[0] == "blocked"
    assert lines[-2:] == ["signal 10 code 128 pid 0 uid 0", "unblocked"]


# ------------------------------------------------------------------------- delays

ONE_HOUR = "sched_yield:delay_enter=3600s"
#: One thread is in a delayed call. The kernel says so: 24 is sched_yield.
BESIDE_A_DELAYED_THREAD = """
import os, threading
thread = threading.Thread(target=os.sched_yield, daemon=True)
thread.start()
while True:
    with open(f"/proc/self/task/{thread.native_id}/syscall") as file:
        if file.read().startswith("24 "):
            break
"""


def test_siblings_of_a_delayed_thread_go_on() -> None:
    """They are traced, make calls that stop, and end the process."""
    source = f"{BESIDE_A_DELAYED_THREAD}\nfor i in range(100): os.getppid()\nos._exit(7)"
    tracer = Tracer(python(source), mask="getppid")
    stops: list[Stop] = []
    tracer.observe(stops.append)
    inject(tracer, ONE_HOUR)
    assert tracer.run(timeout=60).returncode == 7
    assert sum(isinstance(stop, SyscallExitStop) for stop in stops) >= 100


def test_a_sibling_of_a_delayed_thread_may_execute_a_program() -> None:
    """The delayed thread ends in its stop; its delay is forgotten with it."""
    source = f"{BESIDE_A_DELAYED_THREAD}\nos.execv('/bin/sh', ['sh', '-c', 'exit 9'])"
    tracer = Tracer(python(source))
    inject(tracer, ONE_HOUR)
    assert tracer.run(timeout=60).returncode == 9


def test_a_delayed_main_thread_may_be_superseded() -> None:
    """Another thread executes a program and takes its tid, in which a delay was pending."""
    source = """
import os, threading
def run():
    while True:
        with open(f"/proc/self/task/{os.getpid()}/syscall") as file:
            if file.read().startswith("24 "):
                break
    os.execv("/bin/sh", ["sh", "-c", "exit 9"])
threading.Thread(target=run).start()
os.sched_yield()
"""
    tracer = Tracer(python(source))
    inject(tracer, ONE_HOUR)
    assert tracer.run(timeout=60).returncode == 9


def test_a_delayed_process_may_be_killed() -> None:
    """By whoever may; its parent hears of it at once."""
    source = """
import os
child = os.fork()
if not child:
    os.sched_yield()
while True:
    with open(f"/proc/{child}/syscall") as file:
        if file.read().startswith("24 "):
            break
os.kill(child, 9)
print(os.waitpid(child, 0)[1])
"""
    tracer = Tracer(python(source), capture_output=True)
    inject(tracer, ONE_HOUR)
    assert tracer.run(timeout=60).stdout == b"9\n"


def test_a_delay_is_kept_where_no_process_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the tracing thread sleeps, and with it all tracees."""

    def refuse(_duration: int) -> None:
        refused.append(_duration)
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    refused: list[int] = []
    monkeypatch.setattr("accel.mechanisms.delays.Doorbell", refuse)
    tracer = Tracer([compiled("injected"), "time", "30"], capture_output=True)
    inject(tracer, "sched_yield:delay_enter=30ms:error=EPERM")
    assert tracer.run(timeout=60).stdout == b"-1, late\n"
    assert refused == [30_000_000]


def test_a_run_that_is_too_long_ends_though_it_is_delayed() -> None:
    """Nobody waits for the end of the delay."""
    tracer = Tracer([compiled("injected"), "calls"], capture_output=True)
    inject(tracer, ONE_HOUR)
    with pytest.raises(TimeoutExpired):
        tracer.run(timeout=0.3)


def test_an_error_stays_an_error_through_a_delay() -> None:
    """What is to be done to a delayed call waits with it, though others are answered meanwhile."""
    source = """
import os, threading
def delayed():
    try:
        os.sched_yield()
    except OSError as error:
        os.write(1, error.strerror.encode())
        os._exit(3)
threading.Thread(target=delayed).start()
while True:
    os.getppid()
"""
    tracer = Tracer(python(source), capture_output=True)
    inject(tracer, "sched_yield:delay_enter=200ms:error=ENOSPC", "getppid:retval=1:when=1+")
    result = tracer.run(timeout=60)
    assert (result.returncode, result.stdout) == (3, b"No space left on device")


# ------------------------------------------------------------------------- processes attached to


def started(source: str) -> subprocess.Popen[bytes]:
    """Start a Python program that says when it is ready, and goes on when it is told."""
    child = subprocess.Popen(
        python(f"import os\nos.write(1, b'r')\nos.read(0, 1)\n{source}"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.read(1) == b"r"
    return child


def test_a_process_attached_to_is_injected_into() -> None:
    """From its first call on: it has been executed long ago."""
    with started("print(os.getppid(), os.getppid(), os.getppid())") as child:
        tracer = Tracer(pid=child.pid)
        inject(tracer, "getppid:retval=5:when=2+")
        tracer.start()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"g")
        child.stdin.close()
        # Not communicate(), which would take its end from the tracer.
        tracer.wait(60)
        first, *others = child.stdout.read().split()
    assert int(first) == os.getpid()
    assert others == [b"5", b"5"]


def test_a_process_that_is_let_go_does_not_wait_for_its_delay() -> None:
    """It runs on as if nothing had been: the call it is in is made."""
    child = started("print(os.getppid())")
    tracer = Tracer(pid=child.pid)
    inject(tracer, "getppid:delay_enter=3600s:retval=5")
    tracer.start()
    assert child.stdin is not None
    child.stdin.write(b"g")
    child.stdin.flush()
    path = Path(f"/proc/{child.pid}/syscall")
    while not path.read_text().startswith("110 "):
        pass
    tracer.close()
    stdout, _ = child.communicate(timeout=60)
    assert int(stdout) == os.getpid()


# ------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("option", "texts", "is_taken"),
    [
        ("inject", [f"geteuid:{words}" for words in ACCEPTED], True),
        ("inject", [f"geteuid:{words}" for words in REFUSED], False),
        ("fault", FAULTS, True),
        ("fault", REFUSED_FAULTS, False),
    ],
)
def test_the_words_are_those_of_strace(option: str, texts: list[str], is_taken: bool) -> None:
    """The unit tests take them from a list, which is compared with the program here."""
    strace = require_program("strace")
    for text in texts:
        done = subprocess.run(
            [strace, "-o", "/dev/null", "-e", "trace=none", "-e", f"{option}={text}", "true"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert ("invalid" not in done.stderr) is is_taken, text


@pytest.mark.parametrize(
    "text",
    ["nosuch:error=EPERM", "getppid", "getppid:error=EPERM:retval=1", "getppid:when=0:error=1"],
)
def test_what_strace_refuses_is_refused_before_anything_runs(text: str, tmp_path: Path) -> None:
    """With one line that says why, and accel's own exit status."""
    witness = tmp_path / "ran"
    done = subprocess.run(
        [*ACCEL, "-e", f"inject={text}", "--", "touch", str(witness)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("accel: ")
    assert len(done.stderr.splitlines()) == 1
    assert not witness.exists()


def test_exit_events_cannot_inject() -> None:
    """They have no stop before the call, and say so."""
    tracer = Tracer(["true"], mechanism="exit-event")
    with pytest.raises(SetupError, match="no stop before a call"):
        inject(tracer, "getppid:error=EPERM:when=2")
