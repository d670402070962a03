"""Exit-only stops where much can go wrong: a SIGTRAP that nobody takes kills a process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import bpf
from accel import Decision, SignalDeliveryStop, Tracer, result
from accel.errors import HandlerError
from accel.mechanisms.perf_exit_events import condition
from tests.integration.strace_comparison import ACCEL
from tests.integration.test_exit_only import MECHANISMS, python

BAD = result == -errno.EBADF


@contextmanager
def running(program: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program that says ``ready`` and then obeys lines; kill what is left of it."""
    prelude = "def told(): return sys.stdin.readline()\ndef say(word): print(word, flush=True)\n"
    command = python(prelude + program)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert heard(process) == "ready"
            yield process
        finally:
            process.kill()


def heard(process: subprocess.Popen[str]) -> str:
    """Wait for a line of the program."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def tell(process: subprocess.Popen[str]) -> None:
    """Let the program go on by a line."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


# ------------------------------------------------------------------------- rings that are full


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_what_one_thread_leaves_in_the_ring_harms_no_other(mechanism: str) -> None:
    """Without room for its sample a call is lost, and counted; its thread goes on."""
    program = (
        "flooded, done = threading.Event(), threading.Event()\n"
        "def flood():\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])\n"
        "    for number in range(6000): syscall(8, 77)\n"
        "    flooded.set(); done.wait()\n"
        "thread = threading.Thread(target=flood); thread.start(); flooded.wait()\n"
        "syscall(8, 78); done.set(); thread.join()\n"
    )
    tracer = Tracer(python(program), mechanism=mechanism)  # type: ignore[arg-type]
    tracer.decide("lseek", Decision.exit_only(), where=BAD)
    told: list[int] = []
    tracer.on_exit("lseek")(lambda stop: told.append(stop.args[0]))
    assert tracer.run(timeout=60).returncode == 0
    assert tracer.statistics().lost > 0
    assert len(told) + tracer.statistics().lost == 6001


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_what_a_killed_thread_has_done_is_told(mechanism: str) -> None:
    """SIGKILL leaves no last stop at which it could be asked."""
    program = (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])\n"
        "syscall(8, 77); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    tracer = Tracer(python(program), mechanism=mechanism)  # type: ignore[arg-type]
    tracer.decide("lseek", Decision.exit_only(), where=BAD)
    told: list[int] = []
    tracer.on_exit("lseek")(lambda stop: told.append(stop.args[0]))
    assert tracer.run(timeout=60).returncode == -signal.SIGKILL
    assert told == [77]
    assert tracer.statistics().stops_by_kind.get("exit-event", 0) == 0


