"""One call from its first stop to its end: decide, count, report."""

from __future__ import annotations

from time import monotonic_ns
from typing import Final

from accel.abi import Abi
from accel.call import Call
from accel.decision import Decision
from accel.mechanisms.call_records import CallRecords
from accel.mechanisms.contract import Observer, Policy, RuleNumber
from accel.mechanisms.stop_tables import StopTables
from accel.result import CallCounter
from accel.stops import EventStop, SyscallEntryStop, SyscallExitStop
from accel.tracee import PendingCall, StopMemory, Tracee

__all__ = ["Calls", "call_of"]

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

    def enter(self, tracee: Tracee, call: Call, rule: RuleNumber) -> None:
        """Answer a call at its entry- or seccomp-stop; the caller then resumes the tracee."""
        if tracee.pending is not None or self._tables.is_pending(tracee.tid):
            self.never_returned(tracee)
        stop = SyscallEntryStop(call, StopMemory(tracee), monotonic_ns())
        counter = self._counter(call)
        counter.calls += 1
        counter.stops += 1
        decision, handlers = self._policy.decide(rule, stop)
        counter.handler_calls += handlers
        if decision.exit and call.instruction_pointer in _VSYSCALL:
            decision = Decision(start=True, call=decision.call, exit=False, value=decision.value)
        self.observe(stop)
        if self._records is None and decision.call and not decision.exit:
            return
        pending = PendingCall(call, decision, stop.time_ns)
        if self._records is not None:
            self._records.enter(pending, rule)
        if not decision.call:
            self._tables.skip_call(decision.value or 0)
        if decision.exit:
            tracee.pending = pending
            self._tables.withhold(tracee.tid)
        elif not decision.call:
            # Nothing more will happen: the result is known without an exit-stop.
            value = decision.value or 0
            self._returned(pending, _exit_stop(tracee, pending, value, injected=True), value)

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
        pending = PendingCall(call, Decision.skip(value), stop.time_ns)
        if self._records is not None:
            self._records.enter(pending, rule=0xFFFF)
        self._returned(pending, _exit_stop(tracee, pending, value, injected=True), value)

    def exit(self, tracee: Tracee, returned: int) -> None:
        """Take an exit-stop; one that nobody waits for (of plain stops) is not looked at."""
        pending, tracee.pending = tracee.pending, None
        if pending is None:
            return
        counter = self._counter(pending.call)
        counter.stops += 1
        injected = not pending.decision.call
        result = (pending.decision.value or 0) if injected else returned
        stop = _exit_stop(tracee, pending, result, injected=injected)
        changed, handlers = self._policy.returned(stop)
        counter.handler_calls += handlers
        if changed is not None:
            result = changed
            stop = _exit_stop(tracee, pending, result, injected=True)
        if result != returned:
            self._tables.set_result(result)
        self._returned(pending, stop, result)

    def never_returned(self, tracee: Tracee) -> None:
        """Report the pending call, if any, as one without a result."""
        self._tables.withhold(tracee.tid)
        pending, tracee.pending = tracee.pending, None
        if pending is None:
            return
        if self._records is not None:
            self._records.never_returned(pending)
        self.observe(_exit_stop(tracee, pending, None))

    def blind_spot(self, tracee: Tracee, detail: str) -> None:
        """Report something that tracing cannot see."""
        stop = EventStop(tracee.tid, tracee.pid, "blind-spot", 0, detail, monotonic_ns())
        self.observe(stop)

    def _returned(self, pending: PendingCall, stop: SyscallExitStop, result: int) -> None:
        self._counter(pending.call).returned(result, stop.time_ns - stop.entered_ns)
        if self._records is not None:
            self._records.returned(pending, result, stop.time_ns, injected=stop.injected)
        self.observe(stop)

    def _counter(self, call: Call) -> CallCounter:
        key = (call.abi, call.number)
        counter = self.counters.get(key)
        if counter is None:
            counter = self.counters[key] = CallCounter()
        return counter


def _exit_stop(
    tracee: Tracee, pending: PendingCall, result: int | None, *, injected: bool = False
) -> SyscallExitStop:
    return SyscallExitStop(
        pending.call, result, StopMemory(tracee), pending.entered_ns, monotonic_ns(), injected
    )


def call_of(tracee: Tracee, words: tuple[int, ...]) -> Call | None:
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
    return Call(tracee.tid, tracee.pid, abi, number, arguments, ip, sp)  # type: ignore[arg-type]  # six
