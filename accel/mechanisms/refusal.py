"""Why the kernel refused to let one process trace another, and what to do about it."""

from __future__ import annotations

import errno

from accel.errors import PtraceUnavailable, UnsupportedKernel

__all__ = ["is_ending", "tracer_of", "why_no_listener", "why_not_attached"]

_YAMA = "/proc/sys/kernel/yama/ptrace_scope"
#: proc(5): the flags of a task are the seventh field of its stat behind the name.
_FLAGS = 6
_PF_EXITING = 4


def why_not_attached(pid: int, error: OSError, *, started: bool = False) -> PtraceUnavailable:
    """Explain a failed PTRACE_SEIZE of ``pid``, which this process ``started`` or not."""
    tracer = tracer_of(pid)
    if tracer:
        what = "the new process" if started else f"process {pid}"
        by = f"{_command(tracer)} (pid {tracer})"
        hint = "a process has one tracer at a time: end that one first"
        if started:
            hint = "do not run accel under another tracer that follows children"
        return PtraceUnavailable(f"{what} is already traced by {by}", hint=hint)
    return _refused_start(error) if started else _refused_process(pid, error)


def _refused_start(error: OSError) -> PtraceUnavailable:
    scope = _yama_scope()
    if scope in (2, 3):
        hint = "run as root" if scope == 2 else "nothing but a reboot with 2 or less changes that"
        return PtraceUnavailable(
            f"the host forbids ptrace (kernel.yama.ptrace_scope is {scope})", hint=hint
        )
    return PtraceUnavailable(
        f"ptrace is refused here ({error.strerror})",
        hint="in a container add the capability SYS_PTRACE; see: accel doctor",
    )


def _refused_process(pid: int, error: OSError) -> PtraceUnavailable:
    if error.errno == errno.ESRCH or is_ending(pid):
        hint = "list processes with: ps -e (a zombie cannot be traced)"
        return PtraceUnavailable(f"no process {pid}", hint=hint)
    if _is_kernel_thread(pid):
        hint = "it makes no system calls"
        return PtraceUnavailable(f"process {pid} is a kernel thread", hint=hint)
    scope = _yama_scope()
    if scope:
        return PtraceUnavailable(
            f"not permitted to trace process {pid} (kernel.yama.ptrace_scope is {scope})",
            hint="run as root, or start the command with: accel trace -- CMD",
        )
    hint = "it is not yours: run as its user or as root"
    return PtraceUnavailable(f"not permitted to trace process {pid}", hint=hint)


def why_no_listener(step: str, number: int, reason: str) -> UnsupportedKernel:
    """Explain why there can be no user notifications: which step failed, and with which errno."""
    without = "use mechanism auto or seccomp-trace"
    if step == "listener" and number == errno.EBUSY:
        return UnsupportedKernel(
            "another filter here has the listener for user notifications already (a container, a"
            " sandbox, WSL), and the kernel allows one",
            hint=f"run outside of it, or {without}",
        )
    if step == "pidfd_getfd":
        return UnsupportedKernel(
            f"the listener cannot be taken over from the child: {reason}",
            hint=f"it needs Linux 5.6, and the right to trace: see accel doctor, or {without}",
        )
    return UnsupportedKernel(
        f"no user notifications here: {reason}", hint=f"see what works: accel doctor; or {without}"
    )


def tracer_of(tid: int) -> int | None:
    """Tell which thread traces ``tid``: 0 if none does, None if it is gone."""
    return _status_field(tid, "TracerPid")


def is_ending(tid: int) -> bool:
    """Tell whether a thread has ended or is about to: it cannot be attached to any more."""
    fields = _read(f"/proc/{tid}/stat").rpartition(")")[2].split()
    return not fields or bool(int(fields[_FLAGS]) & _PF_EXITING)


def _status_field(pid: int, name: str) -> int | None:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return None


def _command(pid: int | None) -> str:
    return _read(f"/proc/{pid}/comm").strip() or "another tracer"


def _is_kernel_thread(pid: int) -> bool:
    # PF_KTHREAD is shown since Linux 6.13; before, a kernel thread is one without memory.
    return _status_field(pid, "Kthread") == 1


def _yama_scope() -> int:
    return int(_read(_YAMA) or 0)


def _read(path: str) -> str:
    """Read a small file of /proc; empty if it is not there, or no more."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
