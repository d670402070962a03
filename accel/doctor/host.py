"""Where the checks look: a tree of files, and what worked when it was tried."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field, replace
from typing import Final, Self

from accel._kernel.probes import Kernel, Library, libseccomp, survey
from accel.costs import CostTable, load

__all__ = ["CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "Host"]

# <linux/capability.h>
CAP_SYS_PTRACE: Final = 19
CAP_SYS_ADMIN: Final = 21
CAP_PERFMON: Final = 38

# <elf.h>: a little-endian 64-bit file; EM_X86_64, where e_machine is.
_ELF64: Final = b"\x7fELF\x02\x01"
_EM_X86_64: Final = b"\x3e\x00"
_E_MACHINE: Final = slice(18, 20)

#: What a container's name in a cgroup path says.
_CGROUPS: Final = {"kubepods": "kubernetes", "docker": "docker", "libpod": "podman", "lxc": "lxc"}


@dataclass(frozen=True, slots=True)
class Host:
    """A host to examine; without arguments one that has nothing but its files."""

    #: What stands before /proc, /sys and the other paths.
    root: str = ""
    kernel: Kernel = field(default_factory=Kernel)
    #: The libseccomp that is there.
    library: Library | None = None
    #: The names of uname(2).
    machine: str = "x86_64"
    release: str = ""
    #: Where modules and programs are looked for.
    python_path: tuple[str, ...] = ()
    program_path: str = ""
    #: What calls cost here, if that was measured.
    costs: CostTable | None = None

    @classmethod
    def this(cls) -> Self:
        """Describe the host that this process runs on. Cost: that of ``survey``."""
        here = cls(
            library=_library(),
            machine=platform.machine(),
            release=platform.release(),
            python_path=tuple(sys.path),
            program_path=os.environ.get("PATH", os.defpath),
            costs=load(),
        )
        # The probes are machine code.
        return replace(here, kernel=survey()) if here.is_x86_64 else here

    @property
    def is_x86_64(self) -> bool:
        """Whether this process is x86_64 code; uname(2) depends on its personality."""
        header = self.read_bytes("/proc/self/exe", 20)
        if not header:
            return self.machine == "x86_64" and sys.maxsize > 1 << 32
        return header.startswith(_ELF64) and header[_E_MACHINE] == _EM_X86_64

    @property
    def container(self) -> str:
        """What kind of container this seems to be, "" if none: for hints, never for a verdict."""
        manager = self.read("/run/systemd/container")
        if manager:
            return manager
        if self.exists("/run/.containerenv"):
            return "podman"
        cgroups = self.read("/proc/self/cgroup")
        found = (name for word, name in _CGROUPS.items() if word in cgroups)
        return next(found, "docker" if self.exists("/.dockerenv") else "")

    def read_bytes(self, path: str, size: int = 1 << 16) -> bytes:
        """Read the beginning of a file; b"" if that cannot be done."""
        try:
            with open(self.root + path, "rb") as file:
                return file.read(size)
        except OSError:
            return b""

    def read(self, path: str) -> str:
        """Read a small file as ASCII, without blanks around it; "" if that cannot be done."""
        return self.read_bytes(path).decode("ascii", "backslashreplace").strip()

    def number(self, path: str) -> int | None:
        """Read a file that holds a number; None if it does not, or is not there."""
        try:
            return int(self.read(path))
        except ValueError:
            return None

    def exists(self, path: str) -> bool:
        """Tell whether a path is there and may be seen."""
        return os.path.exists(self.root + path)

    def readable(self, path: str) -> bool:
        """Tell whether a directory may be listed and entered."""
        return os.access(self.root + path, os.R_OK | os.X_OK)

    def status(self, name: str, pid: int | str = "self") -> str:
        """Read a field of /proc/PID/status; "" if it is not there."""
        for line in self.read(f"/proc/{pid}/status").splitlines():
            if line.startswith(f"{name}:"):
                return line.partition(":")[2].strip()
        return ""

    def capable(self, capability: int) -> bool:
        """Tell whether this process has a capability over the whole host, not over a namespace."""
        has_it = int(self.status("CapEff") or "0", 16) >> capability & 1
        # user_namespaces(7): the initial namespace maps every ID to itself.
        return bool(has_it) and self.read("/proc/self/uid_map").split() in (
            [],
            ["0", "0", "4294967295"],
        )


def _library() -> Library | None:
    from accel.abi import Abi  # noqa: PLC0415 - its table may not be installed

    try:
        names = tuple(Abi.X86_64.numbers)
    except ImportError:
        names = ()
    try:
        return libseccomp(names)
    except (OSError, AttributeError):
        return None
