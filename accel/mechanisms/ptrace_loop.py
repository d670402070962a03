"""The loop of one tracing thread: wait, classify, answer, resume.

Every stop is dispatched by what ptrace(2) says it is, never by a flag that is toggled between entry
and exit. The loop ends when its last tracee has. One thread does all of it: ptrace requests must
come from the thread that attached.
"""

from __future__ import annotations

import abc
import contextlib
import os
import signal as signals
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from time import monotonic_ns
from typing import TYPE_CHECKING, ClassVar, Final

from accel._kernel import ptrace, spawn
from accel._kernel.wait import WSTOPPED_EVENT_SHIFT, has_changed
from accel.abi import Abi
from accel.call import Call
from accel.capabilities import PlacementName
from accel.errors import TraceeDied
from accel.mechanisms.call_records import CallRecords
from accel.mechanisms.calls import Calls, call_of
from accel.mechanisms.delays import Delays
from accel.mechanisms.loop_choice import LoopChoice
from accel.mechanisms.placement import Placement
from accel.mechanisms.recorder import Recorder
from accel.mechanisms.stop_tables import ASKS, BEAT, CHANGED, RING_FULL, TRACEES, StopTables
from accel.results import CallCounter
from accel.stops import EventStop, Exited, GroupStop, Killed, SignalDeliveryStop
from accel.tracee import Tracee, process_of

if TYPE_CHECKING:
    from accel.mechanisms.contract import Observer, Policy
    from accel.mechanisms.exit_events import ExitEvents

__all__ = ["TRACE_OPTIONS", "PtraceLoop", "kill_process"]

TRACE_OPTIONS: Final = (
    ptrace.PTRACE_O_TRACESYSGOOD
    | ptrace.PTRACE_O_TRACEFORK
    | ptrace.PTRACE_O_TRACEVFORK
    | ptrace.PTRACE_O_TRACECLONE
    | ptrace.PTRACE_O_TRACEEXEC
    | ptrace.PTRACE_O_TRACEEXIT
    | ptrace.PTRACE_O_TRACESECCOMP
)

#: How many stops the loop answers before Python looks at the clock: while a decision on the loop
#: or on the placement may be due, and after that.
_STOPS_PER_BEAT: Final = 16
_STOPS_PER_SLOW_BEAT: Final = 8192
_SYS_EXECVE: Final = 59
_SYSCALL_STOP: Final = signals.SIGTRAP | 0x80
_SECCOMP_STOP: Final = ptrace.PTRACE_EVENT_SECCOMP << 16 | signals.SIGTRAP << 8 | 0x7F
#: si_signo, si_errno and si_code of a siginfo_t; what they are at PTRACE_EVENT_EXIT, ptrace(2).
_SIGINFO: Final = struct.Struct("=iii")
_EXIT_CODE: Final = ptrace.PTRACE_EVENT_EXIT << 8 | signals.SIGTRAP
_NEW_CHILD: Final = {
    ptrace.PTRACE_EVENT_FORK: "fork",
    ptrace.PTRACE_EVENT_VFORK: "vfork",
    ptrace.PTRACE_EVENT_CLONE: "clone",
}


