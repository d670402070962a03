"""The README is true: its code runs and prints what it shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SESSIONS = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_blocks_run_and_print_what_they_show(number: int, tmp_path: Path) -> None:
    """``# >`` lines are what the block prints; ``...`` in them stands for anything."""
    block = BLOCKS[number]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = [line[4:] for line in block.splitlines() if line.startswith("# > ")]
    _matches(shown, done.stdout)


@pytest.mark.parametrize("number", range(len(SESSIONS)))
def test_sessions_print_what_they_show(number: int) -> None:
    """Each ``$`` line is typed into a shell, in the repository; what follows is what it prints."""
    for session in re.split(r"^\$ ", SESSIONS[number], flags=re.MULTILINE)[1:]:
        command, _newline, shown = session.partition("\n")
        python = f'python3() {{ "{sys.executable}" "$@"; }}\naccel() {{ python3 -m accel "$@"; }}\n'
        done = subprocess.run(
            ["bash", "-c", f"{python}{command}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, cwd=README.parent, timeout=60,
        )  # fmt: skip
        _matches(shown.splitlines(), done.stdout)


def _matches(shown: list[str], printed: str) -> None:
    """Compare line by line; an elided line ``...`` stands for any number of lines."""
    pattern = ""
    for line in shown:
        if line == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += r".*?".join(re.escape(part) for part in line.split("...")) + "\n"
    assert re.fullmatch(pattern, printed), f"shown:\n{chr(10).join(shown)}\nprinted:\n{printed}"
