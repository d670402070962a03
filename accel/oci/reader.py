"""Reads a container seccomp profile, as runc and Docker do.

* An entry whose action is the default does nothing. Of a call's other entries one without ``args``
  decides alone; else the first whose ``args`` hold (libseccomp promises no order there).
* ``args`` must all hold; if two are about the same argument, any of them, as in runc's matchCall.
* ``includes`` and ``excludes`` ask about this host: the effective capabilities of the caller, the
  kernel, and ``amd64``, the one architecture that accel runs on.
* A call of the 32-bit socketcall or ipc is the call that is packed in it. Its arguments are in
  memory: an entry with ``args`` allows none of them, and refuses all.

Comparisons are libseccomp's, unsigned, but as wide as the argument is for the kernel: an int is
compared in 32 bits. libseccomp compares 64, and is evaded by a bit in the upper half of the
register (CVE-2019-7303): ``socket`` with 40 + 2**32 is AF_VSOCK to the kernel and not 40 to it.

Refused by name: actions that hand the call to somebody else, members and values that are not known,
calls that no table knows where the entry would refuse them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import bpf
from accel.abi import Abi
from accel.arguments import AnyCondition, Conditions, arg
from accel.errors import SetupError
from accel.mask import SyscallMask
from accel.oci.document import Members
from accel.oci.host import Host, version
from accel.oci.names import ACTIONS, OPERATORS, UNANSWERED
from accel.oci.profile import FilterRule, Profile
from bpf.value import frozen

__all__ = ["load", "read"]

_WORD: Final = (1 << 64) - 1
_MAX_ERRNO: Final = 4095
_EPERM: Final = 1
_ENOSYS: Final = 38
#: As includes and excludes spell it.
_ARCHITECTURE: Final = "amd64"
_NATIVE: Final = "SCMP_ARCH_X86_64"
_RUNS: Final = (bpf.Action.allow(), bpf.Action.log())

#: <linux/net.h>, from 1 on.
_SOCKET_CALLS: Final = (
    "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom"
    " shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg"
).split()
#: <linux/ipc.h>; the upper half of the number is a version.
_IPC_CALLS: Final = {
    "semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12,
    "msgget": 13, "msgctl": 14, "shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24,
}  # fmt: skip


def _low_half_is(number: int) -> AnyCondition:
    # The upper half of ipc's first argument is a version, which the kernel takes away.
    return cast("AnyCondition", (arg[0] & 0xFFFF) == number)


_PACKED: Final[Mapping[str, tuple[str, AnyCondition]]] = {
    **{name: ("socketcall", arg[0] == 1 + at) for at, name in enumerate(_SOCKET_CALLS)},
    **{name: ("ipc", _low_half_is(number)) for name, number in _IPC_CALLS.items()},
}


@frozen
class _Answer:
    """What an entry says of a call."""

    action: bpf.Action
    where: AnyCondition | None = None


def load(path: str | os.PathLike[str], host: Host | None = None) -> Profile:
    """Read the profile in a file; raise SetupError if it cannot be read, or is not understood."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise SetupError(f"cannot read {os.fspath(path)}: {error.strerror}") from error
    try:
        return read(text, host)
    except SetupError as error:
        raise SetupError(f"{os.fspath(path)}: {error.args[0]}", hint=error.hint) from error


def read(text: str | bytes, host: Host | None = None) -> Profile:
    """Read a profile, or the one in a runtime's config.json, for ``host``, by default this one.

    Raise SetupError, with the place, for what is not understood.
    """
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"this is no JSON: {error}") from error
    if isinstance(document, dict) and "linux" in document and "syscalls" not in document:
        document = Members(Members(document, "").get("linux", dict, {}), "linux").get(
            "seccomp", dict, {}
        )
    return _Reader(Members(document, ""), host or Host.this()).profile()


