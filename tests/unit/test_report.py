"""What ``accel trace`` writes with never gets in the way of the command."""

from __future__ import annotations

import os

import pytest

from accel.command_line.report import _Guarded
from accel.errors import TraceeDied
from accel.stops import Exited, Stop
from accel.writers import LineOutput, TextWriter


class Broken(TextWriter):
    """A writer with a defect."""

    def __call__(self, stop: Stop, /) -> None:
        """Fail, as a bug would."""
        raise KeyError(stop.tid)


class Late(TextWriter):
    """A writer whose tracee dies while it reads."""

    def __call__(self, stop: Stop, /) -> None:
        """Find nobody to read from."""
        raise TraceeDied("process_vm_readv", stop.tid)


def test_a_defect_costs_a_line_and_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The tracee goes on; the loss is counted and told."""
    output = LineOutput(os.open(os.devnull, os.O_WRONLY), os.devnull)
    guarded = _Guarded(Broken(output), output)
    for _time in range(3):
        guarded(Exited(1, 1, 0))
    output.close()
    assert output.lost == 3
    assert capsys.readouterr().err.count("please report") == 1


def test_a_tracee_that_died_is_not_a_defect() -> None:
    """The engine expects it: its end is reported by wait."""
    output = LineOutput(os.open(os.devnull, os.O_WRONLY), os.devnull)
    with pytest.raises(TraceeDied):
        _Guarded(Late(output), output)(Exited(1, 1, 0))
    output.close()
