"""How an argument gets its role: by rule from its C type and its name, or from a short table.

What no rule can tell is in ``ROLES`` and ``RESULTS`` below, and in ``families`` for arguments whose
values have names. An entry holds for one argument of one call and of its variants for other
widths (``fcntl`` for ``fcntl64``), or with ``*`` for that argument of every call, if it is a
pointer exactly where the role is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

from accel import families
from accel.roles import Argument, Role

__all__ = ["RESULTS", "ROLES", "describe", "result"]

Key = TypeVar("Key")
#: A role and its family.
Meaning: TypeAlias = tuple[Role, str]

#: Arguments whose C type and name say too little or the wrong thing: {role: "call.argument ..."}.
ROLES: Final = {
    # SYSCALL_DEFINE has unsigned long or another word.
    Role.FD: "close_range.first close_range.last",
    Role.DIRFD: "open_by_handle_at.mount_fd",
    Role.PATH: "mount.source",
    Role.PATH_OUT: "getcwd.buf",
    Role.SIGNAL: "*.sig *.signum",
    Role.PID: "*.pid getpriority.who ioprio_get.who ioprio_set.who setpriority.who",
    Role.HEX: "arch_prctl.addr clone.tls fcntl.arg ioctl.arg keyctl.arg2 keyctl.arg3 keyctl.arg4 "
    "keyctl.arg5 mmap.offset mmap2.pgoffset prctl.arg2 prctl.arg3 prctl.arg4 prctl.arg5 "
    "ptrace.addr ptrace.data rseq.sig semctl.arg",
    Role.DEV: "*.dev",
    Role.OFFSET: "truncate.length",
    Role.MODE: "umask.mask",
    # The kernel only keeps these, or the word behind the pointer means nothing at this moment.
    Role.ADDRESS: "futex.uaddr futex.uaddr2 getcpu.tcache init_module.module_image "
    "io_uring_register.arg kexec_load.entry mq_notify.sevp mremap.new_address rseq.rseq "
    "set_robust_list.head set_tid_address.tidptr shmat.shmaddr shmdt.shmaddr signal.handler",
    Role.BUFFER_IN: "sendto.buf",
    Role.SOCKADDR_IN: "bind.addr connect.addr sendto.dest_addr",
    Role.STRUCT_IN: "*.how *.timeout *.tmo_p bpf.attr cachestat.cstat_range capset.datap "
    "capset.hdrp clone3.cl_args epoll_ctl.event epoll_ctl_old.event getxattrat.args "
    "io_cancel.iocb mmap.args mq_open.attr msgsnd.msgp nanosleep.req open_by_handle_at.handle "
    "open_tree_attr.attr perf_event_open.attr pidfd_send_signal.info pselect6.sigmask "
    "rt_sigqueueinfo.info rt_tgsigqueueinfo.info select.args sendmsg.msg timer_create.sevp "
    "utime.times",
    Role.STRUCT_INOUT: "adjtimex.buf capget.hdrp clock_adjtime.buf get_thread_area.u_info "
    "io_uring_setup.params msgctl.buf name_to_handle_at.handle recvmsg.msg set_thread_area.u_info "
    "shmctl.buf",
    Role.SCALAR_OUT: "io_setup.ctx_idp name_to_handle_at.mount_id",
    Role.SCALAR_INOUT: "*.addrlen copy_file_range.off_in copy_file_range.off_out "
    "getsockopt.optlen lsm_get_self_attr.size lsm_list_modules.size sendfile.offset splice.off_in "
    "splice.off_out",
    Role.ARRAY_IN: "*.new_nodes *.waiters futimesat.times io_submit.iocbpp kexec_load.segments "
    "move_pages.nodes sched_setaffinity.mask semop.sops semtimedop.sops sendmmsg.msgvec "
    "setgroups.list socketcall.args utimensat.times utimes.times",
    Role.ARRAY_OUT: "getgroups.list lsm_list_modules.ids mincore.vec move_pages.status "
    "pipe.pipefd pipe2.pipefd sched_getaffinity.mask socketpair.sv",
    Role.ARRAY_INOUT: "*.fds",
    Role.IOVEC_OUT: "preadv.iov preadv2.iov process_vm_readv.local_iov readv.iov",
    Role.SIGSET_IN: "rt_sigprocmask.set rt_sigsuspend.mask signalfd.mask signalfd4.mask",
}

#: What a call returns, where it is not a plain number.
RESULTS: Final = {
    Role.FD: "accept accept4 creat dup dup2 dup3 epoll_create epoll_create1 eventfd eventfd2 "
    "fanotify_init fsmount fsopen fspick inotify_init inotify_init1 io_uring_setup "
    "landlock_create_ruleset memfd_create memfd_secret mq_open open open_by_handle_at open_tree "
    "open_tree_attr openat openat2 perf_event_open pidfd_getfd pidfd_open signalfd signalfd4 "
    "socket timerfd_create userfaultfd",
    Role.PID: "clone clone3 fork getpgid getpgrp getpid getppid getsid gettid set_tid_address "
    "setsid vfork wait4 waitpid",
    Role.ADDRESS: "brk map_shadow_stack mmap mmap2 mremap shmat",
    Role.MODE: "umask",
    Role.UID: "geteuid getuid setfsuid",
    Role.GID: "getegid getgid setfsgid",
    Role.HEX: "personality sgetmask ssetmask",
    Role.NONE: "exit exit_group rt_sigreturn sigreturn",
}

# --------------------------------------------------------------------------------------- the rules

#: C types of values that decide alone.
_VALUES: Final = {
    "aio_context_t": Role.HEX,
    "gid_t": Role.GID,
    "key_t": Role.HEX,
    "loff_t": Role.OFFSET,
    "mqd_t": Role.FD,
    "off_t": Role.OFFSET,
    "old_gid_t": Role.GID,
    "old_sigset_t": Role.HEX,
    "old_uid_t": Role.UID,
    "pid_t": Role.PID,
    "uid_t": Role.UID,
    "umode_t": Role.MODE,
}
_UNSIGNED: Final = frozenset({"size_t", "qid_t", "u32", "u64", "__u32", "__u64"})
_ADDRESSES: Final = frozenset({"addr", "old_address", "start", "stack"})
#: What ends the names of two registers of i386 that hold one value (and preadv's everywhere).
_HALVES: Final = {"_low": Role.LOW, "_l": Role.LOW, "_high": Role.HIGH, "_h": Role.HIGH}

#: C strings that name a file, beyond "pathname" and "oldpath".
_PATHS: Final = frozenset({"filename", "target", "new_root", "put_old", "special"})
#: C types of which a pointer has a role of its own; others are structs or numbers.
_POINTED: Final = {
    "iovec": "iovec",
    "old_sigset_t": "sigset",
    "sigset_t": "sigset",
    "sockaddr": "sockaddr",
}
#: Typedefs of structs, and of pointers to structs, under the struct's name.
_STRUCTS: Final = {
    "cap_user_data_t": "__user_cap_data_struct",
    "cap_user_header_t": "__user_cap_header_struct",
    "siginfo_t": "siginfo",
    "stack_t": "sigaltstack",
    "user_msghdr": "msghdr",
}
#: Arguments whose C type does not say what they point to.
_POINTED_BY_NAME: Final = {
    "mask": "cpu_set",
    "mount_id": "int",
    "new_nodes": "nodemask",
    "nodemask": "nodemask",
    "old_nodes": "nodemask",
    "pipefd": "fd",
    "sigmask": "sigset_argpack",
    "sv": "fd",
}
_UNTYPED: Final = frozenset({"int", "unsigned long", "void"})

#: Integers that count the elements that a neighbour points to, beyond "iovcnt" and "nr_segs".
_ELEMENTS: Final = frozenset({"count", "maxevents", "maxnode", "nfds", "nr", "nsops", "vlen"})
#: Integers that count its bytes, beyond "addrlen" and "sigsetsize".
_BYTES: Final = frozenset({"bufsiz", "bytecount", "sizemask"})
_STRUCT_SIZES: Final = frozenset({"bufsize", "msgsz", "size", "sz"})
_COUNTED: Final = frozenset({"array", "buffer", "iovec", "sigset", "sockaddr"})
#: A call that sets something reads what its pointers point to, except the old value.
_SETTER: Final = re.compile(r"(^|_)set(?!_tid)")
_VARIANT: Final = re.compile(r"(_time64|64|32)$")
_POINTER: Final = re.compile(r"(const )?(?:struct |union )?(.*?) (\*+)")


def describe(call: str, parameters: Sequence[tuple[str, str]]) -> tuple[Argument, ...]:
    """Describe the arguments of a call from their C types and names."""
    base = _VARIANT.sub("", call)
    setter = _SETTER.search(base) is not None
    names = ["", *(name for _, name in parameters), ""]
    arguments = []
    for position, (ctype, name) in enumerate(parameters):
        is_pointer = _pointed(ctype) is not None
        meanings = _WRITTEN.get((name, is_pointer), _NO_MEANINGS)
        written = meanings.get(call) or meanings.get(base) or meanings.get("*")
        if not is_pointer:
            arguments.append(_value(ctype, name, written))
            continue
        reads = ctype.startswith("const ") or (setter and not name.startswith("old"))
        neighbours = names[position], names[position + 2]
        role, family, offset = _pointer(ctype, name, written, reads, neighbours)
        length = position + offset if offset else None
        if role is Role.FD_SET:
            length = 0
        arguments.append(Argument(name, ctype, role, family, length))
    return tuple(arguments)


def result(call: str) -> Role:
    """Tell what a call returns when it succeeds; SIGNED when nothing better is known."""
    return _RESULT_OF.get(call) or _RESULT_OF.get(_VARIANT.sub("", call), Role.SIGNED)


@functools.cache
def _value(ctype: str, name: str, written: Meaning | None) -> Argument:
    """Describe an argument that is passed by value; equal ones of many calls are one object."""
    role, family = written or (_value_role(ctype, name), "")
    return Argument(name, ctype, role, family or _family(role, ctype, name))


def _value_role(ctype: str, name: str) -> Role:
    if half := _half(name):
        return half
    if name.endswith("flags"):
        return Role.FLAGS
    if ctype in _VALUES:
        return _VALUES[ctype]
    if name.endswith("fd") or name.startswith("fd_"):
        return Role.DIRFD if name.endswith("dirfd") else Role.FD
    if ctype == "unsigned long" and name in _ADDRESSES:
        return Role.ADDRESS
    unsigned = ctype.startswith("unsigned") or ctype in _UNSIGNED
    return Role.UNSIGNED if unsigned else Role.SIGNED


def _half(name: str) -> Role | None:
    _, underscore, end = name.rpartition("_")
    return _HALVES.get(underscore + end)


@functools.cache
def _pointer(
    ctype: str, name: str, written: Meaning | None, reads: bool, neighbours: tuple[str, str]
) -> tuple[Role, str, int]:
    """Give a pointer its role, its family, and the distance to the neighbour that counts, or 0."""
    if written is None:
        # Arrays alone may follow their count.
        counted = any(map(_counts_elements, neighbours))
        role = _pointer_role(ctype, name, reads, counted)
    else:
        role, _ = written
    offset = _count(role, *neighbours)
    if role in (Role.BUFFER_IN, Role.BUFFER_OUT) and not offset:
        # Nobody counts its bytes.
        role = Role.STRING if _pointed(ctype) == "char" else Role.ADDRESS
    return role, _family(role, ctype, name), offset


def _count(role: Role, before: str, after: str) -> int:
    """Tell which neighbour counts what a pointer points to: -1, 1, or 0 for none."""
    kind = role.value.partition("_")[0]
    if kind == "struct":
        return 1 if after in _STRUCT_SIZES else 0
    if kind not in _COUNTED and role is not Role.PATH_OUT:
        return 0
    if _counts(after):
        return 1
    return -1 if kind == "array" and _counts(before) else 0


def _counts_elements(name: str) -> bool:
    return name in _ELEMENTS or name.endswith("cnt") or name.startswith("nr_")


def _counts(name: str) -> bool:
    return name in _BYTES or name.endswith(("len", "size")) or _counts_elements(name)


def _pointer_role(ctype: str, name: str, reads: bool, counted: bool) -> Role:
    pointed = _pointed(ctype)
    if ctype.endswith("**"):
        return Role.STRINGS if pointed == "char" else Role.ADDRESS
    if pointed == "fd_set":
        return Role.FD_SET
    if pointed == "char" and (name in _PATHS or name.endswith(("path", "pathname"))):
        return Role.PATH
    if pointed in ("char", "void"):
        kind = "buffer"
    elif pointed in _POINTED:
        kind = _POINTED[pointed]
    elif counted:
        kind = "array"
    else:
        is_struct = "struct" in ctype or "union" in ctype or pointed in _STRUCTS.values()
        kind = "struct" if is_struct else "scalar"
    return Role(f"{kind}_{'in' if reads else 'out'}")


@functools.cache
def _pointed(ctype: str) -> str | None:
    """Name what a pointer type points to, without "struct"; None for a type that is no pointer."""
    if match := _POINTER.fullmatch(ctype):
        return _STRUCTS.get(match[2], match[2])
    # Pointers in disguise.
    return _STRUCTS.get(ctype.removeprefix("const "))


def _family(role: Role, ctype: str, name: str) -> str:
    """Refine a role that the tables do not refine."""
    if role is Role.STRINGS:
        return name
    if role in (Role.UID, Role.GID):
        return "16" if ctype.startswith("old_") else ""
    if role in (Role.LOW, Role.HIGH):
        return name.rpartition("_")[0]
    pointed = _pointed(ctype)
    if pointed is None or not role.has_element:
        return ""
    return _POINTED_BY_NAME.get(name, pointed) if pointed in _UNTYPED else pointed


def _pairs(table: Mapping[Key, str]) -> Iterator[tuple[Key, str]]:
    return ((key, member) for key, members in table.items() for member in members.split())


def _written_roles() -> dict[tuple[str, bool], dict[str, Meaning]]:
    """Index the tables: {(argument, whether it is a pointer): {call or "*": role and family}}.

    An entry for one call holds whatever the type is; one for every call where the type fits.
    """
    entries = [(member, (role, "")) for role, member in _pairs(ROLES)]
    entries += [(member, (Role.FLAGS, family)) for family, member in _pairs(families.FLAGS)]
    entries += [(member, (Role.ENUM, family)) for family, member in _pairs(families.ENUMS)]
    index: dict[tuple[str, bool], dict[str, Meaning]] = {}
    for member, meaning in entries:
        call, _, argument = member.partition(".")
        for is_pointer in (False, True):
            if call != "*" or meaning[0].is_pointer == is_pointer:
                index.setdefault((argument, is_pointer), {})[call] = meaning
    return index


_NO_MEANINGS: Final[Mapping[str, Meaning]] = {}
_WRITTEN: Final = _written_roles()
_RESULT_OF: Final = {call: role for role, call in _pairs(RESULTS)}
