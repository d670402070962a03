"""The program that measures itself is what its listing says, and its report is read as it is."""

from __future__ import annotations

import inspect
import os
import re
import struct
import subprocess
from pathlib import Path

import pytest

from accel._kernel import caller
from tests.support import require_program


def _listing() -> str:
    """Collect the assembly beside the bytes, labels and all."""
    source = inspect.getsource(caller)
    table = source[source.index("CODE: Final") : source.index("\n)\n")]
    lines = [".intel_syntax noprefix"]
    for comment in re.findall(r'"[0-9a-f]+"  #\s*(.*)', table):
        code = comment.split(";")[0].strip()
        label, colon, rest = code.partition(":")
        lines += [f"{label}:", rest.strip()] if colon else [code]
    return "\n".join(lines) + "\n"


def test_the_bytes_are_what_the_listing_assembles_to(tmp_path: Path) -> None:
    """Assembling the comments of ``CODE`` gives ``CODE``."""
    assembler, objcopy = require_program("as"), require_program("objcopy")
    source, object_file, flat = (tmp_path / name for name in ("code.s", "code.o", "code.bin"))
    source.write_text(_listing())
    subprocess.run([assembler, "-o", object_file, source], check=True)
    subprocess.run([objcopy, "-O", "binary", "-j", ".text", object_file, flat], check=True)
    assembled = flat.read_bytes()
    assert assembled[: len(caller.CODE)] == caller.CODE
    assert not assembled[len(caller.CODE) :].strip(b"\0")


def test_a_report_is_nanoseconds_a_call() -> None:
    """Across seconds, too; half a report is none."""
    report = struct.pack("=4q", 7, 999_999_000, 9, 1_000)
    assert caller.read_report(report, 1000) == pytest.approx(1_000_002)
    with pytest.raises(ValueError, match="no report"):
        caller.read_report(report[:16], 1000)


def test_nothing_stays_open() -> None:
    """The program is gone with its block."""
    before = os.listdir("/proc/self/fd")
    with caller.program(1) as path:
        assert Path(path).read_bytes().startswith(b"\x7fELF")
    assert os.listdir("/proc/self/fd") == before
