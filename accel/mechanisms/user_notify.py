"""user-notify: a filter selects the calls, supervisors answer them; nothing is traced.

Each call costs one notification, seccomp_unotify(2), and no stop: a debugger can be at work inside.
What only a tracer can see is not seen: results, signals, the ends of processes but the command's.

If this process dies, so does the command (PR_SET_PDEATHSIG); its descendants go on, and the calls
that the filter selects fail with ENOSYS: no tracee ever hangs. Nor can all be found that are to be
killed at ``end``: a process whose parent has ended is when it notifies, or not at all.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections import Counter
from collections.abc import Mapping
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Final

from accel._kernel.wait import wait_for
from accel.abi import Abi
from accel.capabilities import PlacementName
from accel.mechanisms.call_records import CallRecords
from accel.mechanisms.family import began_at, kill_family
from accel.mechanisms.listener import Listener
from accel.mechanisms.placement import Placement
from accel.mechanisms.supervisors import Supervisors
from accel.stops import EventStop, Exited, Killed, Stop, SyscallEntryStop

if TYPE_CHECKING:
    from accel.mechanisms.contract import Observer, Policy
    from accel.mechanisms.recorder import Recorder
    from accel.results import CallCounter

__all__ = ["UserNotify"]

#: How long a tree that is to end may take; what is left then is killed when it notifies.
_GRACE_SECONDS: Final = 2.0
#: As the launching child makes it.
_EXECVE: Final = Abi.X86_64.numbers["execve"]
#: How often meanwhile its processes are looked for.
_SWEEP_MILLISECONDS: Final = 10


class UserNotify:
    """Supervise a command and all its descendants until the last has ended."""

    def __init__(
        self,
        policy: Policy,
        observe: Observer,
        placement: PlacementName = "none",
        recorder: Recorder | None = None,
        *,
        captures: Mapping[tuple[Abi, int], int] | None = None,
        supervisors: int = 1,
    ) -> None:
        #: How the command ended, as a status of wait(2); None while it runs.
        self.status: int | None = None
        self.recorder = recorder
        records = CallRecords(recorder, captures or {}) if recorder is not None else None
        self.supervisors = Supervisors(
            policy,
            self._tell,
            self._fail,
            before=self._before,
            count=supervisors,
            records=records,
        )
        self._has_executed = self._is_executing = False
        self._observe = observe
        self._placement = Placement(placement, lambda: self.supervisors.notifications)
        self._failure: BaseException | None = None
        self._listener: Listener | None = None
        self._root = 0
        self._began = 0
        self._is_ending = False
        #: An eventfd that interrupts the wait, while there is one.
        self._wake = -1
        self._wake_lock = threading.Lock()

    # ------------------------------------------------------------------------- as any mechanism

    def begin(self, pid: int) -> None:
        """Take note of the child that will be the command."""
        self._root, self._began = pid, began_at(pid)
        self._wake = os.eventfd(int(self._is_ending), os.EFD_CLOEXEC)

    def supervise(self, listener: Listener) -> None:
        """Answer what comes from ``listener``, from now on."""
        self._listener = listener
        self.supervisors.start(listener)

    def executed(self) -> None:
        """Take note that the command runs; in the thread that supervises."""
        self._placement.started(self._root)
        with self.supervisors.turn:
            self._tell_of_execution()

    def _before(self, stop: SyscallEntryStop) -> None:
        """Tell that the command has executed before anything is told of its calls.

        The launching child's own execve(2) is the first of that process.
        """
        if self._has_executed:
            return
        call = stop.call
        if not self._is_executing and call.number == _EXECVE and call.pid == self._root:
            self._is_executing = True
        else:
            self._tell_of_execution()

    def _tell_of_execution(self) -> None:
        if not self._has_executed:
            self._has_executed = True
            self.supervisors.executed()
            pid = self._root
            self._observe(EventStop(pid, pid, "exec", pid, time_ns=monotonic_ns()))

    def started(self) -> None:
        """Begin to drain records; in the host's thread that started the command."""
        if self.recorder is not None:
            self.recorder.start()

    def close(self) -> None:
        """Hand over what was recorded; nothing is supervised any more."""
        self._placement.close()
        if self.recorder is not None:
            self.recorder.close()
        with self._wake_lock:
            wake, self._wake = self._wake, -1
        if wake >= 0:
            os.close(wake)

    def end(self) -> None:
        """Kill the tree; from any thread."""
        self._is_ending = True
        self.supervisors.end()
        if self._root:
            self._kill_family()
        with self._wake_lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def abandon(self) -> None:
        """End the tree without another word to observers: something has failed."""
        self._observe = _ignore
        self.end()

    def end_now(self) -> None:
        """Kill and reap a child that could not be supervised."""
        kill_family({self._root: self._began})
        with contextlib.suppress(ChildProcessError):
            wait_for(self._root)
        self._root = 0

    def run(self) -> None:
        """Wait until nobody is left under the filter, and reap the command.

        Raise what a handler or an observer raised. Cost: none; this thread sleeps.
        """
        listener, self._listener = self._listener, None
        if listener is not None:
            nobody_is_left = self._wait(listener)
            self.supervisors.join(None if nobody_is_left else 0)
        elif self._root:
            self._reap()
        if self._failure is not None:
            raise self._failure

    # ------------------------------------------------------------------------- figures

    @property
    def notifications(self) -> int:
        """How many notifications there were so far."""
        return self.supervisors.notifications

    @property
    def is_helper(self) -> bool:
        """Whether the caller is a supervisor."""
        return self.supervisors.is_current

    @property
    def seen(self) -> int:
        """How many processes Python has heard of; the command is one."""
        return len(self.supervisors.processes.keys() | {self._root})

    @property
    def lost(self) -> int:
        """How many calls could not be told: none."""
        return 0

    def stops_by_kind(self) -> Counter[str]:
        """Count kernel stops: there are none."""
        return Counter()

    def counters(self) -> dict[tuple[Abi, int], CallCounter]:
        """Sum up every call so far, whoever answered it; from any thread."""
        return self.supervisors.counters()

    # ------------------------------------------------------------------------- until the end

    def _wait(self, listener: Listener) -> bool:
        """Wait for the ends of the command and of all with its filter; False if some are left.

        Once the tree is to end, its processes are looked for and killed, for some seconds.
        """
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(listener.descriptor, 0)  # POLLHUP alone: nobody is left.
        poll.register(listener.pidfd, select.POLLIN)
        waits_for = {listener.descriptor, listener.pidfd}
        deadline: float | None = None
        while waits_for:
            ready = {fd for fd, _events in poll.poll(deadline and _SWEEP_MILLISECONDS)}
            for descriptor in ready & waits_for:
                poll.unregister(descriptor)
            waits_for -= ready
            if listener.pidfd in ready:
                self._reap()
            if self._wake in ready:
                os.eventfd_read(self._wake)
                deadline = deadline or monotonic() + _GRACE_SECONDS
            if deadline is not None and waits_for:
                self._kill_family()
                if monotonic() > deadline and listener.pidfd not in waits_for:
                    break
        return not waits_for

    def _kill_family(self) -> None:
        kill_family({self._root: self._began} | self.supervisors.processes)

    def _reap(self) -> None:
        """Take the status of the command, and tell observers; another may have taken it."""
        with contextlib.suppress(ChildProcessError):
            self.status = wait_for(self._root)
            pid, status, now = self._root, self.status, monotonic_ns()
            if os.WIFSIGNALED(status):
                self._tell(Killed(pid, pid, os.WTERMSIG(status), os.WCOREDUMP(status), now))
            else:
                self._tell(Exited(pid, pid, os.WEXITSTATUS(status), now))

    def _tell(self, stop: Stop, /) -> None:
        with self.supervisors.turn:
            self._observe(stop)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self.abandon()


def _ignore(_stop: Stop, /) -> None:
    pass
