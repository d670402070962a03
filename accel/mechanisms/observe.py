"""Observe a command, or a process, through the kernel's tracepoints: at no stop.

What ``PtraceLoop`` is for mechanisms that stop tracees. Nothing waits for this loop, which is a
reader: what comes faster than it can be told waits in memory, and what comes faster than even that
is lost, and counted. The tracees are no tracees of ptrace(2), so a debugger may trace them.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable
from time import monotonic_ns
from typing import TYPE_CHECKING, Final, Self

import bpf
from accel._kernel import spawn
from accel._kernel.wait import wait_for
from accel.abi import Abi
from accel.command import Command
from accel.errors import PtraceUnavailable, UnsupportedKernel
from accel.launch import exec_failure, prepare
from accel.mechanisms.observed_calls import ObservedCalls
from accel.mechanisms.observed_threads import ObservedThreads
from accel.mechanisms.recorder import Recorder
from accel.records import ABIS
from accel.results import CallCounter
from accel.stops import EventStop, Stop
from accel.tracee import process_of
from bpf.probes.observe import Event, Kind, Observation, Wanted

if TYPE_CHECKING:
    from accel.mechanisms.contract import Observer

__all__ = ["Observe"]

#: How long an event waits to be read, at most, while few come; and while the tracees are ending.
_LOOK_MS: Final = 20
_LOOK_ENDING_MS: Final = 2
#: How many events are told before the ring is emptied again, 3 ms of work: records take 2 us each,
#: stops 20.
_AT_A_TIME: Final = 128
_RECORDS_AT_A_TIME: Final = 1024
#: setpriority(2) of the reader while there is much to be read: tracees must not keep it from the
#: ring. Else it does not keep them from their work, but for the first call, for which 10 ms of
#: modules may have to be loaded.
_PRIORITY: Final = -10
_MUCH_BYTES: Final = 1 << 16
#: What may wait in memory to be told: some two million calls.
_WAITING_BYTES: Final = 1 << 29
#: Of a process that runs on, more comes all the time.
_FEW_BYTES: Final = 1 << 12
#: Where an event has its kind, behind its header.
_KIND: Final = 8 + 29
_HEADER: Final = 8
_OF_ANOTHER: Final = (Kind.ATTACHED, Kind.GENERATED)


class Observe:
    """Observe the threads of one command, or of a process that runs; a ``Loop``.

    ``observe`` is told of all but calls, and of calls if ``tells_calls``; ``recorder`` has records.
    Raise UnsupportedKernel when it begins, where eBPF programs cannot run.
    """

    def __init__(
        self, wanted: Wanted, observe: Observer, recorder: Recorder | None, *, tells_calls: bool
    ) -> None:
        #: How the command ended, as a status of wait(2); None while it runs.
        self.status: int | None = None
        self.is_attached = False
        self._wanted = wanted
        is_slow = tells_calls or wanted.has_beginnings
        self._at_a_time = _AT_A_TIME if is_slow else _RECORDS_AT_A_TIME
        self._observe = observe
        self._recorder = recorder
        self._observation: Observation | None = None
        self._calls = ObservedCalls(observe if tells_calls else None, recorder)
        self._threads = ObservedThreads(self._tell, self._reap)
        #: What was taken from the ring, and how far the first of it has been told.
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = self._at = 0
        #: Threads that were named, until they are seen.
        self._unseen: set[int] = set()
        self._is_reaped = self._ending = self._is_hurried = self._is_told = False
        self._has_told_calls = False
        self._priority = _Priority()
        self._poll = select.poll()
        self._pidfd = -1
        self._bells: dict[int, tuple[int, Callable[[], None]]] = {}

    # ------------------------------------------------------------------------- to begin

    def start(self, command: Command) -> int:
        """Start ``command``; return its pid once it has executed.

        Raise CommandError if it cannot be executed.
        """
        with prepare(command, None) as prepared:
            observation = self._open()
            with observation.launching(threading.get_native_id()):
                child = spawn.launch(prepared.steps)
            self._threads.root = child.pid
            self._threads.begin(child.pid, child.pid)
            self._watch(child.pid)
            os.write(prepared.release, b"!")
            while not (self._threads.started or self._is_over()):
                self._look()
        failure = child.failure()
        if failure is not None:
            raise exec_failure(command, *failure)
        return child.pid

    def attach(self, pid: int) -> int:
        """Observe all threads of the process that ``pid`` belongs to; return its pid.

        Each is observed from its next call on. Raise PtraceUnavailable if there is no such process.
        """
        self.is_attached = True
        process = process_of(pid)
        if not _threads_of(process):
            raise PtraceUnavailable(f"there is no process {pid}", hint="list them with: ps -e")
        observation = self._open()
        self._threads.root = process
        self._threads.started = True
        self._watch(process)
        known: set[int] = set()
        while new := _threads_of(process) - known:
            # Threads that are born meanwhile of one that is not named yet are found by another
            # look, until there are none.
            for tid in sorted(new):
                observation.seed(tid)
                self._unseen.add(tid)
                self._threads.begin(tid, process)
                self._tell(EventStop(tid, process, "attached", time_ns=monotonic_ns()))
            known |= new
        return process

    def _open(self) -> Observation:
        try:
            self._observation = Observation(self._wanted)
        except bpf.ProbesUnavailable as error:
            raise UnsupportedKernel(str(error.args[0]), hint=error.hint) from error
        self._poll.register(self._observation.descriptor, select.POLLIN)
        return self._observation

    def _watch(self, pid: int) -> None:
        """Let the wait end when a process does."""
        self._pidfd = os.pidfd_open(pid)
        self._poll.register(self._pidfd, select.POLLIN)

    # ------------------------------------------------------------------------- the loop

    def run(self) -> None:
        """Tell of everything until the last thread has ended."""
        try:
            with _Priority() as self._priority:
                while not self._is_over():
                    self._look()
            self._finish()
        except BaseException:
            self.abandon()
            raise

    def step(self) -> None:
        """Know of nothing that ``run`` did not."""
        raise ChildProcessError

    def _is_over(self) -> bool:
        """Tell whether there is nobody left to observe, and nothing to tell."""
        if self._observation is None or (self._ending and self.is_attached):
            return True
        return (self.is_attached or self._is_reaped) and not self._observation.alive

    def _look(self) -> None:
        """Empty the ring; tell a little of what waits, or wait for something to happen."""
        is_new = self._fetch() > 0
        self._tell_some()
        if is_new or self._waiting:
            self._attend(0)
            return
        if self._has_told_calls:
            self._priority.fall()
        self._attend(_LOOK_ENDING_MS if self._ending or self._is_reaped else _LOOK_MS)
        if self._ending:
            self._kill()
        self._withdraw_the_dead()

    def _fetch(self) -> int:
        """Empty the ring, unless too much waits already; tell how many bytes there were."""
        assert self._observation is not None
        if self._waiting_bytes >= _WAITING_BYTES:
            return 0
        taken = self._observation.take()
        if taken:
            self._waiting.append(taken)
            self._waiting_bytes += len(taken)
        if len(taken) > _MUCH_BYTES:
            self._priority.rise()
        return len(taken)

    def _attend(self, timeout_ms: int) -> None:
        """Wait for the ring, the command's end, or a bell."""
        for descriptor, _ in self._poll.poll(timeout_ms):
            if descriptor == self._pidfd:
                self._poll.unregister(self._pidfd)
                if not self.is_attached:
                    self._reap()
            for pid, (bell, ring) in tuple(self._bells.items()):
                if descriptor == bell:
                    self.remove_bell(pid)
                    wait_for(pid)
                    ring()

    def _tell_some(self) -> None:
        if not self._waiting:
            return
        taken, at = self._waiting[0], self._at
        calls, has_told_calls = self._calls, False
        size = memoryview(taken).cast("I")
        for _ in range(self._at_a_time):
            if at >= len(taken):
                break
            length = size[at // 4]
            record = taken[at + _HEADER : at + _HEADER + length]
            if taken[at + _KIND] == Kind.CALL:
                calls.add(record)
                has_told_calls = True
            else:
                self._take(Event.parse(record))
            at += (_HEADER + length + 7) & ~7
        calls.flush()
        self._has_told_calls |= has_told_calls
        self._at = at
        if at >= len(taken):
            self._waiting_bytes -= len(self._waiting.popleft())
            self._at = 0

    def _take(self, event: Event) -> None:
        calls, threads = self._calls, self._threads
        self._unseen.discard(event.tid)
        if event.kind is Kind.ENDED:
            calls.release(event.tid, returned=not threads.is_cut_short(event))
            calls.ended(event.tid)
        elif event.kind not in _OF_ANOTHER:
            calls.release(event.tid)
        if event.kind is Kind.EXECUTED and event.number != event.tid:
            calls.renamed(event.number, event.tid)
        calls.flush()
        threads.take(event)

    def _tell(self, stop: Stop) -> None:
        """Tell of what is no call, after the calls before it."""
        self._observe(stop)
        if self._recorder is not None:
            self._recorder.drain()

    def _finish(self) -> None:
        """Say the last there is to say, once."""
        if self._is_told or self._observation is None:
            return
        self._is_told = True
        now = monotonic_ns()
        self._observation.mute()
        is_empty = False
        while not (self._is_hurried or (is_empty and not self._waiting)):
            if not is_empty and self._waiting_bytes < _WAITING_BYTES:
                is_empty = self._fetch() < _FEW_BYTES
            self._tell_some()
            self._attend(0)
        self._calls.close()
        if self.is_attached:
            self._threads.detach(now)
        else:
            self._threads.end(now)
        self._observation.close()
        events, threads = self._observation.lost_events, self._observation.unfollowed
        if self._is_hurried:
            self._blind_spot(f"{self._waiting_bytes} bytes of events were left untold", now)
        if events:
            self._blind_spot(f"{events} signals, forks or ends found the ring full", now)
        if threads:
            self._blind_spot(f"{threads} threads found 32768 others here", now)

    def _blind_spot(self, detail: str, time_ns: int) -> None:
        root = self._threads.root
        self._tell(EventStop(root, root, "blind-spot", 0, detail, time_ns))

    # ------------------------------------------------------------------------- ends

    def _reap(self) -> int | None:
        """Wait for the end of the command, which has come; its status, or None."""
        if not self._is_reaped and not self.is_attached:
            self._is_reaped = True
            # Another thread of the host may have been faster.
            with contextlib.suppress(ChildProcessError):
                self.status = wait_for(self._threads.root)
        return self.status

    def _withdraw_the_dead(self) -> None:
        """Wait no more for threads that had ended before they were named."""
        if self._unseen and self._observation is not None:
            for tid in self._unseen - _threads_of(self._threads.root):
                self._observation.withdraw(tid)
                self._unseen.discard(tid)

    def end(self) -> None:
        """Kill every thread of the tree, and all that appear from now on; or let them go."""
        # Who asks again does not want to wait for what has happened already to be told.
        self._is_hurried = self._ending
        self._ending = True
        self._kill()

    def abandon(self) -> None:
        """End the tracees without another word to observers: one of them has failed."""
        self._calls.silence()
        self._observe = _ignore
        self._waiting.clear()
        self._waiting_bytes = 0
        self.end()

    def _kill(self) -> None:
        if self.is_attached or self._observation is None or not self._threads.root:
            return
        if not self._is_reaped:
            # It first: it could see its children die, and do something about it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._threads.root, signal.SIGKILL)
        descriptors: dict[int, int] = {}
        for pid in self._observation.pids():
            with contextlib.suppress(OSError):
                descriptors[pid] = os.pidfd_open(pid)
        # Those that are there still are no others that got their pids meanwhile.
        members = self._observation.pids()
        for pid, descriptor in descriptors.items():
            if pid in members:
                with contextlib.suppress(OSError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)

    def close(self) -> None:
        """Detach from the kernel and close the sinks."""
        if self._observation is not None:
            self._observation.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self._recorder is not None:
            self._recorder.close()

    def started(self) -> None:
        """Do nothing: there is no other thread to start."""

    # ------------------------------------------------------------------------- bells

    def add_bell(self, pid: int, ring: Callable[[], None]) -> None:
        """Call ``ring`` when the child ``pid`` ends: how another thread interrupts the wait."""
        descriptor = os.pidfd_open(pid)
        self._bells[pid] = descriptor, ring
        self._poll.register(descriptor, select.POLLIN)

    def remove_bell(self, pid: int) -> None:
        """Forget a bell that its owner takes down."""
        descriptor, _ = self._bells.pop(pid, (-1, None))
        if descriptor >= 0:
            self._poll.unregister(descriptor)
            os.close(descriptor)

    # ------------------------------------------------------------------------- figures

    @property
    def seen(self) -> int:
        """How many threads were observed."""
        return self._threads.seen

    @property
    def lost(self) -> int:
        """How many selected calls nobody was told of, or not to their end; they are counted."""
        return self._observation.lost_calls if self._observation is not None else 0

    @property
    def notifications(self) -> int:
        """How many user notifications there were: none."""
        return 0

    @property
    def is_helper(self) -> bool:
        """Whether the caller is a thread that runs handlers: there are none."""
        return False

    def stops_by_kind(self) -> Counter[str]:
        """Count the stops, of which there are none."""
        return Counter()

    def counters(self) -> dict[tuple[Abi, int], CallCounter]:
        """Sum up every selected call so far; from any thread."""
        if self._observation is None:
            return {}
        return {
            (ABIS[arch], number): CallCounter(
                calls=one.calls, errors=one.errors, nanoseconds=one.nanoseconds
            )
            for (arch, number), one in self._observation.counts().items()
        }


class _Priority:
    """The priority of the calling thread, and of it alone: high within the block, until it falls.

    Outside, and where that is not permitted, nothing changes.
    """

    def __init__(self) -> None:
        self._thread = self._before = self._now = 0

    def __enter__(self) -> Self:
        self._thread = threading.get_native_id()
        self._before = self._now = os.getpriority(os.PRIO_PROCESS, self._thread)
        self.rise()
        return self

    def __exit__(self, *_raised: object) -> None:
        self.fall()
        self._thread = 0

    def rise(self) -> None:
        """Go before others."""
        self._set(min(_PRIORITY, self._before))

    def fall(self) -> None:
        """Be as before."""
        self._set(self._before)

    def _set(self, nice: int) -> None:
        if self._thread and nice != self._now:
            self._now = nice
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, self._thread, nice)


def _ignore(_stop: Stop, /) -> None:
    pass


def _threads_of(process: int) -> set[int]:
    try:
        return {int(name) for name in os.listdir(f"/proc/{process}/task")}
    except OSError:
        return set()
