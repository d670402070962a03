"""A timeline is JSON with every call in it, whenever its writer was stopped."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from accel.records import INJECTED
from accel.writers import LineOutput, PerfettoWriter
from tests.unit.recorded import BATCHES, Recorded, batch_of

CWD = (1 << 64) - 100
OPEN = Recorded(
    "openat", (CWD, 0x7F0000001000, 0o2000000), 3, entered_ns=5_000_001_234, left_ns=5_000_012_345,
    strings={1: b"/etc/caf\xe9\0"},
)  # fmt: skip


def name_of(pid: int, tid: int) -> str | None:
    """Name threads without looking at any."""
    return f"program {pid}/{tid}"


def events_of(path: Path, *records: Recorded) -> list[dict[str, Any]]:
    """Write calls, one batch each, and read the events."""
    writer = PerfettoWriter(str(path), name_of=name_of)
    for record in records:
        writer.write(batch_of([record]))
    writer.close()
    events: list[dict[str, Any]] = json.loads(path.read_text())
    return events


def call_of(path: Path, record: Recorded) -> dict[str, Any]:
    """Write one call and read its event."""
    return events_of(path, record)[-1]


def test_a_call_with_an_exit_stop_is_a_complete_event(tmp_path: Path) -> None:
    """Microseconds with all their nanoseconds; arguments as strace prints them."""
    assert call_of(tmp_path / "trace", OPEN) == {
        "name": "openat", "cat": "syscall", "ph": "X", "ts": 5_000_001.234, "dur": 11.111,
        "pid": 7, "tid": 7,
        "args": {
            "dirfd": "AT_FDCWD", "pathname": r'"/etc/caf\351"', "flags": "O_RDONLY|O_CLOEXEC",
            "result": 3,
        },
    }  # fmt: skip
    assert '"ts":5000001.234,"dur":11.111' in (tmp_path / "trace").read_text()


def test_registers_are_hexadecimal_where_not_all_is_known(tmp_path: Path) -> None:
    """Bytes that read(2) wrote were not captured; a double would lose the address."""
    record = Recorded("read", (3, 0xFFFF_8000_0000_1001, 100), 100)
    assert call_of(tmp_path / "trace", record)["args"] == {
        "fd": "0x3", "buf": "0xffff800000001001", "count": "0x64", "result": 100
    }  # fmt: skip


def test_captured_strings_are_shown_where_not_all_is_known(tmp_path: Path) -> None:
    """What stat(2) was asked, though not what it wrote."""
    record = Recorded("stat", (0x1000, 0x2000), strings={0: b"/tmp\n\0"})
    arguments = call_of(tmp_path / "trace", record)["args"]
    assert arguments == {"pathname": r'"/tmp\n"', "statbuf": "0x2000", "result": 0}


def test_a_large_result_loses_nothing(tmp_path: Path) -> None:
    """It is a string where a double is too small."""
    record = replace(OPEN, result=(1 << 62) + 1)
    assert call_of(tmp_path / "trace", record)["args"]["result"] == str((1 << 62) + 1)


def test_a_failure_has_the_name_of_its_error(tmp_path: Path) -> None:
    """And a category to select by."""
    event = call_of(tmp_path / "trace", replace(OPEN, result=-2))
    assert event["cat"] == "syscall,failed"
    assert (event["args"]["result"], event["args"]["error"]) == (-2, "ENOENT")


@pytest.mark.parametrize(
    ("flags", "category", "result"), [(0, "syscall", None), (INJECTED, "syscall,injected", 3)]
)
def test_a_call_without_exit_stop_is_an_instant(
    tmp_path: Path, flags: int, category: str, result: int | None
) -> None:
    """Nobody knows how long it took."""
    event = call_of(tmp_path / "trace", replace(OPEN, flags=flags, left_ns=0))
    assert (event["ph"], event["s"], event["ts"]) == ("i", "t", 5_000_001.234)
    assert "dur" not in event
    assert event["cat"] == category
    assert event["args"].get("result") == result


def test_threads_and_processes_are_named_once(tmp_path: Path) -> None:
    """When they are first seen, and again after execve."""
    executed = Recorded("execve", (1, 2, 3), tid=7)
    calls = [Recorded(), Recorded(tid=8), Recorded(), executed, replace(executed, result=-2)]
    events = events_of(tmp_path / "trace", *calls, Recorded())
    named = [(e["name"], e["tid"], e["args"]["name"]) for e in events if e["ph"] == "M"]
    leader = [("process_name", 7, "program 7/7"), ("thread_name", 7, "program 7/7")]
    assert named == [*leader, ("thread_name", 8, "program 7/8"), *leader]
    assert [event["ph"] for event in events[:3]] == ["M", "M", "X"]


def test_a_living_thread_is_named_by_its_command(tmp_path: Path) -> None:
    """And one that is gone by nothing."""
    writer = PerfettoWriter(str(tmp_path / "trace"))
    gone = Recorded(pid=1 << 22, tid=1 << 22)
    writer.write(batch_of([Recorded(pid=os.getpid(), tid=os.getpid()), gone]))
    writer.close()
    events = json.loads((tmp_path / "trace").read_text())
    names = [event["args"]["name"] for event in events if event["ph"] == "M"]
    assert names == [Path("/proc/self/comm").read_text().rstrip("\n")] * 2


def test_an_unknown_call_shows_its_registers(tmp_path: Path) -> None:
    """By position."""

    class Unknown(Recorded):
        number = 999  # type: ignore[assignment]

    event = call_of(tmp_path / "trace", Unknown(arguments=(1, 2, 3, 4, 5, 6)))
    assert event["name"] == "syscall_0x3e7"
    assert event["args"]["arg5"] == "0x6"


def test_a_run_without_calls_is_an_empty_array(tmp_path: Path) -> None:
    """Valid JSON all the same."""
    assert events_of(tmp_path / "trace") == []


@given(BATCHES)
def test_whatever_is_recorded_is_valid_json(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Recorded]]
) -> None:
    """An event for each call, in order."""
    path = tmp_path_factory.mktemp("trace") / "trace"
    records = [record for batch in batches for record in batch]
    events = [event for event in events_of(path, *records) if event["ph"] != "M"]
    assert [(e["name"], e["pid"], e["tid"]) for e in events] == [
        (record.name, record.pid, record.tid) for record in records
    ]
    assert path.read_text().isascii()


def test_what_a_killed_tracer_wrote_lacks_only_its_end(tmp_path: Path) -> None:
    """The format makes the bracket optional."""
    path = tmp_path / "trace"
    output = LineOutput.open(str(path))
    writer = PerfettoWriter(output, name_of=name_of)
    writer.write(batch_of([OPEN, OPEN]))
    output.flush()
    assert len(json.loads(f"{path.read_text()}]")) == 4
    writer.close()
    # An output that was handed in stays open.
    output.write("\n")
    output.close()
    assert re.search(r"\}\n\]\n\n\Z", path.read_text())
