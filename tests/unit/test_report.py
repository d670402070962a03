"""What ``accel trace`` writes with never gets in the way of the command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from accel.command_line.report import _Guarded
from accel.errors import TraceeDied
from accel.mask import SyscallMask
from accel.records import Record
from accel.stops import Exited, Stop
from accel.writers import JsonWriter, LineOutput, TextWriter
from tests.unit.recorded import Recorded, batch_of

[RECORD] = batch_of([Recorded("openat", (3, 0x1000), result=3, strings={1: b"/etc/passwd\0"})])


class Broken(TextWriter):
    """A writer with a defect."""

    def __call__(self, stop: Stop, /) -> None:
        """Fail, as a bug would."""
        raise KeyError(stop.tid)

    def tells_whole_call(self, record: Record) -> bool:
        """Fail in the other way."""
        raise KeyError(record.tid)


class Late(TextWriter):
    """A writer whose tracee dies while it reads."""

    def __call__(self, stop: Stop, /) -> None:
        """Find nobody to read from."""
        raise TraceeDied("process_vm_readv", stop.tid)

    def tells_whole_call(self, record: Record) -> bool:
        """Find nobody, either."""
        raise TraceeDied("process_vm_readv", record.tid)


def test_a_defect_costs_a_line_and_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The tracee goes on; the loss is counted and told."""
    output = LineOutput(os.open(os.devnull, os.O_WRONLY), os.devnull)
    guarded = _Guarded(Broken(output), output)
    for _time in range(3):
        guarded(Exited(1, 1, 0))
        assert guarded.tells_whole_call(RECORD)
    output.close()
    assert output.lost == 6
    said = capsys.readouterr().err
    assert said.count("please report") == 2
    assert "cannot write about openat" in said


def test_a_tracee_that_died_is_not_a_defect() -> None:
    """The engine expects it: its end is reported by wait."""
    output = LineOutput(os.open(os.devnull, os.O_WRONLY), os.devnull)
    with pytest.raises(TraceeDied):
        _Guarded(Late(output), output)(Exited(1, 1, 0))
    with pytest.raises(TraceeDied):
        _Guarded(Late(output), output).tells_whole_call(RECORD)
    output.close()


def test_calls_that_nobody_asked_to_see_are_not_written(tmp_path: Path) -> None:
    """Also where their records are whole."""
    output = LineOutput.open(str(tmp_path / "trace"))
    for name in ("read", "openat"):
        guarded = _Guarded(TextWriter(output), output, SyscallMask.parse(name))
        assert guarded.tells_whole_call(RECORD)
    output.close()
    assert (tmp_path / "trace").read_text().count("openat(") == 1


def test_a_writer_without_a_way_for_whole_calls_is_told_stops(tmp_path: Path) -> None:
    """It says so, and nothing is written yet."""
    output = LineOutput.open(str(tmp_path / "trace"))
    assert not _Guarded(JsonWriter(output), output).tells_whole_call(RECORD)
    output.close()
    assert (tmp_path / "trace").read_text() == ""
