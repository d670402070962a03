"""What else is on the host: libraries, programs, and where the kernel shows its tracepoints."""

from __future__ import annotations

import os
import re
import shutil
import time
from importlib.machinery import PathFinder
from typing import Final

import bpf
from accel._kernel.attempt import run_program
from accel.costs import age
from accel.doctor.advice import allow_call, kernel_option
from accel.doctor.check import Finding, limited, missing, ok
from accel.doctor.host import CAP_PERFMON, CAP_SYS_ADMIN, Host
from bpf.probes.compiler import DIST_PACKAGES, INSTALL, locate
from bpf.probes.headers import find_headers

__all__ = [
    "bcc",
    "btf",
    "container",
    "costs",
    "cpus",
    "filter_compiler",
    "kernel",
    "kernel_headers",
    "libseccomp",
    "numba",
    "perf_events",
    "procfs",
    "strace",
    "system_calls",
    "tracefs",
]

_INSTALL_COMPILER: Final = "sudo apt install libseccomp2"
#: The highest perf_event_paranoid that lets everybody see events of the kernel.
_KERNEL_EVENTS_FOR_ALL: Final = 1


def kernel(host: Host) -> Finding:
    """Tell the kernel's release; nothing is concluded from it."""
    return ok(f"Linux {host.release}")


def procfs(host: Host) -> Finding:
    """Look for /proc, where tracees' threads, memory and descriptors are found."""
    if host.exists("/proc/self/status"):
        return ok("/proc")
    return missing("not mounted", "sudo mount -t proc proc /proc")


def container(host: Host) -> Finding:
    """Tell what container this looks like."""
    return ok(f"looks like {host.container}" if host.container else "none seen")


def cpus(host: Host) -> Finding:
    """Count the CPUs this process may use."""
    usable = _count(host.status("Cpus_allowed_list"))
    online = _count(host.read("/sys/devices/system/cpu/online"))
    return ok(f"{usable or '?'} of {online or '?'} may be used")


def _count(ranges: str) -> int:
    """Count the elements of a list such as 0-3,8."""
    found = re.findall(r"(\d+)(?:-(\d+))?", ranges)
    return sum(int(last or first) - int(first) + 1 for first, last in found)


def libseccomp(host: Host) -> Finding:
    """Tell the version of the library under the filter compiler."""
    library = host.library
    if library is None:
        return missing("not installed", "sudo apt install libseccomp2")
    version = ".".join(map(str, library.version))
    if not library.unknown:
        return ok(version)
    some = f"{len(library.unknown)} newer calls ({library.unknown[0]}, ...)"
    return ok(f"{version}, without the names of {some}: accel gives it numbers")


def filter_compiler(host: Host) -> Finding:
    """Compile a filter, with libseccomp."""
    if host.kernel.start.signal or host.kernel.filter.signal:
        # libseccomp asks by seccomp(2) what the kernel knows, and writes to a memfd_create(2).
        advice = allow_call(host, otherwise="accel doctor  # once nothing kills")
        return missing("not tried: a call that it makes kills", advice)
    calls = range(8)  # More than one: it must build its tree.
    try:
        program = bpf.compile(
            {bpf.Arch.X86_64: [bpf.Rule(number, bpf.Action.trace(number), ()) for number in calls]},
            default=bpf.Action.allow(),
            unknown_arch=bpf.Action.trace(len(calls)),
        )
    except bpf.LibraryMissing as error:
        return missing(str(error), _INSTALL_COMPILER)
    except bpf.CompileError as error:
        return missing(str(error), allow_call(host, otherwise=_INSTALL_COMPILER))
    return ok(f"libseccomp: {len(calls)} calls in {len(program)} instructions")


def system_calls(host: Host) -> Finding:
    """Compare the tables of numbers with this kernel."""
    install = "python3 -m pip install --upgrade system-calls"
    try:
        from system_calls.linux_version import linux_version  # noqa: PLC0415 - what is missing is a finding

        from accel.abi import Abi  # noqa: PLC0415

        count = len(Abi.X86_64.numbers)
    except ImportError as error:
        return missing(str(error), install)
    detail = f"{count} calls of Linux {linux_version}"
    if _numbers(host.release) > _numbers(linux_version):
        return limited(f"{detail}: calls of this newer kernel may be shown by number", install)
    return ok(detail)