class PtraceLoop(abc.ABC):
    """Trace the tracees of the calling thread until the last has ended."""

    #: Whether tracees stop at every call: resumed with PTRACE_SYSCALL instead of PTRACE_CONT.
    every_call: ClassVar[bool]
    #: Whether handlers that alone look at a stop are asked as soon as the loop finds it.
    asks_in_passing: ClassVar[bool] = False
    #: Of seccomp(2), for the filter that the command gets.
    filter_flags = 0

    def __init__(
        self,
        policy: Policy,
        observe: Observer,
        placement: PlacementName = "none",
        recorder: Recorder | None = None,
        *,
        captures: Mapping[tuple[Abi, int], int] | None = None,
        exit_events: ExitEvents | None = None,
    ) -> None:
        self.tracees: dict[int, Tracee] = {}
        #: The thread whose end is the end of the command.
        self.root = 0
        #: Whether the tracees were there before, and are let go at the end.
        self.is_attached = False
        #: Kernel stops by kind; what wait(2) reported, nothing else.
        self.stops: Counter[str] = Counter()
        self.recorder = recorder
        self.tables = StopTables(
            {} if self.every_call else policy.loop_answers(),
            recorder.ring if recorder is not None else None,
            captures,
            policy.event_rules(),
            None if self.every_call else policy.judgements(),
        )
        records = None
        if recorder is not None and recorder.wants_all:
            records = CallRecords(recorder, captures or {})
        # Exit events are looked for at every stop that Python sees.
        self.tables.control.view[ASKS] = self.asks_in_passing and exit_events is None
        self.calls = Calls(policy, observe, self.tables, records)
        #: How the command ended, as a status of wait(2); None while it runs.
        self.status: int | None = None
        #: How many threads were ever traced.
        self.seen = 0
        self._policy = policy
        self._handlers = self.tables.handlers
        self._observe = observe
        self._exit_stops = None
        if exit_events is not None:
            from accel.mechanisms.exit_stops import ExitStops  # noqa: PLC0415 - few want them

            self._exit_stops = ExitStops(exit_events, self.calls, self.tables, self.stops)
        self._ending = False
        self._bells: dict[int, Callable[[], None]] = {}
        self._delays = Delays(self.tables, self.add_bell, self._resume)
        self._choice = LoopChoice()
        self._waits = 0
        self.placement = Placement(placement, lambda: self._waits + self.tables.answered)

    # ------------------------------------------------------------------------- who is traced

    def add(self, tracee: Tracee) -> Tracee:
        """Trace a thread that was attached to, by this thread or by the kernel."""
        self.tracees[tracee.tid] = tracee
        self.tables.control.view[TRACEES] = len(self.tracees)
        self.seen += 1
        if self._ending:
            self.end()
        return tracee

    def begin(self, root: Tracee) -> Tracee:
        """Trace the thread that will be the command."""
        self.root = root.tid
        return self.add(root)

    def meeting(self, child: spawn.Launch) -> AbstractContextManager[None]:  # noqa: ARG002 - for others
        """Do what is to be done beside until a child has executed."""
        return contextlib.nullcontext()

    def add_bell(self, pid: int, ring: Callable[[], None]) -> None:
        """Call ``ring`` when the child ``pid`` ends: how another thread interrupts the wait."""
        self._bells[pid] = ring

    def remove_bell(self, pid: int) -> None:
        """Forget a bell that its owner takes down."""
        self._bells.pop(pid, None)

    def end(self) -> None:
        """Kill every tracee, and all that appear from now on; ``run`` then reaps them.

        Those that were attached to are let go at their next stop, and run on as if nothing had
        been.
        """
        self._ending = True
        self.tables.control.view[ASKS] = False
        self._delays.end()
        self.placement.release()
        for tid in [tid for tid in self.tracees if _is_reaped(tid)]:
            # By its parent, in another thread of this process: wait will never tell of it.
            self._forget(tid)
        if self.is_attached:
            for tid in self.tracees:
                # Only those that have not stopped already need to be interrupted.
                with contextlib.suppress(OSError):
                    ptrace.interrupt(tid)
            return
        for pid in {tracee.pid for tracee in self.tracees.values()}:
            kill_process(pid)

    def abandon(self) -> None:
        """End the tracees without another word to policy or observers: one of them has failed."""
        self.calls.silence()
        self._observe = self.calls.observe
        self.end()

    def started(self) -> None:
        """Begin to drain records; in the host's thread that started the command."""
        if self.recorder is not None:
            self.recorder.start()

    def close(self) -> None:
        """Hand over what was recorded; nothing is traced any more."""
        self.placement.close()
        if self._exit_stops is not None:
            self._exit_stops.close()
        if self.recorder is not None:
            self.recorder.close()

    def run(self) -> None:
        """Answer stops until no tracee is left."""
        try:
            while self.tracees:
                self.step()
        finally:
            self.placement.release()

    def step(self) -> None:
        """Wait for one change of a tracee and answer it.

        Whatever a handler or an observer raises is raised here, after all tracees were told to end.
        """
        tid, status = self._next_change()
        if tid in self._bells:
            self._bells.pop(tid)()
            return
        try:
            if os.WIFSTOPPED(status):
                self._stopped(tid, status)
            else:
                self._ended(tid, status)
        except BaseException:
            self._give_up(tid, status)
            raise

    def _give_up(self, tid: int, status: int) -> None:
        """End the tracees; the one whose stop could not be answered must not stay in it."""
        self.abandon()
        if tid in self.tracees and os.WIFSTOPPED(status):
            self._stopped(tid, status)

    def _asked(self, rule: int) -> None:
        """Ask the handler of a rule about a stop; here the loop never wants that."""
        raise NotImplementedError(rule)

    def _next_change(self) -> tuple[int, int]:
        """Wait for a change that Python must see; the loop answers all others meanwhile."""
        while True:
            why = self._choice.next_change(self.tables, self._asked)
            if why == RING_FULL:
                assert self.recorder is not None
                self.recorder.make_room()
            elif why == CHANGED:
                self._waits += 1
                if self._waits % _STOPS_PER_BEAT == 0:
                    self._beat()
                return self.tables.change
            else:
                self._beat()

    def _beat(self) -> None:
        self._choice.consider(self._waits + self.tables.answered)
        self.placement.beat(self.tracees)
        is_settled = self.placement.is_settled and not self._choice.may_change
        self.tables.control.view[BEAT] = _STOPS_PER_SLOW_BEAT if is_settled else _STOPS_PER_BEAT

    def _stopped(self, tid: int, status: int) -> None:
        tracee = self.tracees.get(tid)
        if tracee is None:
            # A new child may stop before its parent's event tells of it: either order is right.
            tracee = self.add(Tracee(tid, process_of(tid)))
            self._event_of(tracee, "attached")
        tracee.delay_ns = 0  # What was decided at another stop ended with that stop.
        try:
            if self._ending:
                if status >> WSTOPPED_EVENT_SHIFT == ptrace.PTRACE_EVENT_EXEC:
                    tracee = self._superseding(tracee, tracee.event_message())
                self._resume(tracee, self._signal_of(tracee, status))
                return
            if self._exit_stops is not None and tracee.started and not tracee.armed:
                self._exit_stops.arm(tracee)
            if status == _SECCOMP_STOP:
                self.stops["seccomp"] += 1
                self._seccomp_stop(tracee)
            else:
                self._dispatch(tracee, status)
        except TraceeDied:
            pass  # Killed in the stop: wait reports its end like any other.

    def _signal_of(self, tracee: Tracee, status: int) -> int:
        """Tell the signal to inject after a stop that is not looked at: a delivered one's own."""
        signal = os.WSTOPSIG(status)
        if signal == _SYSCALL_STOP or status >> WSTOPPED_EVENT_SHIFT:
            return 0
        if signal == signals.SIGTRAP and self._is_exit_event(tracee, tracee.siginfo()):
            return 0
        return signal

    def _is_exit_event(self, tracee: Tracee, siginfo: bytes) -> bool:
        """Tell whether a signal is an exit event's, and of its calls if it is."""
        return self._exit_stops is not None and self._exit_stops.take(tracee, siginfo)

    @property
    def lost(self) -> int:
        """How many calls an exit event could tell nothing of."""
        return self._exit_stops.lost if self._exit_stops is not None else 0

    # ------------------------------------------------------------------------- figures

    @property
    def notifications(self) -> int:
        """How many user notifications there were: here are none."""
        return 0

    @property
    def is_helper(self) -> bool:
        """Whether the caller is a thread beside the tracing one: here is none."""
        return False

    def stops_by_kind(self) -> Counter[str]:
        """Count all kernel stops so far; from any thread."""
        return self.stops.copy() + self.tables.stops()

    def counters(self) -> dict[tuple[Abi, int], CallCounter]:
        """Sum up every call so far, whoever answered it; from any thread."""
        counters = dict(self.calls.counters)
        for key, counter in self.tables.calls():
            counters[key] = counter + counters.get(key, CallCounter())
        return counters

    # ------------------------------------------------------------------------- one stop

    def _dispatch(self, tracee: Tracee, status: int) -> None:
        signal = os.WSTOPSIG(status)
        event = status >> WSTOPPED_EVENT_SHIFT
        if signal == _SYSCALL_STOP:
            self._syscall_stop(tracee)
        elif event == ptrace.PTRACE_EVENT_STOP:
            self._event_stop(tracee, signal)
        elif event:
            self.stops["event"] += 1
            self._event(tracee, event)
        else:
            self._signal_delivery_stop(tracee, signal)

    def _resume(self, tracee: Tracee, signal: int = 0) -> None:
        if self._ending and self.is_attached:
            if self._let_go(tracee, signal):
                return
            signal = 0
        if tracee.delay_ns and not self._ending:
            self._delays.begin(tracee)
            return
        tracee.stop_number += 1
        awaits_exit = tracee.pending is not None
        if tracee.started and not awaits_exit:
            awaits_exit = self.tables.admit(tracee.tid, tracee.pid)
        # Not here: the loop does it, which makes one call of two.
        self.tables.reply(tracee.tid, self._request(tracee, awaits_exit=awaits_exit), signal)

    def _request(self, tracee: Tracee, *, awaits_exit: bool) -> int:  # noqa: ARG002 - for others
        """Choose how to resume a tracee."""
        return ptrace.PTRACE_SYSCALL if awaits_exit or self.every_call else ptrace.PTRACE_CONT

    def _let_go(self, tracee: Tracee, signal: int) -> bool:
        """Detach, unless a signal that only its tracer must see is still to come.

        Until then ``signal`` waits: its handler would return to a mask that is not the tracee's.
        """
        if self._exit_stops is not None:
            if not self._exit_stops.may_detach(tracee):
                if signal:
                    tracee.deferred = tracee.siginfo()
                return False
            signal = self._exit_stops.take_deferred(tracee) or signal
        tracee.detach(signal)
        self.tracees.pop(tracee.tid, None)
        self._event_of(tracee, "detached")
        return True

    def _seccomp_stop(self, tracee: Tracee) -> None:
        """Answer a call that a filter selected; here another tracer's or the tracee's own did."""
        self._resume(tracee)

    def _syscall_stop(self, tracee: Tracee) -> None:
        """Answer a syscall-entry-stop or syscall-exit-stop: the kernel says which it is."""
        words = self.tables.words()
        if words[0] == ptrace.PTRACE_SYSCALL_INFO_EXIT:
            self.stops["exit"] += 1
            self.calls.exit(tracee, words[4])
        else:
            self.stops["entry"] += 1
            self._entry_stop(tracee, words)
        self._resume(tracee)

    @abc.abstractmethod
    def _entry_stop(self, tracee: Tracee, words: tuple[int, ...], /) -> None:
        """Answer a syscall-entry-stop; the caller then resumes the tracee."""

    def _call_of(self, tracee: Tracee, words: tuple[int, ...]) -> Call | None:
        """Build the call of an entry-stop; report one of an ABI whose calls are not traced.

        None of that, and of what the launching child does besides to execute the command.
        """
        call = call_of(tracee.tid, tracee.pid, words)
        if call is None:
            detail = f"it made call {words[4]:#x} of unknown ABI {words[1]:#x}"
            self.calls.blind_spot(tracee, detail)
        elif not tracee.started and call.number != _SYS_EXECVE:
            return None
        return call

    def _event_stop(self, tracee: Tracee, signal: int) -> None:
        """Answer PTRACE_EVENT_STOP: a group-stop, the first stop of a child, or an interrupt."""
        if signal not in ptrace.GROUP_STOP_SIGNALS:
            self.stops["event"] += 1
            if tracee.attaching:
                tracee.attaching = False
                self._event_of(tracee, "attached")
            self._resume(tracee)
            return
        self.stops["group"] += 1
        self._observe(GroupStop(tracee.tid, tracee.pid, signal, monotonic_ns()))
        # It stays stopped, as job control wants, until SIGCONT; PTRACE_CONT would start it.
        tracee.listen()

    def _signal_delivery_stop(self, tracee: Tracee, signal: int) -> None:
        try:
            siginfo = tracee.siginfo()
        except TraceeDied:
            self.stops["ended"] += 1
            raise
        if self._is_over(tracee, siginfo):
            self.stops["ended"] += 1
            return
        if self._is_exit_event(tracee, siginfo):
            self._resume(tracee)
            return
        self.stops["signal"] += 1
        siginfo = tracee.delivered(signal, siginfo)
        stop = SignalDeliveryStop(tracee.tid, tracee.pid, signal, siginfo, time_ns=monotonic_ns())
        if tracee.started:
            self._observe(stop)
        self._resume(tracee, signal)

    def _is_over(self, tracee: Tracee, siginfo: bytes) -> bool:
        """Tell whether a SIGKILL has ended a signal-delivery-stop, and the tracee is at its exit.

        To resume it there would be to miss that stop, which wait reports next. A program can send
        itself a signal with such a siginfo, too.
        """
        number, _errno, code = _SIGINFO.unpack_from(siginfo)
        if (number, code) != (signals.SIGTRAP, _EXIT_CODE):
            return False
        return self.tables.has_more_of(tracee.tid) or has_changed(tracee.tid)

    # ------------------------------------------------------------------------- events and ends

    def _event(self, tracee: Tracee, event: int) -> None:
        if event in _NEW_CHILD:
            # The child is attached to and stops by itself; nothing to do for it here.
            child = tracee.event_message()
            self.placement.born(tracee.tid, child)
            self._event_of(tracee, _NEW_CHILD[event], child)
        elif event == ptrace.PTRACE_EVENT_EXEC:
            tracee = self._executed(tracee)
        elif event == ptrace.PTRACE_EVENT_EXIT:
            # What it was doing never returns; the thread can still be looked at, for the last time.
            self.calls.never_returned(tracee)
            if self._exit_stops is not None:
                self._exit_stops.drain(tracee)
        self._resume(tracee)

    def _executed(self, tracee: Tracee) -> Tracee:
        """Follow execve(2): the tracee runs another program from here on."""
        former = tracee.event_message()
        tracee = self._superseding(tracee, former)
        if not tracee.started:
            tracee.started = True
            self.placement.started(tracee.tid)
        if self._exit_stops is not None:
            self._exit_stops.arm(tracee)
        self._event_of(tracee, "exec", former)
        return tracee

    def _superseding(self, tracee: Tracee, former: int) -> Tracee:
        """Find the tracee that has executed, and had the tid ``former``: it has the leader's now.

        All other threads vanish. The old leader's end is not reported; those of the other threads
        are. ptrace(2), "execve(2) under ptrace".
        """
        if former != tracee.tid and former in self.tracees:
            self.calls.never_returned(tracee)
            self._event_of(tracee, "superseded", former)
            tid = tracee.tid
            tracee = self.tracees.pop(former)
            tracee.renamed(tid)
            self.tables.rename(former, tid)
            self.placement.renamed(former, tid)
            self.tracees[tid] = tracee
        if self._exit_stops is not None:
            self._exit_stops.executed(tracee, former)
        return tracee

    def _event_of(self, tracee: Tracee, event: str, message: int = 0) -> None:
        self._observe(EventStop(tracee.tid, tracee.pid, event, message, time_ns=monotonic_ns()))

    def _forget(self, tid: int) -> Tracee | None:
        self.tables.withhold(tid)
        self._delays.forget(tid)
        self.placement.ended(tid)
        if self._exit_stops is not None:
            self._exit_stops.ended(tid, self.tracees.get(tid))
        tracee = self.tracees.pop(tid, None)
        self.tables.control.view[TRACEES] = len(self.tracees)
        return tracee

    def _ended(self, tid: int, status: int) -> None:
        tracee = self._forget(tid)
        if tid == self.root:
            self.status = status
        if tracee is None:
            return
        self.calls.never_returned(tracee)
        if not tracee.started:
            return
        now = monotonic_ns()
        if os.WIFSIGNALED(status):
            core = os.WCOREDUMP(status)
            self._observe(Killed(tid, tracee.pid, os.WTERMSIG(status), core, now))
        else:
            self._observe(Exited(tid, tracee.pid, os.WEXITSTATUS(status), now))


def _is_reaped(tid: int) -> bool:
    """Tell whether a thread is not even a zombie any more."""
    try:
        os.kill(tid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # It has another user now.
    return False


def kill_process(pid: int) -> None:
    """Send SIGKILL to a tracee's process; it cannot be another's, as nobody has reaped it yet."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signals.SIGKILL)
