"""Stops as values: the arguments of a call."""

from __future__ import annotations

import pytest

from accel import Abi, Call, SyscallEntryStop
from accel.mask import SyscallMask
from accel.roles import signature
from accel.testing import FakeMemory

REGISTERS = (11, 12, 13, 14, 15, 16)


def stop_of(abi: Abi, number: int) -> SyscallEntryStop:
    """A call with recognizable arguments."""
    return SyscallEntryStop(Call(1, 1, abi, number, REGISTERS), FakeMemory())


def test_every_argument_of_every_call_is_found_by_the_kernels_name() -> None:
    """No method has the name of an argument; ``count`` of read(2) was once a Sequence's."""
    names = set()
    for abi, number in SyscallMask.parse("all"):
        stop = stop_of(abi, number)
        arguments = signature(abi, stop.name)
        assert [getattr(stop.args, one.name) for one in arguments] == list(
            REGISTERS[: len(arguments)]
        ), stop.name
        names |= {one.name for one in arguments}
    assert {"fd", "count", "pathname"} <= names


def test_an_unknown_argument_is_refused_with_those_that_there_are() -> None:
    """A misspelled name costs a look at the message, not at the manual."""
    with pytest.raises(AttributeError, match="close has no argument 'file'; it has fd"):
        _ = stop_of(Abi.X86_64, 3).args.file


def test_arguments_are_six_registers_by_position() -> None:
    """Raw, as many as there are registers, whatever the call takes."""
    args = stop_of(Abi.X86_64, 3).args
    assert (len(args), list(args), args[5]) == (6, list(REGISTERS), 16)
    assert 13 in args
