"""Fakes for tests of what looks at tracees."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

__all__ = ["FakeMemory"]


class FakeMemory:
    """The memory of a tracee that does not exist: ``FakeMemory({0x1000: b"text"})``.

    Whatever is not given is not mapped. Pieces may touch, and then are read as one. ``reads``
    counts the reads: each would be a system call.
    """

    def __init__(self, pieces: Mapping[int, bytes] | None = None) -> None:
        self._pieces = dict(sorted((pieces or {}).items()))
        self._starts = list(self._pieces)
        self.reads = 0

    def read(self, address: int, size: int) -> bytes:
        """Read up to ``size`` bytes; fewer where nothing is mapped."""
        self.reads += 1
        found = b""
        while len(found) < size:
            at = address + len(found)
            index = bisect_right(self._starts, at) - 1
            if index < 0:
                break
            start = self._starts[index]
            part = self._pieces[start][at - start : address + size - start]
            if not part:
                break
            found += part
        return found
