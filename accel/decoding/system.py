"""The system as a whole: its name and state, mounts, modules, keys to reboot it, sandboxes."""

from __future__ import annotations

from typing import Final

from accel.decoding.choices import Table, chosen, indirect, named, once_left, plain_pointer
from accel.decoding.context import Begun, Context, Printer, pointer
from accel.decoding.errnos import errno_name
from accel.decoding.families import family
from accel.decoding.flags import flag_set, joined, open_mode
from accel.decoding.keys import without_last_nul
from accel.decoding.layouts import Layout, array_at, number, read_at
from accel.decoding.numbers import (
    descriptor,
    descriptor_text,
    directory,
    hexadecimal,
    joined_halves,
    pair,
    process,
    signed,
    signed32,
    unsigned,
    user,
)
from accel.decoding.process import user_desc_at
from accel.decoding.programs import filter_program
from accel.decoding.rings import priority_text
from accel.decoding.strings import (
    bytes_at,
    buffer_out,
    escape_hex,
    path_at,
    quote,
    string,
    string_at,
)
from accel.decoding.structs import tail
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]

_hex: Final = hexadecimal(64)
_hex32: Final = hexadecimal(32)


def _text(raw: bytes) -> str:
    """Print an array of characters that may or may not end with NUL."""
    value, nul, _ = raw.partition(b"\0")
    return quote(value) if nul else quote(raw[:-1]) + "..."


def _names(count: int, size: int) -> Layout:
    """Describe struct utsname in one of its sizes."""

    def render(context: Context, *values: bytes) -> str:
        texts = [f"{name}={_text(value)}" for name, value in zip(_UTSNAME, values, strict=False)]
        if context.options.abbreviate:
            texts = [*texts[:2], "..."]
        return "{" + ", ".join(texts) + "}"

    return Layout(f"{size}s" * count, None, render)


_UTSNAME: Final = ("sysname", "nodename", "release", "version", "machine", "domainname")


def _sysinfo(_: Context, *values: int) -> str:
    uptime, *rest = values
    loads = ", ".join(str(load) for load in rest[:3])
    names = (
        "totalram freeram sharedram bufferram totalswap freeswap procs totalhigh freehigh mem_unit"
    )
    texts = [f"{name}={value}" for name, value in zip(names.split(), rest[3:], strict=True)]
    return f"{{uptime={uptime}, loads=[{loads}], {', '.join(texts)}}}"


# --------------------------------------------------------------------------------------- mounts

_MGC, _MGC_MASK = 0xC0ED0000, 0xFFFF0000
_MS_REMOUNT, _MS_MOVES = 0x20, 0x1000 | 0x2000 | 0x100000 | 0x40000 | 0x80000 | 0x20000
_MOUNT_ATTR_IDMAP: Final = 0x100000
_MOUNT_ATTR: Final = 32


def _mount_bits(context: Context) -> int:
    flags = context.arguments[3]
    return flags & ~_MGC_MASK if flags & _MGC_MASK == _MGC else flags


def _mount_type(context: Context, address: int) -> str:
    ignored = _mount_bits(context) & (_MS_REMOUNT | _MS_MOVES)
    return pointer(address) if ignored else string(context, address)


def _mount_flags(context: Context, value: int) -> str:
    flags = _mount_bits(context)
    if value == flags:
        return family("mount_flags").flags(flags)
    return f"MS_MGC_VAL|{family('mount_flags').flags(flags)}" if flags else "MS_MGC_VAL"


def _mount_data(context: Context, address: int) -> str:
    flags = _mount_bits(context)
    ignored = not flags & _MS_REMOUNT and flags & _MS_MOVES
    return pointer(address) if ignored else string(context, address)


def _mount_attr(context: Context, address: int) -> str:
    size = context.arguments[4]
    raw = context.fetch(address, _MOUNT_ATTR) if size >= _MOUNT_ATTR else None
    if raw is None:
        return pointer(address)
    set_, clear, propagation, namespace = (
        int.from_bytes(raw[at : at + 8], "little") for at in (0, 8, 16, 24)
    )
    maps = (set_ | clear) & _MOUNT_ATTR_IDMAP and namespace <= 0x7FFFFFFF
    names = family("mount_attributes")
    texts = [
        f"attr_set={names.flags(set_)}",
        f"attr_clr={names.flags(clear)}",
        f"propagation={family('mount_propagation').value(propagation)}",
        f"userns_fd={descriptor_text(context, namespace) if maps else namespace}",
    ]
    texts += tail(context, address, _MOUNT_ATTR, size)
    return "{" + ", ".join(texts) + "}"


