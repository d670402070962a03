"""Recorded calls: all of them, in bounded memory, whatever the sink does; and text made of them."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from accel import Decision, Tracer
from accel.errors import RecordingError, SetupError
from accel.mechanisms import ring
from accel.records import BY_PYTHON, INJECTED, RETURNED, Batch
from accel.writers import ArraySink
from tests.support import compiled, require_program

pytestmark = pytest.mark.usefixtures("loop")


@pytest.fixture(params=["python", "numba"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both loops in turn write the records."""
    monkeypatch.setenv("ACCEL_LOOP", request.param)


class Slow:
    """A sink that takes nothing until it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.taken = 0

    def write(self, batch: Batch) -> None:
        self.go.wait()
        self.taken += len(batch)

    def close(self) -> None:
        pass


class Full:
    """A sink on a full disk."""

    def write(self, _batch: Batch) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        pass


def test_who_answered_is_in_the_record() -> None:
    """The loop, a handler, a constant: one record a call, with its result."""
    script = "import os; print([(os.getppid(), os.getuid(), os.getgid()) for _ in range(20)])"
    tracer = Tracer([sys.executable, "-S", "-c", script], capture_output=True)
    tracer.decide("getppid", Decision.inspect())
    tracer.decide("getgid", Decision.skip(4242))
    tracer.on_entry("getuid")(lambda _stop: Decision.skip(17))
    sink = ArraySink()
    tracer.record(sink)
    tracer.run()
    calls = sink.array()
    by_number = {number: calls[calls["number"] == number] for number in (110, 102, 104)}
    getppid, getuid, getgid = by_number.values()
    assert set(getppid["result"]) == {os.getpid()}
    assert set(getppid["flags"]) == {RETURNED}
    assert (getppid["left_ns"] > getppid["entered_ns"]).all()
    assert set(getuid["result"]) == {17}
    assert set(getuid["flags"]) == {INJECTED | BY_PYTHON}
    assert set(getgid["result"]) == {4242}
    assert set(getgid["flags"]) == {INJECTED}
    assert len(getppid) == 20
    assert set(calls["pid"]) == {tracer.pid}


def test_without_exits_a_call_takes_one_stop() -> None:
    """Its arguments are recorded, its result is not."""
    tracer = Tracer(["cat", "/etc/hostname"], mask="openat", capture_output=True)
    sink = ArraySink()
    tracer.record(sink, exits=False)
    tracer.run()
    openat = tracer.statistics().calls["openat"]
    assert openat.stops == openat.calls == len(sink)
    assert not sink.array()["left_ns"].any()
    paths = [sink.strings(index)[1] for index in range(len(sink))]
    assert paths[-1] == b"/etc/hostname\0"


def test_a_slow_sink_makes_the_tracees_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ring is full, the command stands still; then nothing is missing."""
    monkeypatch.setattr(ring.Ring.__init__, "__kwdefaults__", _small_ring())
    sink = Slow()
    tracer = Tracer([compiled("getppid_loop"), "5000"], mask="getppid", capture_output=True)
    tracer.record(sink, exits=False)
    tracer.start()
    assert tracer._run is not None
    while not tracer._run.recorder.ring.is_full:
        pass
    assert tracer.statistics().calls["getppid"].calls < 5000
    sink.go.set()
    assert tracer.wait(60).returncode == 0
    assert sink.taken == 5000
    assert tracer.statistics().lost == 0
    tracer.close()


