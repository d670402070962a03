"""Names of flags and of other constants, looked up by family.

The families are data, generated from the headers of the kernel (tools/generate_constants.py); one
group of them is loaded when one of its families is first asked for.
"""

from __future__ import annotations

import functools
import importlib

from accel.decoding.constants.index import GROUPS

__all__ = ["Family", "family"]

_GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}
#: Texts are kept for so many values of a family; a hostile tracee could invent more.
_KEPT = 4096


class Family:
    """A set of named constants."""

    __slots__ = ("_texts", "members", "names", "unknown")

    def __init__(self, unknown: str, members: tuple[tuple[str, int], ...]) -> None:
        #: What stands for a value without a name, as ``O_???``; "" for nothing.
        self.unknown = unknown
        #: (name, value) in the order in which they are printed.
        self.members = members
        #: {value: name}, the first of several names.
        self.names = {value: name for name, value in reversed(members)}
        # Negative ones are also looked up as ints.
        self.names |= {v & 0xFFFFFFFF: name for v, name in self.names.items() if v >> 63}
        self._texts: dict[int, str] = {}

    def value(self, value: int) -> str:
        """Print the one name of ``value``: ``SEEK_SET``, or ``0x7 /* SEEK_??? */``."""
        return self.names.get(value) or self._nameless(value)

    def flags(self, value: int) -> str:
        """Print a set of bits: ``O_CREAT|O_EXCL|0x4000000``, ``0``, ``0x80 /* IN_??? */``."""
        text = self._texts.get(value)
        if text is None:
            names, rest = self.split(value)
            if not names:
                text = self._nameless(rest) if rest else "0"
            else:
                text = "|".join([*names, hex(rest)] if rest else names)
            if len(self._texts) >= _KEPT:
                self._texts.clear()
            self._texts[value] = text
        return text

    def split(self, value: int) -> tuple[list[str], int]:
        """Find the names that make up ``value``, and the bits that have none."""
        names: list[str] = []
        rest = value
        for name, bits in self.members:
            if rest == bits or (bits and rest & bits == bits):
                if not bits and names:
                    continue
                names.append(name)
                rest &= ~bits
                if not rest:
                    break
        return names, rest

    def parts(self, value: int) -> list[str]:
        """List the names that make up ``value``; what has none is one number at the end."""
        names, rest = self.split(value)
        return [*names, hex(rest)] if rest else names

    def _nameless(self, value: int) -> str:
        text = hex(value) if value else "0"
        return f"{text} /* {self.unknown} */" if self.unknown else text


@functools.cache
def family(name: str) -> Family:
    """Look up a family by name; one that no header knows has no members."""
    group = _GROUP_OF.get(name)
    if group is None:
        return Family("", ())
    module = importlib.import_module(f"accel.decoding.constants.{group}")
    unknown, words = module.FAMILIES[name]
    pairs = (word.rpartition("=") for word in words.split())
    return Family(unknown, tuple((member, int(value, 16)) for member, _, value in pairs))
