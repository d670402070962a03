"""Make one run in a process of its own, and take in what the command writes as a digest of it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import IO, Final

from accel.compare.inputs import Input
from accel.compare.job import Job, Report
from accel.compare.subjects import Subject
from accel.errors import SetupError
from bpf.value import frozen, replace

__all__ = ["Launcher", "Run", "Selection"]

#: -P: no module of the directory where the comparison runs is taken for one of Python's.
_CODE: Final = "import sys; sys.path[:] = {path!r}; import {module} as one; one.main()"
_RUNNER: Final = "accel.compare.runner"
_CHUNK: Final = 1 << 20
#: What a command with much to say may write before anybody has to read.
_PIPE_BYTES: Final = 1 << 20
_TAIL_BYTES: Final = 4096
_TICK_SECONDS: Final = 0.2
#: What is less may be this process's own delay.
_LINGERING_SECONDS: Final = 0.5


@frozen
class Selection:
    """The command, and which of its calls are selected."""

    argv: tuple[str, ...]
    mask: str
    #: The file of a profile, "" without.
    rules: str = ""


@frozen
class Run:
    """One run of a subject."""

    report: Report
    #: SHA-256 of what the command wrote, and how its standard error ends.
    stdout: str
    stderr: str
    tail: str
    #: From the start of the process to that of the command: what starting the tracer took.
    start: float
    #: Whether it left processes behind, to whose end the time was taken.
    lingers: bool = False


class Launcher:
    """Makes runs of one command; ``tick`` is called while one goes on, to show that it does."""

    def __init__(
        self, selection: Selection, stdin: Input, tick: Callable[[], None] = lambda: None
    ) -> None:
        self._selection = selection
        self._stdin = stdin
        self._tick = tick
        # A command may be in a directory of which every run gets a fresh copy: it has a name only.
        try:
            self._directory = os.getcwd()
        except OSError as error:
            raise SetupError("the working directory is gone", hint="type: cd DIRECTORY") from error

    def run(
        self,
        subject: Subject,
        argv: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> Run:
        """Run the command, or another, under ``subject``; kill all of it if this is interrupted.

        ``variables`` are added to the environment, also the command's.
        """
        with contextlib.ExitStack() as stack:
            readers = {name: self._pipe(stack) for name in ("stdout", "stderr", "report", "said")}
            listening, lifeline = os.pipe2(os.O_CLOEXEC)
            stack.callback(os.close, lifeline)
            writers = {name: ends[1] for name, ends in readers.items()}
            writers["lifeline"] = listening
            writers["stdin"] = self._stdin.open()
            job = self._job(subject, argv, writers)
            began = perf_counter()
            try:
                process = self._start(job, writers, variables or {})
            finally:
                for end in writers.values():
                    os.close(end)
            try:
                streams = _drain({name: ends[0] for name, ends in readers.items()}, self._tick)
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            finally:
                # Also of a run that has ended: what it left behind would disturb the next.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return _run(process.returncode, streams, began)

    @staticmethod
    def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        stack.callback(os.close, reading)
        with contextlib.suppress(OSError):  # Above what this user may have in pipes.
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return reading, writing

    def _job(self, subject: Subject, argv: Sequence[str], ends: dict[str, int]) -> Job:
        return Job(
            subject,
            tuple(argv) or self._selection.argv,
            self._selection.mask,
            self._selection.rules,
            ends["stdin"],
            ends["stdout"],
            ends["stderr"],
            ends["report"],
            ends["lifeline"],
        )

    def _start(
        self, job: Job, ends: dict[str, int], variables: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start the process, in a session of its own: Ctrl-C reaches the comparison alone.

        A command that asks a terminal gets none, where it would wait in the background for ever.
        """
        code = _CODE.format(path=sys.path, module=_RUNNER)
        # An argument of execve(2) has 128 KiB at most, all of a command's many times that.
        with tempfile.TemporaryFile("w+", encoding="ascii") as described:
            described.write(job.dump())
            described.seek(0)
            return self._spawn(code, described, ends, variables)

    def _spawn(
        self, code: str, described: IO[str], ends: dict[str, int], variables: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=described,
            stdout=ends["said"],
            stderr=ends["said"],
            pass_fds=[ends[name] for name in ("stdin", "stdout", "stderr", "report", "lifeline")],
            cwd=self._directory,
            env=os.environ | variables,
            start_new_session=True,
        )


class _Stream:
    """What comes out of one pipe: its digest, and its end."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.tail = b""
        #: When it ended, by CLOCK_MONOTONIC.
        self.end = 0.0

    def add(self, part: bytes) -> None:
        self.digest.update(part)
        self.tail = (self.tail + part)[-_TAIL_BYTES:]

    @property
    def text(self) -> str:
        return self.tail.decode("utf-8", "replace")


def _drain(ends: dict[str, int], tick: Callable[[], None]) -> dict[str, _Stream]:
    """Read all pipes to their ends, which come when the last process has closed them."""
    streams = {name: _Stream() for name in ends}
    with selectors.DefaultSelector() as selector:
        for name, end in ends.items():
            selector.register(end, selectors.EVENT_READ, name)
        while selector.get_map():
            for key, _events in selector.select(_TICK_SECONDS):
                part = os.read(key.fd, _CHUNK)
                if part:
                    streams[key.data].add(part)
                else:
                    streams[key.data].end = perf_counter()
                    selector.unregister(key.fd)
            tick()
    return streams


def _reason(said: str) -> str:
    """Choose the line that says why: of an exception the last, of a usage the first."""
    lines = said.strip().splitlines() or [""]
    return next((line for line in lines if "error:" in line.lower()), lines[-1]).strip()


def _run(status: int, streams: dict[str, _Stream], began: float) -> Run:
    told = streams["report"].text
    last = _reason(streams["said"].text)
    if told:
        report = Report.load(told)
        if report.problem and last:
            report = replace(report, problem=f"{report.problem}: {last}")
        report, lingers = _prolonged(report, streams)
    else:
        lingers = False
        how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        report = Report(f"the tracer ended before its report ({how}) {last}".strip())
    return Run(
        report,
        streams["stdout"].digest.hexdigest(),
        streams["stderr"].digest.hexdigest(),
        streams["stderr"].text,
        max(0.0, report.began - began),
        lingers,
    )


def _prolonged(report: Report, streams: dict[str, _Stream]) -> tuple[Report, bool]:
    """Let a time last until the streams are closed, if processes are left that have them.

    accel's tracers wait for all processes by themselves.
    """
    end = max(streams["stdout"].end, streams["stderr"].end)
    lingers = end - (report.began + report.wall) > _LINGERING_SECONDS
    return (replace(report, wall=end - report.began) if lingers else report), lingers
