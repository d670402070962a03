"""One call being decoded, as printers see it.

A printer turns the raw register of one argument into text: ``printer(context, register)``. It runs
when the call enters the kernel; one that has to wait for the kernel's answer returns None there,
and is asked again when the call has returned, with every printer after it; one that has printed a
part and will have more to say then returns ``Begun``. A printer that returns "" has nothing to
print: open(2) without O_CREAT has no mode.

Reading memory costs a system call each time, so printers read what they need at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from accel.abi import Abi
from accel.call import Call, Memory
from bpf.value import frozen

__all__ = [
    "Begun",
    "Context",
    "DescriptorPath",
    "Options",
    "Pointed",
    "Printer",
    "hex_text",
    "pointer",
]

DescriptorPath: TypeAlias = Callable[[int, int], str | None]


@frozen
class Options:
    """How much to print."""

    #: The most bytes of a string and elements of an array: strace's -s.
    string_limit: int = 32
    #: Tell what a descriptor of a thread refers to: strace's -y; None: do not.
    descriptor_path: DescriptorPath | None = None
    #: Leave out the less interesting parts of structs.
    abbreviate: bool = True


class Begun(str):
    """What can be printed of an argument at the entry; the printer is asked for the rest later."""

    __slots__ = ()


class Context:
    """The call, the memory of its tracee, and what is known so far."""

    __slots__ = (
        "arguments", "call", "failed", "i386", "leaving", "memory", "note", "options", "radix",
        "result", "saved", "word",
    )  # fmt: skip

    def __init__(self, call: Call, memory: Memory, options: Options) -> None:
        self.call = call
        self.memory = memory
        self.options = options
        self.arguments = call.arguments
        self.i386 = call.abi is Abi.I386
        #: The size of a pointer, in bytes.
        self.word = 4 if self.i386 else 8
        #: Whether the call has returned, and what: only then are there results in memory.
        self.leaving = False
        self.failed = False
        self.result: int | None = None
        #: What a printer kept at the entry, by the position of its argument.
        self.saved: dict[int, Any] = {}
        #: What strace adds in parentheses after the result; and how to print that: "x" or "d".
        self.note = ""
        self.radix = ""

    def fetch(self, address: int, size: int) -> bytes | None:
        """Read exactly ``size`` bytes; None if they are not all there, or the call has failed."""
        if not address or self.failed:
            return None
        return self.read(address, size)

    def read(self, address: int, size: int) -> bytes | None:
        """Read as ``fetch``, also when the call has failed."""
        if size == 0:
            return b""
        raw = self.memory.read(address, size)
        return raw if len(raw) == size else None


Printer: TypeAlias = Callable[[Context, int], str | None]


@frozen
class Pointed:
    """A printer that looks at no memory but a block that its register points to.

    Of such calls the block can be captured, and the line be printed later (``capture_rules``).
    """

    printer: Printer
    #: The size of the block at most, in x86_64 and in i386; 0: as many bytes as are shown of a
    #: string, and one.
    sizes: tuple[int, int] = (0, 0)
    #: Whether it is what the call writes if it succeeds; else what it reads, printed at the entry.
    written: bool = False
    #: What else prints it: that must look at no memory.
    shows: Callable[..., str] | None = None

    def __call__(self, context: Context, address: int) -> str | None:
        """Print it."""
        return self.printer(context, address)


def hex_text(value: int) -> str:
    """Print a number in hexadecimal, as C's ``%#x``: zero has no prefix."""
    return hex(value) if value else "0"


def pointer(address: int) -> str:
    """Print an address that is not followed."""
    return hex(address) if address else "NULL"
