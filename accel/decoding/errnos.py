"""Names and descriptions of error numbers, and of what a call returned."""

from __future__ import annotations

import errno
import functools
import os
from typing import Final

__all__ = ["errno_name", "errno_text", "failure"]

#: The kernel's own errors, which user space should never see: <linux/errno.h>.
_KERNEL: Final = {
    512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 515: "ENOIOCTLCMD",
    516: "ERESTART_RESTARTBLOCK", 517: "EPROBE_DEFER", 518: "EOPENSTALE", 519: "ENOPARAM",
    521: "EBADHANDLE", 522: "ENOTSYNC", 523: "EBADCOOKIE", 524: "ENOTSUPP", 525: "ETOOSMALL",
    526: "ESERVERFAULT", 527: "EBADTYPE", 528: "EJUKEBOX", 529: "EIOCBQUEUED",
    530: "ERECALLCONFLICT",
}  # fmt: skip
#: Numbers with two names: the kernel's, where Python prefers the other.
_NAMES: Final = {
    **errno.errorcode, errno.EAGAIN: "EAGAIN", errno.EDEADLK: "EDEADLK",
    errno.EOPNOTSUPP: "EOPNOTSUPP", **_KERNEL,
}  # fmt: skip
#: Why a call that a signal interrupted will be made again; a tracer sees these at the exit.
_RESTARTS: Final = {
    512: "ERESTARTSYS (To be restarted if SA_RESTART is set)",
    513: "ERESTARTNOINTR (To be restarted)",
    514: "ERESTARTNOHAND (To be restarted if no handler)",
    516: "ERESTART_RESTARTBLOCK (Interrupted by signal)",
}


def errno_name(number: int) -> str | None:
    """Name an error number, as ``ENOENT``; None for one without a name."""
    return _NAMES.get(number)


def errno_text(number: int) -> str:
    """Name an error number and say what it means: ``ENOENT (No such file or directory)``."""
    name = _NAMES.get(number)
    return f"{name} ({os.strerror(number)})" if name else f"(errno {number})"


@functools.cache
def failure(number: int) -> str:
    """Print the result of a call that failed: ``-1 ENOENT (...)``, or why it will be restarted."""
    restart = _RESTARTS.get(number)
    return f"? {restart}" if restart else f"-1 {errno_text(number)}"
