"""The stop of a call that notified, whose parts are made when somebody asks for them."""

from __future__ import annotations

from time import monotonic_ns
from typing import Final

from accel.abi import Abi
from accel.call import Call, Memory
from accel.mechanisms.notified_memory import NotifiedMemory
from accel.stops import Arguments, SyscallEntryStop
from accel.tracee import Tracee

__all__ = ["notified_stop"]

_WORD: Final = 0xFFFF_FFFF


class _Notified(SyscallEntryStop):
    """What a stop is made of."""

    __slots__ = ("_abi", "_call", "_listener", "_memory", "_stop_number", "_tracee", "_words")
    _abi: Abi
    _call: Call | None
    _listener: int
    _memory: Memory | None
    _stop_number: int
    _tracee: Tracee
    _words: tuple[int, ...]


class NotifiedStop(_Notified):
    """A ``SyscallEntryStop``, as ``notified_stop`` makes it.

    Most handlers look at an argument or two, some at nothing: to make a call and a memory for each
    notification would take as long as all else that Python does about it.
    """

    __slots__ = ()

    @property
    def call(self) -> Call:  # type: ignore[override]  # read-only, as it is there
        """The call, made when first asked for."""
        call = self._call
        if call is None:
            words = self._words
            call = Call(
                words[1], self._tracee.pid, self._abi, words[3], self._registers(), words[5]
            )
            _keep(self, "_call", call)
        return call

    @property
    def memory(self) -> Memory:
        """The memory, made when first asked for."""
        memory = self._memory
        if memory is None:
            memory = NotifiedMemory(self._tracee, self._listener, self._words[0], self._stop_number)
            _keep(self, "_memory", memory)
        return memory

    @property
    def args(self) -> Arguments:
        """The arguments, by name or number."""
        abi, words = self._abi, self._words
        registers = words[6:] if abi is Abi.X86_64 else self._registers()
        return Arguments(registers, abi, words[3])

    def _registers(self) -> tuple[int, int, int, int, int, int]:
        registers = self._words[6:]
        if self._abi is Abi.I386:
            registers = tuple([word & _WORD for word in registers])
        return registers  # type: ignore[return-value]  # six


class _Open(_Notified):
    """The same, but that its slots are set as in any object, and not by a call for each."""

    __slots__ = ()
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__

    def close(self, words: tuple[int, ...], abi: Abi, tracee: Tracee, listener: int) -> None:
        """Set them, and be that class."""
        self._words = words
        self._abi = abi
        self._tracee = tracee
        self._listener = listener
        self._stop_number = tracee.stop_number
        self._call = self._memory = None
        self.time_ns = monotonic_ns()  # type: ignore[misc]  # open, as it is said above
        self.__class__ = NotifiedStop  # type: ignore[assignment]  # of the same slots


_new: Final = object.__new__
_keep: Final = object.__setattr__


def notified_stop(
    words: tuple[int, ...], abi: Abi, tracee: Tracee, listener: int
) -> SyscallEntryStop:
    """Make the stop of a notification, whose ``words`` are as in ``NotifyTables.notification``."""
    stop = _new(_Open)
    stop.close(words, abi, tracee, listener)
    return stop
