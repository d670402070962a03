"""What real runs record is the same in every format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.ipc
import pyarrow.parquet

from accel import Tracer
from accel.writers import ArraySink, ArrowWriter, NumpyWriter, ParquetWriter, PerfettoWriter

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
