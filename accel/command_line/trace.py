"""Run a command and stop it only at selected system calls; print them as strace does.

  accel trace -e trace=openat,%network -- wget localhost
  accel trace -c -- make
  accel trace --json -o trace.jsonl -e trace=execve -- make

Children are always followed. The exit status is the command's; a command that a signal kills ends
accel by the same signal; 2 is a failure of accel itself, 126 and 127 say that the command cannot be
executed or was not found.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from accel.command_line.report import Report, say
from accel.command_line.signals import die_by, wait_for_end
from accel.errors import SetupError
from accel.mask import SyscallMask
from accel.tracer import Tracer

__all__ = ["add_arguments", "run"]

#: What -P looks at when no calls are named: those that take a path or a descriptor.
_PATH_CALLS = "%file,%desc"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options, in strace's spelling."""
    add = parser.add_argument
    add("-e", dest="expressions", action="append", default=[], metavar="EXPR",
        help="trace=SET: the calls to trace (names, %%file, %%network, !SET, /regex, ?name, numbers);"
             " signal=SET: the signals to show")  # fmt: skip
    add("-f", action="store_true", help="accepted: children are always followed")
    add("-o", dest="output", metavar="FILE", help="write the trace to FILE, not to standard error")
    add("-p", dest="pid", type=int, metavar="PID",
        help="attach to a running process: every call stops twice, no filter can be removed later")  # fmt: skip
    add(
        "-c",
        dest="count",
        action="store_true",
        help="print only a table of calls, errors and stops",
    )
    add("-C", dest="count_too", action="store_true", help="print that table besides the trace")
    add(
        "-y",
        dest="paths_of_fds",
        action="count",
        default=0,
        help="show the path of each descriptor",
    )
    add("-P", dest="paths", action="append", default=[], metavar="PATH",
        help="show only calls that use PATH; may be given several times")  # fmt: skip
    add("-s", dest="string_limit", type=int, default=32, metavar="N",
        help="show at most N bytes of a string (default: 32)")  # fmt: skip
    add("-v", dest="verbose", action="store_true", help="do not abbreviate structures")
    add("-t", dest="clock", action="count", default=0,
        help="begin each line with the time; -tt: microseconds; -ttt: seconds since the epoch")  # fmt: skip
    add(
        "-r",
        dest="relative",
        action="store_true",
        help="begin each line with the time since the last",
    )
    add("-T", dest="durations", action="store_true", help="show the time spent in each call")
    add("-z", dest="successful", action="store_true", help="show only calls that succeeded")
    add("-Z", dest="failed", action="store_true", help="show only calls that failed")
    add("-q", dest="quiet", action="count", default=0,
        help="say nothing of attaching and detaching; -qq: nor of ends")  # fmt: skip
    add("--json", action="store_true", help="write JSON Lines, schema 1")
    add("--dump-filter", action="store_true", help="print the filter, and run nothing")
    add("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command and its arguments")


@dataclass(frozen=True, slots=True)
class _Expressions:
    """What the -e options say; as in strace, the last of each kind holds."""

    mask: SyscallMask | None = None
    signals: frozenset[int] | None = None


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Trace as the options say; return the exit status."""
    options = parser.parse_args(words)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    _check(parser, options, command)
    expressions = _parse(options.expressions)
    mask = expressions.mask
    if mask is None:
        mask = SyscallMask.parse(_PATH_CALLS) if options.paths else SyscallMask.all()
    tracer = Tracer(command, mask=mask, pid=options.pid, close_fds=False)
    if options.dump_filter:
        print(tracer.program)
        return 0
    tracer.check()
    report = Report.open(options, expressions.signals, tracer)
    if options.pid is not None:
        say(f"process {options.pid} runs already: without a filter every call stops twice")
    try:
        tracer.start()
    except BaseException:
        report.abandon()
        raise
    try:
        interrupted = wait_for_end(tracer)
    finally:
        tracer.close()
        lost = report.close()
    return _status(tracer, interrupted, lost=lost)


def _check(
    parser: argparse.ArgumentParser, options: argparse.Namespace, command: list[str]
) -> None:
    if options.pid is None and not command and not options.dump_filter:
        parser.error("nothing to trace: give a command after --, or a process with -p PID")
    if options.pid is not None and command:
        parser.error("give a command or -p PID, not both")
    if options.pid is not None and options.dump_filter:
        parser.error("-p installs no filter: leave --dump-filter or -p out")
    if options.json and options.count:
        parser.error("-c prints a table, --json prints calls: use -C for both")
    if options.string_limit < 0:
        parser.error("-s takes a number of bytes, 0 or more")
    if options.dump_filter and not command:
        options.command = command[:] = ["true"]


def _parse(expressions: list[str]) -> _Expressions:
    mask: SyscallMask | None = None
    signals: frozenset[int] | None = None
    for expression in expressions:
        kind, equals, value = expression.partition("=")
        if not equals:
            kind, value = "trace", expression
        if kind in ("trace", "t"):
            mask = SyscallMask.parse(value)
        elif kind in ("signal", "signals", "s"):
            signals = _signals(value)
        else:
            raise SetupError(f"-e {kind}= is not known", hint="use -e trace=SET or -e signal=SET")
    return _Expressions(mask, signals)


def _signals(text: str) -> frozenset[int]:
    """Parse a set of signals: names with or without SIG, numbers, !, all, none."""
    import signal  # noqa: PLC0415 - only for this option

    everything = frozenset(int(number) for number in signal.valid_signals())
    if text.startswith("!"):
        return everything - _signals(text[1:])
    if text in ("all", "none"):
        return everything if text == "all" else frozenset()
    found = set()
    for word in text.split(","):
        name = word.upper().removeprefix("SIG")
        if word.isdigit() and int(word) in everything:
            found.add(int(word))
        elif f"SIG{name}" in signal.Signals.__members__:
            found.add(int(signal.Signals[f"SIG{name}"]))
        else:
            raise SetupError(f"unknown signal {word!r}", hint="list the names with: kill -l")
    return frozenset(found)


def _status(tracer: Tracer, interrupted: int, *, lost: int) -> int:
    """Tell accel's exit status; do not return if it is a death by signal."""
    result = tracer.result
    if result is None:
        return 0  # Detached from a process that goes on.
    if result.returncode < 0:
        die_by(interrupted or -result.returncode)
    return result.returncode or (2 if lost else 0)
