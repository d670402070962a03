"""Mounts and file handles."""

from __future__ import annotations

from typing import Final

from accel.decoding.choices import (
    Table,
    chosen,
    indirect,
    named,
    plain_pointer,
)
from accel.decoding.context import Begun, Context, pointer
from accel.decoding.families import family
from accel.decoding.flags import flag_set, open_mode
from accel.decoding.layouts import number
from accel.decoding.numbers import (
    descriptor,
    descriptor_text,
    directory,
    joined_halves,
    signed,
    signed32,
    user,
)
from accel.decoding.strings import (
    escape_hex,
    path,
    string,
    string_at,
)
from accel.decoding.structs import tail
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]

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
    3: (_fs_text, path, directory),
    4: (_fs_text, path, directory),
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


def _swap_flags(_: Context, value: int) -> str:
    """Print swapon(2)'s flags and the priority that is among them."""
    value &= 0xFFFFFFFF
    flags, priority = value & ~0x7FFF, value & 0x7FFF
    return f"{family('swap_flags').flags(flags)}|{priority}" if flags else str(priority)


def _open_mode(_: Context, value: int) -> str:
    return open_mode(value & 0xFFFFFFFF)


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
    arguments={
        "mount.filesystemtype": _mount_type,
        "mount.mountflags": _mount_flags,
        "mount.data": _mount_data,
        "mount_setattr.attr": _mount_attr,
        "name_to_handle_at.handle": _FileHandle(),
        "open_by_handle_at.handle": _handle_in,
        "name_to_handle_at.mount_id": _mount_id,
        "swapon.swapflags": _swap_flags,
        "fanotify_init.event_f_flags": _open_mode,
        "mount_setattr.flags": flag_set("mount_setattr_flags", 32),
        "name_to_handle_at.flags": flag_set("name_to_handle_at_flags", 32),
        "fanotify_mark.mask_low": _fanotify_mask,
        "fanotify_mark.dirfd": _fanotify_directory,
        "quotactl.cmd": _quota_command,
        "quotactl.id": user(32),
        "quotactl_fd.cmd": _quota_command,
        "quotactl_fd.id": user(32),
        "open_by_handle_at.mount_fd": descriptor,
    },
    calls={
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
    },
)
