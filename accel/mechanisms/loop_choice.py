"""Which loop answers the stops of a tracing thread: the compiled one, or its twin in Python.

Loading the compiled loop takes numba, and about a second of processor time. A run starts on the
twin; once it has answered so many stops that the compiled loop would have saved as much, that is
loaded by a thread beside, and takes over between two stops. ``ACCEL_LOOP`` chooses instead:
``python`` stays on the twin, ``numba`` loads before the command starts, ``auto`` is the default.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

from accel.errors import SetupError
from accel.mechanisms import twin_loop
from accel.mechanisms.stop_tables import StopTables

__all__ = ["LoopChoice", "NextChange"]

NextChange: TypeAlias = Callable[[StopTables], int]

_VARIABLE: Final = "ACCEL_LOOP"
_WISHES: Final = ("auto", "numba", "python")
#: The compiled loop saves about 10 us a stop, and while it loads the twin has a third of its speed.
_STOPS_WORTH_LOADING: Final = 50_000


class LoopChoice:
    """The loop of one tracing thread; raise SetupError if the chosen one is not there."""

    def __init__(self, *, worth_loading: int = _STOPS_WORTH_LOADING) -> None:
        wish = os.environ.get(_VARIABLE, "auto")
        if wish not in _WISHES:
            raise SetupError(f"{_VARIABLE} is {wish!r}", hint=f"use {', '.join(_WISHES)}")
        #: Wait for the next change that Python must see; answer all others. May change at a beat.
        self.next_change: NextChange = twin_loop.next_change
        self._worth_loading = worth_loading
        self._may_change = wish == "auto"
        if wish == "numba":
            _loading.run()
            self.next_change = _loading.result()
        elif wish == "auto" and _loading.is_done:
            self.consider(worth_loading)

    def consider(self, answered: int) -> None:
        """Load the compiled loop if ``answered`` stops are worth it; take it when it is there."""
        if not self._may_change or answered < self._worth_loading:
            return
        _loading.start()
        if _loading.is_done:
            self._may_change = False
            if _loading.error is None:
                self.next_change = _loading.result()


class _Loading:
    """The import of the compiled loop, once a process."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.is_done = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: NextChange | None = None

    def start(self) -> None:
        """Begin, in a thread beside, unless somebody has."""
        with self._lock:
            if self._thread is None and not self.is_done:
                self._thread = threading.Thread(target=self._apart, name="accel-load", daemon=True)
                self._thread.start()

    def _apart(self) -> None:
        # A thread inherits the affinity of its creator: here the CPU that the tracee needs.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, os.sched_getaffinity(os.getpid()))
        self.run()

    def run(self) -> None:
        """Import, or wait until another thread has; keep why it failed."""
        try:
            self._loop = _compiled()
        except Exception as error:  # noqa: BLE001 - whatever numba may raise, the twin is there
            self.error = error
        self.is_done = True

    def result(self) -> NextChange:
        """Return the compiled loop; raise SetupError if it cannot be loaded."""
        if self._loop is None:
            raise SetupError(
                f"the compiled loop cannot be loaded: {self.error}",
                hint="install numba: pip install 'syscall-accel[loop]'",
            ) from self.error
        return self._loop


_loading: Final = _Loading()


def _compiled() -> NextChange:
    from accel import _loop  # noqa: PLC0415 - only here, see above

    def next_change(tables: StopTables) -> int:
        change: int = _loop.next_change(*tables.addresses)
        if change < 0:
            raise OSError(-change, os.strerror(-change))
        return change

    return next_change
