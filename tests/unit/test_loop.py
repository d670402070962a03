"""The compiled loop and its twin: the same stops, the same answers, the same counts."""

from __future__ import annotations

import ctypes
import importlib
import itertools
import os
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from accel import Decision, checks, path, records
from accel._kernel import perf
from accel._kernel.ptrace import SyscallInfo
from accel._kernel.words import Words
from accel.abi import Abi
from accel.checks import Candidate, Judgements
from accel.decision import Answer
from accel.errors import SetupError
from accel.mechanisms import judge_tables, loop_cache, loop_choice, stop_tables, twin_loop
from accel.mechanisms import ring as ring_module
from accel.mechanisms.loop_choice import LoopChoice
from accel.mechanisms.ring import Ring
from accel.mechanisms.stop_tables import StopTables
from accel.records import ALONE, BLOCKS, ENTERED, INJECTED, RETURNED, Batch, Record
from accel.results import CallCounter
from bpf.value import replace
from tests.support import require

DECISIONS = {
    0xAC00: Decision.resume(),
    0xAC01: Decision.skip(4242),
    0xAC02: Decision.fail(13),
    0xAC03: Decision.inspect(),
    0xAC05: Decision.skip(-9, inspect=True),
}
ANSWERS = {
    ret_data: Answer(decision, rule=ret_data - 0xAC00, is_recorded=ret_data % 2 == 1)
    for ret_data, decision in DECISIONS.items()
}
#: The same rules, of calls that stop by exit events.
EXIT_ANSWERS = {
    ret_data: Answer(Decision.exit_only(), rule=ret_data - 0xAC00) for ret_data in DECISIONS
}
#: Two that are nobody's, and this process, whose memory can be read.
TIDS = (1, (1 << 22) - 1, os.getpid())
VSYSCALL = 0xFFFF_FFFF_FF60_0000
#: Strings in this process: short, empty, longer than one read, longer than PATH_MAX; and none.
STRINGS = [
    ctypes.create_string_buffer(text) for text in (b"/etc/passwd", b"", b"x" * 700, b"y" * 5000)
]
ADDRESSES = [*(ctypes.addressof(string) for string in STRINGS), 0, 16, (1 << 64) - 1]
#: The rules of handlers that decide alone: what a call gets, which result.
ASKING, ASKING_AT_EXIT = 0xAC0A, 0xAC0B
#: Calls of which strings are captured (the second argument; the first and third), and blocks of 24
#: bytes and of a page: two that are written; one that is read, one that is written.
CAPTURES = {
    (Abi.X86_64, 110): 0b10,
    (Abi.X86_64, 0): 0b101,
    (Abi.X86_64, 1): 0b1 | 0b110 << 8 | 24 << 16,
    (Abi.I386, 110): 0b1 | 0b1000 << 8 | 4096 << 16 | 0b10000 << 32,
    (Abi.I386, 0): 100 << 16 | 0b10 << 32,
}

#: What stops for 0xAC04 may fall under that rule, or one of those behind it.
_OPEN = (Abi.X86_64, Abi.X86_64.numbers["openat"]), (Abi.I386, Abi.I386.numbers["openat"])
_JUDGED = Answer(Decision.inspect(), rule=4), Answer(Decision.fail(9), rule=6, is_recorded=False)
JUDGEMENTS = Judgements(
    frozenset({0xAC04}),
    tuple(
        (
            call,
            (
                Candidate(0xAC04, checks.checks((path.within("/etc"),), *call)),
                Candidate(0xAC05, checks.checks((path == "",), *call)),
                Candidate(0xAC06, checks.checks((path.startswith("xx"),), *call)),
            ),
        )
        for call in _OPEN
    ),
    ((0xAC04, _JUDGED[0]), (0xAC06, _JUDGED[1])),
)

