"""What the ``includes`` and ``excludes`` of a profile ask about: capabilities and kernel."""

from __future__ import annotations

import os
import re
from typing import Self

from accel.decoding.families import family
from accel.errors import SetupError
from bpf.value import frozen

__all__ = ["Host", "version"]


@frozen
class Host:
    """Where a profile is to be kept."""

    #: Names as in ``CAP_SYS_ADMIN``.
    capabilities: frozenset[str] = frozenset()
    kernel: tuple[int, int] = (0, 0)

    @classmethod
    def this(cls) -> Self:
        """Describe the calling thread: its effective capabilities, and the running kernel.

        Docker asks for a container's bounding set, which for a user who is not root would say that
        everything is permitted: capabilities(7), "Capability bounding set".
        """
        with open("/proc/thread-self/status", "rb") as status:
            fields = dict(line.split(b":", 1) for line in status)
        effective = int(fields[b"CapEff"], 16)
        names = family("capability").members
        held = frozenset(name for name, number in names if effective >> number & 1)
        return cls(held, version(os.uname().release))


def version(text: str) -> tuple[int, int]:
    """Read the first two numbers of a kernel version; raise SetupError if there are none."""
    found = re.match(r"(\d+)\.(\d+)", text)
    if found is None:
        raise SetupError(f"{text!r} is no kernel version", hint="write it as 4.8")
    return int(found[1]), int(found[2])
