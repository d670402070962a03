"""Recorded calls, told to an observer as if it had heard of them live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from accel import roles
from accel.abi import Abi
from accel.decoding import Decoder
from accel.decoding.captures import captured_arguments, captured_blocks
from accel.records import ALONE, BY_PYTHON, ENTERED, INJECTED, RETURNED, Batch, Blocks, Record
from accel.roles import Role
from accel.stops import EventStop, Stop, SyscallEntryStop, SyscallExitStop

__all__ = ["Replay"]

_ANSWERED: Final = RETURNED | INJECTED
_PARTIAL: Final = ENTERED | ALONE


class Replay:
    """Tells an observer, such as TextWriter, of each recorded call as of its stops.

    It is an observer itself that records are enough for, where they are: the observer behind it
    then works beside the tracees, not in their stops. It may also be a sink alone.

    A call is told when it has ended: that it has begun, then that it has returned. A record with
    the flag ENTERED tells the first alone: with those, what threads do at the same time is told in
    the order in which it happened. A call that was let run without an exit-stop is told to have
    begun, and no more. What Python answered is skipped: its observers have heard of it. An observer
    that has ``tells_whole_call`` may write about a call that has returned without its two stops. Of
    buffers as much is recorded as a Decoder shows, or one with the observer's ``string_limit``.

    The observer may hear of other stops besides; whoever made it closes it.
    """

    def __init__(self, observer: Callable[[Stop], None]) -> None:
        self._observer = observer
        #: It writes about a whole call at once, where it can: (record) -> whether it has.
        self._tells_whole_call = getattr(observer, "tells_whole_call", None)
        #: How much of a buffer it shows.
        self._string_limit: int = getattr(observer, "string_limit", Decoder().string_limit)
        #: {tid: when the call began} of those of which only that was told.
        self._begun: dict[int, int] = {}

    def __call__(self, stop: Stop, /) -> None:
        """Tell of a stop that is no record: as an observer does."""
        if isinstance(stop, EventStop) and stop.event == "superseded":
            # A thread executed and took the leader's tid: its execve returns under that.
            for former in self._begun.keys() & {stop.message}:
                self._begun[stop.tid] = self._begun.pop(former)
        self._observer(stop)

    def takes_records_of(self, abi: Abi, name: str, /) -> bool:
        """Tell whether a call can be decoded from its record."""
        return captured_arguments(abi, name) is not None

    def blocks_of(self, abi: Abi, name: str, /) -> Blocks:
        """Tell which blocks are decoded besides strings."""
        return captured_blocks(abi, name, self._string_limit)

    def write(self, batch: Batch) -> None:
        """Tell of each call."""
        begun, tells_whole_call = self._begun, self._tells_whole_call
        for record in batch:
            flags, entered_ns = record.flags, record.entered_ns
            if flags & BY_PYTHON:
                continue
            is_whole = flags & _ANSWERED and not flags & _PARTIAL and record.tid not in begun
            if is_whole and tells_whole_call is not None and tells_whole_call(record):
                continue
            call, injected, after = record.call, flags & INJECTED != 0, record.memory_after
            if flags & ALONE:
                self._observer(
                    SyscallExitStop(
                        call, record.result, after, entered_ns, entered_ns, injected, alone=True
                    )
                )
                continue
            told = begun.pop(record.tid, None) == entered_ns
            if not told:
                self._observer(SyscallEntryStop(call, record.memory, entered_ns))
            if flags & ENTERED:
                begun[record.tid] = entered_ns
            elif flags & _ANSWERED or told or _never_returns(record):
                result = record.result if flags & _ANSWERED else None
                # What was answered at its entry has no other time.
                left_ns = record.left_ns or entered_ns
                self._observer(SyscallExitStop(call, result, after, entered_ns, left_ns, injected))

    def close(self) -> None:
        """Do nothing: every call has been told of."""


def _never_returns(record: Record) -> bool:
    """Tell a call whose exit-stop was waited for in vain from one that was let run without."""
    return record.left_ns != 0 or roles.result(record.name) is Role.NONE
