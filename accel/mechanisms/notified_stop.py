"""The stop of a call that notified, whose parts are made late: see ``live_stop``."""

from __future__ import annotations

from functools import partial
from time import monotonic_ns
from typing import Final

from accel.abi import Abi
from accel.call import Call, Memory
from accel.mechanisms.calls import call_of
from accel.mechanisms.live_stop import BlankStop, EntryParts, Live
from accel.mechanisms.notified_memory import NotifiedMemory
from accel.stops import Arguments
from accel.tracee import Tracee

__all__ = ["blank_notified_stop"]

_X86_64: Final = Abi.X86_64
_X86_64_ARCH: Final = Abi.X86_64.audit_arch


class _NotifiedStop(Live, EntryParts):  # type: ignore[override]  # read-only
    """The stop of a call that notified; its words are those of ``NotifyTables.notification``."""

    __slots__ = ()

    @property
    def args(self) -> Arguments:
        """The arguments, by name or number."""
        words = self._made_of[0]
        if words[4] == _X86_64_ARCH:
            return Arguments(words[6:], _X86_64, words[3])
        return super().args

    def _make_call(self) -> Call:
        words, tracee, tid, *_rest = self._made_of
        _id, _tid, _flags, number, arch, ip, *arguments = words
        call = call_of(tid, tracee.pid, (0, arch, ip, 0, number, *arguments))
        assert call is not None  # Those of other ABIs are shown to nobody.
        return call

    def _make_memory(self) -> Memory:
        words, tracee, _tid, stop_number, listener = self._made_of
        return NotifiedMemory(tracee, listener, words[0], stop_number)


class _BlankNotifiedStop(BlankStop):
    """A stop that is none yet."""

    __slots__ = ()

    def notified(self, words: tuple[int, ...], tracee: Tracee, listener: int) -> None:
        """Be the stop of a tracee that waits for the answer to a notification."""
        self._made_of = (words, tracee, words[1], tracee.stop_number, listener)
        self._call = self._memory = None
        self.time_ns = monotonic_ns()  # type: ignore[misc]  # not frozen yet
        self.__class__ = _NotifiedStop  # type: ignore[assignment]  # of the same slots


#: Make a stop that is to be ``notified``.
blank_notified_stop: Final = partial(object.__new__, _BlankNotifiedStop)
