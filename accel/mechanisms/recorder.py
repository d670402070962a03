"""Takes records out of the ring while the tracees run, and hands them to sinks.

A thread beside does it, so that no tracee waits for a file or for text to be made. If it falls
behind and the ring is full, the tracing thread helps, and the tracees wait; nothing is lost.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Mapping
from typing import Final

from accel.mechanisms.ring import Ring
from accel.records import CAPTURED, ENTERED, RECORD_SIZE, Batch, Sink

__all__ = ["Recorder"]

#: How long a record waits in the ring at most, unless its sink is slow.
_DRAIN_SECONDS: Final = 0.05
_RECORD_WORDS: Final = RECORD_SIZE // 8
_ENTERED_NS, _IDENTITY, _FLAGS = 0, 2, 12


class Recorder:
    """The reader of a ring; ``lock`` is held while sinks are at work.

    Sinks that are observers get also the beginnings of calls. A sink that raises gets no more
    records: ``error`` is what it raised, ``lost`` how many records no longer reached it. The
    tracees do not suffer.
    """

    def __init__(self, ring: Ring, sinks: Iterable[Sink]) -> None:
        self.ring = ring
        self.lock = threading.RLock()
        self.error: Exception | None = None
        self.lost = 0
        self._sinks = list(sinks)
        #: Whether calls that Python answers are to be recorded: observers have heard of these.
        self.wants_all = any(not _observes(sink) for sink in self._sinks)
        #: Strings of calls that have begun, until these have ended: by tid and time of entry.
        self._known: dict[tuple[int, int], Mapping[int, bytes]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="accel-record", daemon=True)

    def start(self) -> None:
        """Begin to drain; from a thread whose affinity is the host's."""
        self._thread.start()

    def close(self) -> None:
        """Drain what is left and close the sinks."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.drain()
        with self.lock:
            for sink in self._sinks:
                try:
                    sink.close()
                except Exception as error:  # noqa: BLE001 - sinks are the user's
                    self.error = self.error or error
            self._sinks.clear()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, os.sched_getaffinity(os.getpid()))
        while not self._closing.wait(_DRAIN_SECONDS):
            self.drain()

    def drain(self) -> None:
        """Hand every record that was written before this call to the sinks."""
        with self.lock:
            for piece in self.ring.pieces():
                self._deliver(piece)

    def _deliver(self, piece: memoryview) -> None:
        strings = self.ring.strings.bytes
        words = piece.cast("Q")
        flags = words[_FLAGS::_RECORD_WORDS].tolist()
        begun = [index for index, flag in enumerate(flags) if flag & ENTERED]
        whole = Batch(piece, strings, self._known)
        for index in begun:
            if flags[index] & CAPTURED:
                self._known[_key(words, index)] = whole.strings_at(index)
        ended = Batch(_without(piece, begun), strings, self._known) if begun else whole
        for sink in tuple(self._sinks):
            batch = whole if _observes(sink) else ended
            if len(batch):
                self._write(sink, batch)
        if self._known:
            for index, flag in enumerate(flags):
                if flag & CAPTURED and not flag & ENTERED:
                    self._known.pop(_key(words, index), None)

    def _write(self, sink: Sink, batch: Batch) -> None:
        try:
            sink.write(batch)
        except Exception as error:  # noqa: BLE001 - sinks are the user's
            self.error = self.error or error
            self.lost += len(batch)
            self._sinks.remove(sink)
            self._sinks.append(_Lost(self))


class _Lost:
    """In the place of a sink that failed: counts what it does not get."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def write(self, batch: Batch) -> None:
        """Count."""
        self._recorder.lost += len(batch)

    def close(self) -> None:
        """Do nothing."""


def _observes(sink: Sink) -> bool:
    """Whether a sink is an observer, too: it wants beginnings, and hears of the rest by itself."""
    return callable(sink)


def _key(words: memoryview, index: int) -> tuple[int, int]:
    at = index * _RECORD_WORDS
    return words[at + _IDENTITY] & 0xFFFF_FFFF, words[at + _ENTERED_NS]


def _without(piece: memoryview, begun: list[int]) -> memoryview:
    """Leave out records of calls that have only begun."""
    parts, start = [], 0
    for index in begun:
        parts.append(piece[start * RECORD_SIZE : index * RECORD_SIZE])
        start = index + 1
    parts.append(piece[start * RECORD_SIZE :])
    return memoryview(b"".join(parts))
