"""What is compared: the ways in which accel obtains stops, and what it answers them with.

Subjects of one *family* do the same to the command, so that its output is the same: ``traced``
look at the selected calls and let them run, ``ruled`` answer calls with the constants of a profile.
Each family has its naive tracer, with two stops for every call, and a reference for its output.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, Literal, TypeAlias, get_args

from accel.capabilities import MechanismName
from bpf.value import frozen

__all__ = ["COMMAND", "MECHANISMS", "NATIVE", "Absent", "Family", "Subject", "Tier", "subjects"]

Family: TypeAlias = Literal["traced", "ruled"]
#: Who answers: the filter; the compiled loop; the mechanism's own Python code; a handler of the
#: user's; one that makes a line of text of each call. Of others: "".
Tier: TypeAlias = Literal["kernel", "loop", "mechanism", "handler", "lines", ""]

#: All of accel's own, by the names that a Tracer takes; the others stand for several.
MECHANISMS: Final = frozenset(get_args(MechanismName)) - {"auto", "exit-event"}

#: Stands for a script that runs the command. bpftrace splits its word at blanks, and executes no
#: script by itself.
COMMAND: Final = "{command}"

_SYSEMU: Final = (
    "it makes no call unless the tracer does, three stops each: a mechanism for machines that are"
    " virtual as a whole; --only sysemu compares it all the same"
)
_NO_RULES: Final = "it needs answers that are constant: give a profile with --rules"


@frozen
class Subject:
    """One way to run the command."""

    #: As in accel.capabilities; ``native``, or the name of another tracer.
    mechanism: str
    #: What is answered, as ``str(Decision)`` writes it.
    decision: str = ""
    tier: Tier = ""
    family: Family = "traced"
    #: What the command is given to; of accel's own subjects and of the native run nothing.
    words: tuple[str, ...] = ()
    #: Whether its exit status is the command's, and its streams are the command's alone. If not, a
    #: shell keeps them apart, see ``accel.compare.streams``.
    is_transparent: bool = True

    @property
    def name(self) -> str:
        """What messages call it."""
        by = f", {self.tier}" if self.tier in ("handler", "lines") else ""
        return f"{self.mechanism} {self.decision}{by}".strip()

    @property
    def is_native(self) -> bool:
        """Whether nobody traces."""
        return self.mechanism == "native"

    @property
    def is_accel(self) -> bool:
        """Whether accel traces, and counts what it does."""
        return self.mechanism in MECHANISMS

    @property
    def is_naive(self) -> bool:
        """Whether it stops twice for every call: what its family is compared with."""
        return self.mechanism == "ptrace-syscall"


@frozen
class Absent:
    """A subject that is not compared, and why."""

    name: str
    reason: str


NATIVE: Final = Subject("native")

_TRACED: Final = (
    Subject("ptrace-syscall", "inspect()", "mechanism"),
    Subject("seccomp-trace", "inspect()", "lines"),
    Subject("seccomp-trace", "inspect()", "loop"),
    Subject("seccomp-trace", "resume()", "handler"),
    Subject("seccomp-trace", "resume()", "loop"),
    Subject("exit-event:perf", "exit_only()", "loop"),
    Subject("exit-event:ebpf", "exit_only()", "mechanism"),
    Subject("user-notify", "resume()", "mechanism"),
    Subject("observe", "observe", "kernel"),
)
_RULED: Final = (
    Subject("ptrace-syscall", "skip()", "mechanism", "ruled"),
    Subject("seccomp-trace", "skip()", "loop", "ruled"),
    Subject("user-notify", "skip()", "mechanism", "ruled"),
    # The last: its output is what that of the others has to be.
    Subject("seccomp-trace", "nullify()", "kernel", "ruled"),
)
_ON_REQUEST: Final = (Subject("sysemu", "resume()", "mechanism"),)


def subjects(*, has_rules: bool, only: Collection[str] = ()) -> tuple[list[Subject], list[Absent]]:
    """List accel's own subjects, of the mechanisms ``only`` if there are any, and who is missing.

    What this host allows is found out by trying.
    """
    chosen = [one for one in _offered(has_rules=has_rules, only=only) if _is_chosen(one, only)]
    absent = []
    if not has_rules and not only:
        absent.append(Absent("seccomp-trace skip()", _NO_RULES))
    if not only:
        absent.append(Absent("sysemu", _SYSEMU))
    return chosen, absent


def _offered(*, has_rules: bool, only: Collection[str]) -> Iterator[Subject]:
    everything = _TRACED + (_ON_REQUEST if only else ()) + (_RULED if has_rules else ())
    yield from (one for one in everything if one.mechanism in MECHANISMS)


def _is_chosen(subject: Subject, only: Collection[str]) -> bool:
    family = subject.mechanism.partition(":")[0]
    return not only or subject.mechanism in only or family in only
