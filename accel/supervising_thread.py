"""The thread that starts a supervised command and waits for its end; supervisors run beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from accel.abi import Abi
from accel.launch import Command
from accel.mechanisms.contract import Observer, Policy
from accel.mechanisms.notify_start import start_supervised
from accel.mechanisms.placement import PlacementName
from accel.mechanisms.recorder import Recorder
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


def supervising(
    policy: Policy,
    observe: Observer,
    placement: PlacementName,
    recorder: Recorder | None,
    captures: Mapping[tuple[Abi, int], int],
    supervisors: int,
) -> tuple[UserNotify, Callable[[Command, Program], SupervisingThread]]:
    """Make the mechanism; return it, and what makes the thread that starts a command under it."""
    loop = UserNotify(
        policy, observe, placement, recorder, captures=captures, supervisors=supervisors
    )

    def thread(command: Command, program: Program) -> SupervisingThread:
        return SupervisingThread(loop, lambda: start_supervised(loop, command, program))

    return loop, thread
