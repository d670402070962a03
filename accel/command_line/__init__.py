"""The ``accel`` command: one module a subcommand, loaded when it is asked for."""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from accel.errors import AccelError, SetupError

__all__ = ["main"]

#: {name: what it does}; the module of the same name has ``add_arguments`` and ``run``.
_COMMANDS = {
    "trace": "run a command and stop it only at selected system calls",
    "compare": "run a command under every mechanism; say what each costs",
    "explain": "say which tier answers which calls, and show the filter; run nothing",
    "suggest": "count the calls of a command at no stop; say which are worth selecting",
    "latency": "say how long each stop took, and who kept the tracee waiting",
    "doctor": "say what works on this host, and what to type where something does not",
}

#: With each option that is declared argparse tries how its help would begin. Unless it is told a
#: width it asks the terminal for it, through shutil, which takes 3 ms to import.
_DECLARING = functools.partial(argparse.HelpFormatter, width=80)

#: New objects until Python looks for cycles among them: while modules are loaded there are none to
#: find, and looking takes 2 of 100 ms.
_COLLECTED: Final = 50_000

#: accel's own failures, as distinct from the command's exit status.
_FAILURE = 2


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with the command's own status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _run(words)
        if sys.stdout is not None:  # A shell's >&- closes it.
            sys.stdout.flush()
    except SetupError as error:
        _complain(error)
        status = error.exit_status
    except AccelError as error:
        _complain(error)
        status = _FAILURE
    except BrokenPipeError:
        # Whoever read standard output has gone: nothing to say, and nothing more to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = _FAILURE
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _run(words: list[str]) -> int:
    gc.set_threshold(_COLLECTED)
    # argparse has all its words translated, for which gettext finds out the locale: 2 ms. There is
    # no translation.
    vars(argparse)["_"] = str
    name = words[0] if words else ""
    if name in _COMMANDS:
        command = importlib.import_module(f"accel.command_line.{name}")
        parser = argparse.ArgumentParser(
            prog=f"accel {name}", description=command.__doc__, formatter_class=_DECLARING
        )
        command.add_arguments(parser)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        # What is loaded stays to the end: no collection has to look at it, least of all the last.
        gc.freeze()
        status: int = command.run(parser, words[1:])
        return status
    parser = argparse.ArgumentParser(
        prog="accel",
        description="Stop a process only at the system calls you name.",
        epilog="accel COMMAND --help describes a command.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for known, description in _COMMANDS.items():
        commands.add_parser(known, help=description, add_help=False)
    parser.parse_args(words)
    raise AssertionError("argparse exits on an unknown command")


def _complain(error: AccelError) -> None:
    print(f"accel: {error}", file=sys.stderr)
