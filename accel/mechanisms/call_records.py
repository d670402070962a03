"""Records of the calls that Python answered, among those that the loop writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from accel.abi import Abi
from accel.mechanisms.recorder import Recorder
from accel.mechanisms.ring import ALL_STRINGS
from accel.mechanisms.twin_loop import read_captured
from accel.records import ALONE, BY_PYTHON, CAPTURED, ENTERED, INJECTED, RETURNED, pack
from accel.tracee import PendingCall

__all__ = ["CallRecords"]


def _nothing() -> None:
    pass


class CallRecords:
    """Writes to a recorder's ring; ``captures`` are the arguments to capture, as bits.

    Of these the strings alone: who looks at blocks has been told of the call by Python.
    """

    def __init__(self, recorder: Recorder, captures: Mapping[tuple[Abi, int], int]) -> None:
        self._recorder = recorder
        self._captures = captures

    def enter(self, pending: PendingCall, check: Callable[[], None] = _nothing) -> None:
        """Record a call at its stop: its strings, and all of it if no exit-stop will follow.

        ``check`` raises if what was just read may not be the tracee's.
        """
        call, decision = pending.call, pending.decision
        ring = self._recorder.ring
        if not ring.drops and ring.is_full:
            self._recorder.make_room()
        mask = self._captures.get((call.abi, call.number), 0) & ALL_STRINGS
        if mask and not ring.is_full:
            pending.strings, pending.flags = ring.capture(
                mask, call.arguments, partial(read_captured, call.tid)
            )
            check()
        if decision.start and decision.exit and pending.flags & CAPTURED:
            self._append(pending, ENTERED)
        elif decision.start and decision.call and not decision.exit:
            self._append(pending, 0)

    def returned(self, pending: PendingCall, result: int, left_ns: int, *, injected: bool) -> None:
        """Record a call whose result is known."""
        decision = pending.decision
        flags = (INJECTED if injected else 0) | (RETURNED if decision.exit else 0)
        flags |= 0 if decision.start else ALONE
        self._append(pending, flags, result, left_ns if pending.decision.exit else 0)

    def never_returned(self, pending: PendingCall) -> None:
        """Record a call that has no end."""
        self._append(pending, 0)

    def _append(self, pending: PendingCall, flags: int, result: int = 0, left_ns: int = 0) -> None:
        ring = self._recorder.ring
        if not ring.drops and ring.is_full:
            self._recorder.make_room()
        ring.append(
            pack(
                pending.call,
                entered_ns=pending.entered_ns,
                left_ns=left_ns,
                rule=pending.rule,
                result=result,
                strings=pending.strings,
                flags=pending.flags | flags | BY_PYTHON,
            )
        )
