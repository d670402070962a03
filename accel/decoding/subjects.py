"""What the subject modules know, each loaded when something of it is first asked for.

All of them take 15 ms to load, and the calls of one trace need two or three.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from accel.decoding import subject_index as index

if TYPE_CHECKING:
    from accel.decoding.context import Printer
    from accel.decoding.layouts import Layout
    from accel.decoding.subject import Remark, Steps, Subject

__all__ = ["SUBJECTS", "argument_of", "layout_of", "remark_of", "steps_of", "subject"]

SUBJECTS: Final = (
    "capabilities", "clones", "descriptors", "details", "files", "futexes", "ioctls", "iovecs",
    "ipc", "keys", "memory", "messages", "mounts", "polling", "prctl", "process", "ptraces",
    "rings", "sandboxes", "scheduling", "segments", "siginfo", "signals", "sockaddr", "sockets",
    "system", "times", "xattrs",
)  # fmt: skip


def subject(name: str) -> Subject:
    """Load a subject module; return what it contributes."""
    return cast("Subject", importlib.import_module(f"accel.decoding.{name}").SUBJECT)


def layout_of(family: str) -> Layout | None:
    """Find the layout of a struct."""
    found = _knowing(index.LAYOUTS, family)
    return None if found is None else found.layouts[family]


def argument_of(call: str, argument: str) -> Printer | None:
    """Find the printer of an argument that is printed by its name."""
    for key in (f"{call}.{argument}", f"*.{argument}"):
        found = _knowing(index.ARGUMENTS, key)
        if found is not None:
            return found.arguments[key]
    return None


def steps_of(call: str) -> Steps | None:
    """Find the steps of a call of which not every argument is printed, or not in order."""
    found = _knowing(index.CALLS, call)
    return None if found is None else found.calls[call]


def remark_of(call: str) -> Remark | None:
    """Find what looks at a call that has returned."""
    found = _knowing(index.REMARKS, call)
    return None if found is None else found.remarks[call]


def _knowing(table: Mapping[str, str], key: str) -> Subject | None:
    name = table.get(key)
    return None if name is None else subject(name)
