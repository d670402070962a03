"""The threads of a tree that is observed: how they begin, what they execute, how they end.

Nobody waits for them with wait(2), but for the command itself, so how they end is found from what
they did: an exit status from exit(2) or exit_group(2), else the signal that nobody handled.
"""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable
from typing import Final

from accel.stops import EventStop, Exited, Killed, SignalDeliveryStop, Stop
from bpf.probes.observe import BY_CALL, ZAPPED, Event, Kind

__all__ = ["ObservedThreads", "end_of_status"]

# <linux/sched.h>: clone(2).
_CLONE_VFORK: Final = 0x4000
_CLONE_THREAD: Final = 0x10000
#: Signals whose default action does not end a process: signal(7).
_HARMLESS: Final = frozenset({
    signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH,
    signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
})  # fmt: skip
#: siginfo_t: number, errno, code, pid, uid; and its codes.
_SIGINFO: Final = struct.Struct("=iii4xiI")
_SIGINFO_SIZE: Final = 128
_WORDS: Final = struct.Struct("=6Q")
_SI_USER, _SI_KERNEL = 0, 0x80
#: What stands for a siginfo in an event: SEND_SIG_NOINFO, SEND_SIG_PRIV.
_WITHOUT: Final = (0, 1)


class _Process:
    """A process, as far as it was seen."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        #: The status that exit_group(2) gave; None if nobody called it.
        self.status: int | None = None
        #: Signals that were sent and not delivered, the last one last.
        self.sent: dict[int, Event] = {}
        #: The signal that was delivered, and ends it; 0 if none was.
        self.delivered = 0
        #: The end of its leader, which is told when there are no other threads any more.
        self.leader: Exited | Killed | None = None
        #: Whether its killing signal has been told.
        self.is_killed = False


class ObservedThreads:
    """Tells of forks, execve, signals and ends, as a tracer's stops do.

    ``reap`` waits for the command, whose pid is ``root``; None if another thread has reaped it.
    """

    def __init__(self, tell: Callable[[Stop], None], reap: Callable[[], int | None]) -> None:
        self.tell = tell
        self.root = 0
        #: Whether the root has executed, so that all there is to tell is the command's.
        self.started = False
        #: How many threads there ever were.
        self.seen = 0
        self._reap = reap
        self._processes: dict[int, _Process] = {}

    def begin(self, tid: int, pid: int) -> None:
        """Take in a thread that the user named, or that was launched."""
        self.seen += 1
        self._process(pid).threads.add(tid)

    def take(self, event: Event) -> None:
        """Tell of an event."""
        match event.kind:
            case Kind.ATTACHED:
                self._attached(event)
            case Kind.EXECUTED:
                self._executed(event)
            case Kind.ENDED:
                self._ended(event)
            case Kind.GENERATED:
                self._process(event.pid).sent[event.number] = event
            case Kind.DELIVERED:
                self._delivered(event)
            case Kind.EXITING:
                self._process(event.pid).status = event.result
            case Kind.FOREIGN:
                detail = f"it made call {event.number:#x} of the x32 ABI"
                self._event(event, "blind-spot", detail=detail)
            case Kind.WATCHED:
                detail = "it uses io_uring_setup, whose operations are not system calls"
                self._event(event, "blind-spot", detail=detail)

    def is_cut_short(self, event: Event) -> bool:
        """Tell whether the call that a thread ends in was ended for it, by another or by SIGKILL.

        ``event`` is ENDED. Others end after the call, by the signal that interrupted it.
        """
        if not event.flags & ZAPPED:
            return False
        process = self._process(event.pid)
        return not self._takes(event.tid, self._killer(process), process)

    def detach(self, time_ns: int) -> None:
        """Tell of the threads that are let go."""
        for pid, process in self._processes.items():
            for tid in sorted(process.threads):
                self.tell(EventStop(tid, pid, "detached", time_ns=time_ns))
        self._processes.clear()

    def end(self, time_ns: int) -> None:
        """Tell of the command's end, if the ring had no room for it."""
        if self.root in self._processes:
            self._tell_end(Exited(self.root, self.root, 0, time_ns))

    # ------------------------------------------------------------------------- beginnings

    def _process(self, pid: int) -> _Process:
        return self._processes.setdefault(pid, _Process())

    def _attached(self, event: Event) -> None:
        parent, parent_pid, flags = event.arguments[:3]
        threads = self._process(event.pid).threads
        if event.tid in threads:
            return
        self.begin(event.tid, event.pid)
        if parent and self.started:
            kind = "vfork" if flags & _CLONE_VFORK else "fork"
            if flags & _CLONE_THREAD:
                kind = "clone"
            self.tell(EventStop(parent, parent_pid, kind, event.tid, time_ns=event.time_ns))
            self._event(event, "attached")

    def _executed(self, event: Event) -> None:
        former = event.number
        process = self._process(event.pid)
        if former != event.tid:
            self._event(event, "superseded", former)
            process.leader = None
        process.threads = {event.tid}
        process.status = None
        self.started = self.started or event.pid == self.root
        self._event(event, "exec", former)

    # ------------------------------------------------------------------------- signals

    def _delivered(self, event: Event) -> None:
        process = self._process(event.pid)
        process.sent.pop(event.number, None)
        is_default = event.left_ns == signal.SIG_DFL
        if is_default and event.number not in _HARMLESS:
            process.delivered = process.delivered or event.number
        self._tell_signal(event, event.tid)

    def _tell_signal(self, event: Event, tid: int) -> None:
        if self.started:
            siginfo = _siginfo(event)
            self.tell(
                SignalDeliveryStop(tid, event.pid, event.number, siginfo, time_ns=event.time_ns)
            )

    def _killer(self, process: _Process) -> int | None:
        """Find the signal that ended a process whose threads the kernel stopped; None: no signal.

        Most of those are never delivered: the kernel ends all threads instead.
        """
        if process.delivered:
            return process.delivered
        if process.status is not None:
            return None
        if signal.SIGKILL in process.sent:
            return signal.SIGKILL
        return next((number for number in reversed(process.sent) if number not in _HARMLESS), None)

    def _takes(self, tid: int, killer: int | None, process: _Process) -> bool:
        """Tell whether a thread is the one that a tracer would see take the signal that kills all.

        It is the one that the signal was for, if that has not ended before.
        """
        if killer is None or killer == signal.SIGKILL or process.is_killed:
            return False
        sent = process.sent.get(killer)
        return sent is not None and (sent.tid == tid or sent.tid not in process.threads)

    # ------------------------------------------------------------------------- ends

    def _ended(self, event: Event) -> None:
        process = self._process(event.pid)
        end = self._end_of(event, process)
        process.threads.discard(event.tid)
        if event.tid == event.pid:
            process.leader = end
        elif self.started:
            self.tell(end)
        if not process.threads:
            self._processes.pop(event.pid, None)
            if process.leader is not None:
                self._tell_end(process.leader)

    def _end_of(self, event: Event, process: _Process) -> Exited | Killed:
        tid, pid, time_ns = event.tid, event.pid, event.time_ns
        if event.flags & BY_CALL:
            return Exited(tid, pid, event.result, time_ns)
        if not event.flags & ZAPPED:
            return (
                Killed(tid, pid, event.number, time_ns=time_ns)
                if event.number
                else Exited(tid, pid, process.status or 0, time_ns)
            )
        killer = self._killer(process)
        if killer is None:
            return Exited(tid, pid, process.status or 0, time_ns)
        if self._takes(tid, killer, process):
            self._tell_signal(process.sent[killer], tid)
            process.is_killed = True
        return Killed(tid, pid, killer, time_ns=time_ns)

    def _tell_end(self, end: Exited | Killed) -> None:
        """Tell how a process ended; of the command wait(2) knows it."""
        self._processes.pop(end.pid, None)
        if end.pid == self.root:
            status = self._reap()
            if status is not None:
                end = end_of_status(end.tid, status, end.time_ns)
        if self.started:
            self.tell(end)

    def _event(self, event: Event, name: str, message: int = 0, detail: str = "") -> None:
        if self.started:
            self.tell(EventStop(event.tid, event.pid, name, message, detail, event.time_ns))


def end_of_status(tid: int, status: int, time_ns: int) -> Exited | Killed:
    """Make the end of a leader from what wait(2) says of it."""
    if os.WIFSIGNALED(status):
        return Killed(tid, tid, os.WTERMSIG(status), os.WCOREDUMP(status), time_ns)
    return Exited(tid, tid, os.WEXITSTATUS(status), time_ns)


def _siginfo(event: Event) -> bytes:
    """Tell a signal's siginfo_t, as the kernel completes it where there was none."""
    if event.result not in _WITHOUT:
        return _WORDS.pack(*event.arguments).ljust(_SIGINFO_SIZE, b"\0")
    is_kernels = event.result == _WITHOUT[1]
    who = (0, 0) if is_kernels else (event.left_ns, event.strings & 0xFFFF_FFFF)
    code = _SI_KERNEL if is_kernels else _SI_USER
    return _SIGINFO.pack(event.number, 0, code, *who).ljust(_SIGINFO_SIZE, b"\0")
