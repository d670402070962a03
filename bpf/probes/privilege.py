"""Whether this process may load eBPF programs, and knows threads by the kernel's own tids."""

from __future__ import annotations

import os
import re
from typing import Final

from bpf.errors import ProbesUnavailable

__all__ = ["check_privilege"]

# <linux/capability.h>: CAP_PERFMON and CAP_BPF, or CAP_SYS_ADMIN; capabilities(7).
_BPF_CAPABILITIES: Final = 1 << 38 | 1 << 39
_CAP_SYS_ADMIN: Final = 1 << 21
#: The map of the initial user namespace; user_namespaces(7).
_EVERY_UID: Final = ["0", "0", "4294967295"]
#: The inode of the initial PID namespace: PROC_PID_INIT_INO, include/linux/proc_ns.h.
_INITIAL_PIDS: Final = "pid:[4026531836]"


def check_privilege() -> None:
    """Raise ProbesUnavailable, in one line, where eBPF programs cannot be used."""
    capabilities = int(
        re.findall(r"^CapEff:\s*(\w+)$", _read("/proc/self/status"), re.MULTILINE)[0], 16
    )
    has_bpf = capabilities & _BPF_CAPABILITIES == _BPF_CAPABILITIES
    if not (has_bpf or capabilities & _CAP_SYS_ADMIN):
        raise ProbesUnavailable("eBPF programs need root", "run as root")
    if _read("/proc/self/uid_map").split() != _EVERY_UID:
        raise ProbesUnavailable(
            "eBPF programs need root, and this is the root of a user namespace only",
            "run outside the container",
        )
    if os.readlink("/proc/self/ns/pid") != _INITIAL_PIDS:
        raise ProbesUnavailable(
            "eBPF programs know threads by the tids of the host, and this is another PID namespace",
            "run outside the container",
        )


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()
