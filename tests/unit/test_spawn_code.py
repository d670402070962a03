"""The machine code of a start is what its listing says."""

from __future__ import annotations

import inspect
import re
import subprocess
from pathlib import Path

from accel._kernel import spawn
from tests.support import require_program


def _listing() -> str:
    """Collect the assembly beside the bytes, labels and all."""
    source = inspect.getsource(spawn)
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
    assert assembled[: len(spawn.CODE)] == spawn.CODE
    assert not assembled[len(spawn.CODE) :].strip(b"\0")


def test_a_step_is_eight_words() -> None:
    """Number, six arguments, least good result: as the code indexes them."""
    packed = spawn.call("dup2", 33, 5, 1).pack()
    words = [int.from_bytes(packed[at : at + 8], "little", signed=True) for at in range(0, 64, 8)]
    assert words == [33, 5, 1, 0, 0, 0, 0, 0]
