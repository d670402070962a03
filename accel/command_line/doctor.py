"""Say what works on this host and, for each thing that does not, what to type.

  accel doctor
  accel doctor --measure

--measure prints what a call costs by each mechanism: measured once, which takes some seconds, and
kept in ~/.cache/accel; --measure again measures anew. mechanism auto chooses by these figures, and
without them by those of another host.

The exit status is 0 when accel trace can work here, 1 when something that it cannot do without is
missing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from accel.costs import ASSUMED, CostTable
from accel.doctor import Check, Host, State, examine, hindrances
from accel.errors import SetupError

__all__ = ["add_arguments", "run"]

#: The version of the JSON form; a member may be added without a new one.
_SCHEMA: Final = 1

#: What --measure may say.
_ONCE, _AGAIN = "once", "again"

_COLOURS: Final[dict[State, str]] = {"ok": "32", "limited": "33", "missing": "31"}
_STATE_WIDTH: Final = max(map(len, _COLOURS))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="write one JSON object, schema 1")
    parser.add_argument(
        "--measure", nargs="?", const=_ONCE, choices=(_ONCE, _AGAIN),
        help=f"say what a call costs by each mechanism here; {_AGAIN}: measure anew",
    )  # fmt: skip


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Examine this host and print what was found; return the exit status."""
    options = parser.parse_args(words)
    host = Host.this()
    checks = examine(host)
    can_work = not hindrances(checks)
    table = host.costs or ASSUMED
    if options.measure and can_work:
        from accel.command_line import cost_table  # noqa: PLC0415 - few ask

        table = cost_table.measured(again=options.measure == _AGAIN)
        checks = examine(replace(host, costs=table))
    if options.json:
        report = _json(checks, table)
    elif options.measure and can_work:
        report = "\n".join(cost_table.lines(table))
    else:
        report = "\n".join(_lines(checks, colour=_wants_colour()))
    _write(report)
    return 0 if can_work else 1


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


def _json(checks: Sequence[Check], table: CostTable) -> str:
    from accel.command_line.cost_table import as_json  # noqa: PLC0415 - few ask

    found: dict[str, Any] = {
        "schema": _SCHEMA,
        "checks": [asdict(check) for check in checks],
        "costs": as_json(table),
    }
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
