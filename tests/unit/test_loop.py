"""The compiled loop and its twin: the same stops, the same answers, the same counts."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel import Decision
from accel._kernel.ptrace import SyscallInfo
from accel.abi import Abi
from accel.errors import SetupError
from accel.mechanisms import loop_choice, stop_tables, twin_loop
from accel.mechanisms.loop_choice import LoopChoice
from accel.mechanisms.stop_tables import SCRATCH, StopTables
from tests.support import require

ANSWERS = {
    0xAC00: Decision.resume(),
    0xAC01: Decision.skip(4242),
    0xAC02: Decision.fail(13),
    0xAC03: Decision.inspect(),
}
TIDS = (1, 4711, (1 << 22) - 1)
VSYSCALL = 0xFFFF_FFFF_FF60_0000

infos = st.builds(
    SyscallInfo,
    op=st.sampled_from([1, 2, 3]),
    arch=st.sampled_from([Abi.X86_64.audit_arch, Abi.I386.audit_arch, 0xC00000B7]),
    instruction_pointer=st.sampled_from([0x401000, VSYSCALL - 1, VSYSCALL, VSYSCALL + 4096]),
    number=st.sampled_from([0, 1, 110, 1023, 1024, -1, 0x40000001]),
    ret_data=st.sampled_from([*ANSWERS, 0xAC04, 0xFFFE, 0]),
    result=st.sampled_from([0, -1, -4095, -4096, 7, -(1 << 63)]),
)
stops = st.lists(st.tuples(st.sampled_from(TIDS), infos, st.integers(0, 1 << 40)), max_size=30)


def compiled_loop():
    """The module with numba's code, or a skip."""
    try:
        return importlib.import_module("accel._loop")
    except ImportError as error:
        require(condition=False, reason=str(error))


def tables_for_all() -> StopTables:
    """New tables in which all tids may be answered."""
    tables = StopTables(ANSWERS)
    for tid in TIDS:
        tables.admit(tid)
    return tables


def state(tables: StopTables) -> tuple:
    """Everything that a loop may have changed."""
    return (
        [tuple(tables.tracees.view[2 * tid : 2 * tid + 2]) for tid in TIDS],
        dict(tables.calls()),
        tables.stops(),
    )


def store(tables: StopTables, info: SyscallInfo) -> None:
    """Lay out ``info`` as the kernel does, where compiled code looks for it."""
    words = tables.control.view
    words[SCRATCH] = _signed(info.op | info.arch << 32)
    words[SCRATCH + 1] = _signed(info.instruction_pointer)
    words[SCRATCH + 3] = info.result if info.op == 2 else info.number
    words[SCRATCH + 10] = info.ret_data


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


@settings(deadline=None)  # The first one compiles.
@given(stops)
def test_compiled_loop_and_twin_agree_on_every_sequence_of_stops(recorded: list) -> None:
    """Answers, states of tracees, counters: equal after each stop."""
    loop = compiled_loop()
    ours, theirs = tables_for_all(), tables_for_all()
    for tid, info, now in recorded:
        store(theirs, info)
        addresses = theirs.addresses
        if ours.is_pending(tid) and info.op != 3:
            left = twin_loop.leave(ours, tid, info, now)
            assert left == loop.leave(addresses[0], *addresses[2:], tid, now)
        elif info.op == 3:
            action = twin_loop.enter(ours, tid, info, now)
            assert action == loop.enter(*addresses, tid, now)
        assert state(ours) == state(theirs)


def test_the_layout_is_written_down_twice_and_equal() -> None:
    """The compiled loop has its own copy: a change of one must be a change of both."""
    loop = compiled_loop()
    for name in stop_tables.__all__:
        if hasattr(loop, f"_{name}"):
            assert getattr(loop, f"_{name}") == getattr(stop_tables, name), name
    assert loop._SCRATCH == SCRATCH
    assert loop._MAX_NUMBER == stop_tables.MAX_NUMBER


def test_a_call_is_counted_from_entry_to_exit() -> None:
    """Calls, stops, errors and time of the twin, by hand."""
    tables = tables_for_all()
    entry = SyscallInfo(3, Abi.I386.audit_arch, 0x401000, number=20, ret_data=0xAC03)
    exit_ = SyscallInfo(2, Abi.I386.audit_arch, 0x401000, result=-9)
    assert twin_loop.enter(tables, 4711, entry, now=1000) == stop_tables.INSPECT
    assert tables.is_pending(4711)
    assert twin_loop.leave(tables, 4711, exit_, now=1250)
    assert not tables.is_pending(4711)
    [((abi, number), counter)] = tables.calls()
    assert (abi, number) == (Abi.I386, 20)
    assert (counter.calls, counter.stops, counter.errors, counter.nanoseconds) == (1, 2, 1, 250)
    assert tables.stops() == {"seccomp": 1, "exit": 1}


@pytest.mark.parametrize("decision", [Decision.skip(1 << 63), Decision.skip(1, inspect=True)])
def test_what_the_loop_cannot_answer_is_pythons(decision: Decision) -> None:
    """Results beyond 63 bits, and combination 2."""
    tables = StopTables({0xAC00: decision})
    assert not tables.has_answers
    info = SyscallInfo(3, Abi.X86_64.audit_arch, 0, number=1, ret_data=0xAC00)
    assert twin_loop.enter(tables, 1, info, 0) == stop_tables.TO_PYTHON


def test_a_renamed_tracee_keeps_its_pending_call() -> None:
    """As execve in a thread that is not the leader makes it."""
    tables = tables_for_all()
    info = SyscallInfo(3, Abi.X86_64.audit_arch, 0, number=59, ret_data=0xAC03)
    twin_loop.enter(tables, 4711, info, 5)
    tables.rename(4711, 1)
    assert tables.is_pending(1)
    assert not tables.is_pending(4711)


def test_an_unknown_loop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """ACCEL_LOOP takes three words."""
    monkeypatch.setenv("ACCEL_LOOP", "fortran")
    with pytest.raises(SetupError, match="fortran"):
        LoopChoice()


def test_without_numba_the_twin_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said; whoever insists on numba is told what to install."""
    monkeypatch.setitem(sys.modules, "accel._loop", None)
    monkeypatch.delattr("accel._loop", raising=False)
    monkeypatch.setattr(loop_choice, "_loading", loop_choice._Loading())
    monkeypatch.setenv("ACCEL_LOOP", "auto")
    choice = LoopChoice(worth_loading=1)
    loop_choice._loading.run()
    choice.consider(1)
    assert choice.next_change is twin_loop.next_change
    monkeypatch.setenv("ACCEL_LOOP", "numba")
    with pytest.raises(SetupError, match="cannot be loaded") as caught:
        LoopChoice()
    assert "pip install" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "prelude",
    ["", "import numba.core.caching as c; c.CacheImpl._locator_classes = []"],
    ids=["cold cache", "nowhere to write a cache"],
)
def test_first_use_says_nothing(prelude: str, tmp_path) -> None:
    """A cold cache, or none that can be written: slower, silent, and it works."""
    compiled_loop()
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c",
         f"{prelude}\nfrom accel import _loop; print(callable(_loop.next_change))"],
        env={"PATH": "/usr/bin:/bin", "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert any(tmp_path.iterdir()) == (not prelude)
