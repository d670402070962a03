"""What doctor concludes from a tree of files and from what worked when it was tried."""

from __future__ import annotations

import errno
import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from accel._kernel.attempt import Outcome
from accel._kernel.probes import Kernel, Library
from accel._kernel.rehearsal import EXPECTED_STOPS, Rehearsal
from accel.command_line import doctor as command
from accel.costs import ASSUMED, CostTable
from accel.doctor import INDISPENSABLE, Check, Host, examine, hindrances

WORKED = Outcome()
REFUSED = Outcome("call", errno.EPERM)
TRACING = Rehearsal(WORKED, WORKED, WORKED, WORKED, EXPECTED_STOPS, WORKED)
ACTIONS = "kill_process kill_thread trap errno user_notif trace log allow"
KERNEL = Kernel(
    start=WORKED,
    clone3=WORKED,
    thread=WORKED,
    close_range=WORKED,
    filter=WORKED,
    privileged_filter=WORKED,
    actions=MappingProxyType(dict.fromkeys(ACTIONS.split(), True)),
    listener=WORKED,
    sync_wake_up=WORKED,
    notification_sizes=(80, 24, 64),
    int80=WORKED,
    exit_event=WORKED,
    tracing=TRACING,
)
STATUS = (
    "Name:\taccel\nTracerPid:\t0\nCapEff:\t{caps}\nNoNewPrivs:\t0\nSeccomp:\t0\n"
    "Seccomp_filters:\t0\nCpus_allowed_list:\t0-1,4\n"
)
ALL_CAPABILITIES = STATUS.format(caps="000001ffffffffff")
NO_CAPABILITIES = STATUS.format(caps="0000000000000000")

#: A host on which everything works.
FILES: Mapping[str, str] = MappingProxyType(
    {
        "/proc/self/exe": "\x7fELF\x02\x01" + "\0" * 12 + "\x3e\0",
        "/proc/self/status": ALL_CAPABILITIES,
        "/proc/self/uid_map": "         0          0 4294967295\n",
        "/proc/self/mounts": "proc /proc proc rw 0 0\ntracefs /sys/kernel/tracing tracefs rw 0 0\n",
        "/proc/self/cgroup": "0::/user.slice\n",
        "/proc/sys/kernel/perf_event_paranoid": "2\n",
        "/proc/sys/kernel/yama/ptrace_scope": "0\n",
        "/proc/sys/kernel/seccomp/actions_avail": f"{ACTIONS}\n",
        "/sys/devices/system/cpu/online": "0-7\n",
        "/sys/kernel/btf/vmlinux": "",
        "/sys/kernel/tracing/events/raw_syscalls/enable": "0\n",
        "/usr/lib/python3/dist-packages/bcc/__init__.py": "class BPF(object):\n    pass\n",
        "/usr/src/linux-headers-6.1.0-18-amd64/include/generated/autoconf.h": "",
        "/usr/src/linux-headers-6.1.0-18-common/include/linux/kconfig.h": "",
        "/venv/numba/__init__.py": "",
        "/venv/numba-0.60.0.dist-info/METADATA": "",
    }
)