def _fs_text(context: Context, address: int) -> str:
    return string_at(context, address)


def _fs_binary(context: Context, address: int) -> str:
    size = signed32(context.arguments[4])
    if not 0 <= size <= 1024 * 1024:
        return pointer(address)
    limit = context.options.string_limit
    raw = context.read(address, min(size, limit)) if address else None
    if raw is None:
        return pointer(address)
    return f'"{escape_hex(raw)}"' + ("..." if size > limit else "")


_FSCONFIG: Final[Table] = {
    0: (_fs_text, plain_pointer, signed(32)),
    1: (_fs_text, _fs_text, signed(32)),
    2: (_fs_text, _fs_binary, signed(32)),
    3: (_fs_text, lambda c, v: path_at(c, v), directory),
    4: (_fs_text, lambda c, v: path_at(c, v), directory),
    5: (_fs_text, plain_pointer, descriptor),
}


class _FileHandle:
    """The printer of the handle that name_to_handle_at(2) fills."""

    __slots__ = ()

    def __call__(self, context: Context, address: int) -> str | None:
        raw = context.read(address, 8) if address else None
        if not context.leaving:
            if raw is None:
                return pointer(address)
            size = int.from_bytes(raw[:4], "little")
            context.saved[2] = size
            return Begun(f"{{handle_bytes={size}")
        too_small = context.result == -75
        if raw is None or (context.failed and not too_small):
            return "}"
        size = int.from_bytes(raw[:4], "little")
        text = "" if size == context.saved.get(2) else f" => {size}"
        if not context.failed:
            text += _handle(context, address, raw)
        return text + "}"


def _mount_id(context: Context, address: int) -> str | None:
    """Print the mount that the kernel wrote, if there was a handle to write to."""
    if 2 not in context.saved:
        return pointer(address)
    return indirect(number("i"))(context, address)


def _handle(context: Context, address: int, raw: bytes) -> str:
    size, kind = int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:], "little", signed=True)
    shown = context.read(address + 8, min(size, 128))
    text = "???" if shown is None else f'"{escape_hex(shown)}"{"..." if size > 128 else ""}'
    return f", handle_type={kind}, f_handle={text}"


def _handle_in(context: Context, address: int) -> str:
    raw = context.fetch(address, 8)
    if raw is None:
        return pointer(address)
    return f"{{handle_bytes={int.from_bytes(raw[:4], 'little')}{_handle(context, address, raw)}}}"


# ------------------------------------------------------------------------- extended attributes

_XATTR_MAX: Final = 65536


def _xattr_value(length: int) -> Printer:
    def printer(context: Context, address: int) -> str:
        size = context.arguments[length]
        return pointer(address) if size > _XATTR_MAX else without_last_nul(context, address, size)

    return printer


def _xattr_value_out(context: Context, address: int) -> str | None:
    if not context.leaving:
        return None
    size = (context.result or 0) & 0xFFFFFFFFFFFFFFFF
    if context.failed or size > _XATTR_MAX:
        return pointer(address)
    return without_last_nul(context, address, size)


def _xattr_list(length: int) -> Printer:
    def printer(context: Context, address: int) -> str | None:
        if context.leaving and not context.arguments[length]:
            return pointer(address)
        return buffer_out(context, address)

    return printer


# ------------------------------------------------------------------------------------ sandboxes


def _seccomp_action(context: Context, address: int) -> str:
    raw = context.read(address, 4) if address else None
    if raw is None:
        return pointer(address)
    return f"[{family('seccomp_action').value(int.from_bytes(raw, 'little'))}]"


def _notification_sizes(_: Context, notif: int, response: int, data: int) -> str:
    return f"{{seccomp_notif={notif}, seccomp_notif_resp={response}, seccomp_data={data}}}"


_sizes_layout = Layout("HHH", None, _notification_sizes)
_SECCOMP: Final[Table] = {
    1: (flag_set("seccomp_flags", 32), filter_program),
    2: (_hex32, _seccomp_action),
    3: (_hex32, once_left(lambda context, value: read_at(context, value, _sizes_layout))),
}


def _ruleset(context: Context, address: int) -> str:
    size = context.arguments[1]
    raw = context.fetch(address, 8) if size >= 8 else None
    if raw is None:
        return pointer(address)
    access = family("landlock_access").flags(int.from_bytes(raw, "little"))
    return f"{{handled_access_fs={access}{', ...' if size > 8 else ''}}}"


def _landlock_rule(context: Context, address: int) -> str:
    if context.arguments[1] & 0xFFFFFFFF != 1:
        return pointer(address)
    raw = context.fetch(address, 12)
    if raw is None:
        return pointer(address)
    access = family("landlock_access").flags(int.from_bytes(raw[:8], "little"))
    number = int.from_bytes(raw[8:], "little", signed=True)
    return f"{{allowed_access={access}, parent_fd={descriptor_text(context, number)}}}"


