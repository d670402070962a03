"""``python -m accel`` and the ``accel`` command."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

from accel import command_line

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line and leave at once with its status.

    To take 200 modules apart, whose memory goes back to the kernel anyway, takes Python 8 ms.
    """
    try:
        command_line.main()
    except SystemExit as leaving:
        if not isinstance(leaving.code, int):
            raise
        status = leaving.code
    # Of what the interpreter does at its end this is all that others can rely on.
    atexit._run_exitfuncs()  # noqa: SLF001 - atexit has no other way to call them
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):  # A shell's >&- closes one.
            stream.flush()
    except (OSError, ValueError):
        sys.exit(status)  # Then the interpreter says what was lost, and has a status for it.
    os._exit(status)


if __name__ == "__main__":
    main()
