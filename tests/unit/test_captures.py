"""A call that is said to need only its captured strings is printed from them as from memory."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from accel.abi import Abi
from accel.call import Call, Memory
from accel.decoding import Decoder
from accel.decoding.captures import records_suffice
from accel.records import ABIS, MAX_STRINGS, STRING_LIMIT, RecordedMemory
from accel.roles import string_arguments
from tools import generate_captures
from tools.generate_captures import captured_arguments

#: Which is no call.
UNKNOWN = "syscall_0x3e7"
CAPTURED = [
    (abi, name) for abi in ABIS for name in [*abi.numbers, UNKNOWN] if records_suffice(abi, name)
]
RESULTS = (None, 0, 3, 1 << 40, -2, -75, -514, -4095)
#: Registers that select: descriptors, operations, flags, ids, errors, and the bounds of widths.
REGISTERS = (
    *range(32), *(1 << bit for bit in range(5, 64)), *((1 << 64) - less for less in range(1, 102)),
    0xFFFFFFFF, 0xFFFFFF9C, 0x7FFFFFFF, 0o100644, 0o20644, 0x80241, 0xFEE1DEAD,
)  # fmt: skip
TEXTS = (
    b"\0", b"/etc/passwd\0", b'a "quoted"\n\xff name\0', b"x" * 300 + b"\0",
    b"y" * (STRING_LIMIT - 1) + b"\0", b"z" * STRING_LIMIT, b"cut", b"",
)  # fmt: skip
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


def random_call(
    choose: random.Random, abi: Abi, name: str, captured: tuple[int, ...]
) -> tuple[Call, dict[int, bytes]]:
    """Make a call, and the strings that its captured arguments point to."""
    number = abi.numbers.get(name, 0x3E7)
    registers = [choose.choice((*REGISTERS, choose.getrandbits(64))) for _ in range(6)]
    strings = {}
    for position in captured:
        registers[position] = choose.choice((0, 0x10000 * (position + 1)))
        if registers[position]:
            strings[registers[position]] = choose.choice(TEXTS)
    first, second, third, fourth, fifth, sixth = (value % (1 << abi.bits) for value in registers)
    return Call(7, 7, abi, number, (first, second, third, fourth, fifth, sixth)), strings


def printed(decoder: Decoder, call: Call, memory: Memory, result: int | None) -> object:
    """Print a call both at its entry and at its exit."""
    entered = decoder.enter(call, memory)
    return entered.name, entered.text, decoder.leave(entered, result, memory)


@pytest.mark.parametrize("abi", ABIS, ids=lambda abi: abi.value)
def test_the_index_holds_what_the_code_of_the_printers_says(abi: Abi) -> None:
    """If not: python tools/generate_captures.py."""
    kept = {name for name in abi.numbers if records_suffice(abi, name)}
    assert kept == generate_captures.names(abi)


@pytest.mark.parametrize("abi", ABIS, ids=lambda abi: abi.value)
def test_a_call_that_is_not_in_the_index_takes_memory(abi: Abi) -> None:
    """As one of a kernel that is newer than the index; a number without a name does not."""
    assert not records_suffice(abi, "novelat")
    assert records_suffice(abi, UNKNOWN)


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
        (UNKNOWN, ()),
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
    assert records_suffice(Abi.X86_64, name) == (expected is not None)


@pytest.mark.parametrize("name", ["ipc", "mmap", "select", "socketcall"])
def test_arguments_packed_in_memory_are_more_than_strings(name: str) -> None:
    """The calls of i386 that have only a pointer in their registers."""
    assert captured_arguments(Abi.I386, name) is None
    assert not records_suffice(Abi.I386, name)


def test_most_calls_by_path_or_number_need_no_memory() -> None:
    """If a printer came to look unreadable, speed would be lost in silence."""
    assert len(CAPTURED) > 380