def _landlock_remark(context: Context) -> None:
    if context.arguments[2] & 1:
        context.radix = "d"


# ------------------------------------------------------------------------------- kernel control

_LOG_IGNORED: Final = (0, 1, 5, 6, 7, 9, 10)
_LOG_LEVELS: Final = (
    "EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG",
)  # fmt: skip


def _log_type(_: Context, value: int) -> str:
    number = signed32(value)
    name = family("syslog_type").names.get(number)
    return f"{number} /* {name or 'SYSLOG_ACTION_???'} */"


def _log_buffer(context: Context, address: int) -> str | None:
    kind = context.arguments[0] & 0xFFFFFFFF
    if kind in _LOG_IGNORED:
        return ""
    return buffer_out(context, address) if kind in (2, 3, 4) else pointer(address)


def _log_length(context: Context, value: int) -> str:
    kind, length = context.arguments[0] & 0xFFFFFFFF, signed32(value)
    if kind in _LOG_IGNORED:
        return ""
    if kind == 8:
        name = _LOG_LEVELS[length] if 0 <= length < len(_LOG_LEVELS) else "???"
        return f"{length} /* LOGLEVEL_{name} */"
    return str(length)


def _reboot_argument(context: Context, address: int) -> str:
    restart2 = context.arguments[2] & 0xFFFFFFFF == 0xA1B2C3D4
    return string_at(context, address, 255) if restart2 else ""


def _membarrier_cpu(context: Context, value: int) -> str:
    return str(signed32(value)) if context.arguments[1] & 1 else ""


def _membarrier_remark(context: Context) -> None:
    if not context.arguments[0] & 0xFFFFFFFF and context.result and not context.failed:
        context.radix = "x"
        context.note = family("membarrier_command").flags(context.result)


def _kexec_flags(_: Context, value: int) -> str:
    kind = family("kexec_arch").value(value & 0xFFFF0000)
    rest = value & ~0xFFFF0000
    if not rest:
        return kind
    return f"{kind}|{family('kexec_load_flags').flags(rest)}"


def _segment(_: Context, buffer: int, size: int, memory: int, length: int) -> str:
    return f"{{buf={pointer(buffer)}, bufsz={size}, mem={pointer(memory)}, memsz={length}}}"


_segment_layout = Layout("QQQQ", "IIII", _segment)


def _segments(context: Context, address: int) -> str:
    count = context.arguments[1]
    if count > 16:
        return pointer(address)
    return array_at(context, address, count, _segment_layout.size(context), _segment_layout.show)


def _priority_returned(context: Context) -> None:
    if context.result is not None and not context.failed:
        context.note = priority_text(context.result & 0xFFFFFFFF)


def _priority(_: Context, value: int) -> str:
    return priority_text(value & 0xFFFFFFFF)


_KCMP: Final[Table] = {
    0: (descriptor, descriptor),
    **dict.fromkeys((1, 2, 3, 4, 5, 6), ()),
    7: (descriptor, lambda context, value: read_at(context, value, _slot_layout)),
}


def _slot(context: Context, epoll: int, target: int, offset: int) -> str:
    texts = (descriptor_text(context, signed32(number)) for number in (epoll, target))
    first, second = texts
    return f"{{efd={first}, tfd={second}, toff={offset}}}"


_slot_layout = Layout("III", None, _slot)

# ----------------------------------------------------------------------------------- segments


class _AskedThreadArea:
    """The printer of get_thread_area's segment: the number is asked for, the rest answered."""

    __slots__ = ()

    def __call__(self, context: Context, address: int) -> str | None:
        if not context.leaving:
            raw = context.fetch(address, 4)
            if raw is None:
                return pointer(address)
            context.saved[0] = int.from_bytes(raw, "little")
            return Begun(f"{{entry_number={user(32)(context, context.saved[0])}")
        if 0 not in context.saved:
            return ""
        text = user_desc_at(context, address)
        if not text.startswith("{"):
            return ", ...}"
        number_, _, rest = text.partition(", ")
        now = number_.removeprefix("{entry_number=")
        before = user(32)(context, context.saved[0])
        return ("" if now == before else f" => {now}") + f", {rest}"


def _thread_area_remark(context: Context) -> None:
    raw = context.fetch(context.arguments[0], 16)
    if raw is not None:
        context.note = f"entry_number={int.from_bytes(raw[:4], 'little')}"


