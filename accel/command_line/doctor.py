"""Say what works on this host and, for each thing that does not, what to type.

The exit status is 0 when accel trace can work here, 1 when something that it cannot do without is
missing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

from accel.doctor import Check, State, examine, hindrances
from accel.errors import SetupError

__all__ = ["add_arguments", "run"]

#: The version of the JSON form; a member may be added without a new one.
_SCHEMA: Final = 1

_COLOURS: Final[dict[State, str]] = {"ok": "32", "limited": "33", "missing": "31"}
_STATE_WIDTH: Final = max(map(len, _COLOURS))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="write one JSON object, schema 1")


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Examine this host and print what was found; return the exit status."""
    options = parser.parse_args(words)
    checks = examine()
    _write(_json(checks) if options.json else "\n".join(_lines(checks, colour=_wants_colour())))
    return 1 if hindrances(checks) else 0


def _write(report: str) -> None:
    try:
        print(report, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is buffered would be written again, and fail again, at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SetupError(
            f"cannot write to standard output: {error.strerror}", hint="accel doctor > FILE"
        ) from error


def _json(checks: Sequence[Check]) -> str:
    found = {"schema": _SCHEMA, "checks": [asdict(check) for check in checks]}
    return json.dumps(found, indent=1)


def _wants_colour() -> bool:
    # no-color.org: set and not empty means no.
    return (
        sys.stdout is not None
        and sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") != "dumb"
    )


def _lines(checks: Sequence[Check], *, colour: bool) -> Iterator[str]:
    width = max(len(check.name) for check in checks)
    for check in checks:
        state = check.state.ljust(_STATE_WIDTH)
        if colour:
            state = f"\033[{_COLOURS[check.state]}m{state}\033[0m"
        yield f"{state}  {check.name:{width}}  {check.detail}"
        if check.advice:
            yield f"{'':{_STATE_WIDTH}}  {'':{width}}  -> type: {check.advice}"
    missing = ", ".join(check.name for check in hindrances(checks))
    yield f"accel trace cannot work here: see {missing}" if missing else "accel trace works here"
