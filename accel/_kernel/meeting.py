"""Wait for a child at its meeting: see ``spawn.MEETING``."""

from __future__ import annotations

import select
from collections.abc import Callable
from time import sleep
from typing import Final

from accel._kernel.spawn import Launch

__all__ = ["meet"]

#: How long the parent sleeps between two looks; the child needs less to get there.
_LOOK_SECONDS: Final = 0.0001


def meet(child: Launch, pidfd: int, has_given_up: Callable[[], bool] = bool) -> int | None:
    """Wait until a child is at its meeting; return what its last call returned.

    None if a step has failed, if the child has ended, or once the caller ``has_given_up``. The
    child stays there until ``Launch.go``, or its end.
    """
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    while not has_given_up():
        met = child.met()
        if met is not None:
            return met
        if child.failure() is not None or poll.poll(0):
            return None
        sleep(_LOOK_SECONDS)
    return None
