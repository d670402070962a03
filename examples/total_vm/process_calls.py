"""One process, number 1: who it is, its signals and limits; and that there is no other."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .dispatch import Answer, syscall
from .guest import Guest, error
from .layouts import SIGACTION_SIZE, rlimit, rlimit_values, utsname

__all__ = ["Identity", "ProcessCalls"]

_PID: Final = 1
_INFINITE: Final = (1 << 64) - 1
_RLIMIT_NOFILE: Final = 7
_RLIMIT_STACK: Final = 3
_SIG_DFL, _SIG_IGN = 0, 1
_IGNORED_BY_DEFAULT: Final = frozenset(
    (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH)
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What uname(2), getuid(2) and getgid(2) say; the fields of struct new_utsname in its order."""

    sysname: str = "Linux"
    nodename: str = "total-vm"
    release: str = "6.0.0-python"
    version: str = "#1 A kernel in Python"
    machine: str = "x86_64"
    domainname: str = "(none)"
    uid: int = 0
    gid: int = 0


class ProcessCalls:
    """A process that can be neither forked nor replaced; ``log`` hears of it when it tries."""

    def __init__(self, identity: Identity, log: Callable[[str], None]) -> None:
        self._identity = identity
        self._log = log
        self._actions: dict[int, bytes] = {}
        self._blocked = 0
        self._limits = {_RLIMIT_NOFILE: (1024, 1024), _RLIMIT_STACK: (8 << 20, _INFINITE)}

    # ------------------------------------------------------------------------- who it is

    @syscall("uname")
    def uname(self, guest: Guest, buf: int) -> Answer:
        """Name the machine."""
        who = self._identity
        names = (who.sysname, who.nodename, who.release, who.version, who.machine, who.domainname)
        guest.write(buf, utsname(names))
        return 0

    @syscall("getuid")
    @syscall("geteuid")
    def getuid(self) -> Answer:
        """Tell the user."""
        return self._identity.uid

    @syscall("getgid")
    @syscall("getegid")
    def getgid(self) -> Answer:
        """Tell the group."""
        return self._identity.gid

    @syscall("getgroups")
    @syscall("getppid")
    def none(self) -> Answer:
        """Tell that there are none: no other group, no parent."""
        return 0

    @syscall("getpid")
    @syscall("gettid")
    @syscall("getpgrp")
    @syscall("set_tid_address")
    def getpid(self) -> Answer:
        """Tell the process. Of the address for its end nobody else could make use."""
        return _PID

    @syscall("getpgid")
    @syscall("getsid")
    def getpgid(self, pid: int) -> Answer:
        """Tell the group and the session."""
        self._check(pid)
        return _PID

    # ------------------------------------------------------------------------- no other

    @syscall("wait4")
    def wait4(self) -> Answer:
        """Wait for none."""
        raise error(errno.ECHILD)

    @syscall("fork")
    @syscall("vfork")
    @syscall("clone")
    @syscall("clone3")
    @syscall("execve")
    @syscall("execveat")
    def refuse(self) -> Answer:
        """Refuse another process, or another program in this one."""
        self._log("this machine runs one program, in one process")
        raise error(errno.ENOSYS)

    # ------------------------------------------------------------------------- what it keeps

    @syscall("set_robust_list")
    @syscall("sigaltstack")
    @syscall("sched_yield")
    @syscall("prctl")
    def nothing(self) -> Answer:
        """Do nothing, which is all that it takes with one thread and no signal handlers."""
        return 0

    @syscall("rseq")
    def rseq(self) -> Answer:
        """Tell no processor: it is the host's."""
        raise error(errno.ENOSYS)

    @syscall("prlimit64")
    @syscall("getrlimit", pid=0, new_limit=0, old_limit="rlim")
    @syscall("setrlimit", pid=0, old_limit=0, new_limit="rlim")
    def prlimit64(
        self, guest: Guest, pid: int, resource: int, new_limit: int, old_limit: int
    ) -> Answer:
        """Keep a limit; none but that of descriptors holds, and that is fixed."""
        self._check(pid)
        if not 0 <= resource < 16:
            raise error(errno.EINVAL)
        former = self._limits.get(resource, (_INFINITE, _INFINITE))
        if new_limit:
            self._limits[resource] = rlimit_values(guest.read(new_limit, 16))
        if old_limit:
            guest.write(old_limit, rlimit(*former))
        return 0

    @syscall("getrandom")
    def getrandom(self, guest: Guest, buf: int, buflen: int) -> Answer:
        """Give random bytes."""
        data = os.urandom(min(buflen, 1 << 20))
        guest.write(buf, data)
        return len(data)

    # ------------------------------------------------------------------------- signals

    @syscall("rt_sigaction")
    def rt_sigaction(self, guest: Guest, signum: int, act: int, oldact: int) -> Answer:
        """Keep an action: it can be asked for; of handlers, see ``kill``."""
        if not 1 <= signum <= 64 or (act and signum in (signal.SIGKILL, signal.SIGSTOP)):
            raise error(errno.EINVAL)
        former = self._actions.get(signum, bytes(SIGACTION_SIZE))
        if act:
            self._actions[signum] = guest.read(act, SIGACTION_SIZE)
        if oldact:
            guest.write(oldact, former)
        return 0

    @syscall("rt_sigprocmask", new="set", old="oldset")
    def rt_sigprocmask(self, guest: Guest, how: int, new: int, old: int) -> Answer:
        """Keep a mask."""
        former = self._blocked
        if new:
            wanted = int.from_bytes(guest.read(new, 8), "little")
            after = {0: former | wanted, 1: former & ~wanted, 2: wanted}
            if how not in after:
                raise error(errno.EINVAL)
            self._blocked = after[how]
        if old:
            guest.write(old, former.to_bytes(8, "little"))
        return 0

    @syscall("kill")
    @syscall("tkill", pid="tid")
    @syscall("tgkill", pid="tgid")
    def kill(self, guest: Guest, pid: int, sig: int) -> Answer:
        """Let the guest end, or stop, by a signal that it sends to itself.

        The machine does not run the guest's handlers: it would have to build frames on its stack.
        """
        self._check(pid)
        if not 0 <= sig <= 64:
            raise error(errno.EINVAL)
        handler = int.from_bytes(self._actions.get(sig, b"")[:8], "little")
        if sig == 0 or handler == _SIG_IGN or (sig in _IGNORED_BY_DEFAULT and handler == _SIG_DFL):
            return 0
        if handler != _SIG_DFL:
            self._log(f"this machine runs no signal handlers: signal {sig} is not delivered")
            raise error(errno.ENOSYS)
        os.kill(guest.host_pid, sig)
        return 0

    def _check(self, pid: int) -> None:
        """Raise ESRCH for any process but this one; 0 stands for it."""
        if pid not in (0, _PID):
            raise error(errno.ESRCH)
