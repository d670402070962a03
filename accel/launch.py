"""What a start is made of: the steps by which a new child becomes the command.

Everything is resolved and allocated here, before the child exists; see ``_kernel.spawn``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import signal
from collections.abc import Iterator, Sequence

from accel._kernel import spawn
from accel.command import DEVNULL, STDOUT, Command
from accel.errors import CommandError, SetupError
from bpf import FilterMemory, Program, needs_no_new_privs
from bpf.value import frozen

__all__ = ["exec_failure", "prepare"]

_SYS_READ, _SYS_CLOSE, _SYS_DUP2, _SYS_EXECVE, _SYS_CHDIR = 0, 3, 33, 59, 80
_SYS_RT_SIGPROCMASK, _SYS_FCNTL, _SYS_PRCTL, _SYS_SECCOMP, _SYS_CLOSE_RANGE = 14, 72, 157, 317, 436
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_CLOSE_RANGE_CLOEXEC = 4
_SIG_SETMASK = 2
_FIRST_FREE = 3


@frozen
class Prepared:
    """The steps of a start, and all memory they point into."""

    steps: tuple[spawn.Step, ...]
    #: The end of the pipe that releases the child once it is attached to.
    release: int
    _keep: tuple[object, ...]


@contextlib.contextmanager
def prepare(
    command: Command, program: Program | None, flags: int = 0, *, is_traced: bool = True
) -> Iterator[Prepared]:
    """Make the steps that turn a new child into ``command`` under the filter ``program``.

    Descriptors are closed when the block is left. The child first waits for a byte on a pipe: when
    the tracer dies before it has attached, the pipe ends and so does the child. With ``flags``, of
    seccomp(2), the filter has a listener, and the child comes to a ``spawn.MEETING`` where that is
    its last call's result. A command that is not traced dies with the thread that starts it, in the
    place of PTRACE_O_EXITKILL.
    """
    path = command.resolve()
    with contextlib.ExitStack() as stack:
        waiting, release = _high_pipe(stack)
        streams = _streams(command, stack)
        memory = spawn.ArgumentMemory()
        steps = [
            spawn.call("close", _SYS_CLOSE, release),
            spawn.call("read", _SYS_READ, waiting, memory.space(1), 1, minimum=1),
            *(spawn.call("dup2", _SYS_DUP2, source, target) for target, source in streams.items()),
        ]
        if command.cwd is not None:
            steps.append(spawn.call("chdir", _SYS_CHDIR, memory.string(command.cwd)))
        # Python ignores these two for itself; no command expects it (subprocess: restore_signals).
        steps += [spawn.default_action(number) for number in (signal.SIGPIPE, signal.SIGXFSZ)]
        if command.close_fds:
            steps += _close_ranges(command.pass_fds)
        steps += [
            spawn.call("pass_fds", _SYS_FCNTL, fd, fcntl.F_SETFD, 0) for fd in command.pass_fds
        ]
        blocked = memory.word(sum(1 << (number - 1) for number in command.signal_mask))
        steps.append(spawn.call("sigprocmask", _SYS_RT_SIGPROCMASK, _SIG_SETMASK, blocked, 0, 8))
        filter_memory = None if program is None else FilterMemory(program)
        if not is_traced:
            died = (_PR_SET_PDEATHSIG, signal.SIGKILL)
            steps.append(spawn.call("death signal", _SYS_PRCTL, *died))
        if filter_memory is not None:
            steps += _filter(filter_memory, flags)
        arguments = memory.strings(command.argv)
        variables = [name + b"=" + value for name, value in command.environment.items()]
        environment = memory.strings(variables)
        steps.append(spawn.call("execve", _SYS_EXECVE, memory.string(path), arguments, environment))
        yield Prepared(tuple(steps), release, (memory, filter_memory))


def _high_pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    """Make a close-on-exec pipe whose ends are not 0, 1 or 2, which the child redirects."""
    ends = []
    for end in os.pipe2(os.O_CLOEXEC):
        high = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
        os.close(end)
        stack.callback(os.close, high)
        ends.append(high)
    return ends[0], ends[1]


def _streams(command: Command, stack: contextlib.ExitStack) -> dict[int, int]:
    """Map each redirected standard stream to a descriptor of the host that is not below 3."""
    streams: dict[int, int] = {}
    for target, wanted in enumerate((command.stdin, command.stdout, command.stderr)):
        if wanted is None:
            continue
        if wanted == STDOUT:
            if target != 2:
                raise SetupError("STDOUT can stand for stderr only")
            source = streams.get(1, 1)
        elif wanted == DEVNULL:
            source = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, source)
        elif isinstance(wanted, int):
            source = wanted
        else:
            source = wanted.fileno()
        try:
            high = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
        except OSError as error:
            name = ("stdin", "stdout", "stderr")[target]
            raise SetupError(f"{name}: {error.strerror} ({source})") from error
        stack.callback(os.close, high)
        streams[target] = high
    return streams


def _close_ranges(pass_fds: Sequence[int]) -> list[spawn.Step]:
    """Close at exec all descriptors but the standard streams and ``pass_fds`` (Linux 5.11)."""
    bounds = [_FIRST_FREE - 1, *sorted({fd for fd in pass_fds if fd >= _FIRST_FREE}), 0xFFFF_FFFF]
    return [
        spawn.call("close_range", _SYS_CLOSE_RANGE, low + 1, high - 1, _CLOSE_RANGE_CLOEXEC)
        for low, high in itertools.pairwise(bounds)
        if low + 1 <= high - 1
    ]


def _filter(memory: FilterMemory, flags: int) -> list[spawn.Step]:
    steps = [spawn.call("seccomp", _SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, flags, memory.address)]
    if flags:
        steps.append(spawn.MEETING)
    if needs_no_new_privs():
        steps.insert(0, spawn.call("no_new_privs", _SYS_PRCTL, _PR_SET_NO_NEW_PRIVS, 1))
    return steps


def exec_failure(command: Command, step: spawn.Step, error: int) -> SetupError:
    """Turn the step that failed in the child into the error to raise."""
    reason = os.strerror(error)
    shown = os.fsdecode(command.argv[0])
    if step.name == "chdir":
        return SetupError(f"cannot enter directory {os.fsdecode(command.cwd or b'')}: {reason}")
    if step.name == "execve":
        hint = {
            errno.ENOENT: "does the interpreter of its first line exist?",
            errno.ENOEXEC: "a script needs a first line such as #!/bin/sh",
            errno.E2BIG: "arguments and environment are too long",
        }.get(error, "name an executable file")
        return CommandError(f"{shown}: {reason}", exit_status=126, errno=error, hint=hint)
    hint = "see what this host refuses with: accel doctor"
    return SetupError(f"cannot start {shown}: {step.name}: {reason}", hint=hint)