# ------------------------------------------------------------------------- letting go


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_handler_that_raises_does_not_harm_a_process_attached_to(mechanism: str) -> None:
    """Its stop is left as if nothing had been, and the handler is asked nothing more."""
    program = (
        "blocked, leave = threading.Event(), threading.Event()\n"
        "def block():\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])\n"
        "    told(); syscall(8, 77); blocked.set(); leave.wait()\n"
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTRAP])\n"
        "thread = threading.Thread(target=block); thread.start()\n"
        "say('ready'); blocked.wait(); syscall(8, 78); say('alive')\n"
        "told(); leave.set(); thread.join()\n"
    )
    with running(program) as process:
        tracer = Tracer(pid=process.pid, mechanism=mechanism)  # type: ignore[arg-type]
        tracer.decide("lseek", Decision.exit_only(), where=BAD)
        asked: list[int] = []

        def fail(stop: object) -> None:
            asked.append(stop.args[0])  # type: ignore[attr-defined]
            raise ValueError("a defect")

        tracer.on_exit("lseek")(fail)
        tracer.start()
        tell(process)
        with pytest.raises(HandlerError, match="a defect"):
            tracer.wait(30)
        assert asked == [78]
        assert heard(process) == "alive"
        tell(process)
        assert process.wait(30) == 0


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_handler_of_the_program_returns_to_the_mask_that_was(mechanism: str) -> None:
    """Let go at the delivery of another signal: it is delivered, with SIGTRAP blocked as before."""
    program = (
        "got = []\n"
        "signal.signal(signal.SIGUSR1, lambda *_: got.append(1))\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])\n"
        "say('ready'); told()\n"
        "syscall(8, 77); signal.raise_signal(signal.SIGUSR1); say(len(got))\n"
        "told(); print(*map(int, signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTRAP])))\n"
    )
    with running(program) as process:
        tracer = Tracer(pid=process.pid, mechanism=mechanism)  # type: ignore[arg-type]
        tracer.decide("lseek", Decision.exit_only(), where=BAD)
        tracer.observe(
            lambda stop: tracer.end() if isinstance(stop, SignalDeliveryStop) else None, calls=False
        )
        tracer.start()
        tell(process)
        tracer.wait(30)
        assert heard(process) == "1"
        tell(process)
        assert heard(process) == str(int(signal.SIGTRAP))
        assert process.wait(30) == 0


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_signal_is_found_behind_many_others(mechanism: str) -> None:
    """More wait for the thread than one look at the queue shows."""
    program = (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP, signal.SIGRTMIN + 1])\n"
        "say('ready'); told()\n"
        "info = (ctypes.c_int * 32)(signal.SIGRTMIN + 1, 0, -1)\n"
        "for _ in range(200):  # rt_tgsigqueueinfo\n"
        "    assert syscall(297, os.getpid(), os.getpid(), info[0], ctypes.addressof(info)) == 0\n"
        "syscall(8, 77); say('called'); told()\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTRAP]); say('alive')\n"
    )
    with running(program) as process:
        tracer = Tracer(pid=process.pid, mechanism=mechanism)  # type: ignore[arg-type]
        tracer.decide("lseek", Decision.exit_only(), where=BAD)
        with tracer:
            tracer.start()
            tell(process)
            assert heard(process) == "called"
        tell(process)
        assert heard(process) == "alive"
        assert process.wait(30) == 0


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_program_that_is_executed_by_a_thread_meanwhile_is_let_go(mechanism: str) -> None:
    """The thread has the leader's tid by then, and its own is waited for no more.

    The end is asked for when the thread's execve(2) has begun to end the others.
    """
    program = (
        "blocked = threading.Event()\n"
        "def block():\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])\n"
        "    syscall(8, 77); blocked.set(); threading.Event().wait()\n"
        "def execute():\n"
        "    blocked.wait(); os.execv('/bin/cat', ['cat'])\n"
        "say('ready'); told()\n"
        "threading.Thread(target=block).start(); threading.Thread(target=execute).start()\n"
    )
    with running(program) as process:
        tracer = Tracer(pid=process.pid, mechanism=mechanism)  # type: ignore[arg-type]
        tracer.decide("lseek", Decision.exit_only(), where=BAD)
        tracer.on_exit("lseek")(lambda _stop: tracer.end())
        tracer.start()
        tell(process)
        tracer.wait(30)
        tell(process)
        assert heard(process) == ""  # The line comes back: it is cat.
        assert os.readlink(f"/proc/{process.pid}/exe").endswith("/cat")
        assert "TracerPid:\t0" in Path(f"/proc/{process.pid}/status").read_text()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_signal_that_waits_is_still_known_after_a_threads_execve(mechanism: str) -> None:
    """What is blocked and pending outlives execve(2); the tid does not."""
    program = (
        "if len(sys.argv) > 1:\n"
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTRAP]); sys.exit(3)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])\n"
        "def execute():\n"
        "    syscall(8, 77); os.execv(sys.executable, [*sys.orig_argv[:3], 'again'])\n"
        "thread = threading.Thread(target=execute); thread.start(); thread.join()\n"
    )
    tracer = Tracer(python(program), mechanism=mechanism)  # type: ignore[arg-type]
    tracer.decide("lseek", Decision.exit_only(), where=BAD)
    told: list[int] = []
    tracer.on_exit("lseek")(lambda stop: told.append(stop.args[0]))
    assert tracer.run(timeout=60).returncode == 3
    assert told == [77]


# ------------------------------------------------------------------------- descriptors

