"""Tables hold what was recorded: every number, every byte, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from hypothesis import given

from accel.abi import Abi
from accel.errors import SetupError
from accel.records import INJECTED, LAYOUT, RECORD_SIZE, RETURNED, Batch, Sink
from accel.writers import ArrowWriter, ParquetWriter, columns
from tests.unit.recorded import BATCHES, Recorded, batch_of

WRITERS = [ParquetWriter, ArrowWriter]


def read(path: Path) -> Any:
    """Read a table in either format."""
    if path.read_bytes()[:4] == b"PAR1":
        return pa.parquet.read_table(path)
    return pa.ipc.open_file(path).read_all()


def pieces(path: Path) -> list[int]:
    """Count the rows of each row group or record batch."""
    if path.read_bytes()[:4] == b"PAR1":
        metadata = pa.parquet.read_metadata(path)
        return [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    file = pa.ipc.open_file(path)
    return [file.get_batch(at).num_rows for at in range(file.num_record_batches)]


def row(record: Recorded) -> dict[str, object]:
    """Describe a record as its row is documented."""
    returned, injected = record.flags & RETURNED, record.flags & INJECTED
    return {
        "entered_ns": record.entered_ns,
        "left_ns": record.left_ns if returned else None,
        "tid": record.tid,
        "pid": record.pid,
        "abi": record.abi.value,
        "number": record.number,
        "name": record.name,
        **{f"arg{at}": value for at, value in enumerate(record.six)},
        "result": record.result if returned or injected else None,
        "rule": record.rule,
        "injected": bool(injected),
        **{
            f"string{at}": record.strings[at].removesuffix(b"\0") if at in record.strings else None
            for at in range(6)
        },
    }


@pytest.mark.parametrize("writer", WRITERS)
@given(batches=BATCHES)
def test_a_table_holds_all_records(
    tmp_path_factory: pytest.TempPathFactory,
    writer: Callable[[str], Sink],
    batches: list[list[Recorded]],
) -> None:
    """In the documented columns; what is not there is null."""
    path = tmp_path_factory.mktemp("calls") / "calls"
    sink = writer(str(path))
    for batch in batches:
        sink.write(batch_of(batch))
    sink.close()
    table = read(path)
    assert table.to_pylist() == [row(record) for batch in batches for record in batch]
    assert pa.types.is_dictionary(table.schema.field("name").type)
    assert table.schema.field("arg0").type == pa.uint64()
    assert int(table.schema.metadata[b"accel.epoch_ns"]) > 0


@pytest.mark.parametrize("writer", WRITERS)
def test_bytes_that_are_not_utf8_survive(tmp_path: Path, writer: Callable[[str], Sink]) -> None:
    """A path is bytes."""
    sink = writer(str(tmp_path / "calls"))
    sink.write(batch_of([Recorded("chdir", (16,), strings={0: b"caf\xe9/\xff\0"})]))
    sink.close()
    assert read(tmp_path / "calls")["string0"].to_pylist() == [b"caf\xe9/\xff"]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_number_without_a_name_has_none(tmp_path: Path, writer: Callable[[str], Sink]) -> None:
    """Beyond the tables, in a gap of one, and negative; others keep theirs."""
    known, data = Recorded("getppid", abi=Abi.I386), b""
    for number in (999, 100_000, -1, 337, known.number):
        fields = list(LAYOUT.unpack(known.packed(0)[0]))
        fields[4:6] = number, 0 if number != known.number else 1
        data += LAYOUT.pack(*fields)
    sink = writer(str(tmp_path / "calls"))
    sink.write(Batch(memoryview(data), memoryview(b"\0"), {}))
    sink.close()
    assert 337 not in Abi.X86_64.names
    assert read(tmp_path / "calls")["name"].to_pylist() == [None] * 4 + ["getppid"]
    assert read(tmp_path / "calls")["number"].to_pylist()[:3] == [999, 100_000, -1]


@pytest.mark.parametrize("writer", WRITERS)
def test_row_groups_are_bounded(tmp_path: Path, writer: Callable[[str], Sink]) -> None:
    """Whatever the batches are."""
    sink = writer(str(tmp_path / "calls"))
    batch = batch_of([Recorded()] * 50_000)
    for _ in range(6):
        sink.write(batch)
    sink.close()
    assert pieces(tmp_path / "calls") == [columns.ROWS, columns.ROWS, 300_000 - 2 * columns.ROWS]


@pytest.mark.parametrize("writer", WRITERS)
def test_long_strings_make_smaller_row_groups(
    tmp_path: Path, writer: Callable[[str], Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are not all that takes memory."""
    monkeypatch.setattr(columns, "_STRING_BYTES", 1 << 20)
    record = Recorded("rename", (16, 32), strings={0: b"x" * 4095 + b"\0", 1: b"y" * 4096})
    sink = writer(str(tmp_path / "calls"))
    sink.write(batch_of([replace(record, tid=tid) for tid in range(5_000)]))
    sink.close()
    assert pieces(tmp_path / "calls") == [2048, 2048, 904]
    table = read(tmp_path / "calls")
    assert table["tid"].to_pylist() == list(range(5_000))
    assert set(table["string0"].to_pylist()) == {b"x" * 4095}
    assert set(table["string1"].to_pylist()) == {b"y" * 4096}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("package", ["pyarrow", "numpy"])
def test_without_its_packages_it_says_what_to_install(
    tmp_path: Path, writer: Callable[[str], Sink], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything runs, and before a file is made."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SetupError, match=r"pip install 'syscall-accel\[arrow\]'"):
        writer(str(tmp_path / "calls"))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("writer", WRITERS)
def test_three_million_records_take_less_than_300_megabytes(
    tmp_path: Path, writer: type[Sink]
) -> None:
    """Of a whole process, numpy and pyarrow included."""
    # Not ru_maxrss, which is preserved across execve(2): getrusage(2), "NOTES".
    script = f"""
from accel import writers
from accel.records import Batch
batch = Batch(memoryview(bytes({RECORD_SIZE} * 50_000)), memoryview(bytes(1)), {{}})
sink = writers.{writer.__name__}({str(tmp_path / "calls")!r})
for _ in range(60):
    sink.write(batch)
sink.close()
print(*[line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert int(done.stdout) < 300 * 1024
    assert sum(pieces(tmp_path / "calls")) == 3_000_000
