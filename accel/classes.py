"""strace's classes of system calls, computed: %file, %desc, %network, ...

A class is a rule on the roles of the arguments (a call that takes a path is in %file) or, where the
arguments do not tell, on the word that a subsystem puts into the names of its calls (``sig``,
``shm``, ``mlock``). A new kernel's calls therefore join their classes without anybody listing them.
The few calls that no rule finds are named next to the rule, with the reason.

``tests/integration/test_strace_classes.py`` compares every class with strace's, call by call.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from accel.abi import Abi
from accel.roles import Argument, Role, result, signature

__all__ = ["ALIASES", "NAMES", "members"]


@dataclass(frozen=True, slots=True)
class _Call:
    """What the rules look at."""

    name: str
    arguments: tuple[Argument, ...]
    roles: frozenset[Role]
    families: frozenset[str]
    result: Role


_Rule = Callable[[_Call], bool]

_PATHS = frozenset({Role.PATH, Role.PATH_OUT})
_DESCRIPTORS = frozenset({Role.FD, Role.DIRFD, Role.FD_SET})
_SOCKET_ADDRESSES = frozenset({Role.SOCKADDR_IN, Role.SOCKADDR_OUT})
_IDS = frozenset({Role.UID, Role.GID})

#: What arguments point to, if it holds descriptors; an array of them is of family "fd".
_HOLD_DESCRIPTORS = frozenset({"bpf_attr", "fd", "mmap_arg_struct", "pollfd", "sel_arg_struct"})
_HOLD_IDS = frozenset({"uid_t", "gid_t", "old_uid_t", "old_gid_t"})
_CAPABILITIES = frozenset({"__user_cap_header_struct", "__user_cap_data_struct"})
_STATS = frozenset({"stat", "stat64", "__old_kernel_stat", "statx"})
_STATFS = frozenset({"statfs", "statfs64"})


def _file(call: _Call) -> bool:
    # fsconfig takes a path if its command is FSCONFIG_SET_PATH.
    return bool(call.roles & _PATHS) or call.name == "fsconfig"


def _desc(call: _Call) -> bool:
    found = call.roles & _DESCRIPTORS or call.result is Role.FD or call.families & _HOLD_DESCRIPTORS
    # As in strace, calls on sockets are in %network alone; sendfile also reads a file.
    return bool(found) and (not _network(call) or call.name.startswith("sendfile"))


def _network(call: _Call) -> bool:
    return (
        bool(call.roles & _SOCKET_ADDRESSES)
        or any(argument.name == "sockfd" for argument in call.arguments)
        or re.search(r"^(send|recv)|sock", call.name) is not None
    )


def _process(call: _Call) -> bool:
    return _signals_a_process(call) or bool(re.match(r"(v?fork|clone|exec|exit|wait)", call.name))


def _signals_a_process(call: _Call) -> bool:
    target = Role.PID in call.roles or any(item.name == "pidfd" for item in call.arguments)
    return target and Role.SIGNAL in call.roles


def _memory(call: _Call) -> bool:
    return (
        call.result is Role.ADDRESS
        or any(_is_place(argument) for argument in call.arguments)
        or re.search(r"m(un)?lockall|mempolicy|_pages$|^shmdt$", call.name) is not None
        # These map, unmap and pin the rings and buffers of asynchronous input and output.
        or call.name in ("io_setup", "io_destroy", "io_uring_register")
    )


def _is_place(argument: Argument) -> bool:
    # Passed as a number, because nothing need be mapped there.
    named = argument.name in ("addr", "old_address", "start")
    return named and argument.role is Role.ADDRESS and not argument.ctype.endswith("*")


def _signal(call: _Call) -> bool:
    return (
        Role.SIGNAL in call.roles
        or re.search(r"sig|^s[gs]etmask$", call.name) is not None
        # pause waits for a signal; io_uring_enter may change the mask while it waits.
        or call.name in ("pause", "io_uring_enter")
    )


def _ipc(call: _Call) -> bool:
    return re.match(r"(msg|sem|shm)(get|ctl|snd|rcv|op|timedop|at|dt)|ipc$", call.name) is not None


def _creds(call: _Call) -> bool:
    ids = call.roles & _IDS or call.families & (_HOLD_IDS | _CAPABILITIES) or call.result in _IDS
    of_a_file = call.roles & (_PATHS | _DESCRIPTORS)
    # prctl sets securebits and drops capabilities.
    return (bool(ids) and not of_a_file) or call.name == "prctl"


def _clock(call: _Call) -> bool:
    pattern = r"clock_(?!nanosleep)\w+|adjtimex|[gs]ettimeofday|s?time"
    return re.fullmatch(pattern, call.name) is not None


def _any_stat(call: _Call) -> bool:
    return bool(call.families & _STATS)


def _stat(call: _Call) -> bool:
    return _any_stat(call) and not _fstat(call) and not _lstat(call)


def _lstat(call: _Call) -> bool:
    return _any_stat(call) and "lstat" in call.name


def _fstat(call: _Call) -> bool:
    return _any_stat(call) and bool(call.roles & _DESCRIPTORS)


def _statfs(call: _Call) -> bool:
    return bool(call.families & _STATFS) and Role.PATH in call.roles


def _fstatfs(call: _Call) -> bool:
    return bool(call.families & _STATFS) and Role.FD in call.roles


def _any_statfs(call: _Call) -> bool:
    return bool(call.families & (_STATFS | {"ustat"}))


def _pure(call: _Call) -> bool:
    always = call.name.startswith("get") and call.result in (Role.PID, Role.UID, Role.GID)
    return always and not call.arguments


_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        "%file": _file,
        "%desc": _desc,
        "%network": _network,
        "%process": _process,
        "%memory": _memory,
        "%signal": _signal,
        "%ipc": _ipc,
        "%creds": _creds,
        "%clock": _clock,
        "%stat": _stat,
        "%lstat": _lstat,
        "%fstat": _fstat,
        "%%stat": _any_stat,
        "%statfs": _statfs,
        "%fstatfs": _fstatfs,
        "%%statfs": _any_statfs,
        "%pure": _pure,
    }
)

#: Every class, spelled as strace does.
NAMES = tuple(_RULES)

#: Other spellings that strace accepts; those without a percent sign are deprecated there.
ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "%net": "%network",
        "desc": "%desc",
        "file": "%file",
        "ipc": "%ipc",
        "memory": "%memory",
        "network": "%network",
        "process": "%process",
        "signal": "%signal",
    }
)


@functools.cache
def members(name: str, abi: Abi) -> frozenset[int]:
    """Compute the numbers of the calls of ``abi`` that belong to a class; raise KeyError if none.

    Cost: the first call describes every system call of the ABI, a few milliseconds.
    """
    rule = _RULES[ALIASES.get(name, name)]
    return frozenset(abi.numbers[call.name] for call in _calls(abi) if rule(call))


@functools.cache
def _calls(abi: Abi) -> tuple[_Call, ...]:
    # Most calls are the same in every ABI: their signature is then one object, described once.
    known = {} if abi is Abi.X86_64 else {call.name: call for call in _calls(Abi.X86_64)}
    calls = []
    for name in abi.numbers:
        arguments = signature(abi, name)
        call = known.get(name)
        if call is None or call.arguments is not arguments:
            call = _describe(name, arguments)
        calls.append(call)
    return tuple(calls)


def _describe(name: str, arguments: tuple[Argument, ...]) -> _Call:
    return _Call(
        name,
        arguments,
        frozenset(argument.role for argument in arguments),
        frozenset(argument.family for argument in arguments if argument.family),
        result(name),
    )
