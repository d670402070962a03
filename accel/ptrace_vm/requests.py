"""The requests that resume a tracee, with the tags of PTRACE_VM, on a kernel that has no tags.

Everything here is decided by the stop that the tracee is in, so that nothing need be remembered;
``session`` adds what must be.
"""

from __future__ import annotations

import enum
from typing import Final

from accel._kernel import ptrace
from accel.errors import StopError, TagError
from accel.ptrace_vm.failure import explained
from accel.ptrace_vm.tags import SUPPORTED, Dialect, Dialect2006, dialect_of, read_tags
from bpf.value import frozen

__all__ = [
    "ENTRY",
    "SECCOMP",
    "Order",
    "Request",
    "carry_out",
    "judge",
    "kernel_request",
    "leaves_exit_stop",
    "order",
    "resume",
    "sysvm",
]


class Request(enum.IntEnum):
    """The kernel's requests that resume, by its names and numbers on x86.

    A bare number is refused: 33, PTRACE_SYSVM in 2006, is PTRACE_SINGLEBLOCK today.
    """

    CONT = ptrace.PTRACE_CONT
    SINGLESTEP = ptrace.PTRACE_SINGLESTEP
    SYSCALL = ptrace.PTRACE_SYSCALL
    SYSEMU = ptrace.PTRACE_SYSEMU
    SYSEMU_SINGLESTEP = ptrace.PTRACE_SYSEMU_SINGLESTEP
    #: To the next taken branch; where the processor does not trap at branches (BTF in its DEBUGCTL
    #: register, which a virtual machine may ignore), the kernel does not tell and each step is one
    #: instruction.
    SINGLEBLOCK = ptrace.PTRACE_SINGLEBLOCK
    #: The thread's name of SINGLEBLOCK.
    BLOCKSTEP = SINGLEBLOCK


#: The stops that tags are about.
ENTRY: Final = ptrace.PTRACE_SYSCALL_INFO_ENTRY
EXIT: Final = ptrace.PTRACE_SYSCALL_INFO_EXIT
SECCOMP: Final = ptrace.PTRACE_SYSCALL_INFO_SECCOMP


@frozen
class Order:
    """A request and what its tags mean; ``order`` makes one that makes sense."""

    request: Request
    call: bool
    exit: bool
    signal: int
    #: What a skipped call returns; None leaves the register as it is.
    value: int | None

    @property
    def has_tags(self) -> bool:
        """Whether anything of the call is left out."""
        return not (self.call and self.exit)

    @property
    def name(self) -> str:
        """The kernel's name of the request."""
        return f"PTRACE_{self.request.name}"


def resume(
    tid: int,
    request: Request,
    tags: int = 0,
    *,
    signal: int = 0,
    value: int | None = None,
    dialect: Dialect | None = None,
) -> None:
    """Resume a tracee; ``tags`` decide on the call whose entry-stop or seccomp-stop it is in.

    A call that SKIPCALL leaves out returns ``value``; None leaves rax as the tracer has set it, or
    as the kernel has, -ENOSYS. SKIPEXIT leaves out the exit-stop that PTRACE_SYSCALL asks for; the
    other requests ask for none. Without tags this is the kernel's request, at any stop.

    Precondition: the calling thread attached, with PTRACE_O_TRACESYSGOOD, and has waited for the
    stop. With tags it is a seccomp-stop or a syscall-entry-stop; not that of PTRACE_SYSEMU if the
    call is to run, which the kernel does not tell from another and a ``Session`` does.

    Raise UnknownTag and TagError for tags that no stop can honour, StopError for a stop that cannot
    (SKIPEXIT of PTRACE_SYSCALL at a syscall-entry-stop, or no call to decide on), NotStopped or
    TraceeDied where there is no stop. Cost: one ptrace call; one more with tags or a signal; one or
    two more to skip the call.
    """
    wanted = order(request, tags, signal=signal, value=value, dialect=dialect)
    with explained(tid):
        stop = judge(tid, wanted)
        if leaves_exit_stop(wanted, stop):
            raise StopError(
                wanted.name,
                tid,
                "its syscall-entry-stop is followed by an exit-stop",
                hint="let a filter of syscall_mask() select the call and skip at its seccomp-stop,"
                " or let a Session hide the exit-stop",
            )
        carry_out(tid, wanted, kernel_request(wanted, stop))


