"""Which calls of a run are worth selecting for a purpose, and what that would cost.

A call that is not made costs nothing, whoever selects it. So what matters is how often a run makes
each call, and whether those that it makes often tell anything: a program that opens ten files looks
at a hundred.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

from accel import roles
from accel.capabilities import capabilities
from accel.mask import SyscallMask
from accel.results import CallStatistics
from accel.roles import Role
from bpf.value import frozen

__all__ = [
    "PURPOSES",
    "Choice",
    "Purpose",
    "SuggestedCall",
    "Suggestion",
    "stops_of",
    "suggest",
]

Purpose: TypeAlias = Literal["files", "network", "sandbox"]
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)

#: What every program may need, though a run that nobody interrupts does not show it: signal(7),
#: restart_syscall(2).
_ALWAYS: Final = ("exit", "exit_group", "restart_syscall", "rt_sigreturn")

#: Of %file, what changes nothing and opens nothing.
_LOOKS: Final = re.compile(
    r"(\w*stat(fs|at|x)?(64)?|access|faccessat2?|readlink(at)?|getcwd|f?chdir|l?(get|list)xattr(at)?"
    r"|inotify_add_watch|fanotify_mark|name_to_handle_at|file_getattr)"
)
#: Of %network, what tells who talks with whom; the others move data, or tune.
_TALKS: Final = frozenset("accept accept4 bind connect listen socket socketcall socketpair".split())
#: They name whom they send to, where nothing is connected.
_SENDS: Final = frozenset("sendto sendmsg sendmmsg".split())
_EXECUTES: Final = ("execve", "execveat")


@frozen
class SuggestedCall:
    """A call that is of use for a purpose."""

    name: str
    calls: int
    errors: int
    #: Kernel stops of all of them, if arguments and results are wanted; and by ``--exit-only``.
    stops: int
    exit_stops: int
    #: Whether it is worth selecting; and what it is for, or why it is not.
    is_worth: bool
    why: str


@frozen
class Choice:
    """A mask, and what a run like this costs with it."""

    mask: str
    what: str
    stops: int
    exit_stops: int


@frozen
class Suggestion:
    """What to select for a purpose."""

    purpose: Purpose
    #: The most frequent first.
    calls: tuple[SuggestedCall, ...]
    #: The best first; none if no call is of use.
    choices: tuple[Choice, ...]


def suggest(purpose: Purpose, counted: Mapping[str, CallStatistics]) -> Suggestion:
    """Judge the calls of a run, as ``Tracer.statistics().calls`` counts them, for a purpose.

    Calls of both ABIs that have one name are one: a mask selects both.
    """
    totals = _by_name(counted)
    found = [
        _judged(purpose, name, one, totals)
        for name, one in totals.items()
        if _is_of_use(purpose, name)
    ]
    calls = tuple(sorted(found, key=lambda call: (-call.calls, call.name)))
    return Suggestion(purpose, calls, tuple(_choices(purpose, calls)))


def stops_of(name: str, calls: int, *, exit_only: bool = False) -> int:
    """Tell how many kernel stops so many calls take: at entry and exit, or at the exit alone."""
    never_returns = roles.result(name) is Role.NONE
    if exit_only and name not in _EXECUTES:  # Of these too little is left to be told after.
        return 0 if never_returns else calls * capabilities("auto").stops[4]
    stops = capabilities("auto").stops
    return calls * (stops[1] if never_returns else stops[0])


def _by_name(counted: Mapping[str, CallStatistics]) -> dict[str, tuple[int, int]]:
    totals: dict[str, tuple[int, int]] = {}
    for key, one in counted.items():
        name = key.partition("@")[0]
        calls, errors = totals.get(name, (0, 0))
        totals[name] = calls + one.calls, errors + one.errors
    return totals


def _is_of_use(purpose: Purpose, name: str) -> bool:
    return purpose == "sandbox" or name in _class(purpose)


def _class(purpose: Purpose) -> SyscallMask:
    return SyscallMask.parse("%file" if purpose == "files" else "%network")


def _judged(
    purpose: Purpose, name: str, one: tuple[int, int], totals: Mapping[str, object]
) -> SuggestedCall:
    is_worth, why = True, "the command makes it"
    if purpose == "files":
        is_worth = _LOOKS.fullmatch(name) is None
        why = "executes" if name in _EXECUTES else "opens, or changes"
        why = why if is_worth else "only looks"
    elif purpose == "network":
        is_worth, why = _of_network(name, totals)
    calls, errors = one
    return SuggestedCall(
        name, calls, errors, stops_of(name, calls), stops_of(name, calls, exit_only=True),
        is_worth, why,
    )  # fmt: skip


def _of_network(name: str, totals: Mapping[str, object]) -> tuple[bool, str]:
    if name in _TALKS:
        return True, "who talks with whom"
    if name in _SENDS:
        is_worth = "connect" not in totals and "socketcall" not in totals
        return is_worth, "to whom it sends" if is_worth else "only moves data"
    return False, "only moves data" if name.startswith(("send", "recv")) else "only tunes"


def _choices(purpose: Purpose, calls: tuple[SuggestedCall, ...]) -> list[Choice]:
    if not calls:
        return []
    if purpose == "sandbox":
        names = sorted({call.name for call in calls} | {*_ALWAYS})
        # A filter allows them by itself.
        return [Choice(",".join(names), "to allow, with what any program may need", 0, 0)]
    chosen = [call for call in calls if call.is_worth]
    names = [call.name for call in chosen]
    found = [Choice(",".join(names), "worth selecting", *_costs(chosen))] if chosen else []
    if len(chosen) < len(calls):
        whole = "%file" if purpose == "files" else "%network"
        found.append(Choice(whole, "with the others", *_costs(calls)))
    return found


def _costs(calls: tuple[SuggestedCall, ...] | list[SuggestedCall]) -> tuple[int, int]:
    return sum(call.stops for call in calls), sum(call.exit_stops for call in calls)
