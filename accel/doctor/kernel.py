"""What the kernel lets this process do."""

from __future__ import annotations

import errno
import signal
from typing import Final

from accel._kernel.attempt import UNTRIED, Outcome
from accel._kernel.rehearsal import EXPECTED_STOPS
from accel.doctor.advice import allow_call, kernel_option
from accel.doctor.check import Finding, limited, missing, ok
from accel.doctor.host import CAP_SYS_PTRACE, Host

__all__ = [
    "architecture",
    "clone3",
    "close_range",
    "exit_event",
    "filter_actions",
    "filters_here",
    "int80",
    "no_new_privs",
    "notification",
    "process_vm_readv",
    "ptrace",
    "seccomp_filter",
    "seccomp_stop",
    "start",
    "syscall_info",
    "threads",
    "tracer",
    "yama",
]

_YAMA: Final = "/proc/sys/kernel/yama/ptrace_scope"
#: By scope: 2 can be lowered, 3 only for the next boot.
_LOWER_YAMA: Final = {
    2: "sudo sysctl kernel.yama.ptrace_scope=1",
    3: "grep -r ptrace_scope /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d"
    "  # set 2 or less there, then reboot",
}
_SELINUX: Final = "/sys/fs/selinux/booleans/deny_ptrace"
_RESOURCES: Final = "ulimit -u; free -m  # processes and memory left"
_ACTIONS_FILE: Final = "/proc/sys/kernel/seccomp/actions_avail"
#: What accel's filters return, and what else they may.
_NEEDED_ACTIONS: Final = ("allow", "trace")
_USEFUL_ACTIONS: Final = ("errno", "user_notif", "log", "kill_process")


def architecture(host: Host) -> Finding:
    """Tell what machine code this process is."""
    if host.is_x86_64:
        return ok("x86_64")
    return missing(
        f"this Python is not x86_64 code (machine: {host.machine})",
        "uname -m; file -L $(command -v python3)  # both must say x86-64",
    )


def start(host: Host) -> Finding:
    """Judge the start of a child that runs our own machine code."""
    outcome = host.kernel.start
    if outcome.worked:
        return ok("a child starts without running Python or libc")
    sealed = (host.number("/proc/sys/vm/memfd_noexec") or 0) > 1
    if sealed and outcome.errno == errno.EACCES:
        return missing(
            "executable memory is refused: vm.memfd_noexec is 2", "sudo sysctl vm.memfd_noexec=1"
        )
    if outcome.errno in (errno.EAGAIN, errno.ENOMEM):
        return missing(str(outcome), _RESOURCES)
    return _failed(host, outcome, otherwise=_RESOURCES)


def ptrace(host: Host) -> Finding:
    """Judge PTRACE_SEIZE of a child of this process."""
    outcome = host.kernel.tracing.seize
    if outcome.worked:
        return ok("a child was seized, with EXITKILL and all events")
    advice = _against_refusal(host) if outcome.errno == errno.EPERM else ""
    if advice:
        return missing(str(outcome), advice)
    return _failed(host, outcome, otherwise="sudo accel doctor")


def _against_refusal(host: Host) -> str:
    """Tell what to type where something else than a filter refuses; "" if nothing else does."""
    if host.status("TracerPid") not in ("", "0"):
        return "accel doctor  # not under another tracer that follows children"
    if host.read(_SELINUX).startswith("1"):
        return "sudo setsebool deny_ptrace off"
    return _LOWER_YAMA.get(host.number(_YAMA) or 0, "")


def tracer(host: Host) -> Finding:
    """Look for a tracer of this process, whose tracees its children may become."""
    pid = host.status("TracerPid")
    if pid in ("", "0"):
        return ok("none seen")
    name = host.read(f"/proc/{pid}/comm") or "a tracer"
    return limited(
        f"{name} (pid {pid}) traces this process; if it follows children, accel cannot trace them",
        "accel doctor  # not under another tracer",
    )


