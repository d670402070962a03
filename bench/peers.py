"""Tracers in Python by others, where they are installed: pip install python-ptrace sandlock."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.subjects import Wrapper

__all__ = ["peers"]

_SANDLOCK: Final = Path(__file__).parent / "programs" / "sandlock_handler.py"


def peers(call: str, number: str, answer: str) -> Iterator[Wrapper]:
    """List those that can answer one call so: its name and number, an answer of ``bench.loop``."""
    if answer != "both":
        yield Wrapper("sandlock, Python handler", (sys.executable, str(_SANDLOCK), answer, number))
    if answer != "skipcall":
        # Beside the interpreter, as pip installs it; named like Linux's own.
        script = shutil.which("strace.py", path=Path(sys.executable).parent) or "strace.py"
        options = ("--quiet", "-o", os.devnull, "-e", call)
        yield Wrapper("python-ptrace, strace.py", (sys.executable, script, *options, "--"))
