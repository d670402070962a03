"""Calls that have returned, decoded at once: what repeats itself is decoded no more than once.

A compiler opens the same headers for every file. The line of a call that is printed from captured
strings and blocks alone (``captures``) follows from its ABI, its number, its arguments, its result
and what those held, wherever strings lay; to look it up takes a tenth of the time that decoding
takes.
"""

from __future__ import annotations

from typing import Final

from accel.abi import Abi
from accel.decoding.captures import captured_arguments
from accel.decoding.decoder import Decoder
from accel.records import Record
from accel.roles import signature
from bpf.value import frozen

__all__ = ["WholeCall", "WholeCalls"]

#: So many lines are kept, and none that is longer.
_KEPT: Final = 1024
_LONG: Final = 1024


@frozen
class WholeCall:
    """What strace's line of a call that has returned is made of."""

    name: str
    #: The arguments up to the first that had to wait for the exit, and the others.
    text: str
    rest: str
    #: What follows ``=``.
    result: str


class WholeCalls:
    """Decodes records of calls that have returned; ``decoder`` must not ask about threads (-y)."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        #: {(abi, number): how many registers it has}; None if its lines cannot be kept.
        self._registers: dict[tuple[Abi, int], int | None] = {}
        self._known: dict[tuple[object, ...], WholeCall] = {}

    def decode(self, record: Record) -> WholeCall:
        """Decode a call from its record, as ``Decoder`` does in two steps."""
        abi, number = record.abi, record.number
        if (abi, number) not in self._registers:
            self._meet(abi, number)
        count = self._registers[abi, number]
        if count is None:
            return self._decode(record)
        arguments: list[object] = [*record.arguments[:count]]
        for position, text in record.strings.items():
            # One that was cut may be printed as its address.
            arguments[position] = text if text[-1:] == b"\0" else (arguments[position], text)
        for position, block in record.blocks_after.items():
            # Blocks, too, as the call may have said that they have a size that they cannot have.
            arguments[position] = arguments[position], record.blocks.get(position), block
        key = abi, number, record.result, *arguments
        known = self._known
        whole = known.get(key)
        if whole is None:
            whole = self._decode(record)
            if len(whole.text) + len(whole.rest) <= _LONG:
                if len(known) >= _KEPT:
                    known.clear()
                known[key] = whole
        return whole

    def _meet(self, abi: Abi, number: int) -> None:
        if len(self._registers) >= _KEPT:
            self._registers.clear()
        name, count = abi.call_name(number), None
        if captured_arguments(abi, name) is not None:
            # What is no call prints all registers.
            count = len(signature(abi, name)) if number in abi.names else 6
        self._registers[abi, number] = count

    def _decode(self, record: Record) -> WholeCall:
        entered = self._decoder.enter(record.call, record.memory)
        left = self._decoder.leave(entered, record.result, record.memory_after)
        return WholeCall(entered.name, entered.text, left.text, left.result)