arguments = st.tuples(*[st.sampled_from([*ADDRESSES, 3, (1 << 63) + 5])] * 6)
infos = st.builds(
    SyscallInfo,
    op=st.sampled_from([2, 3]),
    arch=st.sampled_from([Abi.X86_64.audit_arch, Abi.I386.audit_arch, 0xC00000B7]),
    instruction_pointer=st.sampled_from([0x401000, VSYSCALL - 1, VSYSCALL, VSYSCALL + 4096]),
    number=st.sampled_from([0, 1, 110, *(call[1] for call in _OPEN), 1023, 1024, -1, 0x40000001]),
    arguments=arguments,
    ret_data=st.sampled_from([*ANSWERS, 0xAC04, 0xAC04, ASKING, ASKING_AT_EXIT, 0xFFFE, 0]),
    result=st.sampled_from([0, -1, -4095, -4096, 7, -(1 << 63)]),
    stack_pointer=st.sampled_from([0, 0x7FFF_0000_1000]),
)
stops = st.lists(st.tuples(st.sampled_from(TIDS), infos, st.integers(0, 1 << 40)), max_size=30)
rings = st.builds(
    dict,
    drops=st.booleans(),
    beginnings=st.booleans(),
    records=st.sampled_from([4, 64]),
    strings=st.sampled_from([1 << 15, 1 << 16]),
)


def compiled_loop():
    """The module with numba's code, or a skip."""
    try:
        return importlib.import_module("accel._loop")
    except ImportError as error:
        require(condition=False, reason=str(error))


def tables_for_all(**ring: Any) -> StopTables:
    """New tables in which all tids may be answered."""
    answers = ANSWERS | {
        0xAC04: _JUDGED[0],
        ASKING: Answer(Decision.resume(), 10, asks=print),
        ASKING_AT_EXIT: Answer(Decision.inspect(), 11, asks=print),
    }
    tables = StopTables(answers, Ring(**ring) if ring else None, CAPTURES, judgements=JUDGEMENTS)
    for tid in TIDS:
        tables.admit(tid, tid + 1 & 0x3FFFFF)
    return tables


def state(tables: StopTables) -> tuple:
    """Everything that a loop may have changed."""
    ring = tables.ring
    return (
        [tables.record(tid) for tid in TIDS],
        dict(tables.calls()),
        tables.stops(),
        list(tables.control.view[12:21]),
        bytes(ring.records.bytes) if ring is not None else b"",
    )


def store(tables: StopTables, info: SyscallInfo) -> None:
    """Lay out ``info`` as the kernel does, where the loop looks for it."""
    words = tables.control.view[stop_tables.INFO :]
    words[0] = _signed(info.op | info.arch << 32)
    words[1], words[2] = _signed(info.instruction_pointer), info.stack_pointer
    words[3] = info.result if info.op == 2 else info.number
    for at, argument in enumerate(info.arguments):
        words[4 + at] = _signed(argument)
    words[10] = info.ret_data


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


# The first one compiles.
@settings(deadline=None, max_examples=150, phases=[Phase.explicit, Phase.generate])
@given(stops, st.none() | rings, st.booleans())
def test_compiled_loop_and_twin_agree_on_every_sequence_of_stops(
    recorded: list, ring: dict | None, asks: bool
) -> None:
    """Answers, states of tracees, counters, records, captured strings: equal after each stop."""
    loop = compiled_loop()
    ours, theirs = tables_for_all(**ring or {}), tables_for_all(**ring or {})
    for tables in (ours, theirs):
        tables.control.view[stop_tables.ASKS] = asks
    for tid, info, now in recorded:
        store(theirs, info)
        control = theirs.control.address
        if ours.is_pending(tid) and info.op != 3:
            left = twin_loop.leave(ours, tid, info, now)
            assert left == loop.leave(control, tid, now)
        elif info.op == 3:
            action = twin_loop.enter(ours, tid, info, now)
            assert action == loop.enter(control, tid, now)
        assert state(ours) == state(theirs)
        if ring is not None and now % 3 == 0:
            assert drained(ours) == drained(theirs)
    assert ring is None or drained(ours) == drained(theirs)


