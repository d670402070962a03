"""The stop of a call that is shown to a handler: its parts are made when somebody asks for them.

Most handlers look at an argument or two, some at nothing: to make a call and a memory for each stop
would take as long as all else that Python does about it.
"""

from __future__ import annotations

from functools import partial
from time import monotonic_ns
from typing import Any, Final

from accel.abi import Abi
from accel.call import Call, Memory
from accel.mechanisms.calls import call_of
from accel.mechanisms.notified_memory import NotifiedMemory
from accel.stops import Arguments, SyscallEntryStop
from accel.tracee import StopMemory, Tracee

__all__ = ["blank_stop"]

_WORD: Final = 0xFFFF_FFFF
_X86_64: Final = Abi.X86_64
_X86_64_ARCH: Final = Abi.X86_64.audit_arch


class _Parts(SyscallEntryStop):
    """What a stop is made of: the kernel's words, the tracee and its tid, the stop's number."""

    __slots__ = ("_call", "_made_of", "_memory")
    _call: Call | None
    _made_of: tuple[Any, ...]
    _memory: Memory | None


class _Live(_Parts):
    """A ``SyscallEntryStop`` whose call and memory are made when first asked for."""

    __slots__ = ()

    @property
    def call(self) -> Call:  # type: ignore[override]  # read-only, as it is there
        """The call."""
        call = self._call
        if call is None:
            call = self._make_call()
            _keep(self, "_call", call)
        return call

    @property
    def memory(self) -> Memory:
        """The tracee's memory."""
        memory = self._memory
        if memory is None:
            memory = self._make_memory()
            _keep(self, "_memory", memory)
        return memory

    def _make_call(self) -> Call:
        raise NotImplementedError

    def _make_memory(self) -> Memory:
        raise NotImplementedError


class _SeccompStop(_Live):
    """The stop of a traced call; its words are those of a ``ptrace.SYSCALL_INFO``."""

    __slots__ = ()
    __qualname__ = "SyscallEntryStop"  # That is how it prints.

    @property
    def args(self) -> Arguments:
        """The arguments, by name or number."""
        words = self._made_of[0]
        if words[1] == _X86_64_ARCH:
            return Arguments(words[5:11], _X86_64, words[4])
        return super().args

    def _make_call(self) -> Call:
        words, tracee, tid, *_rest = self._made_of
        call = call_of(tid, tracee.pid, words)
        assert call is not None  # The loop asks about those of known ABIs.
        return call

    def _make_memory(self) -> Memory:
        _words, tracee, _tid, stop_number = self._made_of
        return StopMemory(tracee, stop_number)


class _NotifiedStop(_Live):
    """The stop of a call that notified; its words are those of ``NotifyTables.notification``."""

    __slots__ = ()
    __qualname__ = "SyscallEntryStop"  # That is how it prints.

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
        abi = _X86_64 if arch == _X86_64_ARCH else Abi.I386
        if abi is Abi.I386:
            arguments = [word & _WORD for word in arguments]
        return Call(tid, tracee.pid, abi, number, tuple(arguments), ip)

    def _make_memory(self) -> Memory:
        words, tracee, _tid, stop_number, listener = self._made_of
        return NotifiedMemory(tracee, listener, words[0], stop_number)


class _Blank(_Parts):
    """A stop that is none yet: its slots are set as in any object, and not by a call for each."""

    __slots__ = ()
    # Only if a class changes neither does Python know a faster way.
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__

    def traced(self, words: tuple[int, ...], tracee: Tracee) -> None:
        """Be the stop of a tracee that is in a seccomp-stop."""
        self._made_of = (words, tracee, tracee.tid, tracee.stop_number)
        self._call = self._memory = None
        self.time_ns = monotonic_ns()  # type: ignore[misc]  # not frozen, as is said above
        self.__class__ = _SeccompStop  # type: ignore[assignment]  # of the same slots

    def notified(self, words: tuple[int, ...], tracee: Tracee, listener: int) -> None:
        """Be the stop of a tracee that waits for the answer to a notification."""
        self._made_of = (words, tracee, words[1], tracee.stop_number, listener)
        self._call = self._memory = None
        self.time_ns = monotonic_ns()  # type: ignore[misc]  # as above
        self.__class__ = _NotifiedStop  # type: ignore[assignment]  # as above


_keep: Final = object.__setattr__
#: Make a stop that is to be ``traced`` or ``notified``, which is all that it takes.
blank_stop: Final = partial(object.__new__, _Blank)
