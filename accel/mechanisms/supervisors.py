"""The supervisors of one run: threads that wait at one listener, until nobody is left under it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from accel._kernel import signals
from accel.abi import Abi
from accel.mechanisms.call_records import CallRecords
from accel.mechanisms.listener import Listener
from accel.mechanisms.supervisor import Supervisor
from accel.results import CallCounter
from accel.stops import SyscallEntryStop

if TYPE_CHECKING:
    from accel.mechanisms.contract import Observer, Policy

__all__ = ["Supervisors"]


class Supervisors:
    """``count`` threads; more than one are kept on a CPU each.

    ``fail`` is called, in one of them, with what a handler or an observer raised; after it, or
    ``end``, they kill whoever notifies.
    """

    def __init__(
        self,
        policy: Policy,
        observe: Observer,
        fail: Callable[[BaseException], None],
        *,
        before: Callable[[SyscallEntryStop], None] | None = None,
        count: int = 1,
        records: CallRecords | None = None,
    ) -> None:
        self._policy = policy
        self._observe = observe
        self._fail = fail
        self._before = before
        self._count = count
        self._records = records
        #: Held while policy and observers are at work.
        self.turn = threading.RLock()
        self._supervisors: list[Supervisor] = []
        self._threads: list[threading.Thread] = []
        self._listener: Listener | None = None
        self._is_ending = False

    def start(self, listener: Listener) -> None:
        """Begin to answer; the threads close ``listener`` when nobody needs it any more."""
        self._listener = listener
        # Two that poll may be woken by one notification, and the second would receive for ever.
        count = 1 if listener.polls else self._count
        cpus = sorted(os.sched_getaffinity(0)) if count > 1 else []
        for index in range(count):
            supervisor = Supervisor(
                listener,
                self._policy,
                self._observe,
                self.turn,
                before=self._before,
                records=self._records,
            )
            cpu = cpus[index % len(cpus)] if cpus else None
            supervisor.is_ending = self._is_ending
            self._supervisors.append(supervisor)
            self._threads.append(
                threading.Thread(
                    target=self._serve,
                    args=(supervisor, cpu),
                    name=f"accel-supervisor-{index}",
                    daemon=True,
                )
            )
        for thread in self._threads:
            thread.start()

    def executed(self) -> None:
        """Take note that the command runs."""
        for supervisor in self._supervisors:
            supervisor.executed()

    def end(self) -> None:
        """Kill whoever notifies from now on; from any thread."""
        self._is_ending = True
        for supervisor in self._supervisors:
            supervisor.end()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until nobody is left under the filter; False when ``timeout`` seconds passed.

        The listener is closed then, or as soon as nobody is left.
        """
        for thread in self._threads:
            thread.join(timeout)
        if not any(thread.is_alive() for thread in self._threads):
            self._close()
            return True
        threading.Thread(target=self._close_later, name="accel-survivors", daemon=True).start()
        return False

    def _close_later(self) -> None:
        for thread in self._threads:
            thread.join()
        self._close()

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    @property
    def is_current(self) -> bool:
        """Whether the caller is one of these threads: a handler, or an observer."""
        return threading.current_thread() in self._threads

    @property
    def notifications(self) -> int:
        """How many notifications there were so far."""
        return sum(supervisor.notifications for supervisor in self._supervisors)

    @property
    def processes(self) -> dict[int, int]:
        """The processes that Python has heard of, and when each began."""
        found: dict[int, int] = {}
        for supervisor in self._supervisors:
            found |= supervisor.processes
        return found

    def counters(self) -> dict[tuple[Abi, int], CallCounter]:
        """Sum up every call so far, whoever answered it; from any thread."""
        counters: dict[tuple[Abi, int], CallCounter] = {}
        for supervisor in self._supervisors:
            for key, counter in supervisor.counters().items():
                counters[key] = counter + counters.get(key, CallCounter())
        return counters

    def _serve(self, supervisor: Supervisor, cpu: int | None) -> None:
        # As in the tracing thread: signals are for the host's threads.
        signals.block(but=signal.SIGCHLD)
        if cpu is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, {cpu})
        while True:
            try:
                supervisor.run()
            except BaseException as error:  # noqa: BLE001 - raised in the thread that asked
                is_first = not self._is_ending
                self.end()
                if is_first:
                    self._fail(error)
                supervisor.kill()
            else:
                return
