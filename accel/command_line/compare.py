"""Run a command natively and under every mechanism, and say what each costs.

  accel compare -e trace=openat -- find /usr -name core
  accel compare -e trace=%network --audit --plot figure.png -- wget localhost
  accel compare --copy . --runs 3 -- make

Also under strace, bpftrace and perf trace, where they are installed. What the command writes is
compared and not shown. Every run reads the same standard input: a file or a pipe from its
beginning; of a terminal, nothing. A command that changes files needs fresh ones for every run:
--copy gives a copy of PATH each, and leaves the original as it was. The exit status is 0; 1 if a
run did not do what the native one did, or if the kernel and a tracer counted differently; 2 is a
failure of accel itself.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType

from accel import compare as comparing
from accel.command_line.report import say
from accel.command_line.signals import die_by
from accel.errors import SetupError

__all__ = ["add_arguments", "run"]

_RUNS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "-e", dest="expressions", metavar="trace=SET", action="append", default=[],
        help="the calls to trace, as of accel trace (default: all)",
    )  # fmt: skip
    add("--rules", metavar="FILE", help="also compare ways to keep a container seccomp profile")
    add("--runs", metavar="N", type=int, default=_RUNS, help="how often each runs (default: 5)")
    add("--audit", action="store_true", help="let the kernel count stops, too; needs root")
    add("--json", action="store_true", help="write one JSON object, schema 1")
    add("--plot", metavar="FILE", help="draw stops and time: FILE.png, .svg or .html")
    add("--copy", dest="copies", metavar="PATH", action="append", default=[],
        help="give every run a fresh copy of PATH; may be repeated")  # fmt: skip
    add("--only", metavar="NAME,...", default="", help="only these mechanisms and other tracers")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command")


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Compare as the options say; return the exit status."""
    options = parser.parse_args(words)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("nothing to compare: give a command after --")
    if options.runs < 1:
        parser.error("--runs takes a number of runs, 1 or more")
    if options.plot:
        comparing.check_figure(options.plot)
    request = comparing.Request(
        tuple(command),
        _calls(options.expressions),
        options.rules or "",
        options.runs,
        is_audited=options.audit,
        copies=tuple(options.copies),
        only=tuple(filter(None, options.only.split(","))),
    )
    try:
        with _ending():
            comparison = _compared(request)
    except _Ended as ended:
        die_by(ended.number)
    _write(comparing.as_json(comparison) if options.json else comparing.table(comparison))
    if options.plot:
        comparing.write_figure(comparison, options.plot)
    for fault in comparison.faults:
        say(f"*** {fault}")
    return 1 if comparison.faults else 0


def _write(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is buffered would be written again, and fail again, at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SetupError(
            f"cannot write to standard output: {error.strerror}", hint="accel compare ... > FILE"
        ) from error


def _compared(request: comparing.Request) -> comparing.Comparison:
    stdin = comparing.Input.of(0, say)
    with contextlib.closing(stdin):
        return comparing.compare(request, stdin, comparing.Progress(sys.stderr), say)


def _calls(expressions: list[str]) -> str:
    """Read the -e options; as in strace, the last one holds."""
    calls = "all"
    for expression in expressions:
        kind, equals, value = expression.partition("=")
        if equals and kind not in ("trace", "t"):
            raise SetupError(
                f"-e {kind}= cannot be compared: it changes what the command does",
                hint="use -e trace=SET, and --rules FILE for answers",
            )
        calls = value if equals else expression
    return calls


class _Ended(KeyboardInterrupt):
    """A signal that ends accel; what has begun is undone first."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Let SIGTERM and SIGHUP undo what has begun, as Ctrl-C does; if they are not ignored."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise _Ended(number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
