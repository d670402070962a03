"""Record every call of a long run to a file: what it costs, and that memory is bounded."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from accel.errors import AccelError
from bench.measure import Comparison, Contestant, Limit, Settings, compare, progress
from bench.subjects import Run, Task, Wrapper, environment, outcome, reported
from bench.workloads import compiled, repeated

__all__ = ["run"]

_CALL: Final = "getppid"
_NUMBER: Final = "110"
_C_LOOP: Final = "C loop, in memory"
_CALLS: Final = 10_000_000
#: What the process that records may have needed at its peak, interpreter and all.
_PEAK_BYTES: Final = 300_000_000
#: Records as TRACER does: count, lost records and peak memory are printed at the end.
_RECORDER: Final = """
import sys
from accel import Tracer
from accel.writers import {writer}
tracer = Tracer(sys.argv[2:], mask="getppid")
tracer.record({writer}(sys.argv[1]), exits=False)
code = tracer.run().returncode
status = open("/proc/self/status").read()
peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
statistics = tracer.statistics()
print(statistics.calls["getppid"].calls, statistics.lost, peak, file=sys.stderr)
sys.exit(code)
"""


def run(name: str, settings: Settings) -> Comparison:
    """Compare sinks, each with a file on disk; raise Missing without a C compiler."""
    with compiled("one_call") as program, compiled("reference_loop") as reference:
        few = repeated(program, _CALL, 2_000 if settings.quick else 100_000)
        all_ = repeated(program, _CALL, 50_000 if settings.quick else _CALLS)
        contestants = [
            Contestant(Wrapper("native"), all_),
            Contestant(Wrapper(_C_LOOP, (reference, "observe", _NUMBER)), few),
            Contestant(_Recorder(".npy", "NumpyWriter"), all_, Limit(1.5, _C_LOOP)),
            Contestant(_Recorder("Parquet", "ParquetWriter"), few),
            Contestant(_Recorder("Perfetto", "PerfettoWriter"), few),
        ]
        return compare(name, contestants, settings, "ns")


@dataclass(frozen=True, slots=True)
class _Recorder:
    """A process that records to a file; it fails if a call is missing or it takes much memory."""

    name: str
    writer: str

    def missing(self) -> str:
        """Look for what the writer needs."""
        command = [sys.executable, "-c", f"from accel.writers import {self.writer}; import pyarrow"]
        done = subprocess.run(command, capture_output=True, env=environment(), check=False)
        return "" if done.returncode == 0 else "pip install 'syscall-accel[arrow]' is needed"

    def run(self, task: Task) -> Run:
        """Record all calls of the task, count them, and throw the file away."""
        with tempfile.TemporaryDirectory(prefix="accel-bench-") as directory:
            file = str(Path(directory, "calls"))
            script = _RECORDER.format(writer=self.writer)
            done = subprocess.run(
                [sys.executable, "-c", script, file, *task.argv],
                cwd=directory, env=environment(), capture_output=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise AccelError(done.stderr.decode().splitlines()[-1])
            count, lost, peak = (int(word) for word in done.stderr.split()[-3:])
            size = os.path.getsize(file)
            progress(f"{self.name}: {count:,} calls, {size:,} bytes, peak memory {peak:,} bytes")
            if (count, lost) != (task.calls, 0):
                raise AccelError(f"{task.calls:,} calls, {count:,} recorded, {lost:,} lost")
            if peak > _PEAK_BYTES:
                raise AccelError(f"peak memory {peak:,} bytes")
            stderr = b""
            return Run(
                outcome(done.returncode, done.stdout, stderr, task, directory),
                reported(task, directory) or 0.0,
            )
