"""What integration tests share."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.audit import AuditUnavailable, KernelStopCount
from tests.support import require, require_program

ROOT = Path(__file__).parents[2]


@pytest.fixture
def count() -> Iterator[KernelStopCount]:
    """The kernel's count of stops, from here to the end of the test."""
    with ExitStack() as stack:
        try:
            counter = stack.enter_context(KernelStopCount())
        except AuditUnavailable as error:
            require(condition=False, reason=str(error))
        yield counter


@dataclass(frozen=True)
class WholeBench:
    """What ``python -m bench all`` left behind."""

    #: The results, as JSON has them.
    report: dict[str, Any]
    #: Their file; the report is beside it.
    file: Path

    @property
    def text(self) -> str:
        """The report in Markdown."""
        return self.file.with_suffix(".md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def whole_bench(tmp_path_factory: pytest.TempPathFactory) -> WholeBench:
    """Run all workloads once, one short round each: several modules look at parts of it."""
    for program in ("cc", "gcc", "find", "tar", "git", "sqlite3", "make", "dd", "strace"):
        require_program(program)
    directory = tmp_path_factory.mktemp("bench")
    words = ("all", "--quick", "--rounds", "1", "--results", str(directory))
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    (file,) = directory.glob("*.json")
    report = json.loads(file.read_text(encoding="utf-8"))
    assert done.returncode == bool(report["broken_promises"])
    assert done.stdout.split()[0] == str(file)
    return WholeBench(report, file)
