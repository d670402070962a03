"""Which loop answers the stops of a tracing thread: compiled, or its twin in Python."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeAlias

from accel.errors import SetupError
from accel.mechanisms import twin_loop
from accel.mechanisms.stop_tables import StopTables

__all__ = ["LoopChoice", "NextChange"]

NextChange: TypeAlias = Callable[[StopTables], int]


class LoopChoice:
    """The loop of one tracing thread; it may change between two calls of it."""

    def __init__(self) -> None:
        self.next_change: NextChange = twin_loop.next_change
        wish = os.environ.get("ACCEL_LOOP", "auto")
        if wish == "numba":
            self.next_change = _compiled()

    def consider(self, answered: int) -> None:
        pass


def _compiled() -> NextChange:
    from accel import _loop  # noqa: PLC0415 - numba takes half a second to import

    def next_change(tables: StopTables) -> int:
        change: int = _loop.next_change(*tables.addresses)
        if change < 0:
            raise OSError(-change, os.strerror(-change))
        return change

    return next_change
