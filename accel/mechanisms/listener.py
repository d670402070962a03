"""The listener of a run: taken over from the child that has just installed its filter.

The child can make no call to pass it on, as the filter may answer any: it waits in user space while
its descriptor is copied by pidfd_getfd(2). Nothing of it is left in the command: the kernel marks
it close-on-exec.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from accel._kernel import notify, notify_probe, spawn
from accel._kernel.meeting import meet
from accel._kernel.notify_probe import Notifications
from accel.mechanisms.refusal import why_no_listener

__all__ = ["Handover", "Listener", "support"]


def support() -> Notifications:
    """Find out what works here; raise UnsupportedKernel if there can be no listener.

    Cost: a child that lives for 100 us.
    """
    found = notify_probe.probe()
    if not found.work:
        raise why_no_listener(found.refusal.step, found.refusal.errno, str(found.refusal))
    return found


def flags_of(found: Notifications) -> int:
    """Choose the flags of seccomp(2) for a filter with a listener."""
    killable = notify.FLAG_WAIT_KILLABLE_RECV if found.waits_killable else 0
    return notify.FLAG_NEW_LISTENER | killable


class Listener:
    """A descriptor that notifications come from; ``pidfd`` is of the command, once ``child``."""

    def __init__(
        self, descriptor: int, pidfd: int, found: Notifications, child: spawn.Launch
    ) -> None:
        self.descriptor = descriptor
        self.pidfd = pidfd
        self._child = child
        #: Whether RECV would not end with the last process, so that poll(2) must tell of it.
        self.polls = not found.receive_ends
        if found.wakes_synchronously:
            notify.set_sync_wake_up(descriptor)

    def has_given_up(self) -> bool:
        """Tell whether the child could not execute the command."""
        return self._child.failure() is not None

    def close(self) -> None:
        """Close it: calls that wait for an answer, and all that are selected later, fail: ENOSYS.

        No thread may be waiting there.
        """
        os.close(self.descriptor)
        os.close(self.pidfd)


class Handover:
    """Meets a child that was launched and released, takes its listener, and lets it go on."""

    def __init__(self, child: spawn.Launch, found: Notifications) -> None:
        self._child = child
        self._found = found
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """Wait no longer: the child will not come."""
        self._given_up.set()

    @contextlib.contextmanager
    def meeting(self) -> Iterator[Listener | None]:
        """Wait for the child; when the block is left, it goes on. None if it has failed or died.

        Raise UnsupportedKernel if its descriptor may not be taken.
        """
        pidfd = notify.pidfd_open(self._child.pid)
        descriptor = None
        try:
            descriptor = meet(self._child, pidfd, self._given_up.is_set)
            listener = None
            if descriptor is not None:
                listener = Listener(self._take(pidfd, descriptor), pidfd, self._found, self._child)
        finally:
            if descriptor is None:
                os.close(pidfd)
        yield listener
        self._child.go()

    @staticmethod
    def _take(pidfd: int, descriptor: int) -> int:
        try:
            return notify.take_descriptor(pidfd, descriptor)
        except OSError as error:
            os.close(pidfd)
            raise why_no_listener("pidfd_getfd", error.errno or 0, str(error)) from error
