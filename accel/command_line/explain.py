"""Say which tier answers which calls, and why no lower one does; run nothing.

  accel explain -e trace=openat,%network
  accel explain --rules profile.json
  accel explain --rules profile.json --format raw -o filter && bwrap --seccomp 10 10<filter ... CMD

The options are those of accel trace, and mean what they mean there. A call is answered by the
kernel (in the filter, at no stop), by the loop (compiled, no Python), or by a handler (Python).
--format plan is a table, json the same as one object, schema 1; asm is the filter that accel trace
installs, annotated. raw, the filter as struct sock_filter, 8 bytes each, and oci, a container
seccomp profile, are for who installs them without accel: its own stops are left out.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from accel import oci
from accel.command_line.report import say
from accel.command_line.trace import prepare
from accel.errors import SetupError
from accel.plan_listing import listing
from accel.plan_table import as_json, rows, table
from accel.stops import Stop
from accel.tracer import Tracer

__all__ = ["add_arguments", "run"]

#: What accel trace has besides, as if it were not given.
_NOT_GIVEN: Final = {
    "paths": (), "record": None, "placement": "auto", "durations": False,
    "clock": 0, "relative": False, "count": False, "count_too": False,
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "-e", dest="expressions", metavar="EXPR", action="append", default=[],
        help="[trace=]SET, and what else accel trace takes",
    )  # fmt: skip
    parser.add_argument("-Z", dest="failed", action="store_true", help="only calls that fail")
    parser.add_argument("--exit-only", action="store_true", help="only exits of calls")
    parser.add_argument("--mechanism", metavar="M", default="auto", help="as of accel trace")
    parser.add_argument("-p", dest="pid", metavar="PID", type=int, help="as of accel trace")
    parser.add_argument("--rules", metavar="FILE", help="a container seccomp profile, in JSON")
    parser.add_argument("--format", choices=_FORMATS, default="plan", help="(default: plan)")
    parser.add_argument("-o", dest="output", metavar="FILE", help="write to FILE")
    parser.set_defaults(**_NOT_GIVEN)


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Explain what the options select; return the exit status."""
    options = parser.parse_args(words)
    if options.exit_only and options.rules:
        parser.error("--rules decides before calls: leave --exit-only out")
    # What would be run is not looked at.
    tracer, _ = prepare(options, [] if options.pid is not None else ["true"])
    tracer.observe(_look, exits=options.mechanism != "user-notify")
    plan = tracer.plan
    plan.check()
    if options.format not in ("plan", "json") and not plan.has_filter:
        raise SetupError(
            f"{plan.mechanism} installs no filter", hint="use --format plan, or --format json"
        )
    if options.format == "raw" and options.output is None and sys.stdout and sys.stdout.isatty():
        raise SetupError("--format raw is no text for a terminal", hint="name a file with -o")
    _write(_FORMATS[options.format](tracer), options.output)
    return 0


def _look(_stop: Stop, /) -> None:
    """Stand for the lines that accel trace would write: Python has to look at every stop."""


def _plan(tracer: Tracer) -> bytes:
    return _line(table(tracer.plan))


def _json(tracer: Tracer) -> bytes:
    return _line(as_json(tracer.plan))


def _asm(tracer: Tracer) -> bytes:
    return _line(listing(tracer.plan, tracer.program))


def _raw(tracer: Tracer) -> bytes:
    plan = tracer.plan.untraced()
    for row in rows(plan):
        if row.tier != "kernel":
            say(f"without a tracer these calls fail with ENOSYS: {row.rule}")
    return bytes(plan.compile())


def _oci(tracer: Tracer) -> bytes:
    return _line(oci.dump(tracer.plan.untraced().compile()))


def _line(text: str) -> bytes:
    return f"{text}\n".encode()


_FORMATS: Final[dict[str, Callable[[Tracer], bytes]]] = {
    "plan": _plan,
    "asm": _asm,
    "raw": _raw,
    "json": _json,
    "oci": _oci,
}


def _write(content: bytes, path: str | None) -> None:
    """Write to a file, or to standard output; raise SetupError if that fails."""
    if path is None and sys.stdout is None:
        raise SetupError("standard output is closed", hint="name a file with -o")
    try:
        if path is None:
            sys.stdout.buffer.write(content)
            sys.stdout.flush()
        else:
            with open(path, "wb") as file:
                file.write(content)
    except BrokenPipeError:
        raise
    except OSError as error:
        if path is None:
            # What is buffered would be written again, and fail again, at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SetupError(
            f"cannot write {path or 'to standard output'}: {error.strerror}",
            hint="name another file with -o",
        ) from error
