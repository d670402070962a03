"""Structs and arrays in the memory of a tracee.

A ``Layout`` knows how a C struct lies in memory in both ABIs and how its values are printed:

    @layout("qQ", "iI")
    def timeval(context: Context, sec: int, usec: int) -> str: ...

makes ``timeval`` a layout whose fields are two longs. The formats are struct's, always
little-endian and without padding of its own: what the compiler would insert is written as ``x``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from accel.decoding.context import Context, Pointed, Printer, pointer

__all__ = [
    "Layout",
    "array_at",
    "counted_in",
    "counted_out",
    "fields",
    "join",
    "layout",
    "number",
    "read_at",
    "read_in",
    "read_out",
]

_ADDRESSES = 1 << 64
#: Elements to print at most without abbreviation.
_ARRAY_MAX = 1 << 16


class Layout:
    """How a struct, or a number, lies in memory and is printed."""

    __slots__ = ("_compat", "_wide", "render")

    def __init__(self, wide: str, compat: str | None, render: Callable[..., str]) -> None:
        self._wide = struct.Struct("<" + wide)
        self._compat = self._wide if compat is None else struct.Struct("<" + compat)
        #: Prints the values of one: ``render(context, *values)``.
        self.render = render

    def size(self, context: Context) -> int:
        """Count the bytes of one in the ABI of the call."""
        return (self._compat if context.i386 else self._wide).size

    @property
    def sizes(self) -> tuple[int, int]:
        """Count the bytes of one in x86_64 and in i386."""
        return self._wide.size, self._compat.size

    def unpack(self, context: Context, raw: bytes) -> tuple[Any, ...]:
        """Take the values out of the bytes of one."""
        return (self._compat if context.i386 else self._wide).unpack(raw)

    def show(self, context: Context, raw: bytes) -> str:
        """Print the bytes of one."""
        return self.render(context, *self.unpack(context, raw))


def layout(wide: str, compat: str | None = None) -> Callable[[Callable[..., str]], Layout]:
    """Make a layout of a function that prints values; ``compat`` is that of i386 if it differs."""
    return lambda render: Layout(wide, compat, render)


def number(wide: str, compat: str | None = None, text: Callable[[int], str] = str) -> Layout:
    """Make the layout of a single number."""
    return Layout(wide, compat, lambda _, value: text(value))


def fields(**texts: object) -> str:
    """Print a struct: ``{name=text, ...}``; a field that is None is left out."""
    return (
        "{"
        + ", ".join([f"{name}={text}" for name, text in texts.items() if text is not None])
        + "}"
    )


def read_at(context: Context, address: int, what: Layout) -> str:
    """Print what a pointer points to, or the pointer if that cannot be read."""
    raw = context.fetch(address, what.size(context))
    return pointer(address) if raw is None else what.show(context, raw)


def read_in(what: Layout) -> Printer:
    """Make a printer of a pointer to what the call reads."""

    def printer(context: Context, address: int) -> str:
        return read_at(context, address, what)

    return Pointed(printer, what.sizes, shows=what.render)


def read_out(what: Layout) -> Printer:
    """Make a printer of a pointer to what the kernel writes."""

    def printer(context: Context, address: int) -> str | None:
        return read_at(context, address, what) if context.leaving else None

    return Pointed(printer, what.sizes, written=True, shows=what.render)


def array_at(
    context: Context,
    address: int,
    count: int,
    size: int,
    show: Callable[[Context, bytes], str],
    *,
    always: bool = False,
) -> str:
    """Print ``count`` elements of ``size`` bytes, as many as the limit of strings allows.

    Elements that cannot be read end the array with the address of the first of them. ``always``
    reads them even if the call has failed.
    """
    if not address:
        return "NULL"
    if count == 0:
        return "[]"
    if address + count * size >= _ADDRESSES or (context.failed and not always):
        return hex(address)
    options = context.options
    shown = min(count, options.string_limit) if options.abbreviate else count
    # One element more tells whether there is more: a fault is shown in place of "...".
    raw = context.memory.read(address, min(shown + 1, count, _ARRAY_MAX) * size)
    readable = len(raw) // size
    if not readable:
        return hex(address)
    texts = [show(context, raw[at * size : (at + 1) * size]) for at in range(min(readable, shown))]
    if readable < min(shown + 1, count):
        texts.append(f"... /* {address + readable * size:#x} */")
    elif shown < count:
        texts.append("...")
    return f"[{', '.join(texts)}]"


def counted_in(what: Layout, length: int | None) -> Printer:
    """Make a printer of an array that the call reads; the argument at ``length`` counts it.

    An array that none counts is a pair.
    """

    def printer(context: Context, address: int) -> str:
        count = 2 if length is None else context.arguments[length] & 0xFFFFFFFF
        return array_at(context, address, count, what.size(context), what.show)

    return printer


def counted_out(what: Layout, length: int | None) -> Printer:
    """Make a printer of an array that the kernel writes; ``length`` as for ``counted_in``."""
    inner = counted_in(what, length)

    def printer(context: Context, address: int) -> str | None:
        return inner(context, address) if context.leaving else None

    return printer


def join(texts: Iterable[str]) -> str:
    """Print an array of texts."""
    return f"[{', '.join(texts)}]"
