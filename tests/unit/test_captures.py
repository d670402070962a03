"""A call that is said to need only what is captured is printed from that as from memory."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from accel.abi import Abi
from accel.call import Call, Memory
from accel.decision import ERROR_RESULTS
from accel.decoding import Decoder, block_index, capture_index, capture_rules
from accel.decoding.captures import captured_arguments, captured_blocks
from accel.records import MAX_STRINGS, STRING_LIMIT, Blocks, RecordedMemory
from accel.roles import string_arguments
from tests.unit.captured import CAPTURED, RESULTS, random_call

GARBAGE = bytes(range(1, 256)) * 20


class OnlyThese:
    """Live memory in which nothing but some strings and blocks may be read.

    Other bytes follow what ends with NUL.
    """

    def __init__(self, strings: Mapping[int, bytes]) -> None:
        self._strings = strings

    def read(self, address: int, size: int) -> bytes:
        """Read on after the string, as process_vm_readv would, up to the end of its mapping."""
        for start, text in self._strings.items():
            if start <= address <= start + len(text):
                mapped = text + GARBAGE if text.endswith(b"\0") else text
                return mapped[address - start : address - start + size]
        raise AssertionError(f"{size} bytes at {address:#x} were never captured")


def printed(
    decoder: Decoder, call: Call, before: Memory, after: Memory, result: int | None
) -> object:
    """Print a call both at its entry and at its exit."""
    entered = decoder.enter(call, before)
    return entered.name, entered.text, decoder.leave(entered, result, after)


@pytest.mark.parametrize(("abi", "name"), CAPTURED, ids=str)
def test_what_is_captured_is_all_that_is_read(abi: Abi, name: str) -> None:
    """And the line from records is the line from memory, whatever the registers and the result."""
    captured = captured_arguments(abi, name)
    assert captured is not None
    assert sorted(set(captured)) == [*captured]
    # These are what a tracer captures.
    assert set(captured) <= set(string_arguments(abi, name))
    read, written, size = captured_blocks(abi, name, 200)
    assert len(captured) + len(read) + len(written) <= MAX_STRINGS
    assert bool(read or written) == bool(size)
    assert size <= STRING_LIMIT
    choose = random.Random(f"{abi} {name}")
    decoders = [Decoder(), Decoder(string_limit=200, abbreviate=False)]
    for _ in range(40):
        for decoder in decoders:
            call, before, after = random_call(choose, abi, name, captured, decoder.string_limit)
            result = choose.choice(RESULTS)
            # A call that fails has written nothing.
            failed = result is None or result in ERROR_RESULTS
            memory = before, before if failed else {**before, **after}
            live = printed(decoder, call, *map(OnlyThese, memory), result)
            assert printed(decoder, call, *map(RecordedMemory, memory), result) == live


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("getppid", ()),
        ("mmap", ()),
        ("openat", (1,)),
        ("rename", (0, 1)),
        ("linkat", (1, 3)),
        ("request_key", (0, 1, 2)),
        # A number that is no call prints its registers.
        ("syscall_0x3e7", ()),
        # Bytes and structs are blocks; vectors and what another argument chooses are not.
        ("write", ()),
        ("read", ()),
        ("stat", (0,)),
        ("uname", ()),
        ("prlimit64", ()),
        ("readlink", (0,)),
        ("getcwd", ()),
        ("connect", ()),
        ("execve", None),
        ("writev", None),
        ("fcntl", None),
        ("prctl", None),
        ("clone3", None),
    ],
)
def test_what_must_be_captured_follows_from_the_printers(
    name: str, expected: tuple[int, ...] | None
) -> None:
    """Strings by position, nothing, or more than strings."""
    assert captured_arguments(Abi.X86_64, name) == expected


@pytest.mark.parametrize(
    ("abi", "name", "expected"),
    [
        (Abi.X86_64, "stat", Blocks((), (1,), 144)),
        (Abi.I386, "stat", Blocks((), (1,), 64)),
        (Abi.I386, "fstatat64", Blocks((), (2,), 96)),
        # Of two of them the size of the larger.
        (Abi.X86_64, "gettimeofday", Blocks((), (0, 1), 16)),
        (Abi.X86_64, "prlimit64", Blocks((2,), (3,), 16)),
        (Abi.X86_64, "rt_sigprocmask", Blocks((1,), (2,), 8)),
        # As much as is shown, and what tells that there is more.
        (Abi.X86_64, "read", Blocks((), (1,), 33)),
        (Abi.X86_64, "write", Blocks((1,), (), 33)),
        (Abi.X86_64, "openat", Blocks()),
        (Abi.X86_64, "execve", Blocks()),
        (Abi.X86_64, "syscall_0x3e7", Blocks()),
    ],
)
def test_what_single_arguments_point_to_are_blocks(abi: Abi, name: str, expected: Blocks) -> None:
    """Where they are, and how large."""
    assert captured_blocks(abi, name, 32) == expected


@pytest.mark.parametrize("name", ["ipc", "mmap", "select", "socketcall"])
def test_arguments_packed_in_memory_are_more_than_strings(name: str) -> None:
    """The calls of i386 that have only a pointer in their registers."""
    assert captured_arguments(Abi.I386, name) is None


@pytest.mark.parametrize("abi", list(Abi), ids=lambda abi: abi.value)
def test_the_index_holds_what_the_rules_say(abi: Abi) -> None:
    """If not: python tools/generate_indexes.py."""
    for name in abi.numbers:
        found = capture_rules.captured_arguments(abi, name)
        assert captured_arguments(abi, name) == found, name
        if found is not None:
            read, written, size, is_limited = capture_rules.captured_blocks(abi, name)
            size = max(size, 100) if is_limited else size
            assert captured_blocks(abi, name, 99) == (read, written, size), name


def test_a_call_that_is_not_in_the_index_is_judged_by_its_printers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one of a kernel that is newer than the index."""
    for name in ("openat", "readv", "statx"):
        monkeypatch.delitem(capture_index.CAPTURES, name)
    monkeypatch.delitem(block_index.BLOCKS, "statx")
    assert captured_arguments(Abi.X86_64, "openat") == (1,)
    assert captured_blocks(Abi.X86_64, "openat", 32) == Blocks()
    assert captured_arguments(Abi.X86_64, "statx") == (1,)
    assert captured_blocks(Abi.X86_64, "statx", 32) == Blocks((), (4,), 256)
    assert captured_arguments(Abi.X86_64, "readv") is None


def test_most_calls_by_path_or_number_need_no_memory() -> None:
    """If a printer came to look unreadable, speed would be lost in silence."""
    assert len(CAPTURED) > 480
