"""The tags of PTRACE_VM, in every dialect that was proposed, and the combinations that they mean.

Three events belong to a call: START, the stop before it, CALL, the call itself, and EXIT, the stop
after it. A tag leaves out one of them, or two. The same number means different things in different
dialects (2 is SKIPEXIT twice and SKIPCALL once), so each dialect is a type.
"""

from __future__ import annotations

import enum
import errno
from typing import Final, TypeAlias

from accel.decision import Decision
from accel.errors import TagError, UnknownTag

__all__ = [
    "SUPPORTED",
    "Dialect",
    "Dialect2006",
    "Dialect2008",
    "Events",
    "Numbered",
    "decision",
    "dialect_of",
    "read_tags",
]


class Dialect2006(enum.IntFlag):
    """Independent bits, in ``addr`` of PTRACE_SYSVM (R. Davoli, "3-ptrace_vm", 18 May 2006)."""

    PTRACE_VM_SKIPCALL = 0x1
    PTRACE_VM_SKIPEXIT = 0x2
    #: Alone: resume nothing, return the tags that are supported.
    PTRACE_VM_TEST = 0x80000000


#: What PTRACE_VM_TEST returns.
SUPPORTED: Final = Dialect2006.PTRACE_VM_SKIPCALL | Dialect2006.PTRACE_VM_SKIPEXIT


class Dialect2008(enum.IntFlag):
    """SKIPCALL implies SKIPEXIT, in ``addr`` of PTRACE_SYSCALL and the like (June 2008).

    The patch says PTRACE_SYSCALL_*, the letter that came with it PTRACE_VM_*. The kernel side of
    the patch tests 0x4 to skip the call and 0x6 to skip the stop after it: 0x4 alone does both.
    """

    PTRACE_SYSCALL_SKIPEXIT = 0x2
    PTRACE_SYSCALL_SKIPCALL = 0x6
    PTRACE_VM_SKIPEXIT = PTRACE_SYSCALL_SKIPEXIT
    PTRACE_VM_SKIPCALL = PTRACE_SYSCALL_SKIPCALL


class Numbered(enum.IntEnum):
    """The three behaviours that make sense, "numbered 0, 1, 2 rather than or-ed" (J. Dike, 2008).

    Each leaves out one more event at the end of START, CALL, EXIT.
    """

    PTRACE_VM_DOEXIT = 0
    PTRACE_VM_SKIPEXIT = 1
    PTRACE_VM_SKIPCALL = 2


class Events(enum.IntFlag):
    """Three orthogonal flags, one for each event (J. Dike, 2008): all eight combinations.

    TRACESTART is the name that he gave to the flag for START: set, the call is announced. The
    thread gives no values. With these ``tags ^ PTRACE_VM_TRACESTART`` is the combination's number
    in Davoli's list. Leaving START out is decided before the call is made, by a filter, so it is
    no tag to resume with.
    """

    PTRACE_VM_SKIPEXIT = 1
    PTRACE_VM_SKIPCALL = 2
    PTRACE_VM_TRACESTART = 4


Dialect: TypeAlias = type[Dialect2006] | type[Dialect2008] | type[Numbered] | type[Events]

#: The bits of each dialect that stand for events; Numbered has three values instead.
_BITS: Final[dict[Dialect, int]] = {Dialect2006: 0x3, Dialect2008: 0x6, Events: 0x7}
_DIALECTS: Final = (Dialect2006, Dialect2008, Numbered, Events)


def read_tags(tags: int, dialect: Dialect | None = None) -> tuple[bool, bool, bool]:
    """Tell which of START, CALL and EXIT happen under ``tags``.

    Without a ``dialect`` it is the type of ``tags``, and Dialect2008 for a plain number. Raise
    UnknownTag for what the dialect does not have, TagError for tags of another dialect.
    """
    dialect = dialect_of(tags, dialect, Dialect2008)
    if dialect is Numbered:
        _refuse_unknown_number(tags)
        return True, tags < Numbered.PTRACE_VM_SKIPCALL, tags < Numbered.PTRACE_VM_SKIPEXIT
    _refuse_unknown_bits(tags, dialect)
    if dialect is Dialect2006:
        return True, not tags & 1, not tags & 2
    if dialect is Dialect2008:
        return True, not tags & 4, not tags & 6
    return bool(tags & 4), not tags & 2, not tags & 1


def decision(tags: int, dialect: Dialect | None = None, *, value: int = -errno.ENOSYS) -> Decision:
    """Turn tags into the Decision of the same combination, for ``Tracer.decide`` or a handler.

    A Tracer says itself which combinations it does not offer.
    ``value`` is what a call that does not run returns. Raise as ``read_tags`` does, and ValueError
    for a value that the combination cannot return (0 to -4095 for "nullify", else 64 bits).
    """
    start, call, exit_ = read_tags(tags, dialect)
    match (start, call):
        case (True, True):
            return Decision.inspect() if exit_ else Decision.resume()
        case (True, False):
            return Decision.skip(value, inspect=exit_)
        case (False, True):
            return Decision.exit_only() if exit_ else Decision.allow()
    return Decision.emulate() if exit_ else Decision.nullify(-value)


def dialect_of(tags: int, dialect: Dialect | None, default: Dialect) -> Dialect:
    """Tell in which dialect ``tags`` are written; raise TagError if they contradict ``dialect``."""
    own = next((known for known in _DIALECTS if isinstance(tags, known)), None)
    if own is not None and dialect not in (None, own):
        name = "" if dialect is None else dialect.__name__
        raise TagError(
            f"{tags!r} is no tag of {name}", hint=f"leave out dialect={name}, or write its own tags"
        )
    return dialect or own or default


def _refuse_unknown_number(tags: int) -> None:
    if tags not in (0, 1, 2):
        raise UnknownTag(
            f"Numbered has no tag {tags:#x}",
            hint="write 0, 1 (SKIPEXIT) or 2 (SKIPCALL): these are numbers, not bits to be or-ed",
        )


def _refuse_unknown_bits(tags: int, dialect: Dialect) -> None:
    unknown = tags & ~_BITS[dialect]
    if not unknown:
        return
    if dialect is Dialect2006 and tags == Dialect2006.PTRACE_VM_TEST:
        raise TagError(
            "PTRACE_VM_TEST asks for the supported tags and resumes nothing",
            hint="write sysvm(tid, Dialect2006.PTRACE_VM_TEST)",
        )
    known = ", ".join(
        f"{name}={member:#x}"
        for name, member in dialect.__members__.items()
        if member & _BITS[dialect] and name.startswith("PTRACE_VM_")
    )
    raise UnknownTag(
        f"{dialect.__name__} has no bits {unknown & 0xFFFF_FFFF_FFFF_FFFF:#x}",
        hint=f"it knows {known}{_ELSEWHERE.get(dialect, '')}",
    )


#: What was probably meant by a bit that another dialect has.
_ELSEWHERE: Final[dict[Dialect, str]] = {
    Dialect2006: "; SKIPCALL=0x6, which implies SKIPEXIT, is Dialect2008's",
    Dialect2008: "; SKIPCALL=0x1, which keeps the exit-stop, is Dialect2006's",
}