def yama(host: Host) -> Finding:
    """Tell whom Yama, a security module, lets trace whom."""
    scope = host.number(_YAMA)
    if scope is None:
        return ok("not active")
    if scope == 0 or (scope < 3 and host.capable(CAP_SYS_PTRACE)):
        return ok(f"ptrace_scope is {scope}")
    if scope == 1:
        return limited(
            "ptrace_scope is 1: only what accel has started itself; -p PID needs privilege",
            "sudo accel trace -p PID",
        )
    if scope == 2 and host.kernel.tracing.seize.worked:
        return limited("ptrace_scope is 2: -p PID needs privilege", "sudo accel trace -p PID")
    if scope == 2:
        return missing("ptrace_scope is 2: tracing needs privilege", _LOWER_YAMA[2])
    return missing("ptrace_scope is 3: nobody may trace until the next boot", _LOWER_YAMA[3])


def syscall_info(host: Host) -> Finding:
    """Judge PTRACE_GET_SYSCALL_INFO, which tells the kind of a stop."""
    outcome = host.kernel.tracing.syscall_info
    if outcome.worked:
        return ok("tells the kinds of stops apart")
    return _failed(host, outcome, otherwise="uname -r  # Linux 5.3 has it")


def seccomp_filter(host: Host) -> Finding:
    """Judge a filter that answers a call without a stop."""
    outcome = host.kernel.filter
    if outcome.worked:
        return ok("installed in a child, answered a call with RET_ERRNO")
    return _failed(host, outcome, otherwise=kernel_option("CONFIG_SECCOMP_FILTER"))


def filter_actions(host: Host) -> Finding:
    """Tell what a filter may return."""
    # A kernel that cannot be asked (before 4.14, or where seccomp(2) is refused) may still list.
    asked = host.kernel.actions
    listed = host.read(_ACTIONS_FILE).split()
    available = [name for name, there in asked.items() if there] or listed
    if not available:
        return limited("the kernel names none", "uname -r  # Linux 4.14 does")
    needed = [name for name in _NEEDED_ACTIONS if name not in available]
    absent = [name for name in _USEFUL_ACTIONS if name not in available]
    if needed:
        return missing(f"without {' and '.join(needed)}", "uname -r  # Linux 3.5 has them")
    if absent:
        return limited(
            f"without {' and '.join(absent)}", "uname -r  # Linux 4.14 has log, 5.0 user_notif"
        )
    return ok(" ".join(available))


def seccomp_stop(host: Host) -> Finding:
    """Judge the order of stops at a selected call, and a skipped call."""
    tracing = host.kernel.tracing
    advice = "uname -r  # Linux 4.8 has this order of stops"
    if not host.kernel.filter.worked or not tracing.answers.tried:
        return _failed(host, UNTRIED)
    if tracing.stops != EXPECTED_STOPS:
        seen = ", ".join(tracing.stops) or "none"
        return missing(f"unexpected stops: {seen} ({tracing.answers})", advice)
    if not tracing.answers.worked:
        return missing(f"a skipped call: {tracing.answers}", advice)
    return ok("one stop a call, an exit-stop only where asked for; a call can be skipped")


def filters_here(host: Host) -> Finding:
    """Count the filters that this process has inherited."""
    if host.status("Seccomp") in ("", "0"):
        return ok("none seen")
    count = host.status("Seccomp_filters")
    return limited(
        f"{count or 'some'} installed already: a call that they refuse never stops",
        allow_call(host, otherwise="accel doctor  # outside the sandbox"),
    )


def notification(host: Host) -> Finding:
    """Judge a listener for user notifications: one at most for all filters of a process."""
    kernel = host.kernel
    if kernel.listener.errno == errno.EBUSY:
        return limited(
            "another filter has a listener already (a container, a sandbox, WSL)",
            "accel doctor  # outside of it; accel trace does without",
        )
    if not kernel.listener.worked:
        otherwise = "uname -r  # Linux 5.0 has it; accel trace does without"
        return _failed(host, kernel.listener, otherwise=otherwise)
    sizes = "/".join(map(str, kernel.notification_sizes)) or "unknown"
    if not kernel.sync_wake_up.worked:
        return limited(
            f"without SYNC_WAKE_UP (structures of {sizes} bytes)", "uname -r  # Linux 6.6 has it"
        )
    return ok(f"with SYNC_WAKE_UP (structures of {sizes} bytes)")


