"""How to tell from the code of its printers whether what is captured suffices to print a call.

A loop that is not Python captures C strings and blocks that arguments point to: what the call reads
when it enters the kernel, what it has written when it leaves. So a call may be printed later if its
printers look at nothing else. Those of strings and of blocks (``Pointed``) are known; whoever else
reads memory names one of ``READING``, in its own code or in that of something it refers to: that is
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
from accel.decoding.context import Begun, Pointed
from accel.decoding.families import Family
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
        printer.shows if isinstance(printer, Pointed) else printer
        for printer in (step.printer for step in plan.steps)
        if printer not in _STRINGS
    ]
    if _reads((*others, plan.remark)):
        return None
    positions = sorted(step.position for step in plan.steps if step.printer in _STRINGS)
    read, written, *_ = captured_blocks(abi, name)
    # One that is printed after the call has returned is not what was captured before.
    is_late = bool(written) and written[0] < max((*positions, *read), default=-1)
    blocks = len(read) + len(written)
    count = blocks + len(string_arguments(abi, name) if blocks else positions)
    return None if is_late or count > MAX_STRINGS else tuple(positions)


@functools.cache
def captured_blocks(abi: Abi, name: str) -> tuple[tuple[int, ...], tuple[int, ...], int, bool]:
    """Find what ``captures.captured_blocks`` tells, if ``captured_arguments`` does.

    The positions of those that are read, and written; the most bytes that have to be captured of
    each, and whether it is as many as are shown of a string, and one, if those are more.
    """
    found = [
        (step.position, step.printer.written, step.printer.sizes[abi is Abi.I386])
        for step in plan_of(abi, name).steps
        if isinstance(step.printer, Pointed)
    ]
    read, written = (
        tuple(sorted(position for position, is_written, _ in found if is_written == wanted))
        for wanted in (False, True)
    )
    sizes = [size for *_, size in found]
    return read, written, max(sizes, default=0), 0 in sizes


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
