"""Generate accel/signatures.py: the arguments of every system call.

Usage: python tools/generate_signatures.py [--formats DIRECTORY] > accel/signatures.py

The kernel describes its own calls: each SYSCALL_DEFINE makes a tracepoint whose format file lists
the C type and the name of every argument. This program reads those (root may, below
/sys/kernel/tracing) and adds what the running kernel cannot say:

* ``PROTOTYPES``: calls without a tracepoint here, because the kernel was built without them, is
  older than they are, or is 64-bit while they are not. From the man pages, section 2, and from
  the kernel's include/linux/syscalls.h and arch/x86/entry/syscalls.
* ``NAMES``: the man page's word for an argument where the kernel uses another one, because people
  know ``openat(dirfd, pathname, flags, mode)``.
* the rules of i386: 16-bit user ids and 32-bit times in the calls that have a later variant.

Run it after an update of the ``system-calls`` package, on a kernel that new. The calls that have no
signature then, as tests/unit/test_roles.py finds them, go into the supplement.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from accel.abi import Abi

Parameter = tuple[str, str]
Signature = tuple[Parameter, ...]

FORMATS = Path("/sys/kernel/tracing/events/syscalls")

#: SYSCALL_DEFINE's name: the table's name, where they differ.
TABLE_NAMES = {
    "newfstat": "fstat",
    "newlstat": "lstat",
    "newstat": "stat",
    "newuname": "uname",
    "sendfile64": "sendfile",
    "umount": "umount2",
}

#: Calls that the running kernel does not describe, as C declares them.
PROTOTYPES = """
delete_module(const char *name, unsigned int flags)
epoll_ctl_old(int epfd, int op, int fd, struct epoll_event *event)
epoll_wait_old(int epfd, struct epoll_event *events, int maxevents, int timeout)
finit_module(int fd, const char *param_values, int flags)
get_thread_area(struct user_desc *u_info)
init_module(void *module_image, unsigned long len, const char *param_values)
kexec_file_load(int kernel_fd, int initrd_fd, unsigned long cmdline_len, \
const char *cmdline, unsigned long flags)
kexec_load(unsigned long entry, unsigned long nr_segments, struct kexec_segment *segments, \
unsigned long flags)
listns(const struct ns_id_req *req, u64 *ns_ids, size_t nr_ns_ids, unsigned int flags)
lookup_dcookie(u64 cookie, char *buffer, size_t len)
map_shadow_stack(unsigned long addr, unsigned long size, unsigned int flags)
rseq_slice_yield(void)
set_thread_area(struct user_desc *u_info)
"""

#: Calls that only i386 has, or that differ there. 64-bit values take two registers: low, high.
PROTOTYPES_I386 = """
_llseek(unsigned int fd, unsigned long offset_high, unsigned long offset_low, loff_t *result, \
unsigned int whence)
_newselect(int nfds, fd_set *readfds, fd_set *writefds, fd_set *exceptfds, \
struct __kernel_old_timeval *timeout)
clone(unsigned long flags, unsigned long stack, int *parent_tid, unsigned long tls, \
int *child_tid)
fadvise64(int fd, u32 offset_low, u32 offset_high, size_t len, int advice)
fadvise64_64(int fd, u32 offset_low, u32 offset_high, u32 len_low, u32 len_high, int advice)
fallocate(int fd, int mode, u32 offset_low, u32 offset_high, u32 len_low, u32 len_high)
fanotify_mark(int fanotify_fd, unsigned int flags, u32 mask_low, u32 mask_high, int dirfd, \
const char *pathname)
fcntl64(unsigned int fd, unsigned int cmd, unsigned long arg)
fstat64(unsigned long fd, struct stat64 *statbuf)
fstatat64(int dirfd, const char *pathname, struct stat64 *statbuf, int flags)
fstatfs64(unsigned int fd, size_t sz, struct statfs64 *buf)
ftruncate64(unsigned int fd, u32 length_low, u32 length_high)
getrlimit(unsigned int resource, struct old_rlimit *rlim)
ipc(unsigned int call, int first, unsigned long second, unsigned long third, void *ptr, long fifth)
lookup_dcookie(u32 cookie_low, u32 cookie_high, char *buffer, size_t len)
lstat64(const char *pathname, struct stat64 *statbuf)
mmap(struct mmap_arg_struct *args)
mmap2(unsigned long addr, unsigned long length, unsigned long prot, unsigned long flags, \
unsigned long fd, unsigned long pgoffset)
nice(int inc)
oldfstat(unsigned int fd, struct __old_kernel_stat *statbuf)
oldlstat(const char *pathname, struct __old_kernel_stat *statbuf)
oldolduname(struct oldold_utsname *buf)
oldstat(const char *pathname, struct __old_kernel_stat *statbuf)
olduname(struct old_utsname *buf)
pread64(unsigned int fd, char *buf, size_t count, u32 offset_low, u32 offset_high)
pwrite64(unsigned int fd, const char *buf, size_t count, u32 offset_low, u32 offset_high)
readahead(int fd, u32 offset_low, u32 offset_high, size_t count)
readdir(unsigned int fd, struct old_linux_dirent *dirp, unsigned int count)
select(struct sel_arg_struct *args)
sendfile(int out_fd, int in_fd, off_t *offset, size_t count)
sendfile64(int out_fd, int in_fd, loff_t *offset, size_t count)
sgetmask(void)
sigaction(int signum, const struct old_sigaction *act, struct old_sigaction *oldact)
signal(int signum, __sighandler_t handler)
sigpending(old_sigset_t *set)
sigprocmask(int how, const old_sigset_t *set, old_sigset_t *oldset)
sigreturn(void)
sigsuspend(int unused1, int unused2, old_sigset_t mask)
socketcall(int call, unsigned long *args)
ssetmask(old_sigset_t newmask)
stat64(const char *pathname, struct stat64 *statbuf)
statfs64(const char *pathname, size_t sz, struct statfs64 *buf)
stime(const __kernel_old_time_t *t)
sync_file_range(int fd, u32 offset_low, u32 offset_high, u32 nbytes_low, u32 nbytes_high, \
unsigned int flags)
truncate64(const char *pathname, u32 length_low, u32 length_high)
ugetrlimit(unsigned int resource, struct rlimit *rlim)
umount(const char *target)
vm86(unsigned long cmd, unsigned long arg)
vm86old(struct vm86_struct *info)
waitpid(pid_t pid, int *wstatus, int options)
"""

#: The kernel's name of an argument: the man page's.
NAMES = {
    "_callout_info": "callout_info",
    "_description": "description",
    "_fs_name": "fsname",
    "_key": "key",
    "_payload": "payload",
    "_type": "type",
    "_value": "value",
    "attr_uptr": "attr",
    "child_tidptr": "child_tid",
    "clone_flags": "flags",
    "created_timer_id": "timerid",
    "destringid": "dest_keyring",
    "dev_name": "source",
    "dfd": "dirfd",
    "dir_name": "target",
    "dirent": "dirp",
    "egidp": "egid",
    "error_code": "status",
    "euidp": "euid",
    "exp": "exceptfds",
    "fdin": "fd_in",
    "fdout": "fd_out",
    "filename": "pathname",
    "flag": "flags",
    "from_dfd": "from_dirfd",
    "gidsetsize": "size",
    "grouplist": "list",
    "inp": "readfds",
    "len_in": "length",
    "mmsg": "msgvec",
    "new_setting": "new_value",
    "newdfd": "newdirfd",
    "newname": "newpath",
    "newsp": "stack",
    "niceval": "prio",
    "nmask": "nodemask",
    "oact": "oldact",
    "old_setting": "old_value",
    "olddfd": "olddirfd",
    "oldname": "oldpath",
    "oset": "oldset",
    "otmr": "curr_value",
    "outp": "writefds",
    "parent_tidptr": "parent_tid",
    "rgidp": "rgid",
    "ringid": "keyring",
    "rmtp": "remain",
    "rqtp": "request",
    "ru": "rusage",
    "ruidp": "ruid",
    "setting": "curr_value",
    "sgidp": "sgid",
    "specialfile": "path",
    "stat_addr": "wstatus",
    "suidp": "suid",
    "swap_flags": "swapflags",
    "tbuf": "buf",
    "timer_event_spec": "sevp",
    "timer_id": "timerid",
    "to_dfd": "to_dirfd",
    "tsops": "sops",
    "tvp": "timeout",
    "txc_p": "buf",
    "u_abs_timeout": "abs_timeout",
    "u_attr": "attr",
    "u_mqstat": "newattr",
    "u_msg_prio": "msg_prio",
    "u_msg_ptr": "msg_ptr",
    "u_name": "name",
    "u_notification": "sevp",
    "u_omqstat": "oldattr",
    "uargs": "args",
    "uattr": "attr",
    "ubuf": "buf",
    "ufattr": "attr",
    "ufd": "fd",
    "ufds": "fds",
    "uinfo": "info",
    "uiov": "iov",
    "unewset": "mask",
    "unshare_flags": "flags",
    "uoss": "old_ss",
    "upid": "pid",
    "user": "owner",
    "user_mask": "mask",
    "user_mask_ptr": "mask",
    "uset": "set",
    "usig": "sigmask",
    "usize": "size",
    "uss": "ss",
    "uthese": "set",
    "utimes": "times",
    "utmr": "new_value",
    "uts": "timeout",
    "utx": "buf",
    "vec": "iov",
    "vlen": "iovcnt",
    "which_clock": "clockid",
    # For one call.
    "accept.fd": "sockfd",
    "accept.upeer_addrlen": "addrlen",
    "accept.upeer_sockaddr": "addr",
    "accept4.fd": "sockfd",
    "accept4.upeer_addrlen": "addrlen",
    "accept4.upeer_sockaddr": "addr",
    "acct.name": "filename",
    "arch_prctl.arg2": "addr",
    "arch_prctl.option": "code",
    "bind.fd": "sockfd",
    "bind.umyaddr": "addr",
    "brk.brk": "addr",
    "capget.dataptr": "datap",
    "capget.header": "hdrp",
    "capset.data": "datap",
    "capset.header": "hdrp",
    "clock_getres.tp": "res",
    "clone3.uargs": "cl_args",
    "close_range.fd": "first",
    "close_range.max_fd": "last",
    "connect.fd": "sockfd",
    "connect.uservaddr": "addr",
    "dup.fildes": "oldfd",
    "execveat.fd": "dirfd",
    "flock.cmd": "operation",
    "fspick.path": "pathname",
    "futex.op": "futex_op",
    "futex.utime": "timeout",
    "get_mempolicy.policy": "mode",
    "getcpu.cpup": "cpu",
    "getcpu.nodep": "node",
    "getcpu.unused": "tcache",
    "getitimer.value": "curr_value",
    "getpeername.fd": "sockfd",
    "getpeername.usockaddr": "addr",
    "getpeername.usockaddr_len": "addrlen",
    "getrandom.len": "buflen",
    "getrusage.ru": "usage",
    "getsockname.fd": "sockfd",
    "getsockname.usockaddr": "addr",
    "getsockname.usockaddr_len": "addrlen",
    "getsockopt.fd": "sockfd",
    "io_destroy.ctx": "ctx_id",
    "io_setup.ctxp": "ctx_idp",
    "ioctl.cmd": "request",
    "keyctl.option": "operation",
    "listen.fd": "sockfd",
    "madvise.behavior": "advice",
    "madvise.start": "addr",
    "mbind.start": "addr",
    "memfd_create.uname": "name",
    "mincore.len": "length",
    "mincore.start": "addr",
    "mincore.vec": "vec",
    "mlock.start": "addr",
    "mlock2.start": "addr",
    "mmap.len": "length",
    "mmap.off": "offset",
    "mount.flags": "mountflags",
    "mount.type": "filesystemtype",
    "mount_setattr.path": "pathname",
    "move_pages.nr_pages": "count",
    "mprotect.start": "addr",
    "mremap.addr": "old_address",
    "mremap.new_addr": "new_address",
    "mremap.new_len": "new_size",
    "mremap.old_len": "old_size",
    "mseal.start": "addr",
    "msync.len": "length",
    "msync.start": "addr",
    "munlock.start": "addr",
    "munmap.len": "length",
    "name_to_handle_at.mnt_id": "mount_id",
    "name_to_handle_at.name": "pathname",
    "nanosleep.rmtp": "rem",
    "nanosleep.rqtp": "req",
    "newuname.name": "buf",
    "open_by_handle_at.mountdirfd": "mount_fd",
    "personality.personality": "persona",
    "pidfd_getfd.fd": "targetfd",
    "pipe.fildes": "pipefd",
    "pipe2.fildes": "pipefd",
    "pkey_alloc.init_val": "access_rights",
    "pkey_mprotect.start": "addr",
    "poll.timeout_msecs": "timeout",
    "ppoll.tsp": "tmo_p",
    "pread64.pos": "offset",
    "prlimit64.new_rlim": "new_limit",
    "prlimit64.old_rlim": "old_limit",
    "process_madvise.behavior": "advice",
    "process_vm_readv.lvec": "local_iov",
    "process_vm_readv.rvec": "remote_iov",
    "process_vm_writev.lvec": "local_iov",
    "process_vm_writev.rvec": "remote_iov",
    "pselect6.n": "nfds",
    "pselect6.sig": "sigmask",
    "pselect6.tsp": "timeout",
    "pwrite64.pos": "offset",
    "readlink.path": "pathname",
    "reboot.magic1": "magic",
    "recvfrom.addr": "src_addr",
    "recvfrom.addr_len": "addrlen",
    "recvfrom.fd": "sockfd",
    "recvfrom.size": "len",
    "recvmmsg.fd": "sockfd",
    "recvmmsg.vlen": "vlen",
    "recvmsg.fd": "sockfd",
    "remap_file_pages.start": "addr",
    "rt_sigaction.sig": "signum",
    "rt_sigprocmask.nset": "set",
    "rt_sigqueueinfo.pid": "tgid",
    "rt_tgsigqueueinfo.pid": "tid",
    "sched_getaffinity.len": "cpusetsize",
    "sched_rr_get_interval.interval": "tp",
    "sched_setaffinity.len": "cpusetsize",
    "seccomp.op": "operation",
    "select.n": "nfds",
    "sendmmsg.fd": "sockfd",
    "sendmmsg.vlen": "vlen",
    "sendmsg.fd": "sockfd",
    "sendto.addr": "dest_addr",
    "sendto.addr_len": "addrlen",
    "sendto.buff": "buf",
    "sendto.fd": "sockfd",
    "setfsgid.gid": "fsgid",
    "setfsuid.uid": "fsuid",
    "setitimer.ovalue": "old_value",
    "setitimer.value": "new_value",
    "setns.flags": "nstype",
    "setsockopt.fd": "sockfd",
    "shutdown.fd": "sockfd",
    "socket.family": "domain",
    "socketpair.family": "domain",
    "socketpair.usockvec": "sv",
    "statx.buffer": "statxbuf",
    "symlink.newname": "linkpath",
    "symlink.oldname": "target",
    "symlinkat.newname": "linkpath",
    "symlinkat.oldname": "target",
    "syslog.buf": "bufp",
    "tgkill.pid": "tid",
    "timerfd_settime.otmr": "old_value",
    "tkill.pid": "tid",
    "truncate.path": "pathname",
    "umount.name": "target",
    "waitid.upid": "id",
    "waitid.which": "idtype",
}

#: Where ruff format breaks a line.
LINE_LENGTH = 100

#: The first call of i386 that takes 64-bit times: every older one takes 32-bit times there.
FIRST_TIME64 = 403

#: 64-bit time: the type that i386's older calls take instead, include/linux/time32.h.
TIME32 = {
    "struct __kernel_timespec": "struct old_timespec32",
    "struct __kernel_itimerspec": "struct old_itimerspec32",
    "struct __kernel_timex": "struct old_timex32",
}

#: User and group ids: the type that i386's calls take when the table also has NAME32.
UID16 = {"uid_t": "old_uid_t", "gid_t": "old_gid_t"}

_FIELD = re.compile(r"field:(?P<type>[^;]*?)\s*(?P<name>\w+);")
_PARAMETER = re.compile(r"(?P<type>.*?)\s*(?P<name>\w+)$")


def main() -> int:
    """Write the module to standard output."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--formats", type=Path, default=FORMATS, help="default: %(default)s")
    options = parser.parse_args()
    common = dict(tracepoints(options.formats)) | dict(prototypes(PROTOTYPES))
    sys.stdout.write(render(common, i386(common), options.formats))
    return 0


