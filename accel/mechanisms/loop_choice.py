"""Which loop answers the stops of a tracing thread: the compiled one, or its twin in Python.

The compiled loop is machine code: read from a file, it is there at once. Where there is no such
file yet, numba compiles it, which takes seconds of processor time. Then a run starts on the twin;
once that has answered so many stops that the compiled loop would have saved as much, a thread
compiles beside, keeps the code for later, and the compiled loop takes over between two stops.
``ACCEL_LOOP`` chooses instead: ``python`` stays on the twin, ``numba`` has the compiled loop before
the command starts, ``auto`` is the default.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from accel._kernel import machine_code
from accel.errors import SetupError
from accel.mechanisms import loop_cache, twin_loop
from accel.mechanisms.ring import FOUND
from accel.mechanisms.stop_tables import ASKED

__all__ = ["Compiled", "LoopChoice", "NextChange"]

#: Is called with the number of a rule whose handler is to be asked.
Asked: TypeAlias = Callable[[int], None]
#: Of StopTables, or of NotifyTables: whatever has its words where a loop knows them.
NextChange: TypeAlias = Callable[[Any, Asked], int]

_VARIABLE: Final = "ACCEL_LOOP"
_WISHES: Final = ("auto", "numba", "python")
#: The compiled loop saves about 10 us a stop, and while it loads the twin has a third of its speed.
_STOPS_WORTH_COMPILING: Final = 50_000


class LoopChoice:
    """The loop of one tracing thread; raise SetupError if the chosen one is not there."""

    def __init__(
        self,
        *,
        worth_compiling: int = _STOPS_WORTH_COMPILING,
        twin: NextChange = twin_loop.next_change,
        compiled: Compiled | None = None,
    ) -> None:
        wish = os.environ.get(_VARIABLE, "auto")
        if wish not in _WISHES:
            raise SetupError(f"{_VARIABLE} is {wish!r}", hint=f"use {', '.join(_WISHES)}")
        #: Answer stops until there is something for Python. May change between two calls.
        self.next_change: NextChange = twin
        self._compiled = compiled or _compiled
        self._worth_compiling = worth_compiling
        #: Whether another loop may take over.
        self.may_change = False
        if wish == "numba":
            self._compiled.compile()
            self.next_change = self._compiled.result()
        elif wish == "auto":
            self.may_change = not self._take(self._compiled.load())

    def consider(self, answered: int) -> None:
        """Compile if ``answered`` stops are worth it; take the compiled loop when it is there."""
        if self.may_change and answered >= self._worth_compiling:
            self._compiled.start()
            self.may_change = not (self._take(self._compiled.loop) or self._compiled.error)

    def _take(self, loop: NextChange | None) -> bool:
        self.next_change = loop or self.next_change
        return loop is not None


class Compiled:
    """A compiled loop of this process: a function of a module that imports numba."""

    def __init__(self, module: str = loop_cache.LOOP, function: str = "next_change") -> None:
        self._module = module
        self._function = function
        self.loop: NextChange | None = None
        #: Why there is none.
        self.error: Exception | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def load(self) -> NextChange | None:
        """Take the code from its file; None if it is not there, or cannot be run here."""
        with self._lock, contextlib.suppress(OSError):
            code = None if self.loop else loop_cache.load(self._module)
            if code:
                self.loop = _callable(code)
        return self.loop

    def start(self) -> None:
        """Begin to compile in a thread beside, unless somebody has."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._apart, name="accel-compile", daemon=True)
            self._thread.start()

    def _apart(self) -> None:
        # A thread inherits the affinity of its creator: here the CPU that the tracee needs.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, os.sched_getaffinity(os.getpid()))
        self.compile()

    def compile(self) -> None:
        """Compile unless the code is there, and keep it; remember why it failed."""
        if self.load():
            return
        try:
            from accel import _emit  # noqa: PLC0415 - numba, only here: see above

            function = getattr(importlib.import_module(self._module), self._function)
            code = _emit.machine_code(function)
            loop_cache.store(code, self._module)
            self.loop = _callable(code)
        except Exception as error:  # noqa: BLE001 - whatever numba may raise, the twin is there
            self.error = error

    def result(self) -> NextChange:
        """Return the compiled loop; raise SetupError if there is none."""
        if self.loop is None:
            raise SetupError(
                f"the compiled loop cannot be loaded: {self.error}",
                hint="install numba: pip install 'syscall-accel[loop]'",
            ) from self.error
        return self.loop


_compiled: Final = Compiled()


def _callable(code: bytes) -> NextChange:
    """Make a loop of machine code one that is called as its twin is."""
    function = machine_code.entered_with_words(machine_code.executable(code))

    def next_change(tables: Any, asked: Asked) -> int:
        view, entry = tables.control.view, tables.entry
        while True:
            if function(*entry):
                raise SystemError("the compiled loop failed: it never does")
            change: int = view[FOUND]
            if change >= ASKED:
                asked(change - ASKED)
            elif change >= 0:
                return change
            else:
                raise OSError(-change, os.strerror(-change))

    return next_change