class _Reader:
    """One profile while it is read."""

    def __init__(self, document: Members, host: Host) -> None:
        self._document = document
        self._host = host
        self._notes: list[str] = []
        self._answers: dict[tuple[Abi, int], list[_Answer]] = {}

    def profile(self) -> Profile:
        """Read it."""
        document = self._document
        errno = document.number("defaultErrnoRet", _MAX_ERRNO, _EPERM)
        default = _action(document, "defaultAction", errno)
        architectures = self._architectures()
        self._note_what_has_no_effect()
        abis = [Abi.X86_64, *([Abi.I386] if "SCMP_ARCH_X86" in architectures else [])]
        for entry in document.each("syscalls"):
            self._read_entry(entry, abis, default)
        document.finish()
        # libseccomp's answer to an architecture that is not listed; SCMP_FLTATR_ACT_BADARCH.
        unlisted = bpf.Action.kill_thread()
        # Where x32 is listed its calls should be judged as x86_64's, which accel does not.
        has_x32 = "SCMP_ARCH_X32" in architectures
        rules = list(self._rules())
        if Abi.I386 not in abis:
            rules.insert(0, FilterRule(SyscallMask.parse("all@32"), unlisted))
        return Profile(
            (*rules, FilterRule(SyscallMask.all(), default)),
            bpf.Action.errno(_ENOSYS) if has_x32 else unlisted,
            tuple(self._notes),
        )

    def _architectures(self) -> set[str]:
        """Tell which architectures have the rules; the native one always has."""
        document = self._document
        found = {_NATIVE, *document.strings("architectures")}
        for one in document.each("archMap"):
            subordinate = one.strings("subArchitectures")
            if one.need("architecture", str) == _NATIVE:
                found.update(subordinate)
            one.finish()
        if document.get("architectures", list, []) and document.get("archMap", list, []):
            raise document.error("has both architectures and archMap")
        unknown = [name for name in sorted(found) if not name.startswith("SCMP_ARCH_")]
        if unknown:
            raise document.error(f"{unknown[0]!r} is no architecture", "architectures")
        return found

    def _note_what_has_no_effect(self) -> None:
        flags = self._document.strings("flags")
        for name in ("listenerPath", "listenerMetadata"):
            if self._document.get(name, str, ""):
                self._notes.append(f"{name} is not used: nothing is handed to a supervisor")
        if flags:
            self._notes.append(f"flags are not used: {', '.join(flags)}")

    # --------------------------------------------------------------------------- entries

    def _read_entry(self, entry: Members, abis: list[Abi], default: bpf.Action) -> None:
        names = entry.strings("names") or [entry.need("name", str)]
        action = _action(entry, "action", entry.number("errnoRet", _MAX_ERRNO, _EPERM))
        alternatives = _alternatives(list(map(_condition, entry.each("args"))))
        entry.get("comment", str, "")
        is_meant = self._is_meant(entry)
        entry.finish()
        if not is_meant or action == default:
            return
        for name in names:
            if not self._is_call(name):
                self._unknown(entry, name, action)
            for abi in abis:
                self._answer(abi, name, action, alternatives)

    def _answer(
        self, abi: Abi, name: str, action: bpf.Action, alternatives: list[AnyCondition]
    ) -> None:
        answers = [_Answer(action, where) for where in alternatives] or [_Answer(action)]
        if name in abi.numbers:
            self._answers.setdefault((abi, abi.numbers[name]), []).extend(answers)
        if abi is Abi.I386 and name in _PACKED and (not alternatives or action not in _RUNS):
            packing, where = _PACKED[name]
            packed = (abi, abi.numbers[packing])
            self._answers.setdefault(packed, []).append(_Answer(action, where))

    def _is_meant(self, entry: Members) -> bool:
        """Tell whether an entry is for this host; moby/profiles, setupSeccomp."""
        included = _Demands(entry.inner("includes"))
        excluded = _Demands(entry.inner("excludes"))
        held, kernel = self._host.capabilities, self._host.kernel
        if excluded.capabilities & held or _ARCHITECTURE in excluded.architectures:
            return False
        if excluded.kernel is not None and kernel >= excluded.kernel:
            return False
        if included.architectures and _ARCHITECTURE not in included.architectures:
            return False
        return included.capabilities <= held and kernel >= (included.kernel or kernel)

    @staticmethod
    def _is_call(name: str) -> bool:
        return name in Abi.X86_64.numbers or name in Abi.I386.numbers or name in _PACKED

    def _unknown(self, entry: Members, name: str, action: bpf.Action) -> None:
        """Take note of a call of no table of ours; raise SetupError if it would go unrefused."""
        from system_calls import syscalls  # noqa: PLC0415 - the tables of all architectures

        if name in syscalls().names():
            return  # Another architecture's.
        if action not in _RUNS:
            raise entry.error(f"refuses {name!r}, which no table knows", hint="is it misspelt?")
        self._notes.append(f"{name} is unknown, and gets the default action")

    # --------------------------------------------------------------------------- rules

    def _rules(self) -> Iterator[FilterRule]:
        """Join calls that have the same answers."""
        # By their text: whatever conditions are made of, they print as what they mean.
        groups: dict[str, list[tuple[Abi, int]]] = {}
        chosen: dict[str, list[_Answer]] = {}
        for call, answers in self._answers.items():
            always = [answer for answer in answers if answer.where is None][:1]
            decisive = always or answers
            text = "; ".join(f"{answer.action.value} {answer.where}" for answer in decisive)
            chosen[text] = decisive
            groups.setdefault(text, []).append(call)
        for text, calls in groups.items():
            mask = SyscallMask.of(calls)
            for answer in chosen[text]:
                yield FilterRule(mask, answer.action, answer.where)


