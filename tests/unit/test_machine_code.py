"""Machine code that is written as bytes is what its listing says."""

from __future__ import annotations

import inspect
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from accel._kernel import caller, spawn
from tests.support import require_program


def _listing(module: ModuleType) -> str:
    """Collect the assembly beside the bytes of ``CODE``, labels and all."""
    source = inspect.getsource(module)
    table = source[source.index("CODE: Final") : source.index("\n)\n")]
    lines = [".intel_syntax noprefix"]
    for comment in re.findall(r'"[0-9a-f]+"  #\s*(.*)', table):
        code = comment.split(";")[0].strip()
        label, colon, rest = code.partition(":")
        lines += [f"{label}:", rest.strip()] if colon else [code]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("module", [caller, spawn], ids=lambda module: module.__name__)
def test_the_bytes_are_what_the_listing_assembles_to(module: ModuleType, tmp_path: Path) -> None:
    """Assembling the comments of ``CODE`` gives ``CODE``."""
    assembler, objcopy = require_program("as"), require_program("objcopy")
    source, object_file, flat = (tmp_path / name for name in ("code.s", "code.o", "code.bin"))
    source.write_text(_listing(module))
    subprocess.run([assembler, "-o", object_file, source], check=True)
    subprocess.run([objcopy, "-O", "binary", "-j", ".text", object_file, flat], check=True)
    assembled, written = flat.read_bytes(), module.CODE
    assert assembled[: len(written)] == written
    assert not assembled[len(written) :].strip(b"\0")


def test_a_step_is_eight_words() -> None:
    """Number, six arguments, least good result: as the code of a start indexes them."""
    packed = spawn.call("dup2", 33, 5, 1).pack()
    words = [int.from_bytes(packed[at : at + 8], "little", signed=True) for at in range(0, 64, 8)]
    assert words == [33, 5, 1, 0, 0, 0, 0, 0]