def no_new_privs(host: Host) -> Finding:
    """Tell whether set-user-ID programs keep their privilege under a filter."""
    if host.status("NoNewPrivs") == "1":
        return limited(
            "set already: sudo, su and the like do not work here, nor under accel",
            "accel doctor  # outside the sandbox or container that has set it",
        )
    if host.kernel.privileged_filter.worked:
        return ok("not needed: CAP_SYS_ADMIN is here")
    if not host.kernel.filter.worked:
        return _failed(host, UNTRIED)
    return limited(
        "accel must set it: sudo, su and the like do not work under accel (no CAP_SYS_ADMIN)",
        "sudo accel trace -- CMD",
    )


def process_vm_readv(host: Host) -> Finding:
    """Judge the ways to read the memory of a tracee."""
    tracing = host.kernel.tracing
    if tracing.read_memory.worked:
        return ok("reads a tracee's memory")
    otherwise = kernel_option("CONFIG_CROSS_MEMORY_ATTACH")
    if tracing.read_file.worked and not tracing.read_memory.signal:
        advice = allow_call(host, otherwise=otherwise)
        return limited(f"{tracing.read_memory}; /proc/PID/mem is slower", advice)
    return _failed(host, tracing.read_memory, otherwise=otherwise)


def exit_event(host: Host) -> Finding:
    """Judge stops at exits alone."""
    return _dispensable(
        host,
        host.kernel.exit_event,
        with_it="one stop after a call, by a perf event: accel trace --exit-only, -Z",
        without="exit_only() takes two stops",
        otherwise="sudo accel trace  # or with CAP_PERFMON",
    )


def clone3(host: Host) -> Finding:
    """Judge a start that copies no page table."""
    return _dispensable(
        host,
        host.kernel.clone3,
        with_it="with CLONE_CLEAR_SIGHAND",
        without="clone is slower in a large process",
        otherwise="uname -r  # Linux 5.5 has it",
    )


def threads(host: Host) -> Finding:
    """Judge a thread of this process: accel traces in one."""
    outcome = host.kernel.thread
    if outcome.worked:
        return ok("a thread starts")
    return _failed(host, outcome, otherwise="ulimit -u  # processes and threads left")


def close_range(host: Host) -> Finding:
    """Judge how a Tracer closes its host's descriptors in the command."""
    outcome = host.kernel.close_range
    if outcome.worked:
        return ok("with CLOSE_RANGE_CLOEXEC")
    if not outcome.tried:
        return _failed(host, outcome)
    return limited(
        f"{outcome}; a Tracer needs it unless told otherwise",
        "Tracer(argv, close_fds=False)  # or Linux 5.11",
    )


def int80(host: Host) -> Finding:
    """Judge the i386 ABI, by which 32-bit programs call."""
    outcome = host.kernel.int80
    switched_off = "ia32_emulation=1  # on the kernel's command line, for 32-bit programs"
    if outcome.worked:
        return ok("int 0x80 works: 32-bit programs can run, and are traced")
    if outcome.signal == signal.SIGSEGV:
        return missing("the kernel was booted without: 32-bit programs do not run", switched_off)
    return _failed(host, outcome, otherwise=switched_off)


def _dispensable(
    host: Host, outcome: Outcome, *, with_it: str, without: str, otherwise: str
) -> Finding:
    """Judge what accel can do without, unless whoever tries it is killed."""
    if outcome.worked:
        return ok(with_it)
    if not outcome.tried or outcome.signal:
        return _failed(host, outcome)
    return limited(f"{outcome}; {without}", allow_call(host, otherwise=otherwise))


def _failed(host: Host, outcome: Outcome, *, otherwise: str = "") -> Finding:
    """Tell what failed, and what to type; ``otherwise`` if no filter or container is to blame."""
    if not outcome.tried:
        return missing("not tried: it needs what is missing above", "accel doctor  # once it works")
    return missing(str(outcome), allow_call(host, otherwise=otherwise))