class _Demands:
    """``includes`` or ``excludes``."""

    def __init__(self, members: Members) -> None:
        self.architectures = members.strings("arches")
        self.capabilities = frozenset(members.strings("caps"))
        least = members.get("minKernel", str, "")
        self.kernel = version(least) if least else None
        members.finish()


def _action(members: Members, name: str, errno: int) -> bpf.Action:
    word = members.need(name, str)
    if word in UNANSWERED:
        raise members.error(f"{word} hands the call to {UNANSWERED[word]}: accel has none", name)
    if word not in ACTIONS:
        raise members.error(f"{word!r} is no action", name, hint=f"use {', '.join(ACTIONS)}")
    return bpf.Action.errno(errno) if word == "SCMP_ACT_ERRNO" else ACTIONS[word]


def _condition(members: Members) -> tuple[int, AnyCondition]:
    """Read a comparison, and which argument it is about."""
    index = members.number("index", 5)
    value = members.number("value", _WORD)
    other = members.number("valueTwo", _WORD, 0)
    operator = members.need("op", str)
    members.finish()
    argument: Any = arg[index]
    if operator == "SCMP_CMP_MASKED_EQ":
        if other & ~value:
            raise members.error(f"never holds: {other:#x} has bits outside of {value:#x}")
        return index, (argument & value) == other
    if operator not in OPERATORS:
        known = ", ".join([*OPERATORS, "SCMP_CMP_MASKED_EQ"])
        raise members.error(f"{operator!r} is no comparison", "op", hint=f"use {known}")
    if operator in ("SCMP_CMP_EQ", "SCMP_CMP_NE"):
        # A negative int, written as the 64 bits that it is extended to.
        value -= (1 << 64) if value >= _WORD - 0x7FFF_FFFF else 0
        return index, argument == value if operator == "SCMP_CMP_EQ" else argument != value
    # Under a mask a comparison is unsigned, whatever the argument's type is.
    compared = argument & _WORD
    orders = {
        "<": compared < value,
        "<=": compared <= value,
        ">": compared > value,
        ">=": compared >= value,
    }
    return index, orders[OPERATORS[operator]]


def _alternatives(conditions: list[tuple[int, AnyCondition]]) -> list[AnyCondition]:
    """Join comparisons: all must hold; any, if two are about the same argument."""
    found = [condition for _index, condition in conditions]
    if len({index for index, _condition in conditions}) < len(conditions):
        return found
    all_of = (part for condition in found for part in Conditions.of(condition).all)
    return [Conditions(tuple(all_of))] if found else []
