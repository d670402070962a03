"""The thread that starts a supervised command and waits for its end; supervisors run beside it."""

from __future__ import annotations

from collections.abc import Callable

from accel.command import Command
from accel.mechanisms.notify_start import start_supervised
from accel.mechanisms.user_notify import UserNotify
from accel.tracing_thread import RunThread
from bpf import Program

__all__ = ["SupervisingThread", "supervising"]


class SupervisingThread(RunThread):
    """Needs no bell, as it waits for descriptors."""

    def __init__(self, loop: UserNotify, start: Callable[[], int]) -> None:
        super().__init__(loop, start, "accel")
        self._supervised = loop

    def request(self, wish: Callable[[], None]) -> None:
        """Call ``wish`` at once: what ends a supervised tree may come from any thread."""
        wish()

    def _trace(self) -> None:
        try:
            self._supervised.run()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that asked
            self._failure = self._failure or error


def supervising(loop: UserNotify, program: Program) -> Callable[[Command], SupervisingThread]:
    """Return what makes the thread that starts a command under ``program`` and a mechanism."""

    def thread(command: Command) -> SupervisingThread:
        return SupervisingThread(loop, lambda: start_supervised(loop, command, program))

    return thread
