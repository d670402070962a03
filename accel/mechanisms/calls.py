"""One call from its first stop to its end: decide, count, report."""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING, Final

import bpf
from accel.abi import Abi
from accel.call import Call
from accel.decision import Decision
from accel.mechanisms.call_records import CallRecords
from accel.mechanisms.stop_tables import StopTables
from accel.results import CallCounter
from accel.stops import EventStop, Stop, SyscallEntryStop, SyscallExitStop
from accel.tracee import PendingCall, StopMemory, Tracee
from bpf.value import replace

if TYPE_CHECKING:
    from accel.mechanisms.contract import Observer, Policy, RuleNumber

__all__ = ["Calls", "call_of"]

#: The combination whose only stop stands for the call's exit.
_EMULATE: Final = 6
#: Of calls that no rule decides on.
_NO_RULE: Final = 0xFFFF
#: Calls through the vsyscall page are emulated, without exit-stop. seccomp_filter.rst, "Caveats".
_VSYSCALL: Final = range(0xFFFF_FFFF_FF60_0000, 0xFFFF_FFFF_FF60_1000)


class Calls:
    """The calls that stopped; those that have not ended are remembered by their tracees."""

    def __init__(
        self,
        policy: Policy,
        observe: Observer,
        tables: StopTables,
        records: CallRecords | None = None,
    ) -> None:
        self.counters: dict[tuple[Abi, int], CallCounter] = {}
        self._policy = policy
        self._tables = tables
        self._records = records
        #: Who is told of every stop.
        self.observe = observe
        self._is_silent = False

    def enter(self, tracee: Tracee, call: Call, rule: RuleNumber) -> bool:
        """Answer a call at its entry- or seccomp-stop; the caller then resumes the tracee.

        Return whether the call is to run.
        """
        if tracee.pending is not None or self._tables.is_pending(tracee.tid):
            self.never_returned(tracee)
        stop = SyscallEntryStop(call, StopMemory(tracee), monotonic_ns())
        counter = self._counter(call)
        counter.calls += 1
        counter.stops += 1
        tracee.returning = counter
        settled = self._policy.settle(rule, stop)
        # None: registers alone could not tell that no rule is about it.
        return settled is None or self._decide(tracee, stop, counter, settled)

    def _decide(
        self, tracee: Tracee, stop: SyscallEntryStop, counter: CallCounter, rule: RuleNumber
    ) -> bool:
        decision = self._policy.decide(rule, stop, counter)
        return self.carry_out(tracee, stop, rule, decision)

    def carry_out(
        self, tracee: Tracee, stop: SyscallEntryStop, rule: RuleNumber, decision: Decision
    ) -> bool:
        """Do to a call what was decided at its entry- or seccomp-stop; as ``enter``."""
        call = stop.call
        if decision.exit:
            decision = _possible(decision, call)
        if decision.start:
            self.observe(stop)
        if not decision.is_plain:
            _disturb(tracee, decision)
        if decision.call and not decision.exit and (self._records is None or not decision.start):
            return True
        pending = PendingCall(call, decision, stop.time_ns, rule)
        if self._records is not None:
            self._records.enter(pending)
        if not decision.call:
            self._tables.skip_call(decision.value or 0)
        if decision.exit and decision.combination == _EMULATE:
            self._emulated(tracee, pending)
        elif decision.exit:
            tracee.pending, tracee.returning = pending, None
            self._tables.withhold(tracee.tid)
        elif not decision.call:
            # Nothing more will happen: the result is known without an exit-stop.
            value = decision.value or 0
            stop_after = _exit_stop(tracee, pending, value, injected=True)
            self._returned(pending, stop_after, value, is_told=decision.start)
        return decision.call

    def _emulated(self, tracee: Tracee, pending: PendingCall) -> None:
        """Let the exit handlers say what a call returns that does not run, at its only stop."""
        value = pending.decision.value or 0
        stop = _exit_stop(tracee, pending, value, injected=True)
        changed = self._policy.returned(stop, self._counter(pending.call))
        if changed is not None:
            self._tables.skip_call(changed)
            stop = _exit_stop(tracee, pending, changed, injected=True)
        self._returned(pending, stop, stop.result or 0)

    def answer(self, tracee: Tracee, call: Call, value: int, *, observed: bool) -> None:
        """Skip a call that no rule decides on, as if the kernel had returned ``value``."""
        self.never_returned(tracee)
        self._tables.skip_call(value)
        if not observed:
            return
        stop = SyscallEntryStop(call, StopMemory(tracee), monotonic_ns())
        counter = self._counter(call)
        counter.calls += 1
        counter.stops += 1
        self.observe(stop)
        pending = PendingCall(call, Decision.skip(value), stop.time_ns, _NO_RULE)
        if self._records is not None:
            self._records.enter(pending)
        self._returned(pending, _exit_stop(tracee, pending, value, injected=True), value)

    def exit(self, tracee: Tracee, returned: int) -> None:
        """Take an exit-stop; one that nobody waits for (of plain stops) is only counted."""
        pending, tracee.pending = tracee.pending, None
        if pending is None:
            if tracee.returning is not None:
                tracee.returning.stops += 1
                tracee.returning = None
            return
        tracee.delay_ns = pending.decision.exit_delay_ns
        counter = self._counter(pending.call)
        counter.stops += 1
        injected = not pending.decision.call
        result = (pending.decision.value or 0) if injected else returned
        if not self._policy.tells_exit(pending.rule, result):
            self._returned(pending, _exit_stop(tracee, pending, result), result, is_told=False)
            return
        stop = _exit_stop(tracee, pending, result, injected=injected)
        changed = self._policy.returned(stop, counter)
        if changed is not None:
            result = changed
            stop = _exit_stop(tracee, pending, result, injected=True)
        if result != returned:
            self._tables.set_result(result)
        self._returned(pending, stop, result)

    def repeated(self, call: Call, stops: int) -> None:
        """Count stops that it takes besides to let a call run."""
        self._counter(call).stops += stops

    def exited(self, tracee: Tracee, call: Call, sample: bpf.ExitSample, *, is_late: bool) -> None:
        """Take a call that an exit event tells of; a late one is not where the tracee is now."""
        if self._is_silent:
            return
        rule = self._policy.match(call)
        if rule is None or not self._policy.is_by_event(rule):
            return  # The kernel does not know of other rules, nor of arguments.
        if not self._policy.tells_exit(rule, sample.result):
            return
        counter = self._counter(call)
        counter.calls += 1
        counter.stops += not is_late
        pending = PendingCall(call, Decision.exit_only(), sample.time_ns, rule)
        if self._records is not None:
            self._records.enter(pending)
        result = sample.result
        stop = _exit_stop(tracee, pending, result, time_ns=sample.time_ns)
        changed = self._policy.returned(stop, counter)
        if changed is not None and changed != result:
            if is_late:
                self.blind_spot(tracee, f"the result of {call.name} stays: it blocks SIGTRAP")
            else:
                self._tables.set_result(changed)
                stop = replace(stop, result=changed, injected=True)
        self._returned(pending, stop, stop.result or 0)

    def silence(self) -> None:
        """Tell nobody of anything more, and ask no handler about calls that have returned."""
        self.observe = _ignore
        self._is_silent = True

    def never_returned(self, tracee: Tracee) -> None:
        """Report the pending call, if any, as one without a result."""
        self._tables.withhold(tracee.tid)
        tracee.returning = None
        pending, tracee.pending = tracee.pending, None
        if pending is None:
            return
        if self._records is not None:
            self._records.never_returned(pending)
        if pending.decision.start:
            self.observe(_exit_stop(tracee, pending, None))

    def blind_spot(self, tracee: Tracee, detail: str) -> None:
        """Report something that tracing cannot see."""
        stop = EventStop(tracee.tid, tracee.pid, "blind-spot", 0, detail, monotonic_ns())
        self.observe(stop)

    def _returned(
        self, pending: PendingCall, stop: SyscallExitStop, result: int, *, is_told: bool = True
    ) -> None:
        # Time is that between two stops.
        elapsed = stop.time_ns - stop.entered_ns if pending.decision.exit else 0
        self._counter(pending.call).returned(result, elapsed)
        if not is_told:
            return
        if self._records is not None:
            self._records.returned(pending, result, stop.time_ns, injected=stop.injected)
        self.observe(stop)

    def _counter(self, call: Call) -> CallCounter:
        key = (call.abi, call.number)
        counter = self.counters.get(key)
        if counter is None:
            counter = self.counters[key] = CallCounter()
        return counter