def host(tree: Path, files: Mapping[str, str | None] = FILES, **fields: object) -> Host:
    """Write a host's files below ``tree``; a file that is None is left out."""
    for path, content in {**FILES, **files}.items():
        if content is not None:
            (tree / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            (tree / path[1:]).write_bytes(content.encode("latin-1"))
    good = Host(
        root=str(tree),
        kernel=KERNEL,
        library=Library((2, 5, 5), ()),
        release="6.1.0-18-amd64",
        python_path=(str(tree / "venv"),),
        costs=CostTable(ASSUMED.ns, measured_at=1),
    )
    return replace(good, **fields)  # type: ignore[arg-type]


def found(examined: Host) -> dict[str, Check]:
    """Examine a host; {name: check}."""
    return {check.name: check for check in examine(examined)}


def tried(**outcomes: object) -> Kernel:
    """Describe a kernel on which all but ``outcomes`` worked."""
    return replace(KERNEL, **outcomes)  # type: ignore[arg-type]


def traced(**outcomes: object) -> Kernel:
    """Describe a kernel on which all but these parts of tracing worked."""
    return tried(tracing=replace(TRACING, **outcomes))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------- a good host


def test_a_good_host_lacks_nothing_but_strace(tmp_path: Path) -> None:
    """Every other check is ok, and accel trace can work."""
    checks = examine(host(tmp_path))
    assert [check.name for check in checks if check.state != "ok"] == ["strace"]
    assert not hindrances(checks)


def test_what_is_fine_needs_no_advice(tmp_path: Path) -> None:
    """Advice is there where something is not ok, and nowhere else."""
    assert all(bool(check.advice) == (check.state != "ok") for check in examine(host(tmp_path)))


def test_indispensable_checks_exist(tmp_path: Path) -> None:
    """A name that no check has would never hinder anything."""
    assert found(host(tmp_path)).keys() >= INDISPENSABLE


def test_details_are_facts_of_this_host(tmp_path: Path) -> None:
    """Versions, counts and places come from what was found."""
    checks = found(host(tmp_path, library=Library((2, 5, 4), ("mseal", "map_shadow_stack"))))
    assert checks["CPUs"].detail == "3 of 8 may be used"
    assert checks["numba"].detail == "0.60.0"
    assert checks["bcc"].detail == "/usr/lib/python3/dist-packages/bcc"
    assert checks["user notification"].detail.endswith("(structures of 80/24/64 bytes)")
    assert checks["libseccomp"].detail.startswith("2.5.4, without the names of 2 newer calls")
    assert checks["libseccomp"].state == "ok"


# ------------------------------------------------------------------------------- bad hosts

FILTERED = ALL_CAPABILITIES.replace("Seccomp:\t0", "Seccomp:\t2").replace(
    "filters:\t0", "filters:\t3"
)
TRACED = ALL_CAPABILITIES.replace("TracerPid:\t0", "TracerPid:\t77")
KILLED = Outcome("call", signal=signal.SIGSYS)
UNASKED = MappingProxyType({})

#: id: (the files that differ, the kernel, the check, its state, a part of its advice)
BAD_HOSTS: Mapping[str, tuple[Mapping[str, str | None], Kernel, str, str, str]] = {
    "yama 1": (
        {"/proc/sys/kernel/yama/ptrace_scope": "1", "/proc/self/status": NO_CAPABILITIES},
        KERNEL, "yama", "limited", "sudo accel trace -p PID",
    ),
    "yama 2": (
        {"/proc/sys/kernel/yama/ptrace_scope": "2", "/proc/self/status": NO_CAPABILITIES},
        traced(seize=REFUSED), "yama", "missing", "sudo sysctl kernel.yama.ptrace_scope=1",
    ),
    "yama 2 in a user namespace": (
        {"/proc/sys/kernel/yama/ptrace_scope": "2", "/proc/self/uid_map": "0 1000 1"},
        KERNEL, "yama", "limited", "sudo accel trace -p PID",
    ),
    "yama 2 refuses": (
        {"/proc/sys/kernel/yama/ptrace_scope": "2", "/proc/self/status": NO_CAPABILITIES},
        traced(seize=REFUSED), "ptrace", "missing", "sudo sysctl kernel.yama.ptrace_scope=1",
    ),
    "yama 3": (
        {"/proc/sys/kernel/yama/ptrace_scope": "3"},
        traced(seize=REFUSED), "yama", "missing", "then reboot",
    ),
    "yama 3 refuses": (
        {"/proc/sys/kernel/yama/ptrace_scope": "3"},
        traced(seize=REFUSED), "ptrace", "missing", "then reboot",
    ),
    "SELinux": (
        {"/sys/fs/selinux/booleans/deny_ptrace": "1 1"},
        traced(seize=REFUSED), "ptrace", "missing", "sudo setsebool deny_ptrace off",
    ),
    "docker": (
        {"/.dockerenv": ""},
        traced(seize=REFUSED), "ptrace", "missing", "docker run --cap-add=SYS_PTRACE",
    ),
    "podman": (
        {"/run/.containerenv": ""},
        tried(filter=REFUSED), "seccomp filter", "missing", "podman run",
    ),
    "kubernetes": (
        {"/proc/self/cgroup": "1:cpu:/kubepods/burstable/pod1/docker-2\n"},
        traced(seize=REFUSED), "ptrace", "missing", "kubectl edit pod",
    ),
    "lxc": (
        {"/run/systemd/container": "lxc\n"},
        traced(seize=REFUSED), "ptrace", "missing", "lxc config set",
    ),
    "a container nobody knows": (
        {"/run/systemd/container": "rkt\n"},
        traced(seize=REFUSED), "ptrace", "missing", "outside the container (rkt)",
    ),
    "a service": (
        {"/proc/self/status": FILTERED},
        traced(seize=KILLED), "ptrace", "missing", "systemctl edit UNIT",
    ),
    "a service's filters": (
        {"/proc/self/status": FILTERED},
        KERNEL, "other filters", "limited", "systemctl edit UNIT",
    ),
    "a tracer": (
        {"/proc/self/status": TRACED, "/proc/77/comm": "strace\n"},
        KERNEL, "other tracer", "limited", "not under another tracer",
    ),
    "a tracer that follows": (
        {"/proc/self/status": TRACED},
        traced(seize=REFUSED), "ptrace", "missing", "not under another tracer",
    ),
    "no reason": (
        {}, traced(seize=REFUSED), "ptrace", "missing", "sudo accel doctor",
    ),
    "no /proc": (
        {"/proc/self/status": None}, KERNEL, "procfs", "missing", "sudo mount -t proc",
    ),
    "memfd_noexec": (
        {"/proc/sys/vm/memfd_noexec": "2"},
        Kernel(Outcome("memfd_create", errno.EACCES)), "start", "missing", "vm.memfd_noexec=1",
    ),
    "no process can start": (
        {"/.dockerenv": ""}, Kernel(Outcome("clone", errno.EAGAIN)),
        "start", "missing", "ulimit -u",
    ),
    "Linux 5.2": (
        {}, traced(syscall_info=Outcome("PTRACE_GET_SYSCALL_INFO", errno.EIO)),
        "PTRACE_GET_SYSCALL_INFO", "missing", "Linux 5.3",
    ),
    "Linux 4.7": (
        {}, traced(stops=("seccomp", "entry", "exit")), "seccomp-stop", "missing", "Linux 4.8",
    ),
    "a call that cannot be skipped": (
        {}, traced(answers=Outcome("skipped getppid")), "seccomp-stop", "missing", "Linux 4.8",
    ),
    "no CONFIG_SECCOMP_FILTER": (
        {}, tried(filter=Outcome("seccomp", errno.EINVAL)),
        "seccomp filter", "missing", "CONFIG_SECCOMP_FILTER",
    ),
    "no trace action": (
        {}, tried(actions={**KERNEL.actions, "trace": False}),
        "seccomp actions", "missing", "uname -r",
    ),
    "no trace action listed": (
        {"/proc/sys/kernel/seccomp/actions_avail": "kill trap errno allow"},
        tried(actions=UNASKED), "seccomp actions", "missing", "uname -r",
    ),
    "no user_notif action": (
        {}, tried(actions={**KERNEL.actions, "user_notif": False}),
        "seccomp actions", "limited", "5.0 user_notif",
    ),
    "actions unknown": (
        {"/proc/sys/kernel/seccomp/actions_avail": None},
        tried(actions=UNASKED), "seccomp actions", "limited", "Linux 4.14",
    ),
    "another listener": (
        {}, tried(listener=Outcome("listener", errno.EBUSY)),
        "user notification", "limited", "accel trace does without",
    ),
    "no listener": (
        {}, tried(listener=Outcome("listener", errno.EINVAL)),
        "user notification", "missing", "Linux 5.0",
    ),
    "no SYNC_WAKE_UP": (
        {}, tried(sync_wake_up=Outcome("ioctl", errno.EINVAL)),
        "user notification", "limited", "Linux 6.6",
    ),
    "unprivileged": (
        {}, tried(privileged_filter=Outcome("seccomp", errno.EACCES)),
        "no_new_privs", "limited", "sudo accel trace -- CMD",
    ),
    "no_new_privs": (
        {"/proc/self/status": ALL_CAPABILITIES.replace("NoNewPrivs:\t0", "NoNewPrivs:\t1")},
        KERNEL, "no_new_privs", "limited", "outside the sandbox",
    ),
    "no process_vm_readv": (
        {}, traced(read_memory=Outcome("process_vm_readv", errno.ENOSYS)),
        "process_vm_readv", "limited", "CONFIG_CROSS_MEMORY_ATTACH",
    ),
    "no memory at all": (
        {}, traced(read_memory=REFUSED, read_file=REFUSED), "process_vm_readv", "missing", "zgrep",
    ),
    "a deadly process_vm_readv": (
        {"/.dockerenv": ""}, traced(read_memory=KILLED), "process_vm_readv", "missing", "docker",
    ),
    "no exit event": (
        {}, tried(exit_event=Outcome("perf_event_open", errno.EACCES)), "exit event", "limited",
        "CAP_PERFMON",
    ),
    "a deadly exit event": (
        {"/.dockerenv": ""}, tried(exit_event=KILLED), "exit event", "missing", "docker",
    ),
    "no clone3": (
        {}, tried(clone3=Outcome("clone3", errno.ENOSYS)), "clone3", "limited", "Linux 5.5",
    ),
    "a deadly clone3": (
        {"/.dockerenv": ""}, tried(clone3=KILLED), "clone3", "missing", "docker",
    ),
    "no threads": (
        {"/.dockerenv": ""}, tried(thread=Outcome("pthread_create")),
        "threads", "missing", "docker run",
    ),
    "no close_range": (
        {}, tried(close_range=REFUSED), "close_range", "limited", "close_fds=False",
    ),
    "no i386": (
        {}, tried(int80=Outcome("int 0x80", signal=signal.SIGSEGV)),
        "32-bit calls", "missing", "ia32_emulation=1",
    ),
    "i386 filtered": (
        {"/.dockerenv": ""}, tried(int80=KILLED), "32-bit calls", "missing", "docker run",
    ),
    "no tracefs": (
        {"/proc/self/mounts": "proc /proc proc rw 0 0\n"},
        KERNEL, "tracefs", "missing", "sudo mount -t tracefs nodev /sys/kernel/tracing",
    ),
    "no system call tracepoints": (
        {"/sys/kernel/tracing/events/raw_syscalls/enable": None, "/sys/kernel/tracing/README": ""},
        KERNEL, "tracefs", "limited", "CONFIG_FTRACE_SYSCALLS",
    ),
    "perf events for root": (
        {"/proc/self/status": NO_CAPABILITIES},
        KERNEL, "perf events", "limited", "sudo sysctl kernel.perf_event_paranoid=1",
    ),
    "perf events in a user namespace": (
        {"/proc/self/uid_map": "0 1000 1"}, KERNEL, "perf events", "limited", "sudo sysctl",
    ),
    "no perf events": (
        {"/proc/sys/kernel/perf_event_paranoid": None},
        KERNEL, "perf events", "missing", "CONFIG_PERF_EVENTS",
    ),
    "no BTF": (
        {"/sys/kernel/btf/vmlinux": None}, KERNEL, "BTF", "missing", "CONFIG_DEBUG_INFO_BTF",
    ),
    "no bcc": (
        {"/usr/lib/python3/dist-packages/bcc/__init__.py": None},
        KERNEL, "bcc", "missing", "sudo apt install python3-bpfcc",
    ),
    "another bcc": (
        {"/venv/bcc/__init__.py": "class Lattice:\n    pass\n"},
        KERNEL, "bcc", "missing", "pip uninstall bcc",
    ),
    "no kernel headers": (
        {"/usr/src/linux-headers-6.1.0-18-common/include/linux/kconfig.h": None},
        KERNEL, "kernel headers", "missing", "linux-headers-amd64",
    ),
    "no numba": (
        {"/venv/numba/__init__.py": None}, KERNEL, "numba", "missing", "pip install numba",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_HOSTS)
def test_each_fault_has_its_advice(tmp_path: Path, fault: str) -> None:
    """One thing is wrong: its check says so and what to type, and each other one keeps its form."""
    files, kernel, name, state, advice = BAD_HOSTS[fault]
    checks = found(host(tmp_path, files, kernel=kernel))
    assert checks[name].state == state
    assert advice in checks[name].advice
    assert all(bool(check.advice) == (check.state != "ok") for check in checks.values())
    assert all("\n" not in check.detail + check.advice for check in checks.values())
    assert bool(hindrances(checks.values())) == any(
        check.state == "missing" and check.name in INDISPENSABLE for check in checks.values()
    )


def test_a_host_of_which_nothing_is_known_is_told_in_full(tmp_path: Path) -> None:
    """No file, no library, nothing tried: findings, no exception."""
    checks = found(Host(root=str(tmp_path)))
    assert {name for name in INDISPENSABLE if checks[name].state == "missing"} == INDISPENSABLE - {
        "architecture",
        "seccomp actions",
        "filter compiler",
        "system-calls",
    }
    assert "could not be examined" not in "".join(check.detail for check in checks.values())


@pytest.mark.parametrize("machine", ["\x7fELF\x01\x01" + "\0" * 12 + "\x03\0", "MZ" + "\0" * 30])
def test_another_architecture_is_seen_in_the_program_itself(tmp_path: Path, machine: str) -> None:
    """Whatever uname(2) says, which a personality(2) may change."""
    check = found(host(tmp_path, {"/proc/self/exe": machine}))["architecture"]
    assert (check.state, check.name in INDISPENSABLE) == ("missing", True)


@pytest.mark.parametrize("scope", [0, 1, 2])
def test_privilege_lifts_yama(tmp_path: Path, scope: int) -> None:
    """CAP_SYS_PTRACE over the whole host makes every scope but 3 harmless."""
    files = {"/proc/sys/kernel/yama/ptrace_scope": str(scope)}
    assert found(host(tmp_path, files))["yama"].state == "ok"


def test_what_depends_on_a_refused_call_is_not_blamed(tmp_path: Path) -> None:
    """The reader is sent to the cause; nothing else is said of what could not be tried."""
    kernel = tried(tracing=Rehearsal(seize=REFUSED))
    checks = found(host(tmp_path, kernel=kernel))
    for name in ("PTRACE_GET_SYSCALL_INFO", "process_vm_readv", "seccomp-stop"):
        assert checks[name].detail.startswith("not tried")
    assert checks["seccomp filter"].state == "ok"


def test_deadly_calls_are_left_alone(tmp_path: Path) -> None:
    """Where seccomp(2) kills, nothing is compiled: libseccomp would make that call."""
    check = found(host(tmp_path, kernel=tried(filter=KILLED)))["filter compiler"]
    assert (check.state, check.detail) == ("missing", "not tried: a call that it makes kills")


def test_a_newer_kernel_than_the_tables_is_told(tmp_path: Path) -> None:
    """Its calls may have no name; traced they are."""
    check = found(host(tmp_path, release="99.1.0"))["system-calls"]
    assert (check.state, check.advice.split()[:4]) == (
        "limited",
        ["python3", "-m", "pip", "install"],
    )


def test_debians_bcc_shadowed_by_another_is_told(tmp_path: Path) -> None:
    """The package of the same name would be imported instead."""
    files = {"/venv/bcc/__init__.py": "from .lattice import BCC\n"}
    check = found(host(tmp_path, files))["bcc"]
    assert check.state == "missing"
    assert str(tmp_path / "venv/bcc") in check.detail


def test_a_check_that_fails_is_a_finding(tmp_path: Path) -> None:
    """No exception of a check reaches the caller, and the others are made."""
    checks = found(host(tmp_path, release=None))
    assert checks["system-calls"].state == "missing"
    assert checks["system-calls"].detail.startswith("could not be examined: TypeError")
    assert checks["strace"].detail == "not installed"


def test_bytes_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    """A program's name may be anything; the report stays ASCII."""
    files = {"/proc/self/status": TRACED, "/proc/77/comm": "stra\xe7e\n"}
    assert found(host(tmp_path, files))["other tracer"].detail.startswith("stra\\xe7e (pid 77)")


def test_costs_that_nobody_measured_can_be_measured(tmp_path: Path) -> None:
    """Measured ones are as old as they are; without, doctor says what to type."""
    check = found(host(tmp_path))["costs"]
    assert (check.state, check.detail.split(",")[1]) == ("ok", " with the compiled loop")
    assert check.detail.startswith("measured ")
    check = found(host(tmp_path, costs=None))["costs"]
    assert (check.state, check.advice) == ("limited", "accel doctor --measure")


# ------------------------------------------------------------------------------- presentation

CHECKS = (
    Check("ptrace", "missing", "refused", "sudo accel doctor"),
    Check("yama", "ok", "not active"),
    Check("other filters", "limited", "1", "ls"),
)


def test_the_table_is_aligned() -> None:
    """State, name, detail; advice below the detail; the verdict last."""
    assert list(command._lines(CHECKS, colour=False)) == [
        "missing  ptrace         refused",
        "                        -> type: sudo accel doctor",
        "ok       yama           not active",
        "limited  other filters  1",
        "                        -> type: ls",
        "accel trace cannot work here: see ptrace",
    ]
    assert list(command._lines(CHECKS[1:], colour=False))[-1] == "accel trace works here"


def test_only_states_are_coloured() -> None:
    """Without its escapes a coloured table is the plain one."""
    coloured = list(command._lines(CHECKS, colour=True))
    assert coloured[0] == "\033[31mmissing\033[0m  ptrace         refused"
    plain = [line.replace("\033[0m", "") for line in coloured]
    for escape in ("\033[31m", "\033[32m", "\033[33m"):
        assert any(escape in line for line in plain)
        plain = [line.replace(escape, "") for line in plain]
    assert plain == list(command._lines(CHECKS, colour=False))


def test_a_check_is_json_as_it_is() -> None:
    """Its four fields, by their names; costs are beside."""
    found = json.loads(command._json(CHECKS, ASSUMED))
    assert found.pop("costs")["source"] == "assumed"
    assert found == {
        "schema": 1,
        "checks": [
            {"name": "ptrace", "state": "missing", "detail": "refused", "advice": CHECKS[0].advice},
            {"name": "yama", "state": "ok", "detail": "not active", "advice": ""},
            {"name": "other filters", "state": "limited", "detail": "1", "advice": "ls"},
        ],
    }
