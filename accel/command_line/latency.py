"""Say how long each ptrace-stop took: until the tracer knew of it, and until it resumed the tracee.

  accel latency -e trace=openat -- make
  accel latency --tracer -- strace -f -o /dev/null make
  accel latency -p 4711

accel traces the command, or with --tracer the command is itself a tracer, or with -p some other
tracer traces the process, which is measured until it ends or Ctrl-C. Children are always followed.
The kernel measures, by eBPF programs: that needs root, and adds about a microsecond to a stop.
Histograms have a slot for each power of two. Signals are stops too. The exit status is the
command's; 2 is a failure of accel itself.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import subprocess
from collections.abc import Sequence
from typing import Final, NoReturn

from accel.command_line.report import say
from accel.command_line.signals import die_by, ending_signals, wait_for_end
from accel.command_line.trace import prepare
from accel.errors import CommandError, PtraceUnavailable, SetupError, UnsupportedKernel
from accel.stops import Stop
from accel.writers import LineOutput
from bpf import ProbesUnavailable
from bpf.probes import Histogram, Latencies, Latency

__all__ = ["add_arguments", "as_json", "as_text", "run"]

#: What accel trace has besides, as if it were not given.
_NOT_GIVEN: Final = {
    "paths": (), "rules": None, "record": None, "failed": False, "durations": False, "clock": 0,
    "relative": False, "count": True, "count_too": False,
}  # fmt: skip
_PARTS: Final = {
    "whole": "whole stops",
    "waiting": "until the tracer knew",
    "work": "from then until it resumed the tracee",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "-e", dest="expressions", metavar="EXPR", action="append", default=[],
        help="[trace=]SET, and what else accel trace takes",
    )  # fmt: skip
    parser.add_argument("--exit-only", action="store_true", help="as of accel trace")
    parser.add_argument("--mechanism", metavar="M", default="auto", help="as of accel trace")
    parser.add_argument("--placement", metavar="P", default="auto", help="as of accel trace")
    parser.add_argument("--tracer", action="store_true", help="CMD is a tracer: measure its stops")
    parser.add_argument("-p", dest="pid", metavar="PID", type=int, help="a process that is traced")
    parser.add_argument("--json", action="store_true", help="write JSON, schema 1")
    parser.add_argument("-o", dest="output", metavar="FILE", help="write to FILE, not to stderr")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command")
    parser.set_defaults(**_NOT_GIVEN)


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Measure as the options say; return the exit status."""
    options = parser.parse_args(words)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if (options.pid is None) != bool(command):
        parser.error("give a command after --, or a process with -p PID")
    measure = _traced if not (options.tracer or options.pid) else _watched
    output = _open(options.output)
    try:
        with _measuring() as latency:
            status = measure(options, command, latency)
        measured = latency.read()
    except BaseException:
        output.abandon()
        raise
    output.write(as_json(measured) if options.json else as_text(measured))
    output.close()
    if measured.lost:
        say(f"{measured.lost} events were lost: the histograms are incomplete")
    return _end(status, lost=output.lost + measured.lost)


def _open(path: str | None) -> LineOutput:
    try:
        return LineOutput.open(path) if path else LineOutput.standard_error()
    except OSError as error:
        raise SetupError(
            f"cannot write {path}: {error.strerror}", hint="name another file with -o"
        ) from error


def _measuring() -> Latency:
    try:
        return Latency()
    except ProbesUnavailable as error:
        raise UnsupportedKernel(str(error.args[0]), hint=error.hint) from error


def _end(status: int, *, lost: int) -> int:
    """Tell accel's exit status; do not return if it is a death by signal."""
    if status < 0:
        die_by(-status)
    return status or (2 if lost else 0)


# ------------------------------------------------------------------------- what is measured


def _traced(options: argparse.Namespace, command: list[str], latency: Latency) -> int:
    """Trace a command; return its exit status, or -N of a signal."""
    tracer, _ = prepare(options, command)
    tracer.observe(_look, calls=False)
    tracer.check()
    latency.follow_tracer(os.getpid())
    with ending_signals() as heard:
        tracer.start()
        try:
            interrupted = wait_for_end(tracer, heard)
        finally:
            tracer.close()
    end = tracer.wait()
    return -interrupted if interrupted and end.returncode < 0 else end.returncode


def _look(_stop: Stop, /) -> None:
    """Ask for stops at exits too, as every trace has them."""


def _watched(options: argparse.Namespace, command: list[str], latency: Latency) -> int:
    """Let others trace; return the exit status of the command, 0 if there is none."""
    if options.expressions or options.exit_only:
        raise SetupError(
            "accel selects no calls where another traces", hint="leave -e and --exit-only out"
        )
    if options.pid is not None:
        return _until_end(options.pid, latency)
    latency.follow_tracer(os.getpid())
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise CommandError(
            f"{command[0]}: {error.strerror}", exit_status=127 if missing else 126
        ) from error
    # The terminal sends them to the command too, whose end is waited for; as time(1) does.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _FROM_TERMINAL}
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_FROM_TERMINAL: Final = (signal.SIGINT, signal.SIGQUIT)


def _until_end(pid: int, latency: Latency) -> int:
    """Measure a process until it ends, or this one is told to."""
    try:
        latency.follow(pid)
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        raise PtraceUnavailable(f"there is no process {pid}", hint="list them with: ps") from None
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(descriptor)
    return 0


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


# ------------------------------------------------------------------------- what is told


def as_text(measured: Latencies) -> str:
    """Draw the histograms below a line that sums them up."""
    if not measured.stops:
        return "no stops\n"
    means = (_microseconds(getattr(measured, part)) for part in _PARTS)
    whole, waiting, work = means
    lines = [
        f"{measured.stops} stops of {whole} each: {waiting} until the tracer knew, {work} until it"
        " resumed the tracee"
    ]
    if measured.unseen:
        lines.append(f"{measured.unseen} of them ended by a kill before the tracer knew")
    for part, title in _PARTS.items():
        lines += ["", title, str(getattr(measured, part))]
    return "\n".join(lines) + "\n"


def _microseconds(histogram: Histogram) -> str:
    return f"{histogram.mean_ns / 1000:.1f} us"


def as_json(measured: Latencies) -> str:
    """Write the same as one object."""
    told = {
        "schema": 1,
        "stops": measured.stops,
        "unseen": measured.unseen,
        "lost": measured.lost,
        **{part: _object(getattr(measured, part)) for part in _PARTS},
    }
    return json.dumps(told) + "\n"


def _object(histogram: Histogram) -> dict[str, object]:
    return {
        "nanoseconds": histogram.nanoseconds,
        "slots": [
            {"lowest": lowest, "highest": highest, "count": count}
            for lowest, highest, count in histogram.rows()
        ],
    }
