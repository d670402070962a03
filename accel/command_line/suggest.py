"""Run a command and say which system calls are worth selecting, and what that would cost.

  accel suggest -- make
  accel suggest --for files -- make
  accel suggest --for sandbox --profile make.json -- make

The command runs unhindered: its calls are counted in the kernel, at no stop, which takes root. Then
this says, on standard error or in a file, which of them tell what is asked for, how many stops each
would cost accel trace, and the mask to copy. --for sandbox lists all calls, for a filter that
refuses all others. What is not made in this run is not known: suggestions are for runs like it.

The exit status is the command's, as of accel trace.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from accel.command_line.report import BlindSpots, say
from accel.command_line.signals import die_by, ending_signals, wait_for_end
from accel.errors import SetupError
from accel.mask import SyscallMask
from accel.results import CallStatistics, Statistics
from accel.suggestion import PURPOSES, Suggestion, stops_of, suggest
from accel.tracer import Tracer

__all__ = ["add_arguments", "run"]

#: The version of the JSON form; a member may be added without a new one.
_SCHEMA: Final = 1
_EPERM: Final = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--for", dest="purpose", choices=PURPOSES, help="what to trace for (default: all, in short)"
    )
    parser.add_argument("-o", dest="output", metavar="FILE", help="write to FILE")
    parser.add_argument("--json", action="store_true", help="write one JSON object, schema 1")
    parser.add_argument(
        "--profile", metavar="FILE", help="with --for sandbox: write a container's seccomp profile"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command")


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Count the calls of a run and suggest; return the exit status."""
    options = parser.parse_args(words)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("nothing to run: give a command after --")
    if options.profile and options.purpose != "sandbox":
        parser.error("--profile is for --for sandbox")
    tracer = Tracer(command, mask=SyscallMask.all(), mechanism="observe", close_fds=False)
    tracer.observe(BlindSpots(), calls=False)
    tracer.check()
    with ending_signals() as heard:
        tracer.start()
        try:
            interrupted = wait_for_end(tracer, heard)
        finally:
            tracer.close()
    tracer.wait()
    figures = tracer.statistics()
    purposes = [options.purpose] if options.purpose else PURPOSES
    found = [suggest(purpose, figures.calls) for purpose in purposes]
    if options.json:
        text = json.dumps(_as_json(command, figures, found), indent=1)
    else:
        lines = _at_length if options.purpose else _in_short
        text = "\n".join([_summary(figures), *(line for one in found for line in lines(one))])
    _write(text, options.output)
    if options.profile:
        _write(json.dumps(_profile(figures.calls, found[0]), indent=1), options.profile)
        say(f"see what that compiles to with: accel explain --rules {options.profile}")
    assert tracer.result is not None
    if tracer.result.returncode < 0:
        die_by(interrupted or -tracer.result.returncode)
    return tracer.result.returncode


def _write(text: str, path: str | None) -> None:
    if path is None:
        print(text, file=sys.stderr, flush=True)
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except OSError as error:
        raise SetupError(
            f"cannot write {path}: {error.strerror}", hint="name another file"
        ) from error


# ------------------------------------------------------------------------------- as text


def _summary(figures: Statistics) -> str:
    calls = sum(one.calls for one in figures.calls.values())
    every = sum(stops_of(name.partition("@")[0], one.calls) for name, one in figures.calls.items())
    threads = "one thread" if figures.tracees == 1 else f"{figures.tracees} threads"
    return (
        f"accel: {calls} calls, {len(figures.calls)} different ones, of {threads}, counted at no"
        f" stop; to stop at all of them takes {every} stops"
    )


def _in_short(one: Suggestion) -> Iterator[str]:
    if not one.choices:
        yield f"{one.purpose}: no call of this run"
        return
    best = one.choices[0]
    cost = "no stop" if one.purpose == "sandbox" else f"{best.stops} stops"
    yield f"{one.purpose}: {cost}, {best.what}"
    yield f"  -e trace={best.mask}"


def _at_length(one: Suggestion) -> Iterator[str]:
    if not one.calls:
        yield f"no call of this run is for {one.purpose}"
        return
    if one.purpose == "sandbox":
        yield from _table(
            ("calls", "errors", "call"),
            *((str(call.calls), str(call.errors or ""), call.name) for call in one.calls),
        )
    else:
        yield from _table(
            ("calls", "errors", "stops", "--exit-only", "call", ""),
            *(
                (str(call.calls), str(call.errors or ""), str(call.stops), str(call.exit_stops),
                 call.name, call.why)
                for call in one.calls
            ),
        )  # fmt: skip
    for choice in one.choices:
        cost = f"{choice.stops} stops, {choice.exit_stops} with --exit-only"
        yield f"{choice.what}: {'no stop' if one.purpose == 'sandbox' else cost}"
        yield f"  -e trace={choice.mask}"
    if one.purpose == "sandbox":
        yield "as a container's seccomp profile: accel suggest --for sandbox --profile FILE -- CMD"


def _table(head: tuple[str, ...], *rows: tuple[str, ...]) -> Iterator[str]:
    """Draw a table: numbers, up to the column of names, are on the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if at < head.index("call") else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


# ------------------------------------------------------------------------------- as JSON


def _as_json(
    command: Sequence[str], figures: Statistics, found: Sequence[Suggestion]
) -> dict[str, Any]:
    return {
        "schema": _SCHEMA,
        "command": list(command),
        "calls": sum(one.calls for one in figures.calls.values()),
        "threads": figures.tracees,
        "purposes": [
            {
                "purpose": one.purpose,
                "calls": [
                    {
                        "name": call.name, "calls": call.calls, "errors": call.errors,
                        "stops": call.stops, "exit_only_stops": call.exit_stops,
                        "selected": call.is_worth, "why": call.why,
                    }
                    for call in one.calls
                ],
                "masks": [
                    {
                        "mask": choice.mask, "what": choice.what, "stops": choice.stops,
                        "exit_only_stops": choice.exit_stops,
                    }
                    for choice in one.choices
                ],
            }
            for one in found
        ],
    }  # fmt: skip


def _profile(counted: Mapping[str, CallStatistics], found: Suggestion) -> dict[str, Any]:
    """Write what a container runtime reads: these calls are allowed, all others fail with EPERM."""
    has_i386 = any("@" in key for key in counted)
    names = found.choices[0].mask.split(",")
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": ["SCMP_ARCH_X86_64", *(["SCMP_ARCH_X86"] if has_i386 else [])],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    }
