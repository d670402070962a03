"""Signals to accel itself: Ctrl-C, kill, and dying as the command died."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Final, NoReturn

from accel.tracer import Tracer

__all__ = ["die_by", "ending_signals", "wait_for_end"]

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
#: Wakes the waiting thread when tracing has ended; nobody else uses the last real-time signal.
_ENDED: Final = signal.SIGRTMAX
#: From the terminal: every process of the foreground group has got it, the command too.
_SI_KERNEL: Final = 0x80
#: How long a command that was asked to end may take, in seconds.
_GRACE: Final = 2.0


@contextlib.contextmanager
def ending_signals() -> Iterator[set[signal.Signals]]:
    """Keep signals that would end accel until ``wait_for_end`` listens; those ignored stay so."""
    heard = {number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heard | {_ENDED})
    try:
        yield heard
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def wait_for_end(tracer: Tracer, heard: set[signal.Signals]) -> int:
    """Wait until tracing has ended; return the signal that made it end, 0 if none did.

    Ctrl-C goes to the command as well: it may end, or not; the second Ctrl-C kills it. A signal
    sent to accel alone is passed on to the command, which is killed if it has not ended after two
    seconds. A process that was attached to is let go.
    """
    waiter = threading.Thread(
        target=_announce_end, args=(tracer, threading.get_ident()), daemon=True
    )
    waiter.start()
    try:
        return _listen(tracer, heard | {_ENDED})
    finally:
        waiter.join()
        while signal.sigtimedwait({_ENDED}, 0):
            pass


def _announce_end(tracer: Tracer, thread: int) -> None:
    tracer.join()
    signal.pthread_kill(thread, _ENDED)


def _listen(tracer: Tracer, signals: set[signal.Signals]) -> int:
    interrupted = 0
    ending = False
    while True:
        heard = signal.sigtimedwait(signals, _GRACE) if ending else signal.sigwaitinfo(signals)
        if heard is not None and heard.si_signo == _ENDED:
            return interrupted
        again = interrupted or heard is None
        if heard is not None:
            interrupted = heard.si_signo
        if again or tracer.is_attached:
            tracer.end()
        elif heard is not None and heard.si_code != _SI_KERNEL:
            ending = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(tracer.pid, heard.si_signo)


def die_by(number: int) -> NoReturn:
    """End this process by a signal, as the command ended; without a second core dump."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.flush()
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    # A signal whose default is not to end the process cannot have ended the command either.
    sys.exit(128 + number)
