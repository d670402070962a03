"""One supervisor: a thread that answers notifications, seccomp_unotify(2).

Several may wait at one listener. The loop answers what its tables tell; the rest comes to Python,
where the handlers of one Tracer run one at a time, whoever calls them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from threading import RLock
from time import monotonic_ns
from typing import TYPE_CHECKING, Final, TypeAlias

from accel._kernel import notify
from accel.abi import Abi
from accel.call import Call, Memory
from accel.decision import ERROR_RESULTS, RESUME, Answer, Decision, Injected
from accel.errors import HandlerError, TraceeDied
from accel.mechanisms import loop_cache, notify_twin
from accel.mechanisms.call_records import CallRecords
from accel.mechanisms.family import began_at
from accel.mechanisms.listener import Listener
from accel.mechanisms.loop_choice import Compiled, LoopChoice
from accel.mechanisms.notified_memory import NotifiedMemory
from accel.mechanisms.notified_stop import blank_notified_stop
from accel.mechanisms.notify_tables import (
    ASKS,
    BEAT,
    ENDED,
    NOTIFICATIONS,
    NOTIFIED,
    PROCESS,
    NotifyTables,
)
from accel.results import CallCounter
from accel.stops import EventStop, SyscallEntryStop, SyscallExitStop
from accel.tracee import PendingCall, Tracee, process_of

if TYPE_CHECKING:
    from accel.mechanisms.contract import Observer, Policy

__all__ = ["Supervisor"]

#: How many notifications the loop answers before Python looks whether a faster loop is there.
_PER_BEAT: Final = 256
_SYS_EXIT_GROUP: Final = 231
#: The ABI of a call, the number of its rule, and who counts it.
_Known: TypeAlias = tuple[Abi, int, CallCounter]
_compiled: Final = Compiled(loop_cache.NOTIFY_LOOP, "next_notification")


class Supervisor:
    """Answers until nobody is left under the filter, or somebody has failed.

    ``turn`` is held while policy and observers are at work; until the command is known to have
    executed, ``before`` is called with the stop of each call that Python answers.
    """

    def __init__(
        self,
        listener: Listener,
        policy: Policy,
        observe: Observer,
        turn: RLock,
        *,
        before: Callable[[SyscallEntryStop], None] | None = None,
        records: CallRecords | None = None,
    ) -> None:
        answers: Mapping[tuple[Abi, int], Answer] = policy.notify_answers()
        self.tables = NotifyTables(
            listener.descriptor, answers, policy.notify_judgements(), polls=listener.polls
        )
        self._listener = listener.descriptor
        self._policy = policy
        self._handlers = self.tables.handlers
        self._observe = observe
        self._turn = turn
        self._has_given_up = listener.has_given_up
        #: Whether whoever notifies is to be killed.
        self.is_ending = False
        self._before = before
        #: The processes that notifications came from, and when each began.
        self.processes: dict[int, int] = {}
        self._records = records
        self._tracees: dict[int, Tracee] = {}
        #: By number and architecture, calls that have come of which those tell the rule.
        self._known: dict[tuple[int, ...], _Known] = {}
        #: Whether somebody looks at calls.
        self._is_watched = policy.calls_observed or records is not None
        self._counters: dict[tuple[Abi, int], CallCounter] = {}
        self._choice = LoopChoice(twin=notify_twin.next_notification, compiled=_compiled)

    @property
    def notifications(self) -> int:
        """How many were received so far; from any thread."""
        return self.tables.control.view[NOTIFICATIONS]

    def counters(self) -> dict[tuple[Abi, int], CallCounter]:
        """Sum up every call so far, whoever answered it; from any thread."""
        counters = dict(self._counters)
        for key, counter in self.tables.calls():
            counters[key] = counter + counters.get(key, CallCounter())
        return counters

    def run(self) -> None:
        """Answer notifications; raise what a handler or an observer raises."""
        tables = self.tables
        while True:
            why = self._choice.next_change(tables, self._asked)
            if why == NOTIFIED:
                self._notified()
            elif why == ENDED:
                return
            else:
                self._choice.consider(self.notifications)
                tables.control.view[BEAT] = _PER_BEAT

    def executed(self) -> None:
        """Take note that the command runs: from now on handlers may be asked in passing."""
        self._before = None
        self.tables.control.view[ASKS] = True
        if self.is_ending:
            self.end()

    def end(self) -> None:
        """Kill whoever notifies from now on; from any thread."""
        self.is_ending = True
        self.tables.control.view[ASKS] = False

    def kill(self) -> None:
        """Kill the process of the notification that came last: it waits for an answer."""
        notification, tid, *_rest = self.tables.notification()
        if tid and notify.is_valid(self._listener, notification):
            with contextlib.suppress(OSError):
                os.kill(self._tracee_of(tid).pid, signal.SIGKILL)

    # ------------------------------------------------------------------------- one notification

    def _notified(self) -> None:
        words = self.tables.notification()
        known = self._known.get(words[3:5])
        tracee = self._tracee_of(words[1])
        if self.is_ending:
            self.kill()
            return
        abi = known[0] if known is not None else self._abi_of(words, tracee)
        if abi is None:
            self.tables.let_run()
            return
        stop = blank_notified_stop()
        stop.notified(words, tracee, self._listener)
        self._turn.acquire()  # ``with`` takes twice as long.
        try:
            self._answer(stop, known)
        except TraceeDied:
            pass  # It was killed while it waited: no answer reaches it.
        finally:
            self._turn.release()
            tracee.stop_number += 1

    def _asked(self, rule: int) -> None:
        """Ask the handler of a rule about the call that has notified, and answer it.

        Nobody else looks at the call, the loop has counted it, and it knows the thread.
        """
        tables = self.tables
        words = tables.notification()
        tracee = self._tracees[words[1]]
        stop = blank_notified_stop()
        stop.notified(words, tracee, self._listener)
        self._turn.acquire()  # ``with`` takes twice as long.
        try:
            try:
                answer = self._handlers[rule](stop)
            except BaseException as error:  # noqa: BLE001 - raised again
                self._policy.raised(stop, error)
            if answer is None or answer is RESUME:
                tables.let_run()
            elif type(answer) is Decision and answer.is_plain_skip:
                value = answer.value or 0
                tables.skip(value)
                if value in ERROR_RESULTS:
                    tables.failed(stop.abi, stop.number)
            else:
                decision = self._policy.decided(rule, stop, answer)
                counter = self._counters.setdefault((stop.abi, stop.number), CallCounter())
                self._carry_out(stop, rule, decision, counter)
        except TraceeDied:
            pass  # It was killed while it waited: no answer reaches it.
        finally:
            self._turn.release()
            tracee.stop_number += 1

    def _abi_of(self, words: tuple[int, ...], tracee: Tracee) -> Abi | None:
        """Tell the ABI of a call that is new here; None if it is not for anybody to look at."""
        number, arch = words[3:5]
        abi = Abi.of(arch, number)
        if abi in (Abi.X86_64, Abi.I386):
            # The child's own, as it could not execute the command?
            return None if number == _SYS_EXIT_GROUP and self._has_given_up() else abi
        what = f"it made call {number:#x} of unknown ABI {arch:#x}"
        self._blind_spot(words[1], tracee.pid, what)
        return None

    def _tracee_of(self, tid: int) -> Tracee:
        """Find the thread that notifies."""
        tracee = self._tracees.get(tid)
        if tracee is None or tracee.pid != self.tables.control.view[PROCESS]:
            pid = process_of(tid)
            tracee = self._tracees[tid] = Tracee(tid, pid)
            self.tables.identities.view[tid] = pid
            self.processes[pid] = began_at(pid)
        return tracee

    def _answer(self, stop: SyscallEntryStop, known: _Known | None) -> None:
        before = self._before
        if before is not None:
            before(stop)
        known = known or self._look_up(stop)
        if known is None:
            self._nobodys(stop.call)
            return
        _abi, rule, counter = known
        counter.calls += 1
        counter.notifications += 1
        decision = self._policy.decide(rule, stop, counter)
        self._carry_out(stop, rule, decision, counter)

    def _carry_out(
        self, stop: SyscallEntryStop, rule: int, decision: Decision, counter: CallCounter
    ) -> None:
        """Tell the loop what a call gets, and observers."""
        if decision.exit or decision.signal or decision.entry_delay_ns:
            raise _impossible(decision, stop.call)
        is_told = self._is_watched and decision.start
        pending = self._begun(stop, decision, rule) if is_told else None
        if decision.call:
            self.tables.let_run()
            return
        result, is_answered = decision.value or 0, False
        if decision.injected is not None:
            result, is_answered = self._inject(decision.injected)
        if not is_answered:
            self.tables.skip(result)
        if result < 0:
            counter.returned(result, 0)
        if pending is not None:
            self._returned(pending, stop.memory, result)

    def _begun(self, stop: SyscallEntryStop, decision: Decision, rule: int) -> PendingCall:
        """Tell of a call that somebody looks at."""
        self._observe(stop)
        pending = PendingCall(stop.call, decision, stop.time_ns, rule)
        if self._records is not None:
            memory = stop.memory
            assert isinstance(memory, NotifiedMemory)
            self._records.enter(pending, memory.check)
        return pending

    def _look_up(self, stop: SyscallEntryStop) -> _Known | None:
        """Find the rule of a call, and its counter; keep what its number alone tells."""
        call = stop.call
        key = (call.abi, call.number)
        sole = self._policy.sole_rule(*key)
        rule = self._policy.match(call) if sole is None else sole
        if sole is None and rule is not None:
            rule = self._policy.settle(rule, stop)
        if rule is None:
            return None
        found = call.abi, rule, self._counters.setdefault(key, CallCounter())
        if sole is not None and call.number != _SYS_EXIT_GROUP:
            self._known[call.number, call.abi.audit_arch] = found
        return found

    def _nobodys(self, call: Call) -> None:
        """Let a call run that no rule decides on; report it if it is a blind spot."""
        if self._policy.watches(call):
            what = f"it uses {call.name}, whose operations are not system calls"
            self._blind_spot(call.tid, call.pid, what)
        self.tables.let_run()

    def _returned(self, pending: PendingCall, memory: Memory, result: int) -> None:
        """Tell that a call returns which did not run, before it does."""
        now = monotonic_ns()
        if self._records is not None:
            self._records.returned(pending, result, now, injected=True)
        self._observe(
            SyscallExitStop(pending.call, result, memory, pending.entered_ns, now, injected=True)
        )

    def _inject(self, injected: Injected) -> tuple[int, bool]:
        """Copy a descriptor into the process; return what the call returns, and whether it has.

        One ioctl does both, if nobody looks at the call: who does looks before it returns.
        """
        source = injected.source
        descriptor = notify.sealed_file(source) if isinstance(source, bytes) else source
        answers = not self._policy.calls_observed
        add = partial(
            notify.add_descriptor,
            self._listener,
            self.tables.notification()[0],
            descriptor,
            cloexec=injected.cloexec,
        )
        try:
            return _number_there(add, answers=answers)
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise TraceeDied("SECCOMP_IOCTL_NOTIF_ADDFD", 0) from None
            if error.errno == errno.EMFILE:
                return -errno.EMFILE, False
            raise HandlerError(f"{injected}: {error.strerror}") from error
        finally:
            if isinstance(source, bytes):
                os.close(descriptor)

    def _blind_spot(self, tid: int, pid: int, detail: str) -> None:
        with self._turn:
            self._observe(EventStop(tid, pid, "blind-spot", 0, detail, monotonic_ns()))


def _number_there(add: Callable[..., int], *, answers: bool) -> tuple[int, bool]:
    """Add a descriptor, and answer with it if wanted and, since Linux 5.14, possible."""
    if answers:
        try:
            return add(answers=True), True
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    return add(answers=False), False


def _impossible(decision: Decision, call: Call) -> HandlerError:
    """Say why a notification cannot be answered so."""
    what = f"the handler of {call.name} returned {decision}"
    if decision.exit:
        return HandlerError(
            f"{what}: a notification shows no result; return resume(), skip() or fail(), or use"
            " mechanism seccomp-trace"
        )
    return HandlerError(
        f"{what}: by notification there is no stop to send a signal at, or to stay in; use"
        " mechanism seccomp-trace"
    )
