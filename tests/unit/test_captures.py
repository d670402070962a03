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
from accel.records import MAX_STRINGS, STRING_LIMIT, RecordedMemory
from accel.roles import string_arguments
from tests.unit.captured import CAPTURED, RESULTS, random_call

GARBAGE = bytes(range(1, 256)) * 20


class OnlyThese:
    """Live memory in which nothing but some strings and blocks may be read.

    Other bytes follow each string.
    """

    def __init__(self, strings: Mapping[int, bytes], blocks: Mapping[int, bytes]) -> None:
        self._strings = strings
        self._blocks = blocks

    def read(self, address: int, size: int) -> bytes:
        """Read on after the string, as process_vm_readv would, up to the end of its mapping."""
        for start, text in self._strings.items():
            if start <= address <= start + len(text):
                mapped = text + GARBAGE if text.endswith(b"\0") else text
                return mapped[address - start : address - start + size]
        if address in self._blocks:
            return self._blocks[address][:size]
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
    positions, size = captured_blocks(abi, name)
    assert len(captured) + len(positions) <= MAX_STRINGS
    assert bool(positions) == bool(size)
    assert size <= STRING_LIMIT
    choose = random.Random(f"{abi} {name}")
    decoders = [Decoder(), Decoder(string_limit=200, abbreviate=False)]
    for _ in range(40):
        call, strings, blocks = random_call(choose, abi, name, captured)
        for decoder in decoders:
            result = choose.choice(RESULTS)
            # A call that fails has written nothing.
            written = {} if result is None or result in ERROR_RESULTS else blocks
            before, after = OnlyThese(strings, {}), OnlyThese(strings, written)
            live = printed(decoder, call, before, after, result)
            recorded = RecordedMemory(strings), RecordedMemory({**strings, **written})
            assert printed(decoder, call, *recorded, result) == live


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
        # Bytes, structs, vectors, what the kernel writes, what another argument chooses.
        ("write", None),
        ("read", None),
        ("stat", (0,)),
        ("uname", ()),
        ("prlimit64", None),
        ("execve", None),
        ("readlink", None),
        ("getcwd", None),
        ("connect", None),
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
        (Abi.X86_64, "stat", ((1,), 144)),
        (Abi.I386, "stat", ((1,), 64)),
        (Abi.I386, "fstatat64", ((2,), 96)),
        (Abi.X86_64, "statx", ((4,), 256)),
        # Of two of them the size of the larger.
        (Abi.X86_64, "gettimeofday", ((0, 1), 16)),
        (Abi.X86_64, "openat", ((), 0)),
        (Abi.X86_64, "prlimit64", ((), 0)),
        (Abi.X86_64, "syscall_0x3e7", ((), 0)),
    ],
)
def test_structs_that_a_call_writes_are_blocks(
    abi: Abi, name: str, expected: tuple[tuple[int, ...], int]
) -> None:
    """Where they are, and how large."""
    assert captured_blocks(abi, name) == expected


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
        blocks = capture_rules.captured_blocks(abi, name) if found is not None else ((), 0)
        assert captured_blocks(abi, name) == blocks, name


def test_a_call_that_is_not_in_the_index_is_judged_by_its_printers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one of a kernel that is newer than the index."""
    for name in ("openat", "read", "statx"):
        monkeypatch.delitem(capture_index.CAPTURES, name)
    monkeypatch.delitem(block_index.BLOCKS, "statx")
    assert captured_arguments(Abi.X86_64, "openat") == (1,)
    assert captured_blocks(Abi.X86_64, "openat") == ((), 0)
    assert captured_arguments(Abi.X86_64, "statx") == (1,)
    assert captured_blocks(Abi.X86_64, "statx") == ((4,), 256)
    assert captured_arguments(Abi.X86_64, "read") is None


def test_most_calls_by_path_or_number_need_no_memory() -> None:
    """If a printer came to look unreadable, speed would be lost in silence."""
    assert len(CAPTURED) > 420
