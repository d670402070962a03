"""Observation: the calls of a process tree as the kernel's tracepoints tell them, at no stop.

Nothing here is traced in the sense of ptrace(2): the tracees run on, and do not notice. So nothing
waits, either: what the ring has no room for is lost, and counted. While the program is attached,
each call of each process on the host runs it.
"""

from __future__ import annotations

import array
import contextlib
import enum
import struct
import threading
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from bpf.errors import ProbesUnavailable
from bpf.probes.closing import Closing
from bpf.probes.loader import LoadedProgram, Map, load, source
from bpf.probes.ring import Ring
from bpf.value import frozen

__all__ = [
    "BY_CALL",
    "ENTRY_ONLY",
    "EVENT",
    "NUMBERS",
    "RULE_SHIFT",
    "SELECTED",
    "ZAPPED",
    "Counted",
    "Event",
    "Kind",
    "Observation",
    "Wanted",
]

#: 32 MiB: what one CPU can write in 250 ms, if it does nothing but system calls. Without records
#: only ends of threads and signals are written.
_PAGES: Final = 8192
_FEW_PAGES: Final = 256
_PAGE: Final = 4096

#: In ``Wanted.choices``: the call is selected. Bits 0 to 5: arguments that are strings.
SELECTED: Final = 1 << 6
#: There too: nothing is told of the call but that it begins.
ENTRY_ONLY: Final = 1 << 7
#: There too, above these bits: the rule that the call falls under.
RULE_SHIFT: Final = 8
#: Numbers from here on have no choice of their own.
NUMBERS: Final = 1024

#: What is never passed over, in the ABI where it is called so: what makes a thread, at whose end
#: the new one is first seen; what executes a program, as whose end that of execveat(2) looks, too;
#: what ends a thread or process; what makes a ring, whose operations nobody sees.
_ALWAYS_NOTED: Final = (
    56, 57, 58, 435,  # clone, fork, vfork, clone3
    59, 60, 231,  # execve, exit, exit_group
    120, 2, 190,  # clone, fork, vfork of i386
    11, 1, 252,  # execve, exit, exit_group of i386
    425,  # io_uring_setup
)  # fmt: skip

#: struct settings, struct totals, struct written, struct key, struct count of observe.bpf.c.
_SETTINGS: Final = struct.Struct(f"=IHBBH6xQ{NUMBERS // 8}s{4 * NUMBERS}s")
_TOTALS: Final = struct.Struct("=4Q")
_WRITTEN: Final = struct.Struct("=3Q")
_KEY: Final = struct.Struct("=Ii")
_COUNT: Final = struct.Struct("=3Q")
_TID: Final = struct.Struct("=I")
#: Where struct member has its pid.
_PID: Final = struct.Struct("=148xI")
_FIRST: Final = bytes(4)

#: struct sample there: what every event is, and strings may follow.
EVENT: Final = struct.Struct("=qqiiiBBH6QqQ4HQQQ")


class Kind(enum.IntEnum):
    """What an event tells, and in which fields besides ``time_ns``, ``tid`` and ``pid``."""

    #: A call, as accel.records lays it out.
    CALL = 0
    #: A thread is seen for the first time. ``arguments``: its creator's tid and pid, or 0; and the
    #: flags of clone(2).
    ATTACHED = 1
    #: execve(2) has succeeded. ``number``: the former tid.
    EXECUTED = 2
    #: A thread ends. ``flags``: BY_CALL of its own, of exit status ``result``, or ZAPPED;
    #: ``number``: the last signal that was delivered and not handled, since its last call that was
    #: not passed over.
    ENDED = 3
    #: A signal, ``number``, is delivered. ``arguments``: 48 bytes of siginfo, if ``result`` is not
    #: 0 or 1; ``left_ns``: what handles it, SIG_DFL is 0.
    DELIVERED = 4
    #: The same when it is sent; ``left_ns`` and ``strings`` are pid and uid of who sends it.
    GENERATED = 5
    #: exit_group(2) begins, with the status ``result``.
    EXITING = 6
    #: A call, ``number``, of the x32 ABI.
    FOREIGN = 7
    #: io_uring_setup(2) begins.
    WATCHED = 8