#: Calls that stop by exit events: {call: RET_DATA of the rule}.
EXIT_RULES = {(Abi.X86_64, 110): 0xAC00, (Abi.X86_64, 0): 0xAC03, (Abi.I386, 110): 0xAC01}
RING_SIZE = 8192
registers = st.sampled_from([*ADDRESSES, 0x401000, (1 << 63) + 5, 0xFFFF_FFFF])
samples = st.builds(
    dict,
    kind=st.sampled_from([9, 9, 9, 2]),
    time=st.integers(0, 1 << 40),
    number=st.sampled_from([0, 1, 110, 1023, 1024, (1 << 32) - 1]),
    result=st.sampled_from([0, -1, -4095, -4096, 7, -(1 << 63), (1 << 63) - 1]),
    abi=st.sampled_from([1, 2]),
    registers=st.lists(registers, min_size=11, max_size=11),
    is_by_syscall=st.booleans(),
)
#: What is in a thread's ring: where it begins, and how many samples there are.
hits = st.lists(
    st.tuples(
        st.sampled_from(TIDS), samples, st.sampled_from([0, 152, RING_SIZE - 152, RING_SIZE - 8]),
        st.sampled_from([1, 1, 1, 0, 2]),
    ),
    max_size=20,
)  # fmt: skip


