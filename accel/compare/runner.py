"""The process that makes one run: natively, under a Tracer, or under another tracer.

It is a process of its own so that what the tracer used is told apart from what the command did
(getrusage(2): RUSAGE_SELF and RUSAGE_CHILDREN), and so that a crash costs one row.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Final

from accel.compare.configure import selected_calls, tracer_of
from accel.compare.job import Job, Report
from accel.compare.subjects import COMMAND
from accel.errors import AccelError, SetupError
from bpf.value import replace

__all__ = ["main"]

_NS: Final = 1e9
_IDLE: Final = ("true",)
_WITH_PROGRAM: Final = ("exit-event:ebpf", "observe")


def main() -> None:
    """Make the run that standard input describes; report on the descriptor that it names."""
    job = Job.load(sys.stdin.read())
    threading.Thread(target=_follow, args=(job.lifeline,), daemon=True).start()
    try:
        report = _traced(job) if job.subject.is_accel else _started(job)
    except SetupError as error:
        report = Report(str(error), is_unavailable=True)
    except (AccelError, OSError) as error:
        report = Report(str(error))
    with open(job.report, "w", encoding="utf-8") as file:
        file.write(report.dump())


def _follow(lifeline: int) -> None:
    """Take everything along when the comparison dies; what accel traces has EXITKILL besides."""
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


# ------------------------------------------------------------------------------- accel


def _traced(job: Job) -> Report:
    stops_before = _warm_up(job)
    tracer, selected = tracer_of(job), selected_calls(job)
    # What is made here for all of the run (a filter, an eBPF program) counts as the start.
    tracer.check()
    before = _cpu(resource.RUSAGE_SELF), _cpu(resource.RUSAGE_CHILDREN)
    began = perf_counter()
    result = tracer.run()
    wall = perf_counter() - began
    statistics = tracer.statistics()
    by_kind = statistics.stops_by_kind
    return Report(
        returncode=result.returncode,
        began=began,
        wall=wall,
        tracer_cpu=_cpu(resource.RUSAGE_SELF) - before[0],
        tracee_cpu=_cpu(resource.RUSAGE_CHILDREN) - before[1],
        stops=statistics.stops,
        stops_before=stops_before,
        notifications=statistics.notifications,
        handler_calls=statistics.handler_calls,
        # Who stops at every call also counts those that a profile allows.
        selected=sum(
            call.calls
            for name, call in statistics.calls.items()
            if name.partition("@")[0] in selected
        ),
        syscalls=by_kind.get("entry", 0) if job.subject.is_naive else None,
        lost=statistics.lost,
    )


def _warm_up(job: Job) -> int:
    """Trace a command that does nothing, so that all is loaded; return the stops that it takes.

    The tracer of a program that embeds accel is warm. An eBPF program would be compiled once more.
    """
    subject = job.subject
    if subject.mechanism in _WITH_PROGRAM:
        subject = replace(subject, mechanism="seccomp-trace", decision="resume()", tier="loop")
    tracer = tracer_of(replace(job, argv=_IDLE, subject=subject))
    tracer.run()
    return tracer.statistics().stops


def _cpu(whose: int) -> float:
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


# ------------------------------------------------------------------------------- everybody else


def _started(job: Job) -> Report:
    """Start the command, or the tracer that starts it."""
    subject = job.subject
    if subject.is_transparent:
        return _timed(job, [*subject.words, *job.argv], is_native=subject.is_native)
    with _script(job) as (script, told):
        words = [word.replace(COMMAND, script) for word in subject.words]
        report = _timed(job, words, is_native=False, streams=False)
        try:
            with open(told, encoding="ascii") as file:
                status, _shell, command = file.read().splitlines()
        except (OSError, ValueError):
            return Report(f"{subject.words[0]} did not run the command", is_unavailable=True)
        return replace(report, returncode=int(status), tracee_cpu=_seconds(command))


def _seconds(times: str) -> float:
    """Read a line of what the shell's ``times`` prints, as 0m0.020000s 1m0.010000s."""
    parts = (word.rstrip("s").partition("m") for word in times.split())
    return sum(60 * float(minutes) + float(seconds) for minutes, _m, seconds in parts)


def _timed(job: Job, words: list[str], *, is_native: bool, streams: bool = True) -> Report:
    """Run to the end of the child, as its caller sees it; the start of a tracer is included."""
    import subprocess  # noqa: PLC0415 - a Tracer needs it not, and it takes as long to import

    # What a tracer says that has no streams of the command's goes where this process speaks.
    files = (job.stdin, job.stdout, job.stderr) if streams else (subprocess.DEVNULL, None, None)
    before = _cpu(resource.RUSAGE_CHILDREN)
    began = perf_counter()
    try:
        child = subprocess.Popen(words, stdin=files[0], stdout=files[1], stderr=files[2])
    except OSError as error:
        return Report(f"{words[0]}: {error.strerror}", is_unavailable=True)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    wall = perf_counter() - began
    # From now on they are open in what the command has left behind, or nowhere.
    os.close(job.stdout)
    os.close(job.stderr)
    own = 0.0 if is_native else _cpu_of_zombie(child.pid)
    returncode = child.wait()
    everything = _cpu(resource.RUSAGE_CHILDREN) - before
    return Report(
        returncode=returncode,
        began=began,
        wall=wall,
        tracer_cpu=None if is_native else own,
        tracee_cpu=max(0.0, everything - own),
    )


def _cpu_of_zombie(pid: int) -> float:
    """Tell the CPU time of a process alone, before wait(2) adds that of its children to it.

    /proc/PID/schedstat has it in nanoseconds, for one thread; /proc/PID/stat in ticks, for all.
    """
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    # proc_pid_stat(5): (14) utime and (15) stime; the third is the first behind the name.
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    with suppress(OSError), open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        seconds = max(seconds, int(file.read().split()[0]) / _NS)
    return seconds


@contextmanager
def _script(job: Job) -> Iterator[tuple[str, str]]:
    """Write a script that runs the command with its own streams, and tells how it ended.

    Also what CPU time it took: not all tracers wait for their child.

    It is for tracers that say something on those streams, or end with a status of their own.
    """
    import shlex  # noqa: PLC0415 - only for these tracers
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="accel-compare-") as directory:
        path, told = os.path.join(directory, "command"), os.path.join(directory, "told")
        streams = f"/proc/{os.getpid()}/fd"
        lines = (
            "#!/bin/sh",
            f"{shlex.join(job.argv)} <{streams}/{job.stdin} >{streams}/{job.stdout}"
            f" 2>{streams}/{job.stderr}",
            f"{{ echo $?; times; }} >{shlex.quote(told)}",
        )
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join(lines) + "\n")
        os.chmod(path, 0o700)
        yield path, told
