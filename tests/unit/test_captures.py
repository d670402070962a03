"""A call that is said to need only its captured strings is printed from them as from memory."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from accel.abi import Abi
from accel.call import Call, Memory
from accel.decoding import Decoder, capture_index, capture_rules
from accel.decoding.captures import captured_arguments
from accel.records import MAX_STRINGS, RecordedMemory
from accel.roles import string_arguments
from tests.unit.captured import CAPTURED, RESULTS, random_call

GARBAGE = bytes(range(1, 256)) * 20


class OnlyStrings:
    """Live memory in which nothing but some strings may be read; other bytes follow each."""

    def __init__(self, strings: Mapping[int, bytes]) -> None:
        self._strings = strings

    def read(self, address: int, size: int) -> bytes:
        """Read on after the string, as process_vm_readv would, up to the end of its mapping."""
        for start, text in self._strings.items():
            if start <= address <= start + len(text):
                mapped = text + GARBAGE if text.endswith(b"\0") else text
                return mapped[address - start : address - start + size]
        raise AssertionError(f"{size} bytes at {address:#x} were never captured")


def printed(decoder: Decoder, call: Call, memory: Memory, result: int | None) -> object:
    """Print a call both at its entry and at its exit."""
    entered = decoder.enter(call, memory)
    return entered.name, entered.text, decoder.leave(entered, result, memory)


@pytest.mark.parametrize(("abi", "name"), CAPTURED, ids=str)
def test_captured_strings_are_all_that_is_read(abi: Abi, name: str) -> None:
    """And the line from records is the line from memory, whatever the registers and the result."""
    captured = captured_arguments(abi, name)
    assert captured is not None
    assert sorted(set(captured)) == [*captured]
    assert len(captured) <= MAX_STRINGS
    # These are what a tracer captures.
    assert set(captured) <= set(string_arguments(abi, name))
    choose = random.Random(f"{abi} {name}")
    decoders = [Decoder(), Decoder(string_limit=200, abbreviate=False)]
    for _ in range(40):
        call, strings = random_call(choose, abi, name, captured)
        for decoder in decoders:
            result = choose.choice(RESULTS)
            live = printed(decoder, call, OnlyStrings(strings), result)
            assert printed(decoder, call, RecordedMemory(strings), result) == live


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
        ("stat", None),
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


@pytest.mark.parametrize("name", ["ipc", "mmap", "select", "socketcall"])
def test_arguments_packed_in_memory_are_more_than_strings(name: str) -> None:
    """The calls of i386 that have only a pointer in their registers."""
    assert captured_arguments(Abi.I386, name) is None


@pytest.mark.parametrize("abi", list(Abi), ids=lambda abi: abi.value)
def test_the_index_holds_what_the_rules_say(abi: Abi) -> None:
    """If not: python tools/generate_indexes.py."""
    for name in abi.numbers:
        assert captured_arguments(abi, name) == capture_rules.captured_arguments(abi, name), name


def test_a_call_that_is_not_in_the_index_is_judged_by_its_printers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one of a kernel that is newer than the index."""
    for name in ("openat", "read"):
        monkeypatch.delitem(capture_index.CAPTURES, name)
    assert captured_arguments(Abi.X86_64, "openat") == (1,)
    assert captured_arguments(Abi.X86_64, "read") is None


def test_most_calls_by_path_or_number_need_no_memory() -> None:
    """If a printer came to look unreadable, speed would be lost in silence."""
    assert len(CAPTURED) > 380
