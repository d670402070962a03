"""The checks, in the order in which they are shown: what the next ones need comes first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from accel.doctor import kernel, software
from accel.doctor.check import Check, Finding, missing
from accel.doctor.host import Host

__all__ = ["CHECKS", "INDISPENSABLE", "examine", "hindrances"]

CHECKS: Final[Mapping[str, Callable[[Host], Finding]]] = MappingProxyType(
    {
        "architecture": kernel.architecture,
        "kernel": software.kernel,
        "CPUs": software.cpus,
        "container": software.container,
        "procfs": software.procfs,
        "start": kernel.start,
        "clone3": kernel.clone3,
        "threads": kernel.threads,
        "close_range": kernel.close_range,
        "seccomp filter": kernel.seccomp_filter,
        "seccomp actions": kernel.filter_actions,
        "other filters": kernel.filters_here,
        "no_new_privs": kernel.no_new_privs,
        "user notification": kernel.notification,
        "ptrace": kernel.ptrace,
        "other tracer": kernel.tracer,
        "yama": kernel.yama,
        "PTRACE_GET_SYSCALL_INFO": kernel.syscall_info,
        "process_vm_readv": kernel.process_vm_readv,
        "seccomp-stop": kernel.seccomp_stop,
        "32-bit calls": kernel.int80,
        "libseccomp": software.libseccomp,
        "filter compiler": software.filter_compiler,
        "system-calls": software.system_calls,
        "tracefs": software.tracefs,
        "perf events": software.perf_events,
        "exit event": kernel.exit_event,
        "BTF": software.btf,
        "bcc": software.bcc,
        "kernel headers": software.kernel_headers,
        "numba": software.numba,
        "strace": software.strace,
        "costs": software.costs,
    }
)

#: Without one of these, accel trace cannot work.
INDISPENSABLE: Final = frozenset(
    {
        "architecture",
        "procfs",
        "start",
        "clone3",
        "threads",
        "ptrace",
        "PTRACE_GET_SYSCALL_INFO",
        "process_vm_readv",
        "seccomp filter",
        "seccomp actions",
        "seccomp-stop",
        "libseccomp",
        "filter compiler",
        "system-calls",
    }
)


def examine(host: Host | None = None) -> tuple[Check, ...]:
    """Look at everything; raise nothing, and leave no process behind. Cost: some 50 ms."""
    if host is None:
        host = Host.this()
    return tuple(Check(name, *_look(name, look, host)) for name, look in CHECKS.items())


def _look(name: str, look: Callable[[Host], Finding], host: Host) -> Finding:
    try:
        return look(host)
    except Exception as error:  # noqa: BLE001 - a check that fails is a finding, not a failure
        return missing(
            f"could not be examined: {type(error).__name__}: {error}",
            f"accel doctor --json  # and report it: the check of {name} is wrong",
        )


def hindrances(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Select the checks for which accel trace cannot work."""
    return tuple(c for c in checks if c.state == "missing" and c.name in INDISPENSABLE)