#: Flags of ENDED: the thread's own call ended it; the kernel did, for its process.
BY_CALL: Final = 1
ZAPPED: Final = 2


class Event(NamedTuple):
    """What is not a call."""

    kind: Kind
    time_ns: int
    left_ns: int
    tid: int
    pid: int
    number: int
    arguments: tuple[int, ...]
    result: int
    strings: int
    flags: int

    @classmethod
    def parse(cls, record: bytes) -> Event:
        """Read what the kernel wrote."""
        words = EVENT.unpack_from(record)
        return cls(
            Kind(words[6]), words[0], words[1], words[2], words[3], words[4], words[8:14],
            words[14], words[15], words[16],
        )  # fmt: skip


@frozen
class Wanted:
    """What is to be told of which calls."""

    #: By architecture (0: x86_64, 1: i386) and number below NUMBERS: SELECTED, and which arguments
    #: are strings. At most three of a call are read.
    choices: Mapping[tuple[int, int], int]
    #: The same for all other numbers.
    unnamed: int = 0
    #: Whether calls are told, and not counted alone.
    has_records: bool = True
    #: Whether every call is told when it begins, too; else those with strings alone are.
    has_beginnings: bool = False
    #: To be set in the flags of each.
    call_flags: int = 0

    def numbers(self) -> bytes:
        """Lay the choices out as struct settings has them."""
        table = array.array("H", bytes(4 * NUMBERS))
        for (arch, number), choice in self.choices.items():
            if 0 <= number < NUMBERS:
                table[arch * NUMBERS + number] = choice
        return table.tobytes()

    def noted(self) -> bytes:
        """Lay out which numbers are not to be passed over, whatever the ABI is: a bit for each."""
        bits = 0
        chosen = (number for (_, number), choice in self.choices.items() if choice)
        for number in (*_ALWAYS_NOTED, *chosen):
            if 0 <= number < NUMBERS:
                bits |= 1 << number
        return bits.to_bytes(NUMBERS // 8, "little")


class Counted(NamedTuple):
    """How often a call was made, how often it failed, and the wall time it took."""

    calls: int
    errors: int
    nanoseconds: int


class Observation(Closing):
    """Observe the calls of a tree of threads, from its root on, or from threads that are named.

    Used from one thread, but for ``counts`` and the figures. Raise ProbesUnavailable. Cost: that of
    ``load``.
    """

    def __init__(self, wanted: Wanted) -> None:
        pages = _PAGES if wanted.has_records else _FEW_PAGES
        self._want(wanted)
        self._seeded = self._withdrawn = 0
        self._counts: dict[tuple[int, int], Counted] = {}
        self._figures = (0,) * 6
        #: Held while maps are read that ``close`` would close.
        self._lock = threading.RLock()
        self._program: LoadedProgram | None = load(
            f"#define RING_PAGES {pages}\n{source('registers.bpf.h', 'observe.bpf.c')}"
        )
        try:
            #: Readable when there is something to take, but not at once.
            self.descriptor: Final = self._program.map("samples").descriptor
            self._ring = Ring(self.descriptor, pages * _PAGE)
            self._ask(launcher=0)
        except OSError as error:
            self._program.close()
            raise ProbesUnavailable(f"the ring cannot be mapped: {error}", "ulimit -v") from error
        except BaseException:
            self._program.close()
            raise

    def mute(self) -> None:
        """Write no more calls, and count none; what has been written can still be taken."""
        self._want(Wanted({}, has_records=False))
        self._ask(launcher=0)

    def _want(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._tables = wanted.noted(), wanted.numbers()

    def _ask(self, *, launcher: int) -> None:
        wanted = self._wanted
        self._map("settings").set(
            _FIRST,
            _SETTINGS.pack(
                launcher, wanted.call_flags, wanted.has_records, wanted.has_beginnings,
                wanted.unnamed, self._seeded - self._withdrawn, *self._tables,
            ),
        )  # fmt: skip

    # ------------------------------------------------------------------------- the tree

    @contextlib.contextmanager
    def launching(self, tid: int) -> Iterator[None]:
        """Let the children that thread ``tid`` makes meanwhile be roots of the tree.

        Of the calls before their first execve(2) that alone is told.
        """
        self._ask(launcher=tid)
        try:
            yield
        finally:
            self._ask(launcher=0)

    def seed(self, tid: int) -> None:
        """Observe a thread from its next call on, or the end of the one that it is in.

        Raise OSError if there are 32768.
        """
        self._seeded += 1
        self._ask(launcher=0)
        try:
            self._map("seeds").set(_TID.pack(tid), b"\1")
        except OSError:
            self._withdrawn += 1
            raise

    def withdraw(self, tid: int) -> None:
        """Forget a thread that was named and had ended before; no harm if it had not been."""
        if self._map("seeds").delete(_TID.pack(tid)):
            self._withdrawn += 1
            self._ask(launcher=0)

    def pids(self) -> set[int]:
        """Tell the processes of the tree, as far as they have run; several bpf(2) calls."""
        found = {_PID.unpack_from(value)[0] for _, value in self._map("members").items()}
        return found - {0}

    # ------------------------------------------------------------------------- what it tells

    def take(self) -> bytes:
        """Return what was written since the last time: records, each behind a header of 8 bytes.

        The first four are its length; the next begins at a multiple of 8. Cost: no system call, and
        0.2 us for each.
        """
        return self._ring.copy()

    def counts(self) -> dict[tuple[int, int], Counted]:
        """Count the selected calls so far, by architecture and number; none is lost here."""
        with self._lock:
            if self._program is not None:
                self._counts = dict(map(_counted, self._map("counts").items()))
            return self._counts

    @property
    def alive(self) -> int:
        """How many threads of the tree have not ended."""
        _adopted, followed, ended, *_ = self._read_figures()
        return self._seeded - self._withdrawn + followed - ended

    @property
    def unfollowed(self) -> int:
        """How many threads are missing, as there were 32768 already."""
        return self._read_figures()[3]

    @property
    def lost_calls(self) -> int:
        """How many selected calls found the ring full when they began or ended."""
        return self._read_figures()[4]

    @property
    def lost_events(self) -> int:
        """How many other events did."""
        return self._read_figures()[5]

    def _read_figures(self) -> tuple[int, ...]:
        with self._lock:
            if self._program is not None:
                totals = self._map("totals").get(_FIRST)
                written = self._map("written").get(_FIRST)
                assert totals is not None  # Arrays: their elements are always there.
                assert written is not None
                self._figures = (*_TOTALS.unpack(totals), *_sums(_WRITTEN, written)[:2])
            return self._figures

    def _map(self, name: str) -> Map:
        assert self._program is not None
        return self._program.map(name)

    def close(self) -> None:
        """Detach the program; what was counted stays. May be called again."""
        with self._lock:
            if self._program is None:
                return
            self.counts()
            self._read_figures()
            self._ring.close()
            self._program.close()
            self._program = None


def _counted(item: tuple[bytes, bytes]) -> tuple[tuple[int, int], Counted]:
    arch, number = _KEY.unpack(item[0])
    return (arch, number), Counted(*_sums(_COUNT, item[1]))


def _sums(layout: struct.Struct, value: bytes) -> tuple[int, ...]:
    """Add the parts of a per-CPU value up, field by field."""
    return tuple(map(sum, zip(*layout.iter_unpack(value), strict=True)))