def tracepoints(formats: Path) -> Iterator[tuple[str, Signature]]:
    """Read the signature of every call that the running kernel describes."""
    known = set(Abi.X86_64.numbers) | set(Abi.I386.numbers)
    for path in sorted(formats.glob("sys_enter_*/format")):
        kernel_name = path.parent.name.removeprefix("sys_enter_")
        name = TABLE_NAMES.get(kernel_name, kernel_name)
        if name not in known:
            continue
        fields = [
            (clean(field["type"]), field["name"])
            for field in _FIELD.finditer(path.read_text())
            if not field["name"].startswith("common_") and field["name"] != "__syscall_nr"
        ]
        yield name, tuple((ctype, rename(kernel_name, field)) for ctype, field in fields)


def prototypes(text: str) -> Iterator[tuple[str, Signature]]:
    """Read C declarations, one a line."""
    for line in text.strip().splitlines():
        name, _, rest = line.partition("(")
        parameters = rest.removesuffix(")").split(", ")
        if parameters == ["void"]:
            yield name, ()
            continue
        matches = [_PARAMETER.fullmatch(parameter) for parameter in parameters]
        yield name, tuple((clean(match["type"]), match["name"]) for match in matches if match)


def clean(ctype: str) -> str:
    """Spell a type one way: ``const char *``, no qualifier of the pointer itself."""
    ctype = re.sub(r"\s*\*\s*(const)?", " *", ctype.strip())
    ctype = re.sub(r"^const (?=[^*]*$)", "", ctype)
    ctype = re.sub(r"unsigned(?! int| long| char)", "unsigned int", ctype)
    return re.sub(r" \*(?= \*)", " *", ctype).replace("* *", "**")


