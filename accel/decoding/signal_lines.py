"""Lines that are no calls: a signal that is delivered, and the end of a process."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["format_exit", "format_signal", "signal_name"]

_NAMES: Final = tuple(
    f"SIG{name}"
    for name in (
        "0 HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT "
        "STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS RTMIN"
    ).split()
)
_FIRST_REALTIME: Final = 32
_LAST: Final = 64


def signal_name(number: int) -> str:
    """Name a signal, as ``SIGINT`` or ``SIGRT_3``; a number that is no signal stays one."""
    if 0 < number < len(_NAMES):
        return _NAMES[number]
    if _FIRST_REALTIME < number <= _LAST:
        return f"SIGRT_{number - _FIRST_REALTIME}"
    return str(number)


def format_signal(raw: bytes) -> str:
    """Format the line of a signal from its siginfo_t: ``--- SIGINT {si_signo=SIGINT, ...} ---``."""
    from accel.decoding.siginfo import SigInfo  # noqa: PLC0415 - 4 ms; few runs see a signal

    info = SigInfo.parse(raw)
    return f"--- {signal_name(info.signo)} {info} ---"


def format_exit(status: int) -> str:
    """Format the last line of a process from its wait status: ``+++ exited with 0 +++``."""
    if os.WIFSIGNALED(status):
        dumped = " (core dumped)" if os.WCOREDUMP(status) else ""
        return f"+++ killed by {signal_name(os.WTERMSIG(status))}{dumped} +++"
    return f"+++ exited with {os.WEXITSTATUS(status)} +++"