def _plain_result(context: Context) -> None:
    """Print an id as the number that the register holds."""
    context.radix = "d"


def _socket_call(_: Context, value: int) -> str:
    return family("socketcall_call").names.get(value) or str(signed32(value))


def _ipc_call(_: Context, value: int) -> str:
    """Print the call of ipc(2), and its version if there is one."""
    version, call = value >> 16 & 0xFFFF, value & 0xFFFF
    name = family("ipc_call").names.get(call) or str(call)
    return f"{version}<<16|{name}" if version else name


def _ldt_entry(context: Context, address: int) -> str:
    """Print what modify_ldt(2) reads: one segment, if the size says so."""
    whole = context.arguments[2] == 16
    return user_desc_at(context, address) if whole else pointer(address)


def _swap_flags(_: Context, value: int) -> str:
    """Print swapon(2)'s flags and the priority that is among them."""
    value &= 0xFFFFFFFF
    flags, priority = value & ~0x7FFF, value & 0x7FFF
    return f"{family('swap_flags').flags(flags)}|{priority}" if flags else str(priority)


def _command_line(context: Context, address: int) -> str:
    return bytes_at(context, address, context.arguments[2])


def _hex_random(context: Context, address: int) -> str | None:
    """Print the bytes of getrandom(2), none of which is meant to be text."""
    if not context.leaving:
        return None
    size = context.result or 0
    limit = context.options.string_limit
    raw = None
    if not context.failed and address:
        raw = context.read(address, min(size, limit))
    if raw is None:
        return pointer(address)
    return f'"{escape_hex(raw)}"' + ("..." if size > limit else "")


def _open_mode(_: Context, value: int) -> str:
    return open_mode(value & 0xFFFFFFFF)


def _host_name(context: Context, address: int) -> str:
    size = context.arguments[1] & 0xFFFFFFFF
    return pointer(address) if size > 64 else bytes_at(context, address, size)


def _groups(context: Context, address: int, count: int, bits: int) -> str:
    """Print group ids; more than the kernel can have are not looked at."""
    count &= 0xFFFFFFFF
    if count > 65536:
        return pointer(address)
    show = user(bits)
    return array_at(
        context,
        address,
        count,
        bits // 8,
        lambda c, raw: show(c, int.from_bytes(raw, "little")) or "",
    )


def _gid_bits(context: Context) -> int:
    return 16 if context.i386 else 32


def _groups_in(context: Context, address: int) -> str:
    return _groups(context, address, context.arguments[0], _gid_bits(context))


def _groups_in32(context: Context, address: int) -> str:
    return _groups(context, address, context.arguments[0], 32)


def _groups_out(context: Context, address: int) -> str | None:
    bits = _gid_bits(context)
    return _groups(context, address, context.result or 0, bits) if context.leaving else None


def _groups_out32(context: Context, address: int) -> str | None:
    return _groups(context, address, context.result or 0, 32) if context.leaving else None


def _last_descriptor(_: Context, value: int) -> str:
    return str(value & 0xFFFFFFFF)


def _fanotify_mask(context: Context, _: int) -> str:
    return family("fanotify_mask").flags(joined_halves(context, 2, 3))


def _fanotify_directory(context: Context, value: int) -> str:
    return "FAN_NOFD" if signed32(value) == -1 else directory(context, value)


def _quota_command(_: Context, value: int) -> str:
    value &= 0xFFFFFFFF
    command = family("quotactl_command").value(value >> 8)
    kind = family("quota_type").value(value & 0xFF)
    return f"QCMD({command}, {kind})"


