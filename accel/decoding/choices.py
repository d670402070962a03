"""Calls whose arguments depend on an earlier one: fcntl, prctl, futex, keyctl, ...

Such a call is a table from that selector to the printers of the arguments after it:

    {F_SETFD: (flags,), F_GETFD: (), ...}

What has no printer is not printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from accel.decoding.context import Context, Printer, pointer
from accel.decoding.families import family
from accel.decoding.layouts import Layout
from accel.decoding.numbers import hexadecimal
from accel.decoding.subject import Steps

__all__ = [
    "AtEntry",
    "Table",
    "chosen",
    "indirect",
    "named",
    "nothing",
    "once_left",
    "plain_pointer",
    "whatever_result",
]

Table: TypeAlias = Mapping[int, tuple[Printer, ...]]

_HEX = hexadecimal(64)


def nothing(_: Context, __: int) -> str:
    """Print nothing."""
    return ""


def plain_pointer(_: Context, value: int) -> str:
    """Print an address that is not followed."""
    return pointer(value)


def named(name: str, bits: int = 64) -> Printer:
    """Make a printer of one value of a family."""
    mask = (1 << bits) - 1
    # The family is looked up when it is needed: it may have to be loaded.
    return lambda _, value: family(name).value(value & mask)


def once_left(printer: Callable[[Context, int], str]) -> Printer:
    """Let a printer wait until the call has returned."""
    return lambda context, value: printer(context, value) if context.leaving else None


def indirect(what: Layout) -> Printer:
    """Make a printer of ``[value]``: a number that the kernel writes through a pointer."""

    def printer(context: Context, address: int) -> str | None:
        if not context.leaving:
            return None
        raw = context.fetch(address, what.size(context))
        return pointer(address) if raw is None else f"[{what.show(context, raw)}]"

    return printer


def chosen(
    names: Sequence[str],
    table: Table,
    selector: int,
    first: int,
    *,
    mask: int = 0xFFFFFFFF,
    default: tuple[Printer, ...] | None = None,
) -> Steps:
    """Make the steps of the arguments ``names``, the first of which is argument ``first``.

    ``selector`` is the position of the argument that chooses; ``default`` serves what the table
    does not have: hexadecimal numbers unless it is given.
    """
    otherwise = (_HEX,) * len(names) if default is None else default

    def step(position: int) -> Printer:
        def printer(context: Context, value: int) -> str | None:
            printers = table.get(context.arguments[selector] & mask, otherwise)
            at = position - first
            return printers[at](context, value) if at < len(printers) else ""

        return printer

    return tuple((name, step(first + at)) for at, name in enumerate(names))


def whatever_result(printer: Printer) -> Printer:
    """Print what the kernel read at the entry, even if the call has failed."""

    def always(context: Context, value: int) -> str | None:
        if not context.leaving:
            return None
        failed, context.failed = context.failed, False
        text = printer(context, value)
        context.failed = failed
        return text

    return always


class AtEntry:
    """A printer of what memory says at the entry, though it is printed at the exit."""

    __slots__ = ("_position", "_printer")

    def __init__(self, position: int, printer: Printer) -> None:
        self._position = position
        self._printer = printer

    def prepare(self, context: Context) -> None:
        """Keep the text."""
        value = context.arguments[self._position]
        context.saved[self._position] = self._printer(context, value)

    def __call__(self, context: Context, _: int) -> str | None:
        """Print it."""
        text: str | None = context.saved[self._position]
        return text if context.leaving else None