def test_with_drop_the_tracees_go_on_and_losses_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command ends while the sink still holds its first records."""
    monkeypatch.setattr(ring.Ring.__init__, "__kwdefaults__", _small_ring())
    sink = Slow()
    tracer = Tracer([compiled("getppid_loop"), "5000"], mask="getppid", capture_output=True)
    tracer.record(sink, exits=False, when_full="drop")
    tracer.start()
    while tracer.statistics().calls.get("getppid") is None:
        pass
    while tracer.statistics().calls["getppid"].calls < 5000:
        pass
    sink.go.set()
    tracer.wait(60)
    lost = tracer.statistics().lost
    assert lost > 0
    assert sink.taken + lost == 5000
    tracer.close()


def _small_ring() -> dict:
    return dict(ring.Ring.__init__.__kwdefaults__) | {"records": 64, "strings": 1 << 15}


def test_a_sink_that_fails_is_told_of_and_the_command_is_not_disturbed() -> None:
    """A full disk, say: the run ends as ever, then the error is raised, with what is lost."""
    kept = ArraySink()
    tracer = Tracer([compiled("getppid_loop"), "3000"], mask="getppid", capture_output=True)
    tracer.record(Full())
    tracer.record(kept)
    with pytest.raises(RecordingError, match="No space left") as caught:
        tracer.run()
    assert tracer.result is not None
    assert tracer.result.returncode == 0
    assert isinstance(caught.value.__cause__, OSError)
    assert len(kept) == 3000
    assert tracer.statistics().lost == 3000


def test_an_unknown_way_to_be_full_is_refused() -> None:
    """Before anything runs."""
    with pytest.raises(SetupError, match="wait"):
        Tracer(["true"]).record(ArraySink(), when_full="explode")


def test_a_long_run_is_streamed_in_bounded_memory(tmp_path: Path) -> None:
    """Far more calls than the ring holds, and the file has each: as many as the program counted."""
    count = 300_000
    script = (
        "from accel import Tracer\n"
        "from accel.writers import NumpyWriter\n"
        f"tracer = Tracer([{compiled('getppid_loop')!r}, '{count}'], mask='getppid')\n"
        f"tracer.record(NumpyWriter({str(tmp_path / 'calls.npy')!r}), exits=False)\n"
        "tracer.run()\n"
        "status = open('/proc/self/status').read()\n"
        "print(status.partition('VmHWM:')[2].split()[0], tracer.statistics().lost)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    peak_kib, lost = (int(word) for word in done.stdout.split()[-2:])
    calls = np.load(tmp_path / "calls.npy", mmap_mode="r")
    assert len(calls) == count
    assert set(calls["number"]) == {110}
    assert lost == 0
    assert peak_kib * 1024 < 100 * 2**20


@pytest.mark.parametrize("options", [(), ("-T", "-tt"), ("--json",), ("-z",), ("-r", "-v")])
def test_text_made_of_records_is_the_text_made_live(options: tuple, tmp_path: Path) -> None:
    """In a file lines are made later: of the same calls, with the same words."""
    command = ["chmod", "-v", "644", str(tmp_path), "/none"]
    trace = ["trace", *options, "-e", "!getrandom"]  # What that returns is never the same.
    texts = []
    for can_wait in (True, False):
        file = tmp_path / f"trace-{can_wait}"
        script = (
            "from accel.command_line import main, report\n"
            f"report._can_wait = lambda _options: {can_wait}\n"
            f"main({[*trace, '-o', str(file), '--', *command]!r})\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
        assert done.returncode == 1, done.stderr
        texts.append(_plain(file.read_text()))
    assert texts[0] == texts[1]


def _plain(text: str) -> list[str]:
    """Leave out what differs between two runs: pids, times, addresses, and how they align."""
    return [re.sub(r"0x[0-9a-f]+|\d+| +", "N", line) for line in text.splitlines()]


def test_threads_that_overlap_are_told_in_order(tmp_path: Path) -> None:
    """Every second half of a line has a first half of the same thread, and the other way round."""
    require_program("strace")
    file = tmp_path / "trace"
    command = [
        sys.executable,
        "-m",
        "accel",
        "trace",
        "-o",
        str(file),
        "-e",
        "trace=futex,getppid,%file",
    ]
    done = subprocess.run([*command, compiled("threads"), "8", "100"], check=False)
    assert done.returncode == 0
    begun: dict[str, str] = {}
    for line in file.read_text().splitlines():
        tid, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            assert tid not in begun
            begun[tid] = rest.strip().partition("(")[0]
        elif "resumed>" in rest:
            assert rest.split()[1] == begun.pop(tid)
    assert file.read_text().count("getppid(") >= 800
