"""Printers of what calls that succeeded returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from accel.decoding.context import Context, hex_text
from accel.decoding.numbers import descriptor_text, octal, signed32
from accel.roles import Role

__all__ = ["ResultPrinter", "result_printer"]

ResultPrinter: TypeAlias = Callable[[Context, int], str]

#: Calls that do not return: what an intercepted one returned means nothing.
_NO_RESULT: Final = frozenset({"exit", "exit_group"})


def result_printer(name: str, role: Role) -> ResultPrinter:
    """Make the printer of a call's result, by its role, unless the call says otherwise."""

    def printer(context: Context, result: int) -> str:
        radix = context.radix
        bits = 32 if context.i386 else 64
        value = result & ((1 << bits) - 1)
        if radix == "fd" or (not radix and role is Role.FD):
            is_int = context.i386 or value <= 0x7FFFFFFF
            return descriptor_text(context, signed32(result)) if is_int else str(result)
        if radix == "x" or (not radix and role in (Role.ADDRESS, Role.HEX)):
            return hex_text(value)
        if not radix and role is Role.MODE:
            return octal(value)
        if name in _NO_RESULT:
            return "?"
        if role is Role.PID and not radix:
            return str(signed32(result))
        return str(value)

    return printer
