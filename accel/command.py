"""A command and its surroundings, as a value: what is to run, and where its program is."""

from __future__ import annotations

import errno
import os
import signal
import stat
from collections.abc import Mapping
from typing import IO

from accel.errors import CommandError
from bpf.value import frozen

__all__ = ["DEVNULL", "PIPE", "STDOUT", "Command", "Redirection", "current_signal_mask"]

#: What may stand for one of the three standard streams, as in ``subprocess``.
Redirection = None | int | IO[bytes] | IO[str]
#: As in ``subprocess``, whose import would cost more than the rest of this module.
PIPE, STDOUT, DEVNULL = -1, -2, -3


def current_signal_mask() -> frozenset[int]:
    """Tell which signals the calling thread blocks."""
    return frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


@frozen
class Command:
    """A command with its surroundings, in the terms of ``subprocess.Popen``."""

    argv: tuple[bytes, ...]
    env: Mapping[bytes, bytes] | None = None
    cwd: bytes | None = None
    stdin: Redirection = None
    stdout: Redirection = None
    stderr: Redirection = None
    close_fds: bool = True
    pass_fds: tuple[int, ...] = ()
    #: Signals that the command starts with blocked.
    signal_mask: frozenset[int] = frozenset()

    @property
    def environment(self) -> Mapping[bytes, bytes]:
        """The variables the command gets: its own, or the host's as they are now."""
        return os.environb if self.env is None else self.env

    def resolve(self) -> bytes:
        """Find the program as execvp(3) does; raise CommandError (127 not found, 126 refused)."""
        name = self.argv[0]
        shown = os.fsdecode(name)
        if b"/" in name:
            candidates = [name]
        else:
            path = self.environment.get(b"PATH", os.fsencode(os.defpath))
            candidates = [os.path.join(entry or b".", name) for entry in path.split(b":")]
        refused = ""
        for candidate in candidates:
            reason = _refusal(os.path.join(self.cwd or b"", candidate))
            if not reason:
                return candidate
            if reason != "not found":
                refused = refused or reason
        if refused:
            raise CommandError(
                f"{shown}: {refused}",
                exit_status=126,
                errno=errno.EACCES,
                hint="name an executable file",
            )
        hint = "check the path" if b"/" in name else "check the spelling, or give its path"
        raise CommandError(
            f"{shown}: command not found", exit_status=127, errno=errno.ENOENT, hint=hint
        )


def _refusal(path: bytes) -> str:
    """Say why ``path`` cannot be executed; empty when it can."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "not found"
    except OSError as error:
        return error.strerror or "cannot be examined"
    if stat.S_ISDIR(mode):
        return "is a directory"
    if not stat.S_ISREG(mode) or not os.access(path, os.X_OK):
        return "permission denied (is it executable?)"
    return ""