def event_ring(sample: dict, tid: int, position: int, count: int) -> Words:
    """Lay out a ring as the kernel does, with ``count`` samples from a position on."""
    words = Words(512 + RING_SIZE // 8)
    start = 3 * RING_SIZE + position
    words.view[128:132] = memoryview(
        struct.pack("=4q", start + 152 * count, start, 4096, RING_SIZE)
    ).cast("q")
    given_ = list(sample["registers"])
    if sample["is_by_syscall"]:
        given_[1] = given_[7]
    record = struct.pack(
        "=IHHIIQI8xIIq4xQ11Q", sample["kind"], 0, 152, tid, tid, sample["time"], 28,
        sample["number"], 0xDEAD, sample["result"], sample["abi"], *given_,
    )  # fmt: skip
    for at, byte in enumerate(record):
        words.bytes[4096 + (position + at) % RING_SIZE] = byte
    return words


@settings(deadline=None, max_examples=150, phases=[Phase.explicit, Phase.generate])
@given(hits, st.none() | rings)
def test_compiled_loop_and_twin_agree_on_every_sequence_of_exit_events(
    recorded: list, ring: dict | None
) -> None:
    """What is answered, counted, recorded and left in the ring of samples: equal after each."""
    loop = compiled_loop()
    pairs = []
    for _ in range(2):
        tables = StopTables(EXIT_ANSWERS, Ring(**ring) if ring else None, CAPTURES, EXIT_RULES)
        for tid in TIDS:
            tables.admit(tid, tid + 1 & 0x3FFFFF)
        pairs.append(tables)
    ours, theirs = pairs
    for tid, sample, position, count in recorded:
        events = [event_ring(sample, tid, position, count) for _ in range(2)]
        for tables, words in zip(pairs, events, strict=True):
            tables.event_rings.view[tid] = words.address
        action = twin_loop.hit(ours, tid)
        assert action == loop.hit(theirs.control.address, tid)
        # As it is whole, alone, and of a call with a rule, it is answered.
        is_whole = count == 1 and position + 152 <= RING_SIZE and sample["kind"] == 9
        abi = Abi.I386 if sample["abi"] == 1 else Abi.X86_64
        is_plain = abi is Abi.I386 or sample["is_by_syscall"]
        if is_whole and is_plain and (abi, sample["number"]) in EXIT_RULES:
            assert action == stop_tables.RESUME
        assert state(ours) == state(theirs)
        assert bytes(events[0].bytes) == bytes(events[1].bytes)
        if ring is not None and sample["time"] % 3 == 0:
            assert drained(ours) == drained(theirs)
    assert ring is None or drained(ours) == drained(theirs)


@pytest.mark.parametrize("result", [0, -4095])
def test_a_call_that_succeeds_is_recorded_with_the_blocks_that_it_wrote(result: int) -> None:
    """At its end, and its string at its beginning; one that fails has that at its end, too."""
    tables = tables_for_all(strings=1 << 16, beginnings=True)
    tid = os.getpid()
    buffer = ctypes.create_string_buffer(24)
    name, block = ADDRESSES[0], ctypes.addressof(buffer)
    six = (name, block, 16, 0, 0, 0)
    entry = SyscallInfo(3, Abi.X86_64.audit_arch, 0x401000, 1, six, 0xAC03)
    assert twin_loop.enter(tables, tid, entry, now=1000) == stop_tables.INSPECT
    buffer.raw = bytes(range(24))
    exit_ = SyscallInfo(2, Abi.X86_64.audit_arch, 0x401000, result=result)
    assert not twin_loop.leave(tables, tid, exit_, now=1250)
    begun, ended = drained(tables)
    assert begun.flags == 0b1 | ENTERED
    assert (begun.strings, begun.blocks) == ({0: b"/etc/passwd\0"}, {})
    if result:
        assert ended.flags == 0b1 | RETURNED
        assert (ended.strings, ended.blocks_after) == (begun.strings, {})
    else:
        # Of the second there is nothing to read.
        assert ended.flags == 0b110 | RETURNED | BLOCKS[0] | BLOCKS[1]
        assert (ended.strings, ended.blocks_after) == ({}, {1: bytes(range(24)), 2: b""})


def test_an_exit_event_is_recorded_with_what_the_call_left() -> None:
    """By hand: registers of both ABIs, the result, strings, counts."""
    tables = StopTables(EXIT_ANSWERS, Ring(strings=1 << 16), CAPTURES, EXIT_RULES)
    tid = os.getpid()
    tables.admit(tid, 7)
    path = ADDRESSES[0]
    sample = {
        "kind": 9, "time": 5000, "number": 110, "result": -2, "abi": 2, "is_by_syscall": True,
        # bx cx dx si di bp sp ip r8 r9 r10
        "registers": [1, 2, 13, path, 11, 6, 7, 8, 15, 16, 14],
    }  # fmt: skip
    words = event_ring(sample, tid, 0, 1)
    tables.event_rings.view[tid] = words.address
    assert twin_loop.hit(tables, tid) == stop_tables.RESUME
    [record] = drained(tables)
    assert record[:12] == (
        5000, 5000, tid, 7, 110, Abi.X86_64, 0, (11, path, 13, 14, 15, 16), -2,
        0b10 | RETURNED | ALONE, 8, 7,
    )  # fmt: skip
    assert record.strings == {1: b"/etc/passwd\0"}
    [(_key, counter)] = tables.calls()
    assert (counter.calls, counter.stops, counter.errors) == (1, 1, 1)
    assert tables.stops() == {"exit-event": 1}
    # The kernel may write over it, and another look finds nothing.
    assert twin_loop.hit(tables, tid) == stop_tables.TO_PYTHON


def drained(tables: StopTables) -> list[Record]:
    """Read the ring empty."""
    assert tables.ring is not None
    return [
        record
        for piece in tables.ring.pieces()
        for record in Batch(piece, tables.ring.strings.bytes, {})
    ]


def test_the_layout_is_written_down_twice_and_equal() -> None:
    """The compiled loop has its own copy: a change of one must be a change of both."""
    loop = compiled_loop()
    judging, words = (importlib.import_module(f"accel._loop_{part}") for part in ("judge", "words"))
    compared: Counter[str] = Counter()
    for code, module in itertools.product(
        (loop, judging, words), (stop_tables, ring_module, judge_tables, checks, records)
    ):
        for name, value in vars(module).items():
            if name.isupper() and not name.startswith("_") and hasattr(code, f"_{name}"):
                assert getattr(code, f"_{name}") == value, name
                compared[code.__name__] += 1
    assert compared[loop.__name__] > 50
    assert compared[judging.__name__] > 25
    assert compared[words.__name__] > 2
    assert loop._ANSWER_TABLE == stop_tables.TABLES + 1
    assert loop._MEMORY == stop_tables.TABLES + 7
    assert loop._IS_ALONE == ALONE
    assert BLOCKS[0] == loop._IS_BLOCK
    ring = (loop._DATA_HEAD, loop._DATA_TAIL, loop._DATA_OFFSET)
    assert [8 * word for word in ring] == [perf._DATA_HEAD, perf._DATA_TAIL, perf._DATA_OFFSET]
    assert loop._SAMPLE_SIZE == perf._RECORD_SIZE
    assert loop._TRAP_PERF == perf.TRAP_PERF


def test_a_call_is_counted_from_entry_to_exit() -> None:
    """Calls, stops, errors and time of the twin, by hand."""
    tables = tables_for_all()
    tid = TIDS[0]
    entry = SyscallInfo(3, Abi.I386.audit_arch, 0x401000, number=20, ret_data=0xAC03)
    exit_ = SyscallInfo(2, Abi.I386.audit_arch, 0x401000, result=-9)
    assert twin_loop.enter(tables, tid, entry, now=1000) == stop_tables.INSPECT
    assert tables.is_pending(tid)
    assert not twin_loop.leave(tables, tid, exit_, now=1250)
    assert not tables.is_pending(tid)
    [((abi, number), counter)] = tables.calls()
    assert (abi, number) == (Abi.I386, 20)
    assert (counter.calls, counter.stops, counter.errors, counter.nanoseconds) == (1, 2, 1, 250)
    assert tables.stops() == {"seccomp": 1, "exit": 1}


def test_a_call_is_recorded_with_its_strings() -> None:
    """By hand: its beginning, for the strings' sake, and its end."""
    tables = tables_for_all(strings=1 << 16)
    tid = os.getpid()
    path, _, long, longest = ADDRESSES[:4]
    entry = SyscallInfo(
        3, Abi.X86_64.audit_arch, 5, 0, (path, 2, long, 4, 5, 6), 0xAC03, stack_pointer=7
    )
    twin_loop.enter(tables, tid, entry, now=1000)
    [begun] = drained(tables)
    assert begun.flags & ENTERED
    assert begun.strings == {0: b"/etc/passwd\0", 2: b"x" * 700 + b"\0"}
    twin_loop.leave(tables, tid, SyscallInfo(2, Abi.X86_64.audit_arch, 5, result=-2), now=1250)
    [ended] = drained(tables)
    assert ended[:12] == (
        1000, 1250, tid, tid + 1, 0, Abi.X86_64, 3, entry.arguments, -2, 0b101 | RETURNED, 5, 7,
    )  # fmt: skip
    skipped = SyscallInfo(3, Abi.X86_64.audit_arch, 5, 110, (0, longest, 0, 0, 0, 0), 0xAC01)
    twin_loop.enter(tables, tid, skipped, now=2000)
    [one] = drained(tables)
    assert one.flags == 0b10 | INJECTED
    assert one.result == 4242
    assert one.strings == {1: b"y" * 4096}


def test_a_full_ring_drops_and_counts_or_is_waited_for() -> None:
    """Whether it may is the user's choice; it is said either way."""
    ring = Ring(records=4, drops=True)
    for _ in range(6):
        ring.append(bytes(128))
    assert (ring.waiting, ring.dropped, ring.is_full) == (3, 3, True)
    assert sum(len(piece) for piece in ring.pieces()) == 3 * 128
    assert not ring.is_full


@pytest.mark.parametrize("decision", [Decision.skip(1 << 63), Decision.emulate()])
def test_what_the_loop_cannot_answer_is_pythons(decision: Decision) -> None:
    """Results beyond 63 bits, and what is told as an exit though nothing returns."""
    tables = StopTables({0xAC00: Answer(decision)})
    info = SyscallInfo(3, Abi.X86_64.audit_arch, 0, number=1, ret_data=0xAC00)
    assert twin_loop.enter(tables, 1, info, 0) == stop_tables.TO_PYTHON


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.I386])
def test_a_handler_that_alone_looks_is_asked_unless_somebody_forbids_it(abi: Abi) -> None:
    """Who asks finds the call counted, and its failure where the loop counts those."""
    tables, tid = tables_for_all(), TIDS[1]
    entry = SyscallInfo(3, abi.audit_arch, 0x401000, 110, (1, 2, 3, 4, 5, 6), ASKING)
    later = replace(entry, ret_data=ASKING_AT_EXIT)
    for info in (entry, later):
        assert twin_loop.enter(tables, tid, info, 0) == stop_tables.TO_PYTHON
    tables.control.view[stop_tables.ASKS] = True
    assert tables.handlers == {10: print, 11: print}
    assert twin_loop.enter(tables, tid, entry, 0) == stop_tables.ASKED + 10
    tables.failed(abi, 110)
    assert twin_loop.enter(tables, tid, later, 500) == stop_tables.INSPECT
    left = SyscallInfo(2, abi.audit_arch, 0, result=-1)
    assert twin_loop.leave(tables, tid, left, 700) == (stop_tables.ASKED + stop_tables.EXITS + 11)
    fields = tables.fields(tid)
    assert (fields[:2], fields[4], fields[8:15]) == ((500, 700), 110, (1, 2, 3, 4, 5, 6, -1))
    tables.failed(abi, 110, -1)  # It gets another result.
    expected = CallCounter(calls=2, stops=3, handler_calls=2, errors=1, nanoseconds=200)
    assert dict(tables.calls()) == {(abi, 110): expected}
    assert tables.answered == 3


