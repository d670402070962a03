"""The program that measures itself: its report is read as it is, and nothing of it stays."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from accel._kernel import caller


def test_a_report_is_nanoseconds_a_call() -> None:
    """Across seconds, too; half a report is none."""
    report = struct.pack("=4q", 7, 999_999_000, 9, 1_000)
    assert caller.read_report(report, 1000) == pytest.approx(1_000_002)
    with pytest.raises(ValueError, match="no report"):
        caller.read_report(report[:16], 1000)


def test_nothing_stays_open() -> None:
    """The program is gone with its block."""
    before = os.listdir("/proc/self/fd")
    with caller.program(1) as path:
        assert Path(path).read_bytes().startswith(b"\x7fELF")
    assert os.listdir("/proc/self/fd") == before
