"""What the tests of the total virtual machine share."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.support import require, require_program

#: How a machine gets its stops; None: as the Tracer chooses.
MECHANISMS: tuple[str | None, ...] = (None, "sysemu")
#: June 2008: long enough ago for ls to show the year.
LONG_AGO = 1_213_600_000


class Outcome(NamedTuple):
    """All that a program shows of itself."""

    status: int
    stdout: bytes
    stderr: bytes


def static_busybox() -> str:
    """Find Debian's busybox-static, or skip as ``require`` does."""
    path = require_program("busybox")
    # The first page of a dynamic program names its loader.
    require(b"ld-linux" not in Path(path).read_bytes()[:4096], "busybox-static is not installed")
    return path
