"""How to tell from the code of its printers whether captured strings suffice to print a call.

A loop that is not Python captures C strings when a call enters the kernel, and no other memory. So
a call may be printed later if its printers look at nothing else. Whoever reads memory names one of
``READING``, in its own code or in that of something it refers to: that is looked for, and what is
not understood counts as reading. Nobody lists a new printer anywhere, and a wrong guess costs the
call its speed, never its line a word.
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
from accel.decoding.multiplexed import PACKED
from accel.decoding.plans import plan_of
from accel.decoding.strings import path, string
from accel.records import MAX_STRINGS

__all__ = ["captured_arguments"]

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
    others = [step.printer for step in plan.steps if step.printer not in _STRINGS]
    if _reads((*others, plan.remark)):
        return None
    positions = sorted(step.position for step in plan.steps if step.printer in _STRINGS)
    return tuple(positions) if len(positions) <= MAX_STRINGS else None


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
