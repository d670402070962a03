"""Programs that nobody here wrote: what the tracer counts is what the kernel counts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from accel import Decision, Tracer
from bpf.probes import Count
from tests.integration.test_probe_count import count
from tests.support import require_program

__all__ = ["count"]

FILES = "%file,%process"
THREADS = (
    "import subprocess, threading\n"
    "threads = [threading.Thread(target=open, args=('/dev/null',)) for _ in range(8)]\n"
    "for thread in threads: thread.start()\n"
    "for thread in threads: thread.join()\n"
    "subprocess.run(['true'])\n"
)


def command(name: str, directory: Path) -> Sequence[str]:
    """Give a program some work, all of it in ``directory``."""
    program = sys.executable if name == "python" else require_program(name)
    (directory / "main.c").write_text("int main(void) { return 0; }\n")
    if name == "git":
        subprocess.run([program, "init", "-q", str(directory)], check=True)
    arguments = {
        "find": ["/usr/include", "-maxdepth", "2", "-name", "errno.h"],
        "gcc": ["-o", str(directory / "main"), str(directory / "main.c")],
        "tar": ["-cf", str(directory / "archive.tar"), "/usr/include/linux/netfilter"],
        "git": ["-C", str(directory), "status"],
        "python": ["-c", THREADS],
    }
    return [program, *arguments[name]]


def configure(tracer: Tracer, mechanism: str) -> None:
    """Have a tracer do what its mechanism can."""
    if mechanism == "exit-event":
        tracer.decide(FILES, Decision.exit_only())
    elif mechanism == "user-notify":
        tracer.decide(FILES, Decision.resume())
    else:
        tracer.observe(lambda _stop: None)


@pytest.mark.parametrize("name", ["find", "gcc", "tar", "git", "python"])
def test_tracer_and_kernel_count_the_same_by_every_mechanism(
    count: Count,
    tmp_path: Path,
    name: str,
) -> None:
    """Stops and notifications, neither of which an observer takes."""
    program = command(name, tmp_path)
    count.follow_tracer(os.getpid())
    for mechanism in ("seccomp-trace", "ptrace-syscall", "exit-event", "user-notify", "observe"):
        count.reset()
        tracer = Tracer(
            program,
            mask=FILES,
            mechanism=mechanism,  # type: ignore[arg-type]
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        configure(tracer, mechanism)
        assert tracer.run().returncode == 0
        statistics, counts = tracer.statistics(), count.read()
        assert (counts.told_stops, counts.notifications) == (
            statistics.stops,
            statistics.notifications,
        ), mechanism
        assert counts.signalled_stops >= counts.stops >= counts.told_stops
        assert (statistics.stops == 0) == (mechanism in ("user-notify", "observe"))
