"""Lines reach their file whole, soon, and are never lost in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from accel.writers import LineOutput


def test_what_is_written_arrives(tmp_path: Path) -> None:
    """In order, and complete at the end."""
    path = tmp_path / "log"
    output = LineOutput.open(str(path))
    output.write("one ")
    output.write("line\n")
    output.close()
    assert path.read_text() == "one line\n"


def test_an_old_file_is_replaced_at_the_first_write(tmp_path: Path) -> None:
    """Not before: a run that cannot begin leaves it alone."""
    path = tmp_path / "log"
    path.write_text("much longer than what comes\n")
    output = LineOutput.open(str(path))
    assert path.read_text() == "much longer than what comes\n"
    output.write("new\n")
    output.close()
    assert path.read_text() == "new\n"


def test_a_run_without_lines_empties_the_old_file(tmp_path: Path) -> None:
    """Nothing to report is a result, too."""
    path = tmp_path / "log"
    path.write_text("old\n")
    LineOutput.open(str(path)).close()
    assert path.read_text() == ""


def test_an_abandoned_output_leaves_nothing(tmp_path: Path) -> None:
    """A file that was made is removed; one that was there is as it was."""
    new, old = tmp_path / "new", tmp_path / "old"
    old.write_text("old\n")
    for path in (new, old):
        output = LineOutput.open(str(path))
        output.write("never\n")
        output.abandon()
    assert not new.exists()
    assert old.read_text() == "old\n"


def test_memory_is_bounded(tmp_path: Path) -> None:
    """At 64 KiB the kernel gets what waits, without anybody asking."""
    path = tmp_path / "log"
    output = LineOutput.open(str(path))
    for _line in range(70):
        output.write("x" * 1023 + "\n")
    assert path.stat().st_size >= 1 << 16
    output.close()
    assert path.stat().st_size == 70 * 1024


def test_a_terminal_gets_each_line_at_once() -> None:
    """``immediate`` output does not wait for more."""
    reading, writing = os.pipe()
    output = LineOutput(writing, "pipe", immediate=True)
    output.write("half ")
    output.write("line\n")
    assert os.read(reading, 100) == b"half line\n"
    output.close()
    os.close(reading)


def test_lost_lines_are_said_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk: one message, and the number of lines that are missing."""
    output = LineOutput(os.open("/dev/full", os.O_WRONLY), "/dev/full")
    output.write("one\ntwo\n")
    output.flush()
    output.write("three\n")
    output.close()
    assert output.lost == 3
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "No space left on device" in message


def test_every_byte_is_ascii(tmp_path: Path) -> None:
    """A name that is no text cannot break a reader."""
    path = tmp_path / "log"
    output = LineOutput.open(str(path))
    output.write("caf\u00e9 \udcff\n")
    output.close()
    assert path.read_bytes() == rb"caf\xe9 \udcff" + b"\n"
