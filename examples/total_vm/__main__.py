"""Run a command of busybox, or any static program, in the machine."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence

from accel import AccelError, Result

from . import BUILT_IN, Clock, Console, Machine, copy_of, from_mapping

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status, 128 + N after signal N, 2 if it cannot run."""
    options = _parser().parse_args(arguments)
    # Ctrl-C ends the machine, even while it reads standard input; its guest never outlives it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        result = _run(options)
    except (AccelError, OSError) as error:
        _log(str(error))
        return getattr(error, "exit_status", 2)
    return result.returncode if result.returncode >= 0 else 128 - result.returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.total_vm",
        description="Run a static program in a kernel in Python.",
    )
    parser.add_argument("--root", metavar="DIR", help="copy DIR into the machine (else: built in)")
    parser.add_argument("--cwd", metavar="DIR", default="/", help="start there, in the machine")
    parser.add_argument("--mechanism", metavar="M", help="the mechanism of accel's Tracer")
    parser.add_argument(
        "--time", metavar="SECONDS", type=float, help="start the clock so long after 1970"
    )
    parser.add_argument(
        "command", nargs="+", metavar="CMD", help="an applet of busybox, or a path of the host"
    )
    return parser


def _run(options: argparse.Namespace) -> Result:
    clock = Clock(None if options.time is None else round(options.time * 1e9))
    if options.root is None:
        tree = from_mapping(BUILT_IN, clock.now_ns)
    else:
        tree = copy_of(options.root, clock.now_ns)
    with (
        open(0, "rb", buffering=0, closefd=False) as stdin,
        open(1, "wb", buffering=0, closefd=False) as stdout,
        open(2, "wb", buffering=0, closefd=False) as stderr,
    ):
        machine = Machine(tree, Console(stdin, stdout, stderr), clock=clock, log=_log)
        machine.enter(os.fsencode(options.cwd))
        return machine.run(_program(options.command), mechanism=options.mechanism)


def _program(command: Sequence[str]) -> list[str]:
    if "/" in command[0]:
        return list(command)
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("busybox is not installed; type: apt install busybox-static")
    return [busybox, *command]


def _log(line: str) -> None:
    print(f"total_vm: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
