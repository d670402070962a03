"""Try what the kernel offers: every probe makes the call that it asks about.

A filter that is here already may answer a call with an errno, or kill whoever makes it. So each
call is first made by a child, and only a call that a child survives is made by this process. No
probe raises, and none leaves a process behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from accel._kernel import libc, machine_code, perf, spawn, tracefs
from accel._kernel.attempt import UNTRIED, Child, Outcome, attempt, outcome_of, run_program
from accel._kernel.rehearsal import GETPGRP, NO_NEW_PRIVS, Filter, Rehearsal, answered, rehearse
from accel._kernel.signals import blocked
from accel._kernel.wait import wait_for

__all__ = ["INT80", "Kernel", "Library", "libseccomp", "survey"]

_SYS_CLOSE, _SYS_IOCTL, _SYS_PTRACE, _SYS_PROCESS_VM_READV = 3, 16, 101, 310
_SYS_SECCOMP, _SYS_CLONE3, _SYS_CLOSE_RANGE = 317, 435, 436
_SYS_PERF_EVENT_OPEN, _SYS_FSOPEN = 298, 430
_CLOSE_RANGE_CLOEXEC: Final = 4
_UINT_MAX: Final = 0xFFFF_FFFF
_PTRACE_SEIZE: Final = 0x4206

# <linux/seccomp.h>
_SECCOMP_GET_ACTION_AVAIL: Final = 2
_SECCOMP_GET_NOTIF_SIZES: Final = 3
_SECCOMP_FILTER_FLAG_NEW_LISTENER: Final = 1 << 3
_SECCOMP_IOCTL_NOTIF_SET_FLAGS: Final = 0x4008_2104
_SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: Final = 1
#: The actions under the names of /proc/sys/kernel/seccomp/actions_avail.
_ACTIONS: Final = {
    "kill_process": 0x80000000,
    "kill_thread": 0x00000000,
    "trap": 0x00030000,
    "errno": 0x00050000,
    "user_notif": 0x7FC00000,
    "trace": 0x7FF00000,
    "log": 0x7FFC0000,
    "allow": 0x7FFF0000,
}


@dataclass(frozen=True, slots=True)
class Kernel:
    """What worked when it was tried."""

    #: clone(2) of a child that runs our own machine code.
    start: Outcome = UNTRIED
    #: clone3(2) with CLONE_VM and CLONE_CLEAR_SIGHAND.
    clone3: Outcome = UNTRIED
    #: A thread of this process, as the C library makes it.
    thread: Outcome = UNTRIED
    #: close_range(2) with CLOSE_RANGE_CLOEXEC.
    close_range: Outcome = UNTRIED
    #: A filter, installed with no_new_privs set, that answers a call with RET_ERRNO.
    filter: Outcome = UNTRIED
    #: The same without no_new_privs.
    privileged_filter: Outcome = UNTRIED
    #: {name: whether the kernel has it}; empty if it cannot be asked.
    actions: Mapping[str, bool] = field(default_factory=dict)
    #: A filter with a listener for user notifications; ioctl(2) that makes them synchronous.
    listener: Outcome = UNTRIED
    sync_wake_up: Outcome = UNTRIED
    #: The sizes of struct seccomp_notif, _notif_resp and seccomp_data; empty if unknown.
    notification_sizes: tuple[int, ...] = ()
    #: A call of the i386 ABI, made by 64-bit code.
    int80: Outcome = UNTRIED
    #: A perf event with sigtrap on the tracepoint raw_syscalls:sys_exit, with a filter.
    exit_event: Outcome = UNTRIED
    tracing: Rehearsal = field(default_factory=Rehearsal)


def survey() -> Kernel:
    """Try everything; x86_64 only. Cost: a dozen short-lived children, some milliseconds."""
    start = outcome_of(_start)
    if not start.worked:
        return Kernel(start)
    listener, sync_wake_up = _listener()
    clone3 = outcome_of(_clone3)
    return Kernel(
        start=start,
        clone3=clone3,
        thread=clone3 if clone3.signal else outcome_of(_thread),
        close_range=outcome_of(_close_range),
        filter=outcome_of(lambda: answered(_filtered(NO_NEW_PRIVS))),
        privileged_filter=outcome_of(lambda: answered(_filtered())),
        actions=_actions(),
        listener=listener,
        sync_wake_up=sync_wake_up,
        notification_sizes=_notification_sizes(),
        int80=outcome_of(_int80),
        exit_event=outcome_of(_exit_event),
        tracing=_rehearsal(),
    )


def _exit_event() -> Outcome:
    """Open an event that would stop this thread, if it were enabled."""
    for name, number in (("perf_event_open", _SYS_PERF_EVENT_OPEN), ("fsopen", _SYS_FSOPEN)):
        deadly = _deadly(name, number)
        if deadly:
            return deadly
    tracepoint = perf.Tracepoint(tracefs.tracepoint_id("raw_syscalls/sys_exit"), "id==-2")
    perf.TracepointEvents.check(tracepoint)
    return Outcome()


def _start() -> Outcome:
    """Start a child; what no child of ours can try, its executable memory, another Python does."""
    deadly = _deadly_memfd() if _is_filtered() else None
    if deadly:
        return deadly
    try:
        return attempt()
    except OSError as error:
        return Outcome(str(error.filename or "memfd_create"), error.errno or 0)


def _deadly_memfd() -> Outcome | None:
    if not sys.executable:
        return None
    status, _output = run_program(sys.executable, "-I", "-S", "-c", _MAKE_MEMFD)
    return Outcome("memfd_create", signal=-status) if status < 0 else None


_MAKE_MEMFD: Final = """\
import os, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.memfd_create("probe")
"""


def _is_filtered() -> bool:
    with contextlib.suppress(OSError), open("/proc/self/status", "rb") as file:
        return b"\nSeccomp:\t2" in file.read()
    return True


def _deadly(name: str, number: int, *arguments: int) -> Outcome | None:
    """Make a call that does nothing, in a child; tell how it died, None if it lives."""
    outcome = attempt(spawn.call(name, number, *arguments, minimum=None))
    return Outcome(name, signal=outcome.signal) if outcome.signal else None


def _clone3() -> Outcome:
    deadly = _deadly("clone3", _SYS_CLONE3)
    if deadly:
        return deadly
    with Child(spawn.launch_sharing) as child:
        child.wait()
        return child.outcome


def _thread() -> Outcome:
    # glibc's pthread_create uses clone, too, but only if clone3 fails with ENOSYS.
    thread = threading.Thread(target=int)
    try:
        thread.start()
    except RuntimeError:
        return Outcome("pthread_create")
    thread.join()
    return Outcome()


def _close_range() -> Outcome:
    return attempt(
        spawn.call("close_range", _SYS_CLOSE_RANGE, _UINT_MAX, _UINT_MAX, _CLOSE_RANGE_CLOEXEC)
    )


def _filtered(*before: spawn.Step) -> Outcome:
    program = Filter(trace=False)
    return attempt(*before, program.install("seccomp"), GETPGRP)


def _actions() -> Mapping[str, bool]:
    """Ask for each action; SECCOMP_GET_ACTION_AVAIL is of Linux 4.14."""
    action = ctypes.c_uint32()

    def available(value: int) -> bool:
        action.value = value
        return bool(libc.raw_syscall(_SYS_SECCOMP, *arguments, 0, 0, 0) == 0)

    arguments = (_SECCOMP_GET_ACTION_AVAIL, 0, ctypes.addressof(action))
    if _is_deadly("seccomp", _SYS_SECCOMP, *arguments) or not available(_ACTIONS["allow"]):
        return {}
    return {name: available(value) for name, value in _ACTIONS.items()}


def _notification_sizes() -> tuple[int, ...]:
    sizes = ctypes.create_string_buffer(6)
    arguments = (_SECCOMP_GET_NOTIF_SIZES, 0, ctypes.addressof(sizes))
    if _is_deadly("seccomp", _SYS_SECCOMP, *arguments):
        return ()
    failed = libc.raw_syscall(_SYS_SECCOMP, *arguments, 0, 0, 0)
    return () if failed else struct.unpack("=3H", sizes.raw)


def _is_deadly(name: str, number: int, *arguments: int) -> bool:
    """Tell whether a call must not be made here: it kills, or nobody could try."""
    return not outcome_of(lambda: _deadly(name, number, *arguments) or Outcome()).worked


def _listener() -> tuple[Outcome, Outcome]:
    """Install a filter with a listener, whose descriptor is the lowest that is free: 0."""
    program = Filter(trace=False)
    outcome = outcome_of(
        lambda: attempt(
            NO_NEW_PRIVS,
            spawn.call("close", _SYS_CLOSE, 0, minimum=None),
            program.install("listener", _SECCOMP_FILTER_FLAG_NEW_LISTENER),
            spawn.call(
                "SECCOMP_IOCTL_NOTIF_SET_FLAGS",
                _SYS_IOCTL,
                0,
                _SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                _SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP,
            ),
        )
    )
    if outcome.step == "SECCOMP_IOCTL_NOTIF_SET_FLAGS":
        return Outcome(), outcome
    return outcome, outcome if outcome.worked else UNTRIED


def _rehearsal() -> Rehearsal:
    try:
        deadly = _deadly("ptrace", _SYS_PTRACE, _PTRACE_SEIZE)
        if deadly:
            return Rehearsal(seize=deadly)
        deadly = _deadly("process_vm_readv", _SYS_PROCESS_VM_READV)
        seen = rehearse(read_memory=not deadly)
        return replace(seen, read_memory=deadly) if deadly else seen
    except OSError as error:
        return Rehearsal(seize=Outcome(str(error.filename or ""), error.errno or 0))


# long int80(long flags)
INT80: Final = bytes.fromhex(
    "31f6"  # int80:  xor  esi, esi            ; the child has a copy of the stack
    "b838000000"  #         mov  eax, 56             ; clone
    "0f05"  #         syscall
    "4885c0"  #         test rax, rax
    "7401"  #         jz   child
    "c3"  #         ret                       ; in the parent: the pid, or -errno
    "bf04000000"  # child:  mov  edi, 4              ; PR_SET_DUMPABLE: no core file
    "31f6"  #         xor  esi, esi
    "b89d000000"  #         mov  eax, 157            ; prctl
    "0f05"  #         syscall
    "b814000000"  #         mov  eax, 20             ; getpid, of the i386 ABI
    "cd80"  #         int  0x80                 ; where that is off: SIGSEGV
    "31ff"  #         xor  edi, edi
    "85c0"  #         test eax, eax
    "400f9ec7"  #         setle dil                ; 1 unless it was a pid
    "b8e7000000"  #         mov  eax, 231            ; exit_group
    "0f05"  #         syscall
    "f4"  #         hlt
)


@functools.cache
def _int80_code() -> Callable[[int], int]:
    return ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)(machine_code.executable(INT80))


def _int80() -> Outcome:
    code = _int80_code()
    # A fault that the child blocks kills it, whatever handler it has inherited.
    with blocked():
        pid = code(0)
    if pid < 0:
        return Outcome("clone", -pid)
    status = wait_for(pid)
    if os.WIFSIGNALED(status):
        return Outcome("int 0x80", signal=os.WTERMSIG(status))
    return Outcome("int 0x80") if os.waitstatus_to_exitcode(status) else Outcome()


@dataclass(frozen=True, slots=True)
class Library:
    """The libseccomp that the dynamic linker finds."""

    version: tuple[int, int, int]
    #: Which of the names asked for it has no number for.
    unknown: tuple[str, ...]


class _Version(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint) for name in ("major", "minor", "micro"))


def libseccomp(names: Iterable[str]) -> Library:
    """Load libseccomp and ask it for ``names``; raise OSError if there is none."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_version.restype = ctypes.POINTER(_Version)
    version = library.seccomp_version().contents
    resolve = library.seccomp_syscall_resolve_name
    return Library(
        (version.major, version.minor, version.micro),
        # Negative but not -1: a call that this architecture does not have.
        tuple(name for name in names if resolve(name.encode()) == -1),
    )
