"""What real runs record is the same in every format."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.ipc
import pyarrow.parquet

from accel import Tracer
from accel.writers import ArraySink, ArrowWriter, NumpyWriter, ParquetWriter, PerfettoWriter
from tests.support import require

SCRIPT = "cat /etc/hostname & cat /etc/hostname; wait; ls /nonexistent; exit 3"


def test_every_sink_gets_every_call(tmp_path: Path) -> None:
    """Processes that run at the same time, strings, failures, calls that never return."""
    paths = {name: str(tmp_path / name) for name in ("npy", "parquet", "arrow", "json")}
    kept = ArraySink()
    tracer = Tracer(["sh", "-c", SCRIPT], mask="all", capture_output=True)
    tracer.record(kept)
    tracer.record(NumpyWriter(paths["npy"]))
    tracer.record(ParquetWriter(paths["parquet"]))
    tracer.record(ArrowWriter(paths["arrow"]))
    tracer.record(PerfettoWriter(paths["json"]))
    assert tracer.run(timeout=60).returncode == 3

    calls = kept.array()
    assert len(calls) == sum(call.calls for call in tracer.statistics().calls.values())
    mapped = np.load(paths["npy"], mmap_mode="r")
    assert mapped.tobytes() == calls.tobytes()
    table = pyarrow.parquet.read_table(paths["parquet"])
    assert pyarrow.ipc.open_file(paths["arrow"]).read_all().to_pylist() == table.to_pylist()
    assert table["entered_ns"].to_pylist() == calls["entered_ns"].tolist()
    events = [event for event in json.loads(Path(paths["json"]).read_text()) if event["ph"] != "M"]
    assert [event["name"] for event in events] == table["name"].to_pylist()

    failed = [row for row in table.to_pylist() if row["string1"] == b"/nonexistent"]
    assert failed
    assert {row["result"] for row in failed} == {-2}
    ends = [row for row in table.to_pylist() if row["name"] == "exit_group"]
    assert {row["pid"] for row in ends} == set(table["pid"].to_pylist())
    assert all(row["result"] is row["left_ns"] is None for row in ends)


TRACE = [sys.executable, "-m", "accel", "trace", "-e", "trace=openat"]


def test_the_command_line_records_what_the_file_is_named_for(tmp_path: Path) -> None:
    """In place of lines, or besides them; the exit status is the command's."""
    command = ["cat", "/etc/hostname", "/nonexistent"]
    rows = []
    for name in ("calls.npy", "calls.parquet", "calls.arrow", "calls.json"):
        file = tmp_path / name
        done = run([*TRACE, "--record", str(file), "--", *command])
        assert done.returncode == 1
        assert done.stderr == b"cat: /nonexistent: No such file or directory\n"
        rows.append(file.stat().st_size > 500)
    assert all(rows)
    lines = tmp_path / "lines"
    run([*TRACE, "--record", str(tmp_path / "both.parquet"), "-o", str(lines), "--", *command])
    table = pyarrow.parquet.read_table(tmp_path / "both.parquet").to_pylist()
    assert b"/nonexistent" in [row["string1"] for row in table]
    assert lines.read_text().count("openat(") == len(table)


def test_a_file_that_says_nothing_or_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Before anything runs; and a run that cannot begin leaves no file."""
    unnamed = run([*TRACE, "--record", str(tmp_path / "calls"), "--", "touch", str(tmp_path / "x")])
    assert unnamed.returncode == 2
    assert b"end its name in .npy, .parquet, .arrow, .json" in unnamed.stderr
    nowhere = run([*TRACE, "--record", "/nonexistent/calls.npy", "--", "true"])
    assert nowhere.returncode == 2
    assert b"No such file or directory" in nowhere.stderr
    missing = run([*TRACE, "--record", str(tmp_path / "calls.npy"), "--", "/nonexistent"])
    assert missing.returncode == 127
    assert list(tmp_path.iterdir()) == []


def test_records_that_cannot_be_written_are_counted_and_the_command_goes_on(
    tmp_path: Path,
) -> None:
    """A full disk."""
    require(os.path.exists("/dev/full"), "no /dev/full")
    link = tmp_path / "calls.json"
    link.symlink_to("/dev/full")
    done = run([*TRACE, "--record", str(link), "--", "cat", "/etc/hostname"])
    assert done.stdout == Path("/etc/hostname").read_bytes()
    assert done.returncode == 2
    assert b"No space left on device" in done.stderr
    assert b"lines are missing" in done.stderr


def run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command line to its end."""
    return subprocess.run(command, capture_output=True, check=False, timeout=60)
