"""``python -m bench combinations``: equal output, stops as declared, answered by who it says."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accel import Tracer
from accel.capabilities import MECHANISMS
from accel.errors import UnsupportedKernel
from accel.mechanisms.user_notify import UserNotify
from bench import combinations
from bench.circumstances import ByLoop, Placed
from bench.virtual_files import VirtualFiles
from bench.workloads import compiled
from tests.integration.conftest import WholeBench
from tests.integration.test_bench import measured
from tests.support import require, require_program

ROWS = list(combinations.rows())
CALLS = 50


@pytest.fixture
def quick(whole_bench: WholeBench) -> tuple[dict[str, Any], str]:
    """All three workloads, one short round each."""
    require(importlib.util.find_spec("numba"), "numba is not installed")
    own = [each for each in whole_bench.report["comparisons"] if _is_own(each["workload"])]
    broken = [text for text in whole_bench.report["broken_promises"] if _is_own(text)]
    return {"comparisons": own, "broken_promises": broken}, whole_bench.text


def _is_own(text: str) -> bool:
    return text.startswith("combinations")


def test_every_program_ends_as_natively(quick: tuple[dict[str, Any], str]) -> None:
    """Output, copies and exit status are equal; only exit events may be missing, with a reason."""
    report, _text = quick
    assert [each["workload"] for each in report["comparisons"]] == [
        "combinations-getppid", "combinations-notified", "combinations-virtual",
    ]  # fmt: skip
    problems = {
        entry["subject"]: entry["problem"]
        for each in report["comparisons"]
        for entry in each["measured"]
        if entry["problem"]
    }
    assert report["broken_promises"] == []
    assert [name for name in problems if not name.startswith("exit-event")] == []
    require(not problems, f"not all exit events work here: {problems}")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_call_takes_exactly_the_stops_that_are_declared(
    quick: tuple[dict[str, Any], str], row: combinations.Row
) -> None:
    """The tracer's own count, of this call alone; in all, it is the kernel's."""
    report, text = quick
    entry = measured(report, "combinations-getppid", row.name)
    if row.mechanism.startswith("exit-event"):
        require(not entry["problem"], entry["problem"])
    assert entry["calls"] > 0
    assert entry["own_call_stops"] == row.declared_stops * entry["calls"]
    assert entry["kernel_stops"] in (None, entry["own_stops"])
    assert "(declared" not in text


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_who_is_said_to_answer_answers(
    row: combinations.Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop counts what it answers, and the Tracer its handlers' calls."""
    require(importlib.util.find_spec("numba"), "numba is not installed")
    require_program("cc")
    monkeypatch.setenv("ACCEL_LOOP", "numba")
    placed = row.subject
    assert isinstance(placed, Placed)
    assert isinstance(placed.subject, ByLoop)
    library = placed.subject.library
    with compiled("one_call") as program:
        command = [program, "getppid", str(CALLS), str(tmp_path / "report")]
        tracer = Tracer(command, mask=library.mask, mechanism=library.mechanism, placement="none")
        library.configure(tracer)
        try:
            result = tracer.run(timeout=60)
        except UnsupportedKernel as error:
            require(not row.mechanism.startswith("exit-event"), str(error))
            raise
    assert result.returncode == 0
    decision = combinations.DECISIONS[row.combination]
    handlers = (decision.start + decision.exit) * CALLS if row.tier == "handler" else 0
    taken = MECHANISMS[row.mechanism].notifications.get(row.combination, 0) + row.declared_stops
    assert answered_by_the_loop(tracer) == (taken * CALLS if row.tier == "loop" else 0)
    assert tracer.statistics().handler_calls == handlers


def answered_by_the_loop(tracer: Tracer) -> int:
    """Ask the mechanism how many stops or notifications took no Python."""
    assert tracer._run is not None
    mechanism: Any = tracer._run.loop
    if isinstance(mechanism, UserNotify):
        supervisors = mechanism.supervisors._supervisors
        calls = [counter for one in supervisors for _key, counter in one.tables.calls()]
        return sum(counter.calls - counter.handler_calls for counter in calls)
    asked = sum(counter.handler_calls for _key, counter in mechanism.tables.calls())
    answered: int = mechanism.tables.answered
    return answered - asked


# ------------------------------------------------------------------------------- copies


def test_one_stop_less_a_call_is_one_stop_less_a_call(quick: tuple[dict[str, Any], str]) -> None:
    """SKIPEXIT and SKIPCALL leave out half of the stops, but of what never returns."""
    report, text = quick
    pairs = {
        "combinations-notified": ("seccomp-trace: 0", "seccomp-trace: 1"),
        "combinations-virtual": ("seccomp-trace: 2, handler", "seccomp-trace: 3, handler"),
    }
    blocks = (1 << 20) // 4096
    for workload, (before, after) in pairs.items():
        twice = measured(report, workload, before)["own_call_stops"]
        once = measured(report, workload, after)["own_call_stops"]
        assert 2 * blocks < once < 3 * blocks, "a read and a write each, and the program's start"
        assert twice in (2 * once, 2 * once - 1), workload
    assert "| SKIPEXIT | seccomp-trace: 0: " in text
    assert "| SKIPCALL | seccomp-trace: 2, handler: " in text


#: Prints what each call on the file says, and whether the kernel knows its descriptor.
PROGRAM = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def fault(call, *arguments):
    return call(*arguments), ctypes.get_errno()
file = os.open("data", os.O_RDWR)
known = os.path.exists(f"/proc/self/fd/{file}")
os.dup2(file, 500)
os.close(file)
print(os.lseek(500, 2, os.SEEK_SET), os.read(500, 3), os.write(500, b"XY"))
print(fault(libc.write, 500, 1, 4), fault(libc.read, 500, 1, 4))
try:
    os.open("absent", os.O_RDONLY)
except FileNotFoundError as error:
    print(error)
os.dup2(500, 501)
os.close(500)
print(os.lseek(501, 0, os.SEEK_SET), os.read(501, 99))
print(known, file=sys.stderr)
"""


@pytest.mark.parametrize("inspect", [False, True])
def test_a_virtual_file_behaves_as_a_real_one_that_the_kernel_does_not_know(
    tmp_path: Path, inspect: bool
) -> None:
    """Results, errors and contents are as natively; what the program leaves open is closed."""
    command = [sys.executable, "-I", "-S", "-c", PROGRAM]
    data = tmp_path / "data"
    data.write_bytes(b"0123456789")
    native = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    written = data.read_bytes()
    data.write_bytes(b"0123456789")
    tracer = Tracer(command, cwd=tmp_path, capture_output=True)
    VirtualFiles(["data", "absent"], inspect=inspect).install(tracer)
    before = set(os.listdir("/proc/self/fd"))
    result = tracer.run(timeout=60)
    assert set(os.listdir("/proc/self/fd")) <= before
    assert (result.returncode, result.stdout) == (0, native.stdout)
    assert (native.stderr, result.stderr) == (b"True\n", b"False\n")
    assert written == data.read_bytes() == b"01234XY789"
