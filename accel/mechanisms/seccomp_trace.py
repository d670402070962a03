"""seccomp-trace: a filter selects the calls, ptrace answers them; all others run untouched."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import ClassVar, Final

from accel.call import Call
from accel.decision import ERROR_RESULTS, RESUME, Decision
from accel.errors import TraceeDied
from accel.mechanisms.live_stop import blank_exit_stop, blank_stop
from accel.mechanisms.placement import AFFINITY_CALLS
from accel.mechanisms.ptrace_loop import PtraceLoop
from accel.mechanisms.stop_tables import CHANGE_STATUS, CHANGE_TID, EXITS, REPLY_TID
from accel.stops import SyscallEntryStop, SyscallExitStop
from accel.tracee import Tracee

__all__ = ["SeccompTrace"]

_CLONE_UNTRACED: Final = 0x0080_0000


class SeccompTrace(PtraceLoop):
    """Trace a command that runs under a filter; between selected calls with PTRACE_CONT."""

    every_call: ClassVar[bool] = False
    asks_in_passing: ClassVar[bool] = True

    def _asked(self, rule: int) -> None:
        """Ask the handler of a rule about the stop that the loop has found, and answer it.

        Nobody else looks at the call, and the loop has counted it, so that most answers take but a
        word to the loop.
        """
        if rule >= EXITS:
            self._asked_of_exit(rule - EXITS)
            return
        tables = self.tables
        view = tables.control.view
        tracee = self.tracees[view[CHANGE_TID]]
        stop = blank_stop()
        stop.traced(tables.words(), tracee)
        try:
            answer = self._handlers[rule](stop)
        except BaseException as error:  # noqa: BLE001 - raised again
            self._failed(tracee, stop, error)
            return
        if answer is None or answer is RESUME:
            pass
        elif type(answer) is Decision and answer.is_plain_skip:
            value = answer.value or 0
            tables.skip_call(value)
            if value in ERROR_RESULTS:
                tables.failed(stop.abi, stop.number)
        else:
            with self._answering(tracee):
                decision = self._policy.decided(rule, stop, answer)
                self.calls.carry_out(tracee, stop, rule, decision)
                self._resume(tracee)
            return
        tracee.stop_number += 1
        view[REPLY_TID] = tracee.tid

    def _asked_of_exit(self, rule: int) -> None:
        """Ask the handler of a rule about an exit-stop; only who replaces the result takes more."""
        tables = self.tables
        view = tables.control.view
        tid = view[CHANGE_TID]
        tracee = self.tracees[tid]
        stop = blank_exit_stop()
        stop.returned(tables.fields(tid), tracee)
        try:
            answer = self._handlers[rule](stop)
        except BaseException as error:  # noqa: BLE001 - raised again
            self._failed(tracee, stop, error)
            return
        if answer is None:
            tracee.stop_number += 1
            view[REPLY_TID] = tid
            return
        with self._answering(tracee):
            result = self._policy.replacing(stop, answer)
            if result is not None and result != stop.result:
                tables.set_result(result)
                tables.failed(
                    stop.abi,
                    stop.number,
                    (result in ERROR_RESULTS) - (stop.result in ERROR_RESULTS),
                )
            self._resume(tracee)

    def _failed(
        self, tracee: Tracee, stop: SyscallEntryStop | SyscallExitStop, error: BaseException
    ) -> None:
        """End the run with what a handler has raised, unless its tracee was killed meanwhile."""
        with self._answering(tracee):
            self._policy.raised(stop, error)

    @contextlib.contextmanager
    def _answering(self, tracee: Tracee) -> Iterator[None]:
        """Give up what goes wrong; a tracee that was killed in its stop is reported by wait."""
        try:
            yield
        except TraceeDied:
            pass
        except BaseException:
            self._give_up(tracee.tid, self.tables.control.view[CHANGE_STATUS])
            raise

    def _seccomp_stop(self, tracee: Tracee) -> None:
        words = self.tables.words()
        ret_data = words[-1]
        rule = self._policy.rule_of(ret_data)
        call = self._call_of(tracee, words)
        if call is None:
            pass  # Of no ABI of ours; or the launching child gives up, by exit_group.
        elif rule is not None:
            self.calls.enter(tracee, call, rule)
        elif self._policy.is_watched(ret_data):
            self._watched(tracee, call)
        else:
            # The tracee's own filter asked for a tracer. Alone it would have none, and the kernel
            # would fail the call: seccomp(2), SECCOMP_RET_TRACE.
            selected = self._policy.match(call) is not None
            self.calls.answer(tracee, call, -errno.ENOSYS, observed=selected)
        self._resume(tracee)

    def _watched(self, tracee: Tracee, call: Call) -> None:
        """Take note of a call that stopped for what it is; then ask the rules for an answer."""
        if call.name in AFFINITY_CALLS:
            self.placement.release()  # What it sees, or sets, is its own.
        elif call.name == "clone":
            # The child would keep the filter and, without a tracer, fail at every selected call.
            self.calls.blind_spot(tracee, "it uses clone with CLONE_UNTRACED, which is taken away")
            tracee.set_argument(call.abi, 0, call.arguments[0] & ~_CLONE_UNTRACED)
        else:
            self.calls.blind_spot(
                tracee, f"it uses {call.name}, whose operations are not system calls"
            )
            return
        rule = self._policy.match(call)
        if rule is not None and not self._policy.is_by_event(rule):
            self.calls.enter(tracee, call, rule)

    def _entry_stop(self, tracee: Tracee, _words: tuple[int, ...], /) -> None:
        # Only a pending call is resumed to a boundary, so it had no exit-stop.
        self.calls.never_returned(tracee)
