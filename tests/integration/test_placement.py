"""Tracer and tracee on one CPU: what changes for the tracee, and that it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

import accel
from accel import Decision, Tracer
from tests.support import compiled, require

#: Prints the affinity mask, and again after a burst of calls.
LOOK = """
import os
print(sorted(os.sched_getaffinity(0)))
for _ in range(2000): os.getppid()
print(sorted(os.sched_getaffinity(0)))
"""
#: Tells where this thread may run, without a call that stops: from a file.
ALLOWED = """
import os
file = open("/proc/thread-self/status", "rb", buffering=0)
def allowed():
    line = next(l for l in os.pread(file.fileno(), 8192, 0).splitlines() if b"Cpus_allowed:" in l)
    return int(line.split()[1].replace(b",", b""), 16).bit_count()
"""
#: Calls getppid until that is placed; on a busy machine it may be let go in between.
CALL_UNTIL_PLACED = f"""{ALLOWED}
while allowed() > 1: os.getppid()
"""


@pytest.fixture(autouse=True)
def two_cpus() -> None:
    """On one CPU there is nothing to choose."""
    require(len(os.sched_getaffinity(0)) > 1, "this machine has one CPU")


def placed(command: list[str]) -> Tracer:
    """Make a Tracer that places its tree by itself."""
    return Tracer(command, mask="getppid", capture_output=True, placement="auto")


def masks(tracer: Tracer) -> list[list[int]]:
    """What the tracee printed."""
    return [eval(line) for line in (tracer.run(timeout=60).stdout or b"").splitlines()]


def test_what_the_tracee_can_see_of_auto() -> None:
    """/proc/PID/status tells of one CPU during frequent stops; sched_getaffinity never does."""
    everywhere = sorted(os.sched_getaffinity(0))
    script = (
        f"{CALL_UNTIL_PLACED}"
        "seen = allowed()\n"
        "affinity = sorted(os.sched_getaffinity(0))\n"
        "print(seen); print(affinity); print(allowed())"
    )
    tracer = placed([sys.executable, "-c", script])
    during, affinity, after = (eval(line) for line in (tracer.run().stdout or b"").splitlines())
    assert (during, affinity, after) == (1, everywhere, len(everywhere))


@pytest.mark.parametrize("mask", ["getppid", "all", "sched_getaffinity"])
def test_nproc_is_what_it_is(mask: str) -> None:
    """From the first instruction on, whether or not its calls are selected."""
    tracer = Tracer(["nproc"], mask=mask, capture_output=True)
    assert tracer.run().stdout == b"%d\n" % len(os.sched_getaffinity(0))


def test_an_affinity_that_the_tracee_sets_is_its_own() -> None:
    """Also if it is just the CPU that it was on; and it is kept when stops end."""
    script = (
        f"{CALL_UNTIL_PLACED}"
        "cpu = os.sched_getaffinity(0).pop()\n"
        "os.sched_setaffinity(0, [cpu])\n"
        "for _ in range(2000): os.getppid()\n"
        "print(os.sched_getaffinity(0) == {cpu}, allowed())"
    )
    tracer = placed([sys.executable, "-c", script])
    assert tracer.run(timeout=60).stdout == b"True 1\n"


def test_none_changes_nothing() -> None:
    """For those who cannot have that."""
    everywhere = sorted(os.sched_getaffinity(0))
    command = [sys.executable, "-c", LOOK]
    tracer = Tracer(command, mask="getppid", capture_output=True, placement="none")
    assert masks(tracer) == [everywhere, everywhere]


def test_same_cpu_holds_from_the_first_instruction() -> None:
    """And to the end."""
    tracer = Tracer(["nproc"], mask="getppid", capture_output=True, placement="same-cpu")
    assert tracer.run().stdout == b"1\n"


def test_what_the_user_set_is_respected() -> None:
    """A command that is bound to a CPU stays bound to it."""
    last = max(os.sched_getaffinity(0))
    script = f"import os; os.sched_setaffinity(0, [{last}])\n{LOOK}"
    command = [sys.executable, "-c", script]
    assert masks(placed(command)) == [[last], [last]]


@pytest.mark.parametrize("kind", ["thread", "child"])
def test_when_stops_end_everybody_gets_back_what_was_theirs(kind: str) -> None:
    """The tracee waits for it, without a call that stops; so do a child and a thread of it."""
    start = {
        "thread": "import threading; t = threading.Thread(target=work); t.start(); t.join()",
        "child": "pid = os.fork()\nif not pid: work(); os._exit(0)\nos.waitpid(pid, 0)",
    }[kind]
    script = (
        f"{CALL_UNTIL_PLACED}"
        "def work():\n"
        "    while allowed() == 1: pass\n"
        "    print('released', flush=True)\n"
        f"{start}\nwork()\n"
    )
    tracer = placed([sys.executable, "-c", script])
    result = tracer.run(timeout=60)
    assert (result.stdout, result.stderr) == (b"released\n" * 2, b"")


def test_threads_that_compete_are_let_go() -> None:
    """Many stops or not: two threads that compute get two CPUs."""
    tracer = placed([compiled("competing")])
    assert tracer.run(timeout=60).stdout == b"apart\n"


def test_the_host_keeps_its_affinity() -> None:
    """Of its threads, only the tracing one moves."""
    everywhere = os.sched_getaffinity(0)
    seen: list[set[int]] = []
    mains: list[set[int]] = []
    command = [compiled("getppid_loop"), "100000000"]
    tracer = Tracer(command, stdout=subprocess.DEVNULL, placement="auto")

    @tracer.on_entry("getppid")
    def look(_stop: accel.SyscallEntryStop) -> Decision:
        seen.append(os.sched_getaffinity(0))
        mains.append(os.sched_getaffinity(os.getpid()))
        if len(seen[-1]) == 1:
            tracer.end()
        return Decision.resume()

    assert threading.main_thread() is threading.current_thread()
    tracer.run(timeout=60)
    assert len(seen[-1]) == 1
    assert all(mask == everywhere for mask in mains)


def test_a_process_attached_to_is_left_alone() -> None:
    """If accel was killed, nobody would give back its affinity."""
    with subprocess.Popen([compiled("getppid_loop"), "100000000"]) as process:
        try:
            tracer = Tracer(pid=process.pid, mask="getppid", placement="auto")
            tracer.start()
            while tracer.statistics().stops < 5000:
                pass
            assert os.sched_getaffinity(process.pid) == os.sched_getaffinity(0)
            tracer.close()
        finally:
            process.kill()


def test_a_process_attached_to_gets_back_its_affinity() -> None:
    """same-cpu was asked for; the end of tracing is the end of it."""
    with subprocess.Popen([compiled("getppid_loop"), "100000000"]) as process:
        try:
            tracer = Tracer(pid=process.pid, mask="getppid", placement="same-cpu")
            tracer.start()
            assert len(os.sched_getaffinity(process.pid)) == 1
            tracer.close()
            assert os.sched_getaffinity(process.pid) == os.sched_getaffinity(0)
        finally:
            process.kill()
