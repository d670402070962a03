"""What each argument of a system call is for: a descriptor, a path, a buffer, a set of flags.

A role is found by rule from the C type and the name of the argument, so that calls of a new kernel
get theirs without anybody writing it down. What no rule can tell is in two short tables: ``ROLES``
below and the families of constants in ``families``.

Decoding keys its printers on ``(role, family)``; the classes of masks (%file, %desc, ...) are
computed from roles.
"""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass

from accel import families
from accel.abi import Abi

__all__ = ["Argument", "Role", "result", "signature"]


class Role(enum.Enum):
    """What an argument, or a result, is for. ``family`` of the argument refines it."""

    #: A file descriptor; DIRFD may also be AT_FDCWD.
    FD = "fd"
    DIRFD = "dirfd"
    #: A C string that names a file; PATH_OUT is one that the kernel writes (getcwd).
    PATH = "path"
    PATH_OUT = "path_out"
    #: Any other C string.
    STRING = "string"
    #: An array of C strings that ends with NULL; family: "argv" or "envp".
    STRINGS = "strings"
    #: Bytes; ``length`` is the argument that counts them. The kernel fills _OUT, reads _IN.
    BUFFER_IN = "buffer_in"
    BUFFER_OUT = "buffer_out"
    #: A set of bits, or one value, with names; family: the set of names ("" if it has none).
    FLAGS = "flags"
    ENUM = "enum"
    #: File mode bits, in octal.
    MODE = "mode"
    SIGNAL = "signal"
    #: A process, thread or group of processes.
    PID = "pid"
    #: User and group ids; family: "16" where they have 16 bits.
    UID = "uid"
    GID = "gid"
    #: Plain numbers of the register's width or of 32 bits: decimal or hexadecimal.
    SIGNED = "signed"
    UNSIGNED = "unsigned"
    HEX = "hex"
    #: A pointer that is not followed.
    ADDRESS = "address"
    #: A position in a file, signed and 64 bits wide.
    OFFSET = "offset"
    #: Halves of a 64-bit value on i386; family: "offset", "size", "cookie" or "mask".
    LOW = "low"
    HIGH = "high"
    #: A device number, as mknod takes it.
    DEV = "dev"
    #: A socket address; ``length`` counts its bytes or points to that count.
    SOCKADDR_IN = "sockaddr_in"
    SOCKADDR_OUT = "sockaddr_out"
    #: A pointer to one number or to a struct; family: its C type without "struct".
    SCALAR_IN = "scalar_in"
    SCALAR_OUT = "scalar_out"
    SCALAR_INOUT = "scalar_inout"
    STRUCT_IN = "struct_in"
    STRUCT_OUT = "struct_out"
    STRUCT_INOUT = "struct_inout"
    #: A pointer to ``length`` elements; family: the C type of one.
    ARRAY_IN = "array_in"
    ARRAY_OUT = "array_out"
    ARRAY_INOUT = "array_inout"
    #: iovec arrays whose buffers the call reads (writev) or fills (readv).
    IOVEC_IN = "iovec_in"
    IOVEC_OUT = "iovec_out"
    #: A signal mask; the size in bytes is ``length``, else that of an old sigset.
    SIGSET_IN = "sigset_in"
    SIGSET_OUT = "sigset_out"
    #: select's sets: read and written; ``length`` is the highest descriptor plus one.
    FD_SET = "fd_set"
    #: Only as a result: the call does not return.
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call."""

    name: str
    #: The C type, as ``const char *``.
    ctype: str
    role: Role
    #: Refines the role: the set of constants, the struct, the element.
    family: str = ""
    #: Position of the argument that holds the size or the count; None if there is none.
    length: int | None = None


def signature(abi: Abi, name: str) -> tuple[Argument, ...]:
    """Look up the arguments of a call; () for one that no table knows, as for one without any.

    Cost: the first call loads the tables (about a millisecond); every answer is kept.
    """
    return _signature(abi is Abi.I386, name)


def result(name: str) -> Role:
    """Tell what a call returns when it succeeds; SIGNED when nothing better is known."""
    return _RESULT_OF.get(name) or _RESULT_OF.get(_base(name), Role.SIGNED)


# --------------------------------------------------------------------------- what rules cannot tell

#: Arguments whose C type and name say too little or the wrong thing: {role: "call.argument ..."}.
ROLES = {
    # SYSCALL_DEFINE has unsigned long or another word.
    Role.FD: "epoll_ctl.fd epoll_ctl_old.fd close_range.first close_range.last",
    Role.DIRFD: "open_by_handle_at.mount_fd",
    Role.PATH: "acct.name mount.source",
    Role.PATH_OUT: "getcwd.buf",
    Role.STRING: "mount.filesystemtype",
    Role.SIGNAL: "*.sig *.signum",
    Role.PID: "*.pid *.tid *.tgid kcmp.pid1 kcmp.pid2 ioprio_get.who ioprio_set.who "
    "getpriority.who setpriority.who waitid.id",
    Role.HEX: "rseq.sig mmap.offset mmap2.pgoffset ioctl.arg fcntl.arg semctl.arg ptrace.data *.key clone.tls arch_prctl.arg2 "
    "prctl.arg2 prctl.arg3 prctl.arg4 prctl.arg5 keyctl.arg2 keyctl.arg3 keyctl.arg4 keyctl.arg5",
    Role.DEV: "*.dev",
    Role.OFFSET: "truncate.length",
    Role.MODE: "umask.mask",
    # The kernel only keeps these, or the word behind the pointer means nothing at this moment.
    Role.ADDRESS: "futex.uaddr futex.uaddr2 futex_wait.uaddr futex_wake.uaddr set_tid_address.tidptr "
    "set_robust_list.head rseq.rseq getcpu.tcache ptrace.addr shmat.shmaddr shmdt.shmaddr "
    " move_pages.pages ipc.ptr mq_notify.sevp kexec_load.entry signal.handler "
    "mremap.new_address clone.stack init_module.module_image brk.addr",
    Role.BUFFER_IN: "sendto.buf setsockopt.optval sethostname.name setdomainname.name",
    Role.SOCKADDR_IN: "bind.addr connect.addr sendto.dest_addr",
    Role.STRUCT_IN: "sendmsg.msg epoll_ctl.event epoll_ctl_old.event io_cancel.iocb mq_open.attr "
    "open_by_handle_at.handle *.how clone3.cl_args bpf.attr perf_event_open.attr open_tree_attr.attr "
    "pidfd_send_signal.info rt_sigqueueinfo.info rt_tgsigqueueinfo.info timer_create.sevp "
    "capset.hdrp capset.datap msgsnd.msgp nanosleep.req cachestat.cstat_range getxattrat.args mmap.args select.args utime.times "
    "*.timeout *.tmo_p pselect6.sigmask",
    Role.STRUCT_OUT: "capget.datap",
    Role.STRUCT_INOUT: "capget.hdrp adjtimex.buf clock_adjtime.buf io_uring_setup.params set_thread_area.u_info "
    "get_thread_area.u_info name_to_handle_at.handle recvmsg.msg msgctl.buf shmctl.buf",
    Role.SCALAR_OUT: "io_setup.ctx_idp name_to_handle_at.mount_id",
    Role.SCALAR_INOUT: "*.addrlen getsockopt.optlen copy_file_range.off_in copy_file_range.off_out "
    "splice.off_in splice.off_out sendfile.offset sendfile64.offset lsm_get_self_attr.size "
    "lsm_list_modules.size",
    Role.ARRAY_IN: "semop.sops semtimedop.sops io_submit.iocbpp kexec_load.segments *.waiters "
    "utimensat.times utimes.times futimesat.times setgroups.list sendmmsg.msgvec socketcall.args "
    "move_pages.nodes sched_setaffinity.mask *.old_nodes *.new_nodes mbind.nodemask "
    "set_mempolicy.nodemask",
    Role.ARRAY_OUT: "pipe.pipefd pipe2.pipefd socketpair.sv getgroups.list *.events listmount.mnt_ids "
    "listns.ns_ids lsm_list_modules.ids move_pages.status mincore.vec recvmmsg.msgvec "
    "getdents.dirp getdents64.dirp readdir.dirp sched_getaffinity.mask get_mempolicy.nodemask",
    Role.ARRAY_INOUT: "*.fds",
    Role.IOVEC_OUT: "readv.iov preadv.iov preadv2.iov process_vm_readv.local_iov",
    Role.SIGSET_IN: "rt_sigprocmask.set rt_sigsuspend.mask signalfd.mask signalfd4.mask",
    Role.SIGSET_OUT: "rt_sigpending.set sigpending.set",
}

#: What a call returns, where it is not a plain number.
RESULTS = {
    Role.FD: "accept accept4 creat dup dup2 dup3 epoll_create epoll_create1 eventfd eventfd2 "
    "fanotify_init fsmount fsopen fspick inotify_init inotify_init1 io_uring_setup "
    "landlock_create_ruleset memfd_create memfd_secret mq_open open open_by_handle_at open_tree "
    "open_tree_attr openat openat2 perf_event_open pidfd_getfd pidfd_open signalfd signalfd4 socket "
    "timerfd_create userfaultfd",
    Role.PID: "clone clone3 fork getpgid getpgrp getpid getppid getsid gettid set_tid_address setsid "
    "vfork wait4 waitpid",
    Role.ADDRESS: "brk map_shadow_stack mmap mmap2 mremap shmat",
    Role.MODE: "umask",
    Role.UID: "geteuid getuid setfsuid",
    Role.GID: "getegid getgid setfsgid",
    Role.HEX: "personality sgetmask ssetmask",
    Role.NONE: "exit exit_group rt_sigreturn sigreturn",
}

# --------------------------------------------------------------------------------------- the rules

#: C types that decide alone.
_TYPES = {
    "pid_t": Role.PID,
    "uid_t": Role.UID,
    "old_uid_t": Role.UID,
    "gid_t": Role.GID,
    "old_gid_t": Role.GID,
    "umode_t": Role.MODE,
    "loff_t": Role.OFFSET,
    "off_t": Role.OFFSET,
    "mqd_t": Role.FD,
    "key_t": Role.HEX,
    "aio_context_t": Role.HEX,
    "old_sigset_t": Role.HEX,
    "size_t": Role.UNSIGNED,
    "unsigned": Role.UNSIGNED,
    "u32": Role.UNSIGNED,
    "u64": Role.UNSIGNED,
    "__u32": Role.UNSIGNED,
    "__u64": Role.UNSIGNED,
    "qid_t": Role.UNSIGNED,
    "fd_set *": Role.FD_SET,
}

#: Typedefs and structs under the name that decoding knows, and pointers to untyped memory.
_FAMILY_OF_TYPE = {
    "mask": "cpu_set",
    "mount_id": "int",
    "nodemask": "nodemask",
    "new_nodes": "nodemask",
    "old_nodes": "nodemask",
    "sigmask": "sigset_argpack",
    "cap_user_header_t": "__user_cap_header_struct",
    "cap_user_data_t": "__user_cap_data_struct",
    "siginfo_t": "siginfo",
    "stack_t": "sigaltstack",
    "unsigned": "unsigned int",
    "user_msghdr": "msghdr",
}

_STRUCT_TYPEDEFS = frozenset({"cap_user_header_t", "cap_user_data_t", "siginfo_t", "stack_t"})

#: Names of C strings that name a file.
_PATH = re.compile(r"(.*path(name)?|filename|target|new_root|put_old|special)$")
_FD = re.compile(r"(.*fd|fd_.*)$")
_DIRFD = re.compile(r"(.*_)?(\w*dirfd)$")
#: Integers that count the bytes or elements of a neighbour.
_LENGTH = re.compile(
    r"(.*len|.*size|count|bufsiz|\w*cnt|nr(_.*)?|nsops|nfds|maxevents|bytecount|maxnode)$"
)
_STRUCT_SIZE = re.compile(r"(buf)?size|msgsz|sz")
_ADDRESS = re.compile(r"(addr(ess)?|old_address|start|stack)$")
_HALF = re.compile(r"(\w+)_(low|high|l|h)$")
#: A call that sets something reads what its pointers point to, except the old value.
_SETTER = re.compile(r"(^|_)set(?!_tid)")
_POINTED = re.compile(r"(const )?(?:struct |union )?(.*?) ?(\*+)$")


@functools.cache
def _signature(i386: bool, name: str) -> tuple[Argument, ...]:
    from accel import signatures  # noqa: PLC0415 - a big table, loaded when first asked for

    parameters = signatures.SIGNATURES.get(name, ())
    if i386:
        parameters = signatures.I386.get(name, parameters)
    arguments = [_argument(name, ctype, argument) for ctype, argument in parameters]
    return tuple(_with_length(arguments, position) for position in range(len(arguments)))


def _argument(call: str, ctype: str, name: str) -> Argument:
    base = _base(call)
    for key in (f"{call}.{name}", f"{base}.{name}", f"*.{name}"):
        if "*" not in ctype and key in _FLAGS_OF:
            return Argument(name, ctype, Role.FLAGS, _FLAGS_OF[key])
        if "*" not in ctype and key in _ENUM_OF:
            return Argument(name, ctype, Role.ENUM, _ENUM_OF[key])
        if key in _ROLE_OF and _fits(_ROLE_OF[key], ctype):
            return Argument(name, ctype, _ROLE_OF[key], _family(ctype, name, _ROLE_OF[key]))
    role = _pointer(base, ctype, name) if _is_pointer(ctype) else _number(ctype, name)
    return Argument(name, ctype, role, _family(ctype, name, role))


def _number(ctype: str, name: str) -> Role:
    """Give a role to an argument that is passed by value."""
    if half := _HALF.fullmatch(name):
        return Role.LOW if half[2].startswith("l") else Role.HIGH
    if name.endswith("flags"):
        return Role.FLAGS
    if ctype in _TYPES and not (_FD.fullmatch(name) and ctype == "unsigned"):
        return _TYPES[ctype]
    if _DIRFD.fullmatch(name):
        return Role.DIRFD
    if _FD.fullmatch(name):
        return Role.FD
    if ctype == "unsigned long":
        return Role.ADDRESS if _ADDRESS.fullmatch(name) else Role.UNSIGNED
    return Role.UNSIGNED if ctype.startswith("unsigned") else Role.SIGNED


def _pointer(call: str, ctype: str, name: str) -> Role:
    """Give a role to an argument that points to something."""
    const, pointed, stars = _pointed(ctype)
    if ctype in _TYPES:
        return _TYPES[ctype]
    if pointed == "char" and stars == "**":
        return Role.STRINGS
    if stars == "**" or pointed == "__sighandler_t":
        return Role.ADDRESS
    reads = const or (_SETTER.search(call) is not None and not name.startswith("old"))
    if pointed == "char" and _PATH.fullmatch(name):
        return Role.PATH
    if pointed in ("char", "void"):
        # A buffer if somebody counts it: _with_length turns the others into strings, addresses.
        return Role.BUFFER_IN if reads else Role.BUFFER_OUT
    kind = {
        "sockaddr": "SOCKADDR",
        "iovec": "IOVEC",
        "sigset_t": "SIGSET",
        "old_sigset_t": "SIGSET",
    }
    if pointed not in kind:
        record = "struct" in ctype or "union" in ctype or pointed in _STRUCT_TYPEDEFS
        kind[pointed] = "STRUCT" if record else "SCALAR"
    return Role[f"{kind[pointed]}_{'IN' if reads else 'OUT'}"]


def _with_length(arguments: list[Argument], position: int) -> Argument:
    """Find the argument that counts this one; a buffer that nobody counts is something else."""
    argument = arguments[position]
    if not _is_pointer(argument.ctype):
        return argument
    role = argument.role
    length = _length(arguments, position)
    if role is Role.FD_SET:
        length = 0
    elif role in (Role.BUFFER_IN, Role.BUFFER_OUT) and length is None:
        role = Role.STRING if "char" in argument.ctype else Role.ADDRESS
    return Argument(argument.name, argument.ctype, role, argument.family, length)


def _length(arguments: list[Argument], position: int) -> int | None:
    """Find the argument that says how long the one at ``position`` is: its neighbour."""
    role = arguments[position].role.value
    if role.startswith(("scalar", "string", "path")) and role != "path_out":
        return None
    pattern = _STRUCT_SIZE if role.startswith("struct") else _LENGTH
    # Only arrays ever follow their count: getgroups(size, list).
    for neighbour in (position + 1, position - 1) if role.startswith("array") else (position + 1,):
        if 0 <= neighbour < len(arguments):
            other = arguments[neighbour]
            if pattern.fullmatch(other.name) and not other.ctype.endswith("**"):
                return neighbour
    return None


def _is_pointer(ctype: str) -> bool:
    return ctype.endswith("*") or ctype in (
        "cap_user_header_t",
        "cap_user_data_t",
        "__sighandler_t",
    )


def _pointed(ctype: str) -> tuple[bool, str, str]:
    """Split a pointer type: constness, what it points to, stars."""
    match = _POINTED.fullmatch(ctype)
    if match is None:
        return ctype.startswith("const "), ctype.removeprefix("const "), "*"
    return match[1] is not None, match[2], match[3]


def _fits(role: Role, ctype: str) -> bool:
    """Tell whether a role for every call (``*.sig``) applies to this type."""
    pointer = _is_pointer(ctype)
    return pointer == role.value.endswith(("_in", "_out", "_inout")) or role in (
        Role.ADDRESS,
        Role.PATH,
        Role.PATH_OUT,
        Role.STRING,
    )


def _family(ctype: str, name: str, role: Role) -> str:
    if role is Role.STRINGS:
        return name
    if role in (Role.UID, Role.GID):
        return "16" if ctype.startswith("old_") else ""
    if role in (Role.LOW, Role.HIGH):
        half = _HALF.fullmatch(name)
        return half[1] if half else ""
    if _is_pointer(ctype) and role.value.startswith(("struct", "array", "scalar", "sigset")):
        pointed = _pointed(ctype)[1]
        key = name if pointed in ("void", "unsigned long") else pointed
        return _FAMILY_OF_TYPE.get(key, pointed)
    return ""


def _base(call: str) -> str:
    """Name the call of which this one is the variant for other widths: futex for futex_time64."""
    return re.sub(r"(_time64|64|32)$", "", call)


def _inverted(table: dict[str, str]) -> dict[str, str]:
    return {member: key for key, members in table.items() for member in members.split()}


_FLAGS_OF = _inverted(families.FLAGS)
_ENUM_OF = _inverted(families.ENUMS)
_ROLE_OF = {member: role for role, members in ROLES.items() for member in members.split()}
_RESULT_OF = {call: role for role, calls in RESULTS.items() for call in calls.split()}