def sysvm(
    tid: int,
    tags: int = 0,
    *,
    signal: int = 0,
    value: int | None = None,
    dialect: Dialect | None = None,
) -> int:
    """Do what PTRACE_SYSVM did in 2006: resume as PTRACE_SYSCALL, with tags.

    A plain number is read as Dialect2006: SKIPCALL alone skips the call and keeps the exit-stop.
    Alone PTRACE_VM_TEST resumes nothing and returns the supported tags; else return 0. Raise and
    cost as ``resume``. Request 33 is never made.
    """
    dialect = dialect_of(tags, dialect, Dialect2006)
    if dialect is Dialect2006 and tags == Dialect2006.PTRACE_VM_TEST:
        return SUPPORTED
    resume(tid, Request.SYSCALL, tags, signal=signal, value=value, dialect=dialect)
    return 0


def order(
    request: Request, tags: int, *, signal: int, value: int | None, dialect: Dialect | None
) -> Order:
    """Read what is asked for; raise TagError for what no stop can honour. No ptrace call."""
    if not isinstance(request, Request):
        raise TypeError(f"{request!r} is no Request: numbers have changed their meaning since 2006")
    start, call, exit_ = read_tags(tags, dialect)
    wanted = Order(request, call, exit_, signal, value)
    if not start:
        raise TagError(
            "a call that has stopped has had its START",
            hint="or PTRACE_VM_TRACESTART into the tags; which calls stop is decided before they"
            " do, by a filter: syscall_mask(), or decision() for Tracer.decide",
        )
    if exit_ and not call and request is not Request.SYSCALL:
        raise TagError(
            f"{wanted.name} reports no exit-stop, which SKIPCALL without SKIPEXIT keeps",
            hint="or SKIPEXIT into the tags, or resume with Request.SYSCALL",
        )
    if value is not None and call:
        raise TagError(
            "a call that runs returns its own result, not value=",
            hint="or SKIPCALL into the tags, or set the result at the exit-stop",
        )
    if value is not None and not -(1 << 63) <= value < 1 << 64:
        raise ValueError(f"a result has 64 bits, {value} does not fit")
    return wanted


def judge(tid: int, wanted: Order) -> int:
    """Tell which PTRACE_SYSCALL_INFO_* stop the tracee is in; raise StopError if the wrong one.

    Cost: one ptrace call, none without tags and signal, where the stop does not matter.
    """
    if not wanted.has_tags and not wanted.signal:
        return ptrace.PTRACE_SYSCALL_INFO_NONE
    stop = ptrace.get_syscall_info(tid).op
    if wanted.signal and stop == SECCOMP:
        # ptrace_event() drops what ptrace_notify() returns: include/linux/ptrace.h.
        raise StopError(
            wanted.name,
            tid,
            "a signal given at a seccomp-stop is lost",
            hint="send it with tgkill(2), or inject it at a signal-delivery-stop",
        )
    if wanted.has_tags and stop == EXIT:
        raise StopError(
            wanted.name,
            tid,
            "the call of this exit-stop is over",
            hint="decide at its seccomp-stop or syscall-entry-stop, and resume without tags here",
        )
    if wanted.has_tags and stop not in (ENTRY, SECCOMP):
        raise StopError(
            wanted.name,
            tid,
            "this stop (for a signal or an event) has no call to decide on",
            hint="resume without tags; if it is a syscall-stop, attach with PTRACE_O_TRACESYSGOOD",
        )
    return stop


def leaves_exit_stop(wanted: Order, stop: int) -> bool:
    """Tell whether the kernel will report an exit-stop that the tags leave out.

    From a syscall-entry-stop the next entry is reported after PTRACE_SYSCALL alone, which reports
    the exit before. PTRACE_SYSEMU does not, but the call that it then reports cannot be run.
    """
    return stop == ENTRY and wanted.request is Request.SYSCALL and not wanted.exit


def kernel_request(wanted: Order, stop: int) -> Request:
    """Choose the request that reports what the tags leave, at a stop that can."""
    if stop == SECCOMP and wanted.request is Request.SYSCALL and not wanted.exit:
        # The next entry to be seen is that of the next selected call: the filter stops it.
        return Request.CONT
    return wanted.request


def carry_out(tid: int, wanted: Order, request: Request) -> None:
    """Skip the call if that is wanted, and resume. One to three ptrace calls; raise OSError."""
    if not wanted.call:
        if wanted.value is not None:
            ptrace.poke_user(tid, "rax", wanted.value)
        # Number -1 runs nothing and leaves rax alone, in both ABIs: arch/x86/entry/.
        # At a seccomp-stop no filter judges it again, at an entry-stop all do: kernel/seccomp.c.
        ptrace.poke_user(tid, "orig_rax", -1)
    ptrace.resume(request, tid, wanted.signal)
