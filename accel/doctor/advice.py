"""What to type against refusals that several checks meet."""

from __future__ import annotations

from typing import Final

from accel.doctor.host import Host

__all__ = ["allow_call", "kernel_option"]

_CONTAINERS: Final = {
    "docker": "docker run --cap-add=SYS_PTRACE --security-opt seccomp=unconfined ...",
    "podman": "podman run --cap-add=SYS_PTRACE --security-opt seccomp=unconfined ...",
    "kubernetes": "kubectl edit pod POD"
    "  # securityContext: capabilities.add [SYS_PTRACE], seccompProfile.type Unconfined",
    "lxc": "lxc config set NAME raw.lxc 'lxc.seccomp.profile='",
    "systemd-nspawn": "systemd-nspawn --capability=CAP_SYS_PTRACE --system-call-filter=@debug ...",
}
_SERVICE: Final = "systemctl edit UNIT  # [Service] SystemCallFilter=@debug"


def allow_call(host: Host, *, otherwise: str) -> str:
    """Tell how to make whoever confines this process allow a call; ``otherwise`` if nobody does."""
    if host.container:
        outside = f"accel doctor  # outside the container ({host.container})"
        return _CONTAINERS.get(host.container, outside)
    if host.status("Seccomp") == "2":
        return _SERVICE
    return otherwise


def kernel_option(option: str) -> str:
    """Tell how to see whether the kernel was built with an option."""
    return f"zgrep {option}= /proc/config.gz /boot/config-$(uname -r)  # must be y"
