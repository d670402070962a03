"""The rules by which a system call belongs to strace's classes: %file, %desc, %network, ...

A class is a rule on the roles of the arguments (a call that takes a path is in %file) or, where the
arguments do not tell, on the word that a subsystem puts into the names of its calls (``sig``,
``shm``, ``mlock``). A new kernel's calls therefore join their classes without anybody listing them.
The few calls that no rule finds are named next to the rule, with the reason.

``tests/integration/test_strace_classes.py`` compares every class with strace's, call by call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from accel.roles import Argument, Role, result

__all__ = ["RULES"]

Arguments: TypeAlias = tuple[Argument, ...]

_PATHS: Final = (Role.PATH, Role.PATH_OUT)
_DESCRIPTORS: Final = (Role.FD, Role.DIRFD, Role.FD_SET)
_SOCKET_ADDRESSES: Final = (Role.SOCKADDR_IN, Role.SOCKADDR_OUT)
_IDS: Final = (Role.UID, Role.GID)

#: What arguments point to, if it holds descriptors; an array of them is of family "fd".
_HOLD_DESCRIPTORS: Final = ("bpf_attr", "fd", "mmap_arg_struct", "pollfd", "sel_arg_struct")
_HOLD_IDS: Final = ("uid_t", "gid_t", "old_uid_t", "old_gid_t")
_CAPABILITIES: Final = ("__user_cap_header_struct", "__user_cap_data_struct")
_STATS: Final = ("stat", "stat64", "__old_kernel_stat", "statx")
_STATFS: Final = ("statfs", "statfs64")


def _takes(arguments: Arguments, roles: tuple[Role, ...]) -> bool:
    return any(argument.role in roles for argument in arguments)


def _points_to(arguments: Arguments, families: tuple[str, ...]) -> bool:
    return any(argument.family in families for argument in arguments)


def _file(name: str, arguments: Arguments) -> bool:
    # fsconfig takes a path if its command is FSCONFIG_SET_PATH.
    return _takes(arguments, _PATHS) or name == "fsconfig"


def _desc(name: str, arguments: Arguments) -> bool:
    if _network(name, arguments) and not name.startswith("sendfile"):
        # As in strace, calls on sockets are in %network alone; sendfile also reads a file.
        return False
    return (
        _takes(arguments, _DESCRIPTORS)
        or _points_to(arguments, _HOLD_DESCRIPTORS)
        or result(name) is Role.FD
    )


def _network(name: str, arguments: Arguments) -> bool:
    return (
        _takes(arguments, _SOCKET_ADDRESSES)
        or any(argument.name == "sockfd" for argument in arguments)
        or re.search(r"^(send|recv)|sock", name) is not None
    )


def _process(name: str, arguments: Arguments) -> bool:
    if re.match(r"v?fork|clone|exec|exit|wait", name):
        return True
    # Or it sends a signal to a process.
    target = any(item.role is Role.PID or item.name == "pidfd" for item in arguments)
    return target and _takes(arguments, (Role.SIGNAL,))


def _memory(name: str, arguments: Arguments) -> bool:
    return (
        result(name) is Role.ADDRESS
        or any(_is_place(argument) for argument in arguments)
        or re.search(r"m(un)?lockall|mempolicy|_pages$|^shmdt$", name) is not None
        # These map, unmap and pin the rings and buffers of asynchronous input and output.
        or name in ("io_setup", "io_destroy", "io_uring_register")
    )


def _is_place(argument: Argument) -> bool:
    # Passed as a number, because nothing need be mapped there.
    named = argument.name in ("addr", "old_address", "start")
    return named and argument.role is Role.ADDRESS and not argument.ctype.endswith("*")


def _signal(name: str, arguments: Arguments) -> bool:
    return (
        _takes(arguments, (Role.SIGNAL,))
        or re.search(r"sig|^s[gs]etmask$", name) is not None
        # pause waits for a signal; io_uring_enter may change the mask while it waits.
        or name in ("pause", "io_uring_enter")
    )


def _ipc(name: str, _arguments: Arguments) -> bool:
    return re.match(r"(msg|sem|shm)(get|ctl|snd|rcv|op|timedop|at|dt)|ipc$", name) is not None


def _creds(name: str, arguments: Arguments) -> bool:
    if _takes(arguments, (*_PATHS, *_DESCRIPTORS)):
        # The owner of a file.
        return False
    return (
        _takes(arguments, _IDS)
        or _points_to(arguments, (*_HOLD_IDS, *_CAPABILITIES))
        or result(name) in _IDS
        # prctl sets securebits and drops capabilities.
        or name == "prctl"
    )


def _clock(name: str, _arguments: Arguments) -> bool:
    pattern = r"clock_(?!nanosleep)\w+|adjtimex|[gs]ettimeofday|s?time"
    return re.fullmatch(pattern, name) is not None


def _any_stat(_name: str, arguments: Arguments) -> bool:
    return _points_to(arguments, _STATS)


def _stat(name: str, arguments: Arguments) -> bool:
    return _any_stat(name, arguments) and not (_fstat(name, arguments) or _lstat(name, arguments))


def _lstat(name: str, arguments: Arguments) -> bool:
    return _any_stat(name, arguments) and "lstat" in name


def _fstat(name: str, arguments: Arguments) -> bool:
    return _any_stat(name, arguments) and _takes(arguments, _DESCRIPTORS)


def _any_statfs(_name: str, arguments: Arguments) -> bool:
    return _points_to(arguments, (*_STATFS, "ustat"))


def _statfs(_name: str, arguments: Arguments) -> bool:
    return _points_to(arguments, _STATFS) and _takes(arguments, _PATHS)


def _fstatfs(_name: str, arguments: Arguments) -> bool:
    return _points_to(arguments, _STATFS) and _takes(arguments, _DESCRIPTORS)


def _pure(name: str, arguments: Arguments) -> bool:
    succeeds = name.startswith("get") and result(name) in (Role.PID, Role.UID, Role.GID)
    return succeeds and not arguments


#: {class, spelled as strace does: whether a call with these arguments belongs to it}
RULES: Final[Mapping[str, Callable[[str, Arguments], bool]]] = MappingProxyType(
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
