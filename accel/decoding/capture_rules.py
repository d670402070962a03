"""How to tell from the code of its printers whether what is captured suffices to print a call.

A loop that is not Python captures C strings when a call enters the kernel, blocks of one size that
it has written when it leaves, and no other memory. So a call may be printed later if its printers
look at nothing else. Those of strings and of blocks (``Written``) are known; whoever else reads
memory names one of ``READING``, in its own code or in that of something it refers to: that is
looked for, and what is not understood counts as reading. Nobody lists a new printer anywhere, and a
wrong guess costs the call its speed, never its line a word.
"""

from __future__ import annotations

import functools
import re
import struct
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from accel.abi import Abi
from accel.decoding.context import Begun
from accel.decoding.families import Family
from accel.decoding.layouts import Written
from accel.decoding.multiplexed import PACKED
from accel.decoding.plans import plan_of
from accel.decoding.strings import path, string
from accel.records import MAX_STRINGS
from accel.roles import string_arguments

__all__ = ["captured_arguments", "captured_blocks"]

#: The ways to memory: two methods of ``Context``, and its ``memory`` itself.
READING: Final = frozenset({"fetch", "memory", "read"})
#: Printers of PATH and STRING: they read the C string that their own register points to.
_STRINGS: Final = (path, string)
#: What a printer may use and cannot read through: it is never handed the context.
_INERT: Final = (
    bool, bytes, frozenset, int, range, re.Pattern, str, struct.Struct,
    types.BuiltinFunctionType, types.NoneType,
)  # fmt: skip
_INERT_CLASSES: Final = (Begun, Family)


@functools.cache
def captured_arguments(abi: Abi, name: str) -> tuple[int, ...] | None:
    """Find what ``captures.captured_arguments`` tells."""
    if abi is Abi.I386 and name in PACKED:
        return None
    plan = plan_of(abi, name)
    others = [
        printer.what.render if isinstance(printer, Written) else printer
        for printer in (step.printer for step in plan.steps)
        if printer not in _STRINGS
    ]
    if _reads((*others, plan.remark)):
        return None
    positions = sorted(step.position for step in plan.steps if step.printer in _STRINGS)
    written = captured_blocks(abi, name)[0]
    # One that is printed after the call has returned is not captured by then.
    is_late = bool(positions) and bool(written) and positions[-1] > written[0]
    strings = string_arguments(abi, name) if written else positions
    return None if is_late or len(strings) + len(written) > MAX_STRINGS else tuple(positions)


@functools.cache
def captured_blocks(abi: Abi, name: str) -> tuple[tuple[int, ...], int]:
    """Find what ``captures.captured_blocks`` tells, if ``captured_arguments`` does."""
    steps = plan_of(abi, name).steps
    written = {
        step.position: step.printer.what.size_in(abi)
        for step in steps
        if isinstance(step.printer, Written)
    }
    return tuple(sorted(written)), max(written.values(), default=0)


def _reads(thing: object) -> bool:
    """Tell whether code may read memory: its own, or that of anything it refers to."""
    waiting, seen = [thing], set[int]()
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        parts = _parts(thing)
        if parts is None:
            return True
        waiting.extend(parts)
    return False


def _parts(thing: object) -> Iterable[object] | None:
    """List what a thing refers to; None if it reads memory itself, or might."""
    match thing:
        case types.FunctionType():
            return _parts_of_function(thing)
        case tuple() | list():
            return thing
        case Mapping():
            return thing.values()
        case types.ModuleType():
            return None if thing.__name__.startswith("accel") else ()
        case _ if thing in _INERT_CLASSES or isinstance(thing, _INERT):
            return ()
        case _:
            # functools.cache and its like; any other object might do anything.
            wrapped = getattr(thing, "__wrapped__", None)
            return None if wrapped is None else [wrapped]


def _parts_of_function(function: types.FunctionType) -> list[object] | None:
    """List globals, closure and defaults of a function; None if it names a way to memory."""
    # An attribute's name is among them, too: to confuse it with a global can only find too much.
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    if names & READING:
        return None
    found = [function.__globals__[name] for name in names & function.__globals__.keys()]
    found += [cell.cell_contents for cell in function.__closure__ or ()]
    return [*found, function.__defaults__, function.__kwdefaults__]


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """List the code of a function and of those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
