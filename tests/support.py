"""What tests share: requirements that CI turns from skips into failures, and tracee programs."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"


def require(condition: object, reason: str) -> None:
    """Skip the calling test unless ``condition``; fail instead where ACCEL_REQUIRE_ALL=1."""
    if condition:
        return
    if os.environ.get("ACCEL_REQUIRE_ALL") == "1":
        pytest.fail(f"ACCEL_REQUIRE_ALL=1, but: {reason}")
    pytest.skip(reason)


def require_program(name: str) -> str:
    """Return the path of an installed program, or skip as ``require`` does."""
    path = shutil.which(name)
    require(path, f"{name} is not installed")
    assert path is not None
    return path


@functools.cache
def _build_directory() -> tempfile.TemporaryDirectory[str]:
    # Kept alive by the cache until the interpreter ends; then removed.
    return tempfile.TemporaryDirectory(prefix="accel-programs-")


@functools.cache
def compiled(name: str, *flags: str) -> str:
    """Compile tests/programs/NAME.c once a run with ``flags`` and return the program's path."""
    compiler = require_program("gcc")
    suffix = "".join(flag.replace("/", "_") for flag in flags)
    target = Path(_build_directory().name) / f"{name}{suffix}"
    command = [compiler, "-O1", "-Wall", "-Werror", "-pthread", *flags, "-o", str(target)]
    done = subprocess.run(
        [*command, str(PROGRAMS / f"{name}.c")], capture_output=True, text=True, check=False
    )
    require(done.returncode == 0, f"gcc {' '.join(flags)} cannot build {name}.c: {done.stderr}")
    return str(target)