CROWD = (
    "go = threading.Event()\n"
    "def call(): go.wait(); syscall(8, 77)\n"
    "threads = [threading.Thread(target=call) for _ in range(100)]\n"
    "for one in threads: one.start()\n"
    "say('ready'); told(); go.set()\n"
    "for one in threads: one.join()\n"
    "say('called'); told()\n"
)


@pytest.mark.parametrize(("hard", "armed"), [(64, range(1, 100)), (1024, range(100, 101))])
def test_a_crowd_is_traced_as_far_as_descriptors_go_and_let_go(hard: int, armed: range) -> None:
    """Each thread's event takes one: what is out of sight is said, and Ctrl-C is still heard."""
    limited = ["sh", "-c", f'ulimit -Sn 64; ulimit -Hn {hard}; exec "$@"', "sh"]
    with running(CROWD) as process:
        options = ["-p", str(process.pid), "--mechanism", "exit-event:perf", "-e", "lseek"]
        with subprocess.Popen(
            [*limited, *ACCEL, *options], stderr=subprocess.PIPE, text=True
        ) as accel:
            assert accel.stderr is not None
            said = ""
            while said.count(" attached\n") < 101:
                said += accel.stderr.readline()
            tell(process)
            assert heard(process) == "called"
            accel.send_signal(signal.SIGINT)
            said += accel.communicate(timeout=30)[1]
            assert accel.returncode == 0
        assert said.count("EBADF") in armed
        is_hidden = "no exit event can be armed: Too many open files, see: ulimit -n" in said
        assert is_hidden == (100 not in armed)
        tell(process)
        assert process.wait(30) == 0


def test_no_event_is_left_of_a_plan_that_changes() -> None:
    """An eBPF program that no run will use is detached: every call of the host would pass it."""

    def programs() -> int:
        names = os.listdir("/proc/self/fd")
        links = [os.readlink(f"/proc/self/fd/{name}") for name in names if _is_open(name)]
        return sum(1 for link in links if link.startswith("anon_inode:bpf-prog"))

    before = programs()
    with Tracer(["true"], mechanism="exit-event:ebpf") as tracer:
        tracer.decide("lseek", Decision.exit_only())
        tracer.check()
        once = programs()
        assert once > before
        tracer.decide("openat", Decision.exit_only())
        tracer.check()
        assert programs() == once
    assert programs() == before


def _is_open(name: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{name}")


# ------------------------------------------------------------------------- beside the filter


def test_a_call_that_also_stops_for_placement_is_told_once() -> None:
    """sched_getaffinity stops so that placement can be hidden from it, whatever the rules say."""
    tracer = Tracer(python("os.sched_getaffinity(0)"))
    tracer.decide("sched_getaffinity", Decision.exit_only())
    told: list[int | None] = []
    tracer.on_exit("sched_getaffinity")(lambda stop: told.append(stop.result))
    tracer.run(timeout=60)
    assert len(told) == 1
    assert tracer.plan.exit_event


def test_a_condition_says_nothing_twice_and_has_room_in_a_page() -> None:
    """What the kernel cannot be told shortly is compared at the stop."""
    fails = (bpf.ResultCondition("<", 0),)
    conditions = [(bpf.Condition(0, "==", number, None, 32),) for number in range(2)]
    one = [bpf.ExitSelection(bpf.Arch.X86_64, frozenset({8}), fails, each) for each in conditions]
    assert condition(one, bpf.Arch.X86_64) == "((id==8) && ret<0)"
    many = [
        bpf.ExitSelection(
            bpf.Arch.X86_64, frozenset(range(0, 400, 2)), (bpf.ResultCondition("==", -number),)
        )
        for number in range(1, 4)
    ]
    assert condition(many, bpf.Arch.X86_64) == "id>=0"


# ------------------------------------------------------------------------- the command


def test_what_exit_only_cannot_show_is_said() -> None:
    """How long a call took; and a filter that is not installed is not printed."""
    done = subprocess.run(
        [*ACCEL, "--exit-only", "-T", "-e", "openat", "true"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "accel: how long calls take is not known" in done.stderr
    done = subprocess.run(
        [*ACCEL, "--mechanism", "exit-event", "--dump-filter", "true"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--mechanism exit-event installs no filter" in done.stderr
