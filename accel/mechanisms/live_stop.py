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
from accel.records import ABIS
from accel.stops import Arguments, SyscallEntryStop, SyscallExitStop
from accel.tracee import StopMemory, Tracee

__all__ = ["BlankStop", "EntryParts", "Live", "blank_exit_stop", "blank_stop"]

_X86_64: Final = Abi.X86_64
_X86_64_ARCH: Final = Abi.X86_64.audit_arch

# A stop is made blank, of a class whose slots are set as in any object; when they are set it gets
# another class of the same slots, which refuses, as a stop does. To set a slot past such a refusal
# is a call, and takes ten times as long.


class Live:
    """Makes the call and the memory of a stop when they are first asked for."""

    __slots__ = ()
    _call: Call | None
    _memory: Memory | None

    @property
    def call(self) -> Call:
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy it as the value that it stands for."""
        kind: Any = self._kind  # type: ignore[attr-defined]  # every value has one
        return kind, tuple([getattr(self, name) for name in kind.__match_args__])

    def _make_call(self) -> Call:
        raise NotImplementedError

    def _make_memory(self) -> Memory:
        raise NotImplementedError


class _Open:
    """Lets slots be set as in any object; Python does that the fast way only with both of these."""

    __slots__ = ()
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__


# ------------------------------------------------------------------------------- before a call


class EntryParts(SyscallEntryStop):
    """What a stop is made of: the kernel's words first."""

    __slots__ = ("_call", "_made_of", "_memory")
    _call: Call | None
    _made_of: tuple[Any, ...]
    _memory: Memory | None


class _SeccompStop(Live, EntryParts):  # type: ignore[override]  # read-only
    """The stop of a traced call; its words are those of a ``ptrace.SYSCALL_INFO``."""

    __slots__ = ()

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


class BlankStop(_Open, EntryParts):
    """A stop that is none yet; each mechanism has a method to make it one."""

    __slots__ = ()

    def traced(self, words: tuple[int, ...], tracee: Tracee) -> None:
        """Be the stop of a tracee that is in a seccomp-stop."""
        self._made_of = (words, tracee, tracee.tid, tracee.stop_number)
        self._call = self._memory = None
        self.time_ns = monotonic_ns()  # type: ignore[misc]  # not frozen, as is said above
        self.__class__ = _SeccompStop  # type: ignore[assignment]  # of the same slots


# ------------------------------------------------------------------------------- after it


class _ExitParts(SyscallExitStop):
    """What a stop is made of: fields as of ``accel.records.LAYOUT``, the tracee, its number."""

    __slots__ = ("_call", "_made_of", "_memory")
    _call: Call | None
    _made_of: tuple[Any, ...]
    _memory: Memory | None


class _ExitStop(Live, _ExitParts):  # type: ignore[override]  # as above
    """The exit-stop of a call that the loop let run."""

    __slots__ = ()

    @property
    def args(self) -> Arguments:
        """The arguments, by name or number."""
        fields = self._made_of[0]
        return Arguments(fields[8:14], ABIS[fields[5]], fields[4])

    def _make_call(self) -> Call:
        fields = self._made_of[0]
        tid, pid, number, abi = fields[2:6]
        return Call(tid, pid, ABIS[abi], number, fields[8:14], *fields[20:22])

    def _make_memory(self) -> Memory:
        _fields, tracee, stop_number = self._made_of
        return StopMemory(tracee, stop_number)


class _BlankExitStop(_Open, _ExitParts):
    """A stop that is none yet."""

    __slots__ = ()

    def returned(self, fields: tuple[int, ...], tracee: Tracee) -> None:
        """Be the exit-stop of a tracee."""
        self._made_of = (fields, tracee, tracee.stop_number)
        self._call = self._memory = None
        self.entered_ns, self.time_ns = fields[0], fields[1]  # type: ignore[misc]  # not frozen
        self.result = fields[14]  # type: ignore[misc]  # as above
        self.text = ""  # type: ignore[misc]  # as above
        self.injected = self.alone = self.delayed = False  # type: ignore[misc]  # as above
        self.__class__ = _ExitStop  # type: ignore[assignment]  # of the same slots


_keep: Final = object.__setattr__
#: Make a stop that is to be ``traced``, or one that is to have ``returned``.
blank_stop: Final = partial(object.__new__, BlankStop)
blank_exit_stop: Final = partial(object.__new__, _BlankExitStop)