def _ignore(_stop: Stop, /) -> None:
    pass


def _exit_stop(
    tracee: Tracee,
    pending: PendingCall,
    result: int | None,
    *,
    injected: bool = False,
    time_ns: int = 0,
) -> SyscallExitStop:
    return SyscallExitStop(
        pending.call,
        result,
        StopMemory(tracee),
        pending.entered_ns,
        time_ns or monotonic_ns(),
        injected,
        alone=not pending.decision.start,
        delayed=result is not None and pending.decision.is_delayed,
    )


def _possible(decision: Decision, call: Call) -> Decision:
    """Let a decision that asks for an exit-stop wait for none where the kernel has none."""
    if call.instruction_pointer in _VSYSCALL and decision.combination != _EMULATE:
        return replace(decision, exit=False)
    return decision


def _disturb(tracee: Tracee, decision: Decision) -> None:
    """Do to the tracee, at the stop before its call, what a decision does besides."""
    if decision.signal:
        tracee.send(decision.signal)
    tracee.delay_ns = decision.entry_delay_ns


def call_of(tid: int, pid: int, words: tuple[int, ...]) -> Call | None:
    """Build the call of an entry- or seccomp-stop from the words of its ptrace.SYSCALL_INFO.

    None in an ABI whose calls are not traced.
    """
    _op, arch, ip, sp, number = words[:5]
    arguments = words[5:11]
    abi = Abi.of(arch, number)
    if abi is Abi.I386:
        # int 0x80 from 64-bit code leaves the upper halves as they were; the kernel ignores them.
        arguments = tuple([word & 0xFFFF_FFFF for word in arguments])
    elif abi is not Abi.X86_64:
        return None
    return Call(tid, pid, abi, number, arguments, ip, sp)  # type: ignore[arg-type]  # six
