"""Puts a run together: the mechanism that its plan needs, what that asks, and their thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from accel.abi import Abi
from accel.capabilities import PlacementName
from accel.command import Command
from accel.errors import SetupError
from accel.records import BY_PYTHON
from accel.results import CallStatistics, Statistics
from accel.stops import Stop, SyscallEntryStop, SyscallExitStop
from accel.tracing_thread import RunThread, TracingThread
from bpf.value import frozen

if TYPE_CHECKING:
    from accel.mechanisms.contract import Mechanism, Observer
    from accel.mechanisms.ptrace_loop import PtraceLoop
    from accel.plan import Plan
    from accel.rulebook import RuleBook

__all__ = ["Assembly", "Wishes"]


@frozen
class Wishes:
    """What a run is to be, besides its rules."""

    placement: PlacementName
    supervisors: int
    #: The process to attach to; None: a command is started.
    pid: int | None
    #: Describes the command, with pipes that are made then.
    launched: Callable[[], Command]


class Assembly:
    """The parts of one run; ``thread`` makes the thread that starts it.

    Making it hands over what the plan holds: the mechanism closes that at the run's end.
    """

    def __init__(self, book: RuleBook, wishes: Wishes) -> None:
        self._book = book
        self._wishes = wishes
        plan = book.plan
        plan.check()
        book.check_profile()
        self.policy: Final = book.policy(plan)
        self.recorder: Final = book.recorder()
        self.thread: Callable[[], RunThread]
        self.loop: Mechanism
        if plan.mechanism == "observe":
            self._observe(plan)
        elif plan.mechanism == "user-notify":
            self._supervise(plan)
        else:
            self._trace(plan)

    def _trace(self, plan: Plan) -> None:
        """Take the loop that answers stops."""
        # A run that stops nothing does not wait for these.
        from accel.mechanisms.beginnings import attach, start  # noqa: PLC0415 - see above

        make: Callable[..., PtraceLoop] = _loop_of(plan)
        if plan.is_mixed:
            from accel.mechanisms.mixed_trace import MixedTrace  # noqa: PLC0415 - few want it

            make = partial(MixedTrace, supervisors=self._wishes.supervisors)
        loop = self.loop = make(
            self.policy,
            self._teller,
            self._wishes.placement,
            self.recorder,
            captures=self._book.captures(plan),
            exit_events=self._book.exit_events,
        )
        pid = self._wishes.pid
        if pid is not None:
            self.thread = lambda: TracingThread(loop, lambda: attach(loop, pid), f"accel-{pid}")
            return

        def launching() -> TracingThread:
            program = self._book.program if plan.has_filter else None
            command = self._wishes.launched()
            return TracingThread(loop, lambda: start(loop, command, program), "accel")

        self.thread = launching

    def _observe(self, plan: Plan) -> None:
        """Take what stops nothing, and has something to be told only if it is asked."""
        from accel.mechanisms.observe import Observe  # noqa: PLC0415 - few want it
        from accel.observation import wanted  # noqa: PLC0415 - as above

        if self._wishes.placement == "same-cpu":
            raise SetupError(
                "observe stops nothing: there is no tracer to place", hint="leave placement out"
            )
        tells, recorder, pid = self._book.tells_calls, self.recorder, self._wishes.pid
        told = wanted(
            plan,
            has_records=tells or recorder is not None,
            has_beginnings=tells or (recorder is not None and recorder.ring.beginnings),
            call_flags=BY_PYTHON if tells else 0,
        )
        loop = self.loop = Observe(told, self._teller, recorder, tells_calls=tells)
        if pid is not None:
            self.thread = lambda: TracingThread(loop, lambda: loop.attach(pid), f"accel-{pid}")
            return

        def launching() -> TracingThread:
            command = self._wishes.launched()
            return TracingThread(loop, lambda: loop.start(command), "accel")

        self.thread = launching

    def _supervise(self, plan: Plan) -> None:
        """Take what traces nothing, and answers notifications."""
        from accel.mechanisms.user_notify import UserNotify  # noqa: PLC0415 - few want it
        from accel.supervising_thread import supervising  # noqa: PLC0415 - as above

        program = self._book.program
        self.loop = UserNotify(
            self.policy,
            self._teller,
            self._wishes.placement,
            self.recorder,
            captures=self._book.captures(plan),
            supervisors=self._wishes.supervisors,
        )
        thread = supervising(self.loop, program)
        self.thread = lambda: thread(self._wishes.launched())

    # ------------------------------------------------------------------------- telling

    @property
    def _teller(self) -> Observer:
        defers = self.recorder is not None and self._book.defers
        return self._tell_in_order if defers else self._book.tell

    def _tell_in_order(self, stop: Stop, /) -> None:
        """Tell observers that take records of everything in its order, and from one thread."""
        assert self.recorder is not None
        if isinstance(stop, (SyscallEntryStop, SyscallExitStop)):
            # Its memory can be read now, and only now.
            self.recorder.tell_now(lambda: self._book.tell(stop))
        else:
            self.recorder.tell_later(stop)
            self._book.tell_of_event(stop)

    # ------------------------------------------------------------------------- figures

    def statistics(self) -> Statistics:
        """Count what the run took so far."""
        loop = self.loop
        counters = sorted(loop.counters().items(), key=lambda item: (item[0][0].value, item[0][1]))
        calls = {
            _call_name(abi, number): CallStatistics(
                counter.calls,
                counter.stops,
                counter.notifications,
                counter.handler_calls,
                counter.errors,
                counter.nanoseconds / 1e9,
            )
            for (abi, number), counter in counters
        }
        stops = loop.stops_by_kind()
        return Statistics(
            stops=stops.total(),
            notifications=loop.notifications,
            handler_calls=sum(call.handler_calls for call in calls.values()),
            stops_by_kind=MappingProxyType(dict(stops)),
            calls=MappingProxyType(calls),
            tracees=loop.seen,
            lost=loop.lost + (self.recorder.lost_records if self.recorder is not None else 0),
        )


def _loop_of(plan: Plan) -> type[PtraceLoop]:
    """Find the loop of a mechanism; a run loads its own alone."""
    if plan.mechanism == "exit-event":
        from accel.mechanisms.exit_event import ExitEvent  # noqa: PLC0415 - as is said above

        return ExitEvent
    if plan.mechanism == "sysemu":
        from accel.mechanisms.sysemu import Sysemu  # noqa: PLC0415 - as above

        return Sysemu
    if plan.mechanism == "ptrace-syscall":
        from accel.mechanisms.ptrace_syscall import PtraceSyscall  # noqa: PLC0415 - as above

        return PtraceSyscall
    from accel.mechanisms.seccomp_trace import SeccompTrace  # noqa: PLC0415 - as above

    return SeccompTrace


def _call_name(abi: Abi, number: int) -> str:
    return abi.call_name(number) if abi is Abi.X86_64 else f"{abi.call_name(number)}@{abi.value}"
