"""Records kept in memory or streamed to a file are the records that were written."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel.abi import Abi
from accel.errors import SetupError
from accel.records import ABIS, RECORD_SIZE, dtype
from accel.writers import ArraySink, NumpyWriter
from tests.unit.recorded import BATCHES, Recorded, batch_of


def assert_equal(found: np.ndarray, records: list[Recorded]) -> None:
    """Compare an array with what was recorded, field by field."""
    assert found.dtype == dtype()
    assert len(found) == len(records)
    for row, record in zip(found, records, strict=True):
        assert row["arguments"].tolist() == list(record.six)
        assert ABIS[row["abi"]].call_name(int(row["number"])) == record.name
        for field in ("entered_ns", "left_ns", "tid", "pid", "rule", "result"):
            assert row[field] == getattr(record, field)


@given(BATCHES, st.integers(0, 20))
def test_an_array_holds_the_first_records_up_to_its_limit(
    batches: list[list[Recorded]], limit: int
) -> None:
    """With their strings; the others are counted."""
    sink = ArraySink(limit)
    for batch in batches:
        sink.write(batch_of(batch))
    sink.close()
    records = [record for batch in batches for record in batch]
    assert_equal(sink.array(), records[:limit])
    assert len(sink) == len(sink.array())
    assert sink.dropped == max(0, len(records) - limit)
    assert [sink.strings(at) for at in range(len(sink))] == [
        record.strings for record in records[:limit]
    ]


def test_an_array_can_be_taken_while_records_arrive() -> None:
    """It is a snapshot; strings keep their index."""
    sink = ArraySink()
    first, second = Recorded(tid=1), Recorded("chdir", (16,), tid=2, strings={0: b"/\0"})
    sink.write(batch_of([first]))
    before = sink.array()
    sink.write(batch_of([second]))
    assert before["tid"].tolist() == [1]
    assert sink.array()["tid"].tolist() == [1, 2]
    assert sink.strings(1) == {0: b"/\0"}
    assert sink.strings(5) == {}


def test_without_numpy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything runs."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(SetupError, match=r"pip install 'syscall-accel\[arrow\]'"):
        ArraySink()


@given(BATCHES)
def test_a_file_holds_all_records(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Recorded]]
) -> None:
    """As numpy maps them."""
    path = tmp_path_factory.mktemp("calls") / "calls.npy"
    writer = NumpyWriter(str(path))
    for batch in batches:
        writer.write(batch_of(batch))
    writer.close()
    records = [record for batch in batches for record in batch]
    # An empty file cannot be mapped.
    assert_equal(np.load(path, mmap_mode="r" if records else None), records)


def test_a_file_can_be_loaded_before_it_is_closed(tmp_path: Path) -> None:
    """A killed tracer leaves what it had written."""
    path = tmp_path / "calls.npy"
    writer = NumpyWriter(str(path))
    for count in (1, 2, 3):
        writer.write(batch_of([Recorded(tid=count)]))
        assert np.load(path)["tid"].tolist() == list(range(1, count + 1))
    writer.close()


def test_a_record_that_was_not_counted_yet_does_no_harm(tmp_path: Path) -> None:
    """Killed between the records and their number."""
    path = tmp_path / "calls.npy"
    writer = NumpyWriter(str(path))
    writer.write(batch_of([Recorded(tid=1)]))
    writer.close()
    with path.open("ab") as file:
        file.write(bytes(RECORD_SIZE // 2))
    assert np.load(path, mmap_mode="r")["tid"].tolist() == [1]


def test_the_header_has_room_for_any_count(tmp_path: Path) -> None:
    """And the records begin where numpy wants them: at a multiple of 64 bytes."""
    path = tmp_path / "calls.npy"
    writer = NumpyWriter(str(path))
    writer._count = 10**18
    writer.write(batch_of([replace(Recorded(), abi=Abi.I386)]))
    writer.close()
    with path.open("rb") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        shape, _, found = np.lib.format.read_array_header_1_0(file)
        assert (shape, found) == ((10**18 + 1,), dtype())
        assert file.tell() % 64 == 0
        assert len(file.read()) == RECORD_SIZE
