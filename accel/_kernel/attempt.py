"""Make a few system calls in a child that may fail or die of them, and tell what happened."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from accel._kernel import ptrace, spawn
from accel._kernel.wait import wait_for

__all__ = ["EXIT", "UNTRIED", "Child", "Outcome", "attempt", "outcome_of", "run_program"]

_SYS_PRCTL: Final = 157
_SYS_EXIT_GROUP: Final = 231
_PR_SET_DUMPABLE: Final = 4

EXIT: Final = spawn.call("exit_group", _SYS_EXIT_GROUP, 0)
#: A child that a filter kills shall not leave a core file.
_NO_CORE: Final = spawn.call("prctl", _SYS_PRCTL, _PR_SET_DUMPABLE, 0, minimum=None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: it worked unless a field says otherwise."""

    #: What failed.
    step: str = ""
    errno: int = 0
    #: The signal that killed whoever tried.
    signal: int = 0
    tried: bool = True

    @property
    def worked(self) -> bool:
        """Whether it was tried and nothing failed."""
        return self.tried and not self.step and not self.errno and not self.signal

    def __str__(self) -> str:
        if not self.tried:
            return "not tried"
        if self.signal:
            reason = f"killed by {signal.Signals(self.signal).name}"
        else:
            reason = os.strerror(self.errno) if self.errno else "failed"
        return f"{self.step}: {reason}" if self.step else reason


UNTRIED: Final = Outcome(tried=False)


class Child:
    """A child of a few steps; when the block is left it has ended and is reaped."""

    def __init__(
        self, launch: Callable[..., spawn.Launch], *steps: spawn.Step, exits: bool = True
    ) -> None:
        # exit_signal 0: no handler of the host runs, and SIGCHLD ignored does not reap it.
        self.launch = launch((*steps, EXIT) if exits else steps, exit_signal=0)
        self.pid = self.launch.pid
        self.status: int | None = None

    def wait(self) -> int:
        """Wait for its next stop, if it is a tracee, or for its end; return the status."""
        status = wait_for(self.pid)
        if not os.WIFSTOPPED(status):
            self.status = status
        return status

    @property
    def outcome(self) -> Outcome:
        """What has failed of an ended child."""
        if self.status is not None and os.WIFSIGNALED(self.status):
            return Outcome(signal=os.WTERMSIG(self.status))
        failed = self.launch.failure()
        return Outcome(failed[0].name, failed[1]) if failed else Outcome()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.status is not None:
            return
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            while os.WIFSTOPPED(self.wait()):
                # At PTRACE_EVENT_EXIT another SIGKILL would be dropped.
                ptrace.cont(self.pid)


def attempt(*steps: spawn.Step) -> Outcome:
    """Make ``steps`` in a child with a copy of this memory; tell the first that failed."""
    with Child(spawn.launch_copied, _NO_CORE, *steps) as child:
        child.wait()
        return child.outcome


def outcome_of(probe: Callable[[], Outcome]) -> Outcome:
    """Run a probe; whatever it raises is its outcome."""
    try:
        return probe()
    except OSError as error:
        return Outcome(str(error.filename or ""), error.errno or 0)
    except Exception as error:  # noqa: BLE001 - a probe that fails is a finding, not a failure
        return Outcome(f"{type(error).__name__}: {error}")


def run_program(*command: str, timeout: float = 5) -> tuple[int, str]:
    """Run a program; return its status, as in ``subprocess``, and what it wrote on stdout.

    This is a child that neither clone3 nor close_range are needed for. Raise OSError if it cannot
    be executed or does not end.
    """
    import subprocess  # noqa: PLC0415 - slow to import

    try:
        # With a cwd, Python does not use posix_spawn(3), nor does that use clone3.
        done = subprocess.run(
            command, cwd="/", close_fds=False, capture_output=True, check=False, timeout=timeout
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(errno.ETIME, os.strerror(errno.ETIME), command[0]) from error
    return done.returncode, done.stdout.decode("ascii", "backslashreplace")
