"""seccomp-trace and user-notify at once: one filter, one tracing thread, supervisors beside it.

A call comes by a stop or by a notification, as the filter says. Handlers and observers of both
take turns. The tracees are traced, so they die with their tracer (PTRACE_O_EXITKILL) and are all
known; a debugger does not work inside.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from accel._kernel import spawn
from accel.abi import Abi
from accel.capabilities import PlacementName
from accel.mechanisms.listener import Handover, flags_of, support
from accel.mechanisms.ptrace_loop import kill_process
from accel.mechanisms.recorder import Recorder
from accel.mechanisms.seccomp_trace import SeccompTrace
from accel.mechanisms.supervisors import Supervisors
from accel.results import CallCounter
from accel.stops import Stop

if TYPE_CHECKING:
    from accel.mechanisms.contract import Observer, Policy
    from accel.mechanisms.exit_events import ExitEvents

__all__ = ["MixedTrace"]


class MixedTrace(SeccompTrace):
    """Trace a command some of whose calls are answered by notification."""

    #: Handlers of both take turns.
    asks_in_passing: ClassVar[bool] = False

    def __init__(
        self,
        policy: Policy,
        observe: Observer,
        placement: PlacementName = "none",
        recorder: Recorder | None = None,
        *,
        captures: Mapping[tuple[Abi, int], int] | None = None,
        exit_events: ExitEvents | None = None,
        supervisors: int = 1,
    ) -> None:
        super().__init__(
            policy, observe, placement, recorder, captures=captures, exit_events=exit_events
        )
        self._found = support()
        self.filter_flags = flags_of(self._found)
        self._supervisors = Supervisors(policy, self._tell, self._fail, count=supervisors)
        self._failure: BaseException | None = None

    @contextlib.contextmanager
    def meeting(self, child: spawn.Launch) -> Iterator[None]:
        """Take the listener from the child, in a thread beside: here its stops are answered."""
        handover = Handover(child, self._found)
        thread = threading.Thread(
            target=self._take_over, args=(handover, child.pid), name="accel-handover", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            handover.give_up()
            thread.join()

    def _take_over(self, handover: Handover, pid: int) -> None:
        try:
            with handover.meeting() as listener:
                if listener is not None:
                    self._supervisors.start(listener)
        except BaseException as error:  # noqa: BLE001 - raised in the tracing thread
            self._fail(error)
            kill_process(pid)

    def _tell(self, stop: Stop, /) -> None:
        self._observe(stop)  # Who that is changes when the tracees are abandoned.

    def _fail(self, error: BaseException) -> None:
        """Let the tracing thread raise what has failed beside it, when it hears of a death."""
        self._failure = self._failure or error

    def run(self) -> None:
        """Answer stops until no tracee is left; raise what failed here or in a supervisor."""
        super().run()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def step(self) -> None:
        """Wait for one change of a tracee and answer it."""
        super().step()
        if self._failure is not None and not self._ending:
            self.abandon()

    def end(self) -> None:
        """Kill every tracee."""
        self._supervisors.end()
        super().end()

    def close(self) -> None:
        """Hand over what was recorded; the supervisors have ended with the last tracee."""
        self._supervisors.join()
        super().close()

    def _stopped(self, tid: int, status: int) -> None:
        with self._supervisors.turn:
            super()._stopped(tid, status)

    def _ended(self, tid: int, status: int) -> None:
        with self._supervisors.turn:
            super()._ended(tid, status)

    @property
    def notifications(self) -> int:
        """How many notifications there were so far."""
        return self._supervisors.notifications

    @property
    def is_helper(self) -> bool:
        """Whether the caller is a supervisor."""
        return self._supervisors.is_current

    def counters(self) -> dict[tuple[Abi, int], CallCounter]:
        """Sum up every call so far, whoever answered it; from any thread."""
        counters = super().counters()
        for key, counter in self._supervisors.counters().items():
            counters[key] = counter + counters.get(key, CallCounter())
        return counters