SUBJECT: Final = Subject(
    layouts={
        "new_utsname": _names(6, 65),
        "sysinfo": Layout("QQQQQQQQQQH6xQQI4x", "IIIIIIIIIIH2xIII8x", _sysinfo),
    },
    arguments={
        "mount.filesystemtype": _mount_type,
        "mount.mountflags": _mount_flags,
        "mount.data": _mount_data,
        "mount_setattr.attr": _mount_attr,
        "name_to_handle_at.handle": _FileHandle(),
        "open_by_handle_at.handle": _handle_in,
        "name_to_handle_at.mount_id": _mount_id,
        "set_tid_address.tidptr": _hex,
        "setxattr.value": _xattr_value(3),
        "lsetxattr.value": _xattr_value(3),
        "fsetxattr.value": _xattr_value(3),
        "getxattr.value": _xattr_value_out,
        "lgetxattr.value": _xattr_value_out,
        "fgetxattr.value": _xattr_value_out,
        "listxattr.list": _xattr_list(2),
        "llistxattr.list": _xattr_list(2),
        "flistxattr.list": _xattr_list(2),
        "landlock_create_ruleset.attr": _ruleset,
        "landlock_add_rule.rule_attr": _landlock_rule,
        "syslog.type": _log_type,
        "syslog.bufp": _log_buffer,
        "syslog.len": _log_length,
        "reboot.arg": _reboot_argument,
        "membarrier.cpu_id": _membarrier_cpu,
        "kexec_load.flags": _kexec_flags,
        "kexec_load.segments": _segments,
        "ioprio_set.ioprio": _priority,
        "set_thread_area.u_info": user_desc_at,
        "get_thread_area.u_info": _AskedThreadArea(),
        "modify_ldt.func": signed(32),
        "modify_ldt.ptr": _ldt_entry,
        "swapon.swapflags": _swap_flags,
        "kexec_file_load.cmdline": _command_line,
        "getrandom.buf": _hex_random,
        "fanotify_init.event_f_flags": _open_mode,
        "close_range.last": _last_descriptor,
        "copy_file_range.flags": unsigned(32),
        "pidfd_send_signal.flags": _hex32,
        "process_vm_readv.flags": unsigned(64),
        "process_vm_writev.flags": unsigned(64),
        "readlink.bufsiz": unsigned(64),
        "readlinkat.bufsiz": unsigned(64),
        "sysfs.option": _hex,
        "sysfs.arg1": _hex,
        "sysfs.arg2": _hex,
        "ioperm.from": _hex,
        "ioperm.num": _hex,
        "rseq.rseq": _hex,
        "rseq.rseq_len": _hex,
        "rseq.flags": _hex,
        "rseq.sig": _hex,
        "sched_setattr.flags": unsigned(32),
        "sched_getattr.flags": unsigned(32),
        "statx.flags": flag_set("statx_flags", 32),
        "faccessat2.flags": flag_set("faccessat_flags", 32),
        "mount_setattr.flags": flag_set("mount_setattr_flags", 32),
        "name_to_handle_at.flags": flag_set("name_to_handle_at_flags", 32),
        "ftruncate.length": unsigned(64),
        "ftruncate64.length_low": pair(1, 2, is_signed=False),
        "truncate64.length_low": pair(1, 2, is_signed=False),
        "lookup_dcookie.cookie_low": pair(0, 1, is_signed=False),
        "fanotify_mark.mask_low": _fanotify_mask,
        "truncate.length": unsigned(64),
        "get_robust_list.head_ptr": indirect(number("Q", "I", pointer)),
        "fanotify_mark.dirfd": _fanotify_directory,
        "quotactl.cmd": _quota_command,
        "quotactl.id": user(32),
        "quotactl_fd.cmd": _quota_command,
        "quotactl_fd.id": user(32),
        "iopl.level": signed(32),
        "olduname.buf": _hex,
        "oldolduname.buf": _hex,
        "vm86old.info": _hex,
        "socketcall.call": _socket_call,
        "socketcall.args": plain_pointer,
        "ipc.call": _ipc_call,
        "ipc.first": _hex,
        "ipc.second": _hex,
        "ipc.third": _hex,
        "ipc.ptr": _hex,
        "ipc.fifth": _hex,
        "vm86.cmd": _hex,
        "vm86.arg": _hex,
        "close_range.first": _last_descriptor,
        "open_by_handle_at.mount_fd": descriptor,
        "sethostname.name": _host_name,
        "sethostname.len": unsigned(32),
        "setdomainname.name": _host_name,
        "setdomainname.len": unsigned(32),
        "getgroups.list": _groups_out,
        "setgroups.list": _groups_in,
        "getgroups32.list": _groups_out32,
        "setgroups32.list": _groups_in32,
    },
    calls={
        "seccomp": (
            ("operation", named("seccomp_operation", 32)),
            *chosen(["flags", "args"], _SECCOMP, 0, 1, default=(_hex32, plain_pointer)),
        ),
        "fsconfig": (
            ("fd", descriptor),
            ("cmd", named("fsconfig_command", 32)),
            *chosen(
                ["key", "value", "aux"],
                _FSCONFIG,
                1,
                2,
                default=(plain_pointer, plain_pointer, signed(32)),
            ),
        ),
        "kcmp": (
            ("pid1", process),
            ("pid2", process),
            ("type", named("kcmp_type", 32)),
            *chosen(["idx1", "idx2"], _KCMP, 2, 3),
        ),
    },
    remarks={
        "ioprio_get": _priority_returned,
        "landlock_create_ruleset": _landlock_remark,
        "membarrier": _membarrier_remark,
        "set_thread_area": _thread_area_remark,
        "set_tid_address": _plain_result,
        "setsid": _plain_result,
    },
)
