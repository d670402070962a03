"""One run as it is handed to the process that makes it, and what that process tells of it.

Both cross a process boundary as one line of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from accel.compare.subjects import Subject
from bpf.value import frozen

__all__ = ["Job", "Report"]


@frozen
class Job:
    """What to run, how, and by which descriptors."""

    subject: Subject
    argv: tuple[str, ...]
    #: The selected calls, as text that reads back.
    mask: str
    #: A profile's file; "" without.
    rules: str
    stdin: int
    stdout: int
    stderr: int
    #: Where the report goes.
    report: int
    #: Ends when the comparison does, however it does: then nothing of this run may stay.
    lifeline: int

    def dump(self) -> str:
        """Write it as JSON."""
        members = {name: getattr(self, name) for name in Job.__match_args__}
        subject = self.subject
        members["subject"] = {name: getattr(subject, name) for name in Subject.__match_args__}
        return json.dumps(members)

    @classmethod
    def load(cls, text: str) -> Job:
        """Read what ``dump`` wrote."""
        members = json.loads(text)
        subject = members["subject"]
        subject["words"] = tuple(subject["words"])
        members["subject"] = Subject(**subject)
        members["argv"] = tuple(members["argv"])
        return cls(**members)


@frozen
class Report:
    """What a run took, told by the process that made it. Times are in seconds."""

    #: Why it could not begin, or was broken off; "" otherwise. ``unavailable``: this host does not
    #: offer it, which is no fault of anybody.
    problem: str = ""
    is_unavailable: bool = False
    #: -N: killed by signal N. Where a shell told it (``subject.is_transparent``), 128 + N.
    returncode: int = 0
    #: When the command was started, by CLOCK_MONOTONIC, and how long it took from then on.
    began: float = 0.0
    wall: float = 0.0
    #: CPU time. None: nobody traced.
    tracer_cpu: float | None = None
    tracee_cpu: float = 0.0
    #: As the tracer counted them; None where it does not tell.
    stops: int | None = None
    #: Those of its warming up, which the kernel counts as well.
    stops_before: int = 0
    notifications: int | None = None
    handler_calls: int | None = None
    #: Calls that were told, of those selected; and all, where the tracer stops at all.
    selected: int | None = None
    syscalls: int | None = None
    #: What was lost of it.
    lost: int = 0

    def dump(self) -> str:
        """Write it as JSON."""
        return json.dumps({name: getattr(self, name) for name in Report.__match_args__})

    @classmethod
    def load(cls, text: str) -> Report:
        """Read what ``dump`` wrote."""
        members: Mapping[str, Any] = json.loads(text)
        return cls(**members)
