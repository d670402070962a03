"""Embedded in a larger program: threads, locks, and children that are not accel's."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from accel import Decision, Tracer
from accel.mechanisms.seccomp_trace import SeccompTrace
from accel.plan import Plan
from accel.policy import HandlerPolicy
from accel.tracee import Tracee
from tests.support import compiled

THREADS = 8
TRACEES = 200
TIMES = 20


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Let threads take turns more often: more interleavings in less time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    yield
    sys.setswitchinterval(before)


@contextmanager
def busy(*work: Callable[[], object]) -> Iterator[None]:
    """Do ``work`` over and over in threads of their own."""
    stop = threading.Event()

    def repeat(once: Callable[[], object]) -> None:
        while not stop.is_set():
            once()

    threads = [threading.Thread(target=repeat, args=(once,)) for once in work]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def allocate() -> None:
    """Take and give back memory of all sizes: the allocator's locks are often held."""
    for size in (64, 4096, 1 << 18):
        bytes(size)


def hold_locks() -> None:
    """Hold the logging lock, as a thread that formats a record does."""
    logging._acquireLock()  # type: ignore[attr-defined]
    try:
        bytes(1 << 16)
    finally:
        logging._releaseLock()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("quick_switches")
def test_starts_from_a_threaded_host_never_deadlock() -> None:
    """200 tracees from 8 threads, 20 times over, while others allocate and hold locks."""

    def run(number: int) -> tuple[int, bytes | None]:
        tracer = Tracer([compiled("getppid_loop"), "3"], mask="getppid", capture_output=True)
        tracer.decide("getppid", Decision.skip(number))
        return number, tracer.run(timeout=60).stdout

    compiled("getppid_loop")
    with busy(allocate, hold_locks), ThreadPoolExecutor(THREADS) as pool:
        for _time in range(TIMES):
            for number, output in pool.map(run, range(TRACEES)):
                assert output == b"%d\n" % number


def test_children_of_the_host_are_left_to_the_host() -> None:
    """A child that ends while others are traced is reaped by whoever started it."""
    children = [subprocess.Popen(["sh", "-c", f"exit {status}"]) for status in range(40)]
    with ThreadPoolExecutor(THREADS) as pool:
        runs = [
            pool.submit(Tracer(["sh", "-c", "true; true"], mask="wait4").run) for _ in range(40)
        ]
        assert [child.wait() for child in children] == list(range(40))
        assert {run.result().returncode for run in runs} == {0}


def test_tracers_do_not_meet() -> None:
    """Tracers at the same time: each sees its own tracees, and its own mask."""
    program = compiled("getppid_loop")

    def run(number: int) -> int:
        command = [program, str(number)]
        tracer = Tracer(command, mask="getppid", stdout=subprocess.DEVNULL)
        tracer.decide("getppid", Decision.resume())
        tracer.run()
        return tracer.statistics().calls["getppid"].stops

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(run, range(1, 60))) == list(range(1, 60))


def test_a_tracer_started_in_one_thread_can_be_awaited_in_another() -> None:
    """Whoever waits gets the result; whoever started need not be alive."""
    tracer = Tracer(["sh", "-c", "exit 7"], mask="execve")
    starter = threading.Thread(target=tracer.start)
    starter.start()
    starter.join()
    assert tracer.wait().returncode == 7


def test_no_descriptor_is_left_open() -> None:
    """A thousand runs need no more descriptors than one."""
    before = set(os.listdir("/proc/self/fd"))
    for _run in range(20):
        Tracer(["true"], mask="socket", capture_output=True).run()
        with pytest.raises(Exception, match="not found"):
            Tracer(["no-such-command"], mask="socket", capture_output=True).run()
    assert set(os.listdir("/proc/self/fd")) == before


def test_no_thread_is_left_running() -> None:
    """The tracing thread ends with its last tracee."""
    before = threading.active_count()
    for _run in range(5):
        Tracer(["true"], mask="socket", capture_output=True).run()
    assert threading.active_count() == before


def test_a_host_that_is_killed_takes_its_tracees_along() -> None:
    """PTRACE_O_EXITKILL: the pipe that every tracee holds ends with the host."""
    script = (
        "import sys; from accel import Tracer\n"
        "command = 'sleep 1000 & sleep 1000 & echo ready; wait'\n"
        "Tracer(['sh', '-c', command], mask='wait4', pass_fds=[int(sys.argv[1])]).run()\n"
    )
    reading, writing = os.pipe()
    command = [sys.executable, "-c", script, str(writing)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[writing]) as host:
        os.close(writing)
        assert host.stdout is not None
        assert host.stdout.readline() == b"ready\n"
        host.kill()
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read() == b""


def test_importing_accel_is_light() -> None:
    """Neither numba nor bcc, the decoders or what runs a trace are loaded; nothing is started."""
    script = (
        "import sys, threading, accel\n"
        "heavy = {'numba', 'bcc', 'accel.decoding', 'subprocess', 'asyncio'}\n"
        "heavy |= {'accel.assembly', 'accel.mechanisms.ptrace_loop', 'bpf.libseccomp'}\n"
        "print(sorted(heavy & set(sys.modules)), threading.active_count())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[] 1\n"


def test_a_tracee_that_the_host_has_reaped_is_not_waited_for_at_the_end() -> None:
    """Its end was taken from the tracer: wait(2) will never tell of it."""
    child = subprocess.Popen(["true"])
    child.wait()
    loop = SeccompTrace(HandlerPolicy(Plan(())), lambda _stop: None)
    loop.add(Tracee(child.pid, child.pid))
    loop.end()
    assert not loop.tracees
