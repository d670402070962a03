"""Takes records out of the ring while the tracees run, and hands them to sinks.

A thread beside does it, so that no tracee waits for a file or for text to be made. If it falls
behind and the ring is full, the tracing thread helps, and the tracees wait; nothing is lost.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from accel.mechanisms.record_observers import takes_records
from accel.mechanisms.ring import RUNNING, Ring
from accel.mechanisms.stop_tables import ENTERED_NS, FLAGS, IDENTITY, RECORD_WORDS
from accel.records import ANY_BLOCK, CAPTURED, ENTERED, MARK, RECORD_SIZE, Batch, Captured, Sink
from accel.stops import Stop

__all__ = ["Recorder"]

#: How long a record waits in the ring at most, unless its sink is slow.
_DRAIN_SECONDS: Final = 0.05
#: How much a sink that is an observer is given at a time, and how long it then makes way.
_RECORDS_AT_A_TIME: Final = 16
_GIVE_WAY_SECONDS: Final = 0.00005
#: A record that only stands for a stop.
_MARK: Final = MARK.to_bytes(8, "little").rjust(8 * (FLAGS + 1), b"\0").ljust(RECORD_SIZE, b"\0")


class Recorder:
    """The reader of a ring.

    Sinks that are observers get also the beginnings of calls. A sink that raises gets no more
    records: ``error`` is what it raised, ``lost`` how many records no longer reached it. The
    tracees do not suffer.
    """

    def __init__(self, ring: Ring, sinks: Iterable[Sink]) -> None:
        self.ring = ring
        self.error: Exception | None = None
        self.lost = 0
        self._sinks = list(sinks)
        #: Whether calls that Python answers are to be recorded: observers have heard of these.
        self.wants_all = any(not takes_records(sink) for sink in self._sinks)
        #: What was captured of calls that have begun, until they end: by tid and time of entry.
        self._known: dict[tuple[int, int], Captured] = {}
        #: {tid: the time of entry of its call among those}.
        self._under_way: dict[int, int] = {}
        #: What stands behind the marks in the ring.
        self._stops: deque[Stop] = deque()
        #: Held while sinks are at work; and whether the tracing thread waits for it.
        self._lock = threading.RLock()
        self._is_urgent = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="accel-record", daemon=True)

    @property
    def lost_records(self) -> int:
        """How many records nobody has: for want of room, or as their sink failed."""
        return self.lost + self.ring.dropped

    def start(self) -> None:
        """Begin to drain; from a thread whose affinity is the host's."""
        self._thread.start()

    def close(self) -> None:
        """Drain what is left and close the sinks."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.drain()
        with self._lock:
            for sink in self._sinks:
                try:
                    sink.close()
                except Exception as error:  # noqa: BLE001 - sinks are the user's
                    self.error = self.error or error
            self._sinks.clear()

    def _run(self) -> None:
        pause = _DRAIN_SECONDS
        while not self._closing.wait(pause):
            pause = _DRAIN_SECONDS if self._drain(gives_way=True) else _GIVE_WAY_SECONDS

    def drain(self) -> None:
        """Hand every record that was written before this call to the sinks."""
        self._drain(gives_way=False)

    def make_room(self) -> None:
        """Wait until the ring is not full; from the tracing thread.

        No longer than that: tracees run on while the draining thread is at work.
        """
        with self._locked():
            for piece in self.ring.pieces():
                if not self.ring.is_full:
                    break
                self._hand_on(piece)

    def _drain(self, *, gives_way: bool) -> bool:
        """Drain the ring; tell whether all is done, not left to the tracing thread for a while."""
        with self._locked():
            for number, piece in enumerate(self.ring.pieces()):
                if gives_way and number and self._is_urgent:
                    return False
                self._hand_on(piece)
        return True

    def _hand_on(self, piece: memoryview) -> None:
        for records, stop in self._parts(piece):
            if len(records):
                self._deliver(records, self.ring.strings.bytes)
            if stop is not None:
                self._tell(stop)

    def deliver(self, records: memoryview, strings: memoryview) -> None:
        """Hand records to the sinks that were never in the ring, with the strings they point to."""
        with self._locked():
            self._deliver(records, strings)

    def tell_later(self, stop: Stop) -> None:
        """Let the sinks that are observers hear of a stop that is no call's, in its order."""
        if self.ring.is_full:
            self.make_room()
        self._stops.append(stop)
        self.ring.append(_MARK)

    def tell_now(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` when everything before has been told; in the tracing thread."""
        with self._locked():
            self.drain()
            tell()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock; while the tracing thread waits for it, the draining one hurries."""
        self._is_urgent |= not self._is_draining_thread
        with self._lock:
            self._is_urgent &= self._is_draining_thread
            yield

    @property
    def _is_draining_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def _parts(self, piece: memoryview) -> Iterator[tuple[memoryview, Stop | None]]:
        """Divide a piece of the ring at its marks."""
        start = 0
        if self._stops:
            flags = piece.cast("Q")[FLAGS::RECORD_WORDS].tolist()
            for index, flag in enumerate(flags):
                if flag & MARK:
                    records = piece[start * RECORD_SIZE : index * RECORD_SIZE]
                    yield records, self._stops.popleft()
                    start = index + 1
        yield piece[start * RECORD_SIZE :], None

    def _tell(self, stop: Stop) -> None:
        for sink in tuple(self._sinks):
            if takes_records(sink):
                self._guard(sink, partial(sink, stop))

    def _deliver(self, piece: memoryview, strings: memoryview) -> None:
        words = piece.cast("Q")
        flags = words[FLAGS::RECORD_WORDS].tolist()
        begun = [index for index, flag in enumerate(flags) if flag & ENTERED]
        followed = [index for index in begun if _is_followed(words, index)]
        whole = Batch(piece, strings, self._known)
        if followed:
            self._deliver_followed(whole, words, flags, followed, strings)
            return
        for index in begun:
            if flags[index] & CAPTURED:
                self._known[_key(words, index)] = whole.captured_at(index)
        ended = Batch(_without(piece, begun), strings, self._known) if begun else whole
        for sink in tuple(self._sinks):
            batch = whole if takes_records(sink) else ended
            if len(batch):
                self._write(sink, batch)
        if self._known:
            self._forget(words, flags)

    def _deliver_followed(
        self,
        whole: Batch,
        words: memoryview,
        flags: list[int],
        followed: list[int],
        strings: memoryview,
    ) -> None:
        """Leave out beginnings: ends have all that they have, unless calls have written blocks."""
        kept = [index for index in followed if flags[index + 1] & ANY_BLOCK]
        for index in kept:
            self._known[_key(words, index)] = whole.captured_at(index)
        self._deliver(_without(whole.raw, followed), strings)
        for index in kept:
            self._known.pop(_key(words, index), None)

    def _forget(self, words: memoryview, flags: list[int]) -> None:
        """Forget captures of calls that have ended, or whose end was lost: others have begun."""
        for index, flag in enumerate(flags):
            if flag & CAPTURED:
                tid, entered_ns = _key(words, index)
                former = self._under_way.pop(tid, None)
                if former is not None:
                    self._known.pop((tid, former), None)
                if flag & ENTERED:
                    self._under_way[tid] = entered_ns

    def _write(self, sink: Sink, batch: Batch) -> None:
        if not takes_records(sink):
            self._guard(sink, partial(sink.write, batch), len(batch))
            return
        # It works in Python, for long, and the tracing thread may want the interpreter meanwhile.
        for part in batch.parts(_RECORDS_AT_A_TIME):
            self._guard(sink, partial(sink.write, part), len(part))
            self._give_way()

    def _guard(self, sink: Sink, work: Callable[[], None], records: int = 0) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - sinks are the user's
            self.error = self.error or error
            self.lost += records
            if sink in self._sinks:
                self._sinks[self._sinks.index(sink)] = _Lost(self)

    def _give_way(self) -> None:
        """Let the tracing thread have the interpreter: Python would hand it over after 5 ms."""
        if not self._is_urgent and self._is_draining_thread and not self.ring.control.view[RUNNING]:
            time.sleep(_GIVE_WAY_SECONDS)


class _Lost:
    """In the place of a sink that failed: counts what it does not get."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def write(self, batch: Batch) -> None:
        """Count."""
        self._recorder.lost += len(batch)

    def close(self) -> None:
        """Do nothing."""


def _key(words: memoryview, index: int) -> tuple[int, int]:
    at = index * RECORD_WORDS
    return words[at + IDENTITY] & 0xFFFF_FFFF, words[at + ENTERED_NS]


def _is_followed(words: memoryview, index: int) -> bool:
    """Tell a beginning whose end is the next record."""
    after = index + 1
    return after * RECORD_WORDS < len(words) and _key(words, after) == _key(words, index)


def _without(piece: memoryview, begun: list[int]) -> memoryview:
    """Leave out records of calls that have only begun."""
    parts, start = [], 0
    for index in begun:
        parts.append(piece[start * RECORD_SIZE : index * RECORD_SIZE])
        start = index + 1
    parts.append(piece[start * RECORD_SIZE :])
    return memoryview(b"".join(parts))
