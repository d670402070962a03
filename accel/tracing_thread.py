"""The thread of a run; one that traces makes all ptrace requests, and reaps only what it started.

Another thread interrupts its wait by a ``Doorbell``.
"""

from __future__ import annotations

import abc
import contextlib
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from accel._kernel import signals
from accel.errors import SetupError
from accel.mechanisms.doorbell import Doorbell

if TYPE_CHECKING:
    from accel.mechanisms.contract import Loop, Mechanism

__all__ = ["RunThread", "TracingThread"]


class RunThread(abc.ABC):
    """Run a mechanism in a thread of its own, from the start of its tracees to their end."""

    def __init__(self, loop: Mechanism, start: Callable[[], int], name: str) -> None:
        #: The command's pid, once it has executed.
        self.pid = 0
        self._mechanism = loop
        self._start = start
        self._started = threading.Event()
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> int:
        """Start tracing; return the command's pid once it has executed, or raise why not."""
        try:
            self._thread.start()
        except RuntimeError as error:
            self._ended.set()
            raise SetupError("cannot start a thread", hint="see: accel doctor") from error
        self._started.wait()
        self._mechanism.started()
        if not self.pid:
            self._ended.wait()
            self.reraise()
        return self.pid

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the last tracee; False when ``timeout`` seconds passed first."""
        # Not Thread.join: interrupted by Ctrl-C, that of Python 3.11 takes the thread for ended.
        return self._ended.wait(timeout)

    @property
    def is_current(self) -> bool:
        """Whether the caller is this thread: a handler, or an observer."""
        return threading.current_thread() is self._thread

    @property
    def is_inside(self) -> bool:
        """Whether the caller is any thread that runs handlers: it must not wait for the end."""
        mechanism = self._mechanism
        return self.is_current or mechanism.is_helper

    def reraise(self) -> None:
        """Raise what ended the tracing thread, if anything did."""
        if isinstance(self._failure, OSError) and not self.pid:
            raise SetupError(f"cannot start a process: {self._failure}") from self._failure
        if self._failure is not None:
            raise self._failure

    @abc.abstractmethod
    def request(self, wish: Callable[[], None]) -> None:
        """Let the mechanism grant ``wish`` as soon as it can; the latest wish holds."""

    def _run(self) -> None:
        # Signals are for the host's threads; the command's own mask is set when it starts. Not so
        # SIGCHLD: every stop sends one to this thread, and the kernel drops it at once unless it is
        # blocked here; then it would wake the host's main thread, which doubles the cost of a stop.
        signals.block(but=signal.SIGCHLD)
        try:
            self._begin()
            self._trace()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that asked
            self._failure = self._failure or error
        finally:
            self._mechanism.close()
            self._started.set()
            self._ended.set()

    def _begin(self) -> None:
        try:
            self.pid = self._start()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that asked
            self._failure = error
            self._mechanism.abandon()
        else:
            self._started.set()

    @abc.abstractmethod
    def _trace(self) -> None:
        """Run the mechanism to the end of the last tracee, and reap; keep what fails."""


class TracingThread(RunThread):
    """All ptrace requests of a run come from it; another thread interrupts its wait by a bell."""

    def __init__(self, loop: Loop, start: Callable[[], int], name: str) -> None:
        super().__init__(loop, start, name)
        self._loop = loop
        self._lock = threading.Lock()
        self._bell: Doorbell | None = None
        self._wish: Callable[[], None] | None = None

    def request(self, wish: Callable[[], None]) -> None:
        """Let the tracing thread call ``wish`` as soon as it waits; the latest wish holds."""
        with self._lock:
            self._wish = wish
            if self._bell is not None:
                self._bell.ring()

    def _begin(self) -> None:
        self._hang_bell()
        super()._begin()

    def _trace(self) -> None:
        """Run the loop until wait(2) knows of no tracee, not even of one that was not seen yet.

        A new child is attached to before anybody hears of it, and its parent may be killed first.
        A loop that fails has tracees that are still to be reaped.
        """
        while True:
            if self._bell is None:
                self._hang_bell_again()
            try:
                self._loop.run()
                self._take_bell_down()
                self._loop.step()
            except ChildProcessError:
                return
            except BaseException as error:  # noqa: BLE001 - raised in the thread that asked
                self._failure = self._failure or error

    def _hang_bell(self) -> None:
        with self._lock:
            self._bell = Doorbell()
            self._loop.add_bell(self._bell.pid, self._answer)
            if self._wish is not None:
                self._bell.ring()

    def _answer(self) -> None:
        """Grant the wish of whoever rang, and hang another bell: a bell rings once.

        In that order: there may be no descriptor left for another.
        """
        with self._lock:
            wish, self._wish = self._wish, None
            bell, self._bell = self._bell, None
        assert bell is not None
        bell.close(reap=False)
        try:
            if wish is not None:
                wish()
        finally:
            self._hang_bell_again()

    def _hang_bell_again(self) -> None:
        # Its only wish is the end, which was granted or has come: it can be done without.
        with contextlib.suppress(OSError):
            self._hang_bell()

    def _take_bell_down(self) -> None:
        with self._lock:
            bell, self._bell = self._bell, None
        if bell is not None:
            self._loop.remove_bell(bell.pid)
            bell.close(reap=True)
