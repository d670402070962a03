"""Which threads a program follows: tree.bpf.h's half in user space."""

from __future__ import annotations

import enum
import os
import struct
from typing import Final

from bpf.probes.loader import LoadedProgram

__all__ = ["Role", "Tree"]

#: The u32 of the maps' keys and of a role.
_WORD: Final = struct.Struct("=I")
_COUNTER: Final = struct.Struct("=Q")


class Role(enum.IntEnum):
    """What a thread is followed as: enum role of tree.bpf.h."""

    TRACEE = 1
    #: Its processes are tracees, its threads are tracers.
    TRACER = 2


class Tree:
    """The threads that the program ``program``, which begins with tree.bpf.h, follows.

    A thread is followed from its first system call, stop or switch after it was named; all that it
    starts from then on is followed from the first instruction.
    """

    def __init__(self, program: LoadedProgram) -> None:
        self._expected = program.map("expected")
        self._expectations = program.map("expectations")
        self._counters = program.map("tree")
        self._named = 0

    def follow(self, pid: int, role: Role) -> None:
        """Follow all threads of a process, and what they start.

        Raise ProcessLookupError if there is no such process. A thread that is followed already
        keeps its role. Cost: a bpf(2) call and a look into /proc a thread.
        """
        # What a thread starts that is expected, the kernel follows: when none is new, none is left.
        known: set[int] = set()
        while new := _threads(pid) - known:
            for tid in new:
                self._expect(pid, tid, role)
            known |= new

    def _expect(self, pid: int, tid: int, role: Role) -> None:
        key = _WORD.pack(tid)
        self._count(1)  # First: the kernel looks for nobody if none is missing.
        self._expected.set(key, _WORD.pack(role))
        # It may have ended before it was expected: then nothing would remove it.
        if not _runs(pid, tid) and self._expected.delete(key):
            self._count(-1)

    def _count(self, change: int) -> None:
        self._named += change
        self._expectations.set(_WORD.pack(0), _COUNTER.pack(self._named))

    def counters(self) -> tuple[int, int]:
        """Tell how many tracees there were, and how many threads found no room: 32768 have."""
        followed, unfollowed = self._counters.sums().values()
        return followed, unfollowed


def _threads(pid: int) -> set[int]:
    try:
        return {int(name) for name in os.listdir(f"/proc/{pid}/task")}
    except FileNotFoundError:
        raise ProcessLookupError(f"there is no process {pid}") from None


def _runs(pid: int, tid: int) -> bool:
    """Tell whether a thread has not ended; proc(5), the state in /proc/pid/task/tid/stat."""
    try:
        with open(f"/proc/{pid}/task/{tid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return False
