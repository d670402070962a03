"""Writes a filter as a container seccomp profile.

It is told from the compiled filter, see ``bpf.ways``, and so says what the filter does, in whatever
order rules were tried: entries of a profile have none, so that no two entries for a call overlap.

A profile can say no more than numbers, ranges of registers and one answer for both ABIs:

* An int is compared in 32 bits. Profiles compare registers, so that this takes SCMP_CMP_MASKED_EQ,
  and several entries for anything but ``==``.
* x86_64 and i386 share the entries; i386 is left out where the filter kills all its calls, as
  libseccomp then does. libseccomp also kills x32's calls, which are not listed.
* On i386 libseccomp compares low words alone: a condition that takes the upper half of a long to be
  written (a mask and an order of the same one) is refused, where i386 is listed. There it has no
  two answers, by arguments, to a call that socketcall or ipc packs: it fails with EEXIST.
* A call that needs a tracer, or a supervisor, has no entry: nobody is there to answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import bpf
from accel.abi import Abi
from accel.errors import FilterError
from accel.oci.names import ACTIONS
from accel.oci.ranges import Comparison, comparisons, is_same_in_32_bits
from bpf.ways import ways

__all__ = ["dump"]

#: No table has it, and none will soon.
_UNNAMED: Final = 0x3FFF_FFFF
_NAMES: Final = {action.value: name for name, action in reversed(ACTIONS.items())}
_ERRNO: Final = bpf.Action.errno(0).value
_SHOWN: Final = 8

#: An action, and the comparisons of which all must hold.
_Entry: TypeAlias = tuple[bpf.Action, tuple[Comparison, ...]]
_Entries: TypeAlias = tuple[_Entry, ...]


def dump(program: bpf.Program) -> str:
    """Write ``program`` as a profile, in JSON.

    Raise FilterError, which names the calls, where it says what a profile cannot.
    """
    return json.dumps(_profile(program), indent=1)


def _profile(program: bpf.Program) -> dict[str, Any]:
    default = _answer(program, Abi.X86_64)
    _check_answered({"calls that no table knows": ((default, ()),)})
    found = {
        abi: {name: _entries(program, abi, name, default) for name in abi.numbers}
        for abi in (Abi.X86_64, Abi.I386)
    }
    _check_answered(found[Abi.X86_64])
    architectures = ["SCMP_ARCH_X86_64"]
    if not _is_unlisted(found[Abi.I386]):
        _check_answered(found[Abi.I386])
        _check_alike(found, default, _answer(program, Abi.I386))
        architectures.append("SCMP_ARCH_X86")
    # What both have is written as x86_64 has it: its registers are the wider ones.
    chosen = {**(found[Abi.I386] if len(architectures) > 1 else {}), **found[Abi.X86_64]}
    return {
        **_words(default, "defaultAction", "defaultErrnoRet"),
        "architectures": architectures,
        "syscalls": list(_syscalls(chosen)),
    }


def _answer(program: bpf.Program, abi: Abi) -> bpf.Action:
    """Find the answer to numbers that have no name; raise FilterError if one has its own."""
    answer = bpf.evaluate(program, bpf.SeccompData(_UNNAMED, abi.audit_arch))
    for number in range(1024):
        if number not in abi.names:
            other = bpf.evaluate(program, bpf.SeccompData(number, abi.audit_arch))
            if other != answer:
                raise FilterError(
                    f"a container profile has no word for number {number} of {abi.value}",
                    hint="select calls by name",
                )
    return answer


def _entries(program: bpf.Program, abi: Abi, name: str, default: bpf.Action) -> _Entries:
    """Find what a call gets where that is not the default."""
    found = ways(program, abi.audit_arch, abi.numbers[name])
    try:
        return tuple(
            (action, joined) for action, joined in comparisons(found, abi.bits) if action != default
        )
    except OverflowError as error:
        raise FilterError(
            f"the conditions of {name} are too many for a container profile: {error}",
            hint="select by fewer arguments",
        ) from error


def _is_unlisted(entries: dict[str, _Entries]) -> bool:
    return all(one == ((bpf.Action.kill_thread(), ()),) for one in entries.values())


def _check_answered(entries: dict[str, _Entries]) -> None:
    """Raise FilterError for calls whose action needs somebody to take it."""
    asking = [
        name
        for name, found in entries.items()
        if any(_name(action) is None for action, _comparisons in found)
    ]
    if asking:
        raise FilterError(
            f"a container has no tracer for {_list(asking)}",
            hint="a profile holds what the filter answers alone: allow(), nullify(), fail()",
        )


def _check_alike(
    found: dict[Abi, dict[str, _Entries]], default: bpf.Action, other: bpf.Action
) -> None:
    """Raise FilterError for calls that are answered differently in the two ABIs."""
    wide, narrow = found[Abi.X86_64], found[Abi.I386]
    differing = [
        name
        for name in wide.keys() & narrow.keys()
        if not is_same_in_32_bits(wide[name], narrow[name])
    ]
    if other != default:
        differing.append("calls that no table knows")
    if differing:
        raise FilterError(
            f"a container profile has one answer for x86_64 and i386: {_list(sorted(differing))}",
            hint="select without @64 and @32, and compare no long under a mask and by order",
        )


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _syscalls(entries: dict[str, _Entries]) -> Iterator[dict[str, Any]]:
    """Join the calls that have the same entries."""
    groups: dict[_Entries, list[str]] = {}
    for name, found in entries.items():
        if found:
            groups.setdefault(found, []).append(name)
    for found, names in groups.items():
        for action, compared in found:
            entry: dict[str, Any] = {"names": sorted(names), **_words(action, "action", "errnoRet")}
            if compared:
                entry["args"] = [_argument(one) for one in compared]
            yield entry


def _argument(one: Comparison) -> dict[str, Any]:
    if one.mask is None:
        return {"index": one.index, "value": one.value, "op": one.operator}
    return {"index": one.index, "value": one.mask, "valueTwo": one.value, "op": one.operator}


def _words(action: bpf.Action, name: str, errno: str) -> dict[str, Any]:
    word = _name(action)
    assert word is not None
    return {name: word, errno: action.data} if word == "SCMP_ACT_ERRNO" else {name: word}


def _name(action: bpf.Action) -> str | None:
    """Name an action; None for one that a profile does not have."""
    is_errno = action.value - action.data == _ERRNO
    return _NAMES.get(_ERRNO if is_errno else action.value)