def _numbers(version: str) -> tuple[int, ...]:
    """Read 6.18 from 6.18.44-generic."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def tracefs(host: Host) -> Finding:
    """Look for the file system of the kernel's tracepoints."""
    mounts = (line.split() for line in host.read("/proc/self/mounts").splitlines())
    places = [fields[1] for fields in mounts if fields[2:3] == ["tracefs"]]
    if not places:
        return missing(
            "not among /proc/self/mounts", "sudo mount -t tracefs nodev /sys/kernel/tracing"
        )
    if not host.readable(places[0]):
        return limited(f"{places[0]} is for root", "sudo accel doctor")
    if not host.exists(f"{places[0]}/events/raw_syscalls"):
        return limited(
            f"{places[0]} has no tracepoints of system calls",
            kernel_option("CONFIG_FTRACE_SYSCALLS"),
        )
    return ok(places[0])


def perf_events(host: Host) -> Finding:
    """Tell whether this process may count the kernel's events."""
    paranoid = host.number("/proc/sys/kernel/perf_event_paranoid")
    if paranoid is None:
        return missing("no perf_event_paranoid in /proc", kernel_option("CONFIG_PERF_EVENTS"))
    detail = f"perf_event_paranoid is {paranoid}"
    privileged = host.capable(CAP_PERFMON) or host.capable(CAP_SYS_ADMIN)
    if paranoid <= _KERNEL_EVENTS_FOR_ALL:
        return ok(detail)
    if privileged:
        return ok(f"{detail}, which does not bind CAP_PERFMON")
    return limited(
        f"{detail}: events of the kernel need privilege",
        f"sudo sysctl kernel.perf_event_paranoid={_KERNEL_EVENTS_FOR_ALL}",
    )


def btf(host: Host) -> Finding:
    """Look for the types of the kernel, which portable eBPF programs need."""
    if host.exists("/sys/kernel/btf/vmlinux"):
        return ok("/sys/kernel/btf/vmlinux")
    return missing("the kernel does not tell its types", kernel_option("CONFIG_DEBUG_INFO_BTF"))


def bcc(host: Host) -> Finding:
    """Look at the compiler of eBPF programs, without importing it: it is slow to load."""
    try:
        origin = locate(host.python_path, host.root + DIST_PACKAGES)
    except bpf.ProbesUnavailable as error:
        return missing(str(error.args[0]), error.hint)
    return ok(os.path.dirname(origin).removeprefix(host.root))


def kernel_headers(host: Host) -> Finding:
    """Look for the headers of some kernel, which bcc compiles against."""
    headers = find_headers(host.release, host.root)
    if headers is None:
        return missing("none of any kernel", INSTALL)
    return ok(" and ".join(filter(None, (headers.build, headers.common))).replace(host.root, ""))


def _module(name: str, path: tuple[str, ...]) -> str:
    """Find the file of a module without importing it; "" if there is none."""
    spec = PathFinder.find_spec(name, list(path))
    return spec.origin or "" if spec is not None else ""


def numba(host: Host) -> Finding:
    """Look for the compiler of fast loops, without importing it: that takes half a second."""
    origin = _module("numba", host.python_path)
    if not origin:
        return missing("not installed", "python3 -m pip install numba")
    package = os.path.dirname(origin)
    version = next(
        (
            entry.removeprefix("numba-").removesuffix(".dist-info")
            for entry in os.listdir(os.path.dirname(package))
            if entry.startswith("numba-") and entry.endswith(".dist-info")
        ),
        "of unknown version",
    )
    return ok(version)


def strace(host: Host) -> Finding:
    """Ask strace, with which accel compares itself, for its version."""
    path = shutil.which("strace", path=host.program_path)
    if path is None:
        return missing("not installed", "sudo apt install strace")
    try:
        status, told = run_program(path, "-V")
    except OSError as error:
        return missing(f"{path} does not run: {error.strerror}", f"{path} -V")
    if status:
        return missing(f"{path} does not run: status {status}", f"{path} -V")
    return ok(f"{_first_version(told)} ({path})")


def _first_version(text: str) -> str:
    found = re.search(r"\d+(\.\d+)+", text)
    return found[0] if found else "of unknown version"


def costs(host: Host) -> Finding:
    """Tell whether it is known what calls cost here, by which mechanisms are chosen."""
    if host.costs is None or host.costs.measured_at is None:
        return limited("those of another host are assumed", "accel doctor --measure")
    loop = "the compiled loop" if host.costs.loop == "compiled" else "the loop in Python"
    return ok(f"measured {age(host.costs.measured_at, time.time())}, with {loop}")
