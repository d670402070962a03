"""How a task is run: natively, by accel, by a peer; and what a run left behind."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final, Protocol

from accel import CallStatistics, Statistics, Tracer
from accel.capabilities import MechanismName, PlacementName

__all__ = [
    "SIGN",
    "CallCount",
    "Library",
    "Outcome",
    "Run",
    "Subject",
    "Task",
    "Wrapper",
    "accel_trace",
    "counted",
    "environment",
    "outcome",
    "reported",
    "strace",
]

#: EDOM: no call of the kernel fails so; one that does has been answered.
SIGN: Final = errno.EDOM
_TIMEOUT: Final = 600.0


@dataclass(frozen=True, slots=True)
class Task:
    """A command that is run in an empty directory."""

    argv: tuple[str, ...]
    #: Files that it writes there, the same in every run.
    produces: tuple[str, ...] = ()
    #: A file to which it writes what it measured itself, as one number; and, if it counts, how many
    #: calls it made and how many of them somebody answered (``SIGN``).
    report: str = ""
    #: How many calls that is about.
    calls: int = 0
    #: The name of the call that it counts, if it does.
    counts: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did, as far as others can see."""

    returncode: int
    #: SHA-256 of the standard output, of standard error, and of the files that were produced.
    stdout: str
    stderr: str
    files: tuple[str, ...]

    def differences(self, other: Outcome) -> str:
        """Name what is not as in ``other``; empty if all is."""
        names = ("returncode", "stdout", "stderr", "files")
        return ", ".join(name for name in names if getattr(self, name) != getattr(other, name))


@dataclass(frozen=True, slots=True)
class CallCount:
    """The calls of one run, as the program counted them, and as its tracer did."""

    made: int
    #: How many of them failed with SIGN.
    answered: int
    #: What the tracer tells: how many it saw, and the stops and notifications that they took.
    seen: int | None = None
    stops: int | None = None
    notifications: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a task."""

    outcome: Outcome
    #: What the task reported, else its wall time in seconds.
    cost: float
    #: The stops that the tracer itself counted, if it tells: all, and those of selected calls.
    own_stops: int | None = None
    own_call_stops: int | None = None
    counted: CallCount | None = None


class Subject(Protocol):
    """A way to run a task."""

    @property
    def name(self) -> str:
        """What the reports call it."""

    def missing(self) -> str:
        """Say why this machine cannot run it; empty if it can."""

    def run(self, task: Task) -> Run:
        """Run the task once, in a directory of its own."""


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A command that runs another; without words, the native run."""

    name: str
    words: tuple[str, ...] = ()

    def missing(self) -> str:
        """Try it on ``true``."""
        return _trial(self.words)

    def run(self, task: Task) -> Run:
        """Run the task as a child; its time includes the start of the tracer, as users see it."""
        with tempfile.TemporaryDirectory(prefix="accel-bench-") as directory:
            start = perf_counter()
            done = subprocess.run(
                [*self.words, *task.argv],
                cwd=directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
            seconds = perf_counter() - start
            done_so = outcome(done.returncode, done.stdout, done.stderr, task, directory)
            cost = reported(task, directory) or seconds
            return Run(done_so, cost, counted=counted(task, directory))


@dataclass(frozen=True, slots=True)
class Library:
    """A Tracer in this process, which ``configure`` gave its rules; it observes ``mask``."""

    name: str
    configure: Callable[[Tracer], None]
    placement: PlacementName = "auto"
    mask: str | None = None
    mechanism: MechanismName = "auto"
    supervisors: int = 1

    def missing(self) -> str:
        """Be there, always: if this host cannot trace, the outcome will say so."""
        return ""

    def run(self, task: Task) -> Run:
        """Run the task under a Tracer; no interpreter starts, as in a program that embeds accel."""
        with tempfile.TemporaryDirectory(prefix="accel-bench-") as directory:
            start = perf_counter()
            tracer = Tracer(
                task.argv,
                cwd=directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                placement=self.placement,
                mask=self.mask,
                mechanism=self.mechanism,
                supervisors=self.supervisors,
            )
            self.configure(tracer)
            done = tracer.run(_TIMEOUT)
            seconds = perf_counter() - start
            statistics = tracer.statistics()
            return Run(
                outcome(done.returncode, done.stdout, done.stderr, task, directory),
                reported(task, directory) or seconds,
                statistics.stops,
                sum(call.stops for call in statistics.calls.values()),
                counted(task, directory, statistics),
            )


def accel_trace(name: str, calls: str, *options: str) -> Wrapper:
    """Trace ``calls`` by the command line, its output written and thrown away."""
    words = (*options, "-e", f"trace={calls}", "-o", os.devnull, "--")
    return Wrapper(name, (sys.executable, "-m", "accel", "trace", *words))


def strace(name: str, calls: str, *options: str) -> Wrapper:
    """Trace ``calls`` by strace, its output written and thrown away."""
    return Wrapper(name, ("strace", "-f", *options, "-o", os.devnull, "-e", f"trace={calls}"))


@functools.cache
def environment() -> dict[str, str]:
    """Return one environment for all subjects, in which accel is found from any directory."""
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, paths))
    return os.environ | {"LC_ALL": "C", "PYTHONPATH": path}


@functools.cache
def _trial(words: tuple[str, ...]) -> str:
    if words and shutil.which(words[0]) is None:
        return f"{words[0]} is not installed"
    done = subprocess.run(
        [*words, "true"], env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    lines = done.stderr.splitlines() or [f"exit status {done.returncode}"]
    return lines[-1]


def outcome(
    returncode: int, stdout: bytes | None, stderr: bytes | None, task: Task, directory: str
) -> Outcome:
    """Sum up what a command did, and the files that it left in ``directory``."""
    files = tuple(_digest(Path(directory, name)) for name in task.produces)
    return Outcome(returncode, _sha256(stdout or b""), _sha256(stderr or b""), files)


def _digest(path: Path) -> str:
    return _sha256(path.read_bytes()) if path.is_file() else "missing"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def reported(task: Task, directory: str) -> float | None:
    """Read what the task measured itself; a task that failed has left nothing to read."""
    words = _report(task, directory)
    return float(words[0]) if words else None


def counted(task: Task, directory: str, statistics: Statistics | None = None) -> CallCount | None:
    """Read how many calls the task made, and what a tracer says of them; None if it counts none."""
    words = _report(task, directory)
    if not task.counts or len(words) < 3:
        return None
    made, answered = int(words[1]), int(words[2])
    if statistics is None:
        return CallCount(made, answered)
    told = statistics.calls.get(task.counts, CallStatistics())
    return CallCount(made, answered, told.calls, told.stops, told.notifications)


def _report(task: Task, directory: str) -> list[str]:
    path = Path(directory, task.report)
    return path.read_text(encoding="ascii").split() if task.report and path.is_file() else []