def rename(call: str, argument: str) -> str:
    """Give an argument the name that its man page uses."""
    return NAMES.get(f"{call}.{argument}") or NAMES.get(argument, argument)


def i386(common: Mapping[str, Signature]) -> dict[str, Signature]:
    """Collect the signatures that only i386 has."""
    numbers = Abi.I386.numbers
    result: dict[str, Signature] = {}
    for name, number in numbers.items():
        base = common.get(name) or common.get(re.sub(r"(_time64|64|32)$", "", name))
        if base is None:
            continue
        if number < FIRST_TIME64:
            base = replace_types(base, TIME32)
        if f"{name}32" in numbers:
            base = replace_types(base, UID16)
        result[name] = base
    result.update(prototypes(PROTOTYPES_I386))
    return {name: result[name] for name in numbers if result.get(name) != common.get(name)}


def replace_types(signature: Signature, types: Mapping[str, str]) -> Signature:
    """Replace the types that are keys of ``types``, wherever a parameter uses them."""
    pattern = re.compile(r"\b(" + "|".join(types) + r")\b")
    return tuple(
        (pattern.sub(lambda match: types[match[0]], ctype), name) for ctype, name in signature
    )


def render(
    common: Mapping[str, Signature], only_i386: Mapping[str, Signature], source: Path
) -> str:
    """Write the module."""
    kernel = platform.release()
    header = (
        f'"""The arguments of every system call: {{name: ((C type, name), ...)}}.\n\n'
        f"Generated by tools/generate_signatures.py from {source}\n"
        f"of Linux {kernel} on {platform.machine()}, and from its supplement; do not edit.\n"
        "Argument names are the man pages' where the kernel's differ.\n"
        '"""\n\nfrom __future__ import annotations\n\n'
        '__all__ = ["I386", "SIGNATURES"]\n\n'
        "Signature = tuple[tuple[str, str], ...]\n"
    )
    parts = [header]
    tables = (
        ("SIGNATURES", "Calls of x86_64, and of i386 unless ``I386`` says otherwise.", common),
        ("I386", "Calls that only i386 has, or that take other arguments there.", only_i386),
    )
    for variable, comment, table in tables:
        parts.append(f"\n#: {comment}\n{variable}: dict[str, Signature] = {{\n")
        parts += [entry(name, table[name]) for name in sorted(table)]
        parts.append("}\n")
    return "".join(parts)


def entry(name: str, signature: Signature) -> str:
    """Write one item of the table as ruff format would."""
    items = [f"({quote(ctype)}, {quote(argument)})" for ctype, argument in signature]
    inside = ", ".join(items) + ("," if len(items) == 1 else "")
    line = f"    {quote(name)}: ({inside}),"
    if len(line) <= LINE_LENGTH:
        return line + "\n"
    lines = "".join(f"        {item},\n" for item in items)
    return f"    {quote(name)}: (\n{lines}    ),\n"


def quote(text: str) -> str:
    """Quote as ruff format does; C types and names hold no quotes."""
    return f'"{text}"'


if __name__ == "__main__":
    sys.exit(main())