def test_a_renamed_tracee_keeps_its_pending_call() -> None:
    """As execve in a thread that is not the leader makes it."""
    tables = tables_for_all()
    info = SyscallInfo(3, Abi.X86_64.audit_arch, 0, number=59, ret_data=0xAC03)
    twin_loop.enter(tables, TIDS[1], info, 5)
    tables.rename(TIDS[1], 1)
    assert tables.is_pending(1)
    assert not tables.is_pending(TIDS[1])


def test_an_unknown_loop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """ACCEL_LOOP takes three words."""
    monkeypatch.setenv("ACCEL_LOOP", "fortran")
    with pytest.raises(SetupError, match="fortran"):
        LoopChoice()


def test_without_numba_the_twin_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is said; whoever insists on numba is told what to install."""
    monkeypatch.setitem(sys.modules, "accel._loop", None)
    monkeypatch.delattr("accel._loop", raising=False)
    monkeypatch.setattr(loop_choice, "_compiled", loop_choice.Compiled())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("ACCEL_LOOP", "auto")
    choice = LoopChoice(worth_compiling=1)
    loop_choice._compiled.compile()
    choice.consider(1)
    assert choice.next_change is twin_loop.next_change
    assert not choice.may_change
    monkeypatch.setenv("ACCEL_LOOP", "numba")
    with pytest.raises(SetupError, match="cannot be loaded") as caught:
        LoopChoice()
    assert "pip install" in (caught.value.hint or "")


#: Compiles unless there is code, and says whether numba was imported for it.
FIRST_USE = (
    "import sys; from accel.mechanisms.loop_choice import LoopChoice;"
    "LoopChoice(); print('numba' in sys.modules)"
)


@pytest.mark.parametrize("writable", [True, False], ids=["cold cache", "nowhere to write"])
def test_first_use_says_nothing_and_the_second_needs_no_numba(writable: bool, tmp_path) -> None:
    """A cold cache, or none that can be written: slower, silent, and it works."""
    compiled_loop()
    cache = tmp_path / "cache"
    if not writable:
        cache.write_text("a file where a directory is needed")
    environment = {
        "PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(cache), "ACCEL_LOOP": "numba",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    for imported in (True, not writable):
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", FIRST_USE],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{imported}\n", "")


def test_code_that_others_could_have_written_is_not_run(monkeypatch, tmp_path) -> None:
    """A cache is a place to put code: it must be ours alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert loop_cache.load() is None
    assert loop_cache.store(b"code")
    assert loop_cache.load() == b"code"
    os.chmod(loop_cache.path(), 0o620)
    assert loop_cache.load() is None
    assert loop_cache.store(b"newer")
    assert loop_cache.load() == b"newer"
    Path(loop_cache.path()).write_bytes(b"something else")
    assert loop_cache.load() is None


def test_code_that_refers_to_something_is_no_machine_code() -> None:
    """It could not run where its bytes are mapped; the loop's can."""
    loop = compiled_loop()
    emit = importlib.import_module("accel._emit")
    assert len(emit.machine_code(loop.next_change)) > 1000
    table = np.arange(100)

    @numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)
    def looks_up(index):
        return table[index & 63]

    with pytest.raises(RuntimeError, match="not self-contained"):
        emit.machine_code(looks_up)
