"""Files: what stat and its kin tell, directories, mounts, opening."""

from __future__ import annotations

from typing import Final

from accel.decoding.context import Context, Printer, pointer
from accel.decoding.families import family
from accel.decoding.flags import open_mode
from accel.decoding.layouts import Layout, read_at
from accel.decoding.numbers import device_text, mode, octal, user_text
from accel.decoding.strings import path_at
from accel.decoding.structs import tail
from accel.decoding.subject import Subject
from accel.decoding.times import comment, date
from bpf.value import frozen

__all__ = ["SUBJECT", "file_mode"]

_S_IFMT: Final = 0o170000
_S_IFCHR, _S_IFBLK = 0o020000, 0o060000
_SPECIAL_BITS: Final = ((0o4000, "S_ISUID|"), (0o2000, "S_ISGID|"), (0o1000, "S_ISVTX|"))
_O_CREAT, _O_TMPFILE = 0o100, 0o20000000
_MODE_MATTERS: Final = _O_CREAT | _O_TMPFILE
_STATFS64: Final = 84
_OPEN_HOW: Final = 24
_NAME_MAX: Final = 255


def file_mode(value: int) -> str:
    """Print the type and the permissions of a file: ``S_IFREG|0644``."""
    kind = value & _S_IFMT
    name = family("file_type").names.get(kind) if kind else ""
    if name is None:
        return octal(value)
    special = "".join(text for bit, text in _SPECIAL_BITS if value & bit)
    return f"{name}{'|' if name else ''}{special}{octal(value & ~0o177000)}"


def _stat(context: Context, values: dict[str, int]) -> str:
    """Print a struct stat from its fields, in any of its layouts."""
    kind = values["mode"] & _S_IFMT
    if kind in (_S_IFCHR, _S_IFBLK):
        size = f"st_rdev={device_text(values['rdev'])}"
    else:
        size = f"st_size={values['size'] & 0xFFFFFFFFFFFFFFFF}"
    if context.options.abbreviate:
        return f"{{st_mode={file_mode(values['mode'])}, {size}, ...}}"
    texts = [f"st_dev={device_text(values['dev'])}", f"st_ino={values['ino']}"]
    texts.append(f"st_mode={file_mode(values['mode'])}")
    # The oldest layout has neither of the last two; strace prints them all the same.
    shown = ("nlink", "uid", "gid", "blksize", "blocks")
    texts += [f"st_{name}={values.get(name, 0)}" for name in shown]
    texts.append(size)
    for name in ("atime", "mtime", "ctime"):
        seconds, part = values[name], values.get(f"{name}_nsec", 0)
        texts.append(f"st_{name}={seconds}{comment(date(seconds, part))}")
        if f"{name}_nsec" in values:
            texts.append(f"st_{name}_nsec={part}")
    return "{" + ", ".join(texts) + "}"


def _stat_layout(wide: str, wide_names: str, compat: str | None, compat_names: str) -> Layout:
    names = {False: wide_names.split(), True: compat_names.split()}

    def render(context: Context, *values: int) -> str:
        return _stat(context, dict(zip(names[context.i386], values, strict=True)))

    return Layout(wide, compat, render)


_STAT: Final = (
    "dev ino nlink mode uid gid rdev size blksize blocks atime atime_nsec mtime mtime_nsec "
    "ctime ctime_nsec"
)
_STAT32: Final = (
    "dev ino mode nlink uid gid rdev size blksize blocks atime atime_nsec mtime mtime_nsec "
    "ctime ctime_nsec"
)
_STAT64: Final = (
    "dev mode nlink uid gid rdev size blksize blocks atime atime_nsec mtime mtime_nsec ctime "
    "ctime_nsec ino"
)
_OLD_STAT: Final = "dev ino mode nlink uid gid rdev size atime mtime ctime"
_STAT_LAYOUTS: Final = {
    "stat": _stat_layout("QQQIII4xQqqqqQqQqQ24x", _STAT, "IIHHHHIIIIiIiIiI8x", _STAT32),
    "stat64": _stat_layout("Q8xIIIIQ4xqIqiIiIiIQ", _STAT64, None, _STAT64),
    "__old_kernel_stat": _stat_layout("HHHHHHH2xIiii", _OLD_STAT, None, _OLD_STAT),
}

_STATX_TIMES: Final = (("atime", 0x20), ("btime", 0x800), ("ctime", 0x80), ("mtime", 0x40))


def _statx(context: Context, *values: int) -> str:
    """Print a struct statx: only the fields that its mask says are there."""
    (mask, blksize, attributes, nlink, uid, gid, file, inode, size, blocks, attributes_mask,
     *times, rdev_major, rdev_minor, dev_major, dev_minor, mount, mem_align,
     offset_align) = values  # fmt: skip
    full = not context.options.abbreviate
    texts = [f"stx_mask={family('statx_mask').flags(mask)}"]
    names = family("statx_attributes")

    def add(text: str, bits: int = 0, *, always: bool = False) -> None:
        if (full or always) and (not bits or mask & bits):
            texts.append(text)

    add(f"stx_blksize={blksize}")
    add(f"stx_attributes={names.flags(attributes)}", always=True)
    add(f"stx_nlink={nlink}", 0x4)
    add(f"stx_uid={user_text(uid)}", 0x8)
    add(f"stx_gid={user_text(gid)}", 0x10)
    add(f"stx_mode={file_mode(file)}", 0x3, always=True)
    add(f"stx_ino={inode}", 0x100)
    add(f"stx_size={size}", 0x200, always=True)
    add(f"stx_blocks={blocks}", 0x400)
    add(f"stx_attributes_mask={names.flags(attributes_mask)}")
    for position, (name, bit) in enumerate(_STATX_TIMES):
        seconds, part = times[2 * position : 2 * position + 2]
        stamp = f"{{tv_sec={seconds}, tv_nsec={part}}}{comment(date(seconds, part))}"
        add(f"stx_{name}={stamp}", bit)
    add(f"stx_rdev_major={rdev_major}, stx_rdev_minor={rdev_minor}")
    add(f"stx_dev_major={dev_major}, stx_dev_minor={dev_minor}")
    add(f"stx_mnt_id={mount:#x}" if mount else "stx_mnt_id=0", 0x1000)
    add(f"stx_dio_mem_align={mem_align}, stx_dio_offset_align={offset_align}", 0x2000)
    return "{" + ", ".join(texts if full else [*texts, "..."]) + "}"


def _statfs(_: Context, *values: int) -> str:
    kind, bsize, blocks, bfree, bavail, files, ffree, *identity, namelen, frsize, flags = values
    text = (
        f"{{f_type={family('filesystem').value(kind)}, f_bsize={bsize}, f_blocks={blocks}, "
        f"f_bfree={bfree}, f_bavail={bavail}, f_files={files}, f_ffree={ffree}, "
        f"f_fsid={{val=[{', '.join(hex(part) if part else '0' for part in identity)}]}}, "
        f"f_namelen={namelen}, f_frsize={frsize}"
    )
    valid = flags & 0x20
    return text + (f", f_flags={family('statfs_flags').flags(flags)}}}" if valid else "}")


_statfs64 = Layout("IIQQQQQIIIII16x", None, _statfs)


def _statfs64_sized(context: Context, address: int) -> str | None:
    """Print a struct statfs64 if the call says its size right."""
    if not context.leaving:
        return None
    return (
        read_at(context, address, _statfs64)
        if context.arguments[1] == _STATFS64
        else pointer(address)
    )


@frozen
class _Directory:
    """The printer of the entries that getdents(2) wrote: their number, or all of them."""

    #: The size of d_ino and of d_off.
    word: int
    #: Whether the type of a file precedes its name (linux_dirent64), or is its last byte.
    type_first: bool

    @property
    def head(self) -> int:
        """Count the bytes before the name."""
        return 2 * self.word + 2 + self.type_first

    def __call__(self, context: Context, address: int) -> str | None:
        """Print them."""
        if not context.leaving:
            return None
        size = (context.result or 0) & 0xFFFFFFFFFFFFFFFF
        if context.failed or size > context.arguments[2] & 0xFFFFFFFF:
            return pointer(address)
        raw = context.memory.read(address, size) if address else b""
        if context.options.abbreviate:
            return self._count(address, raw, size)
        return self._show(context, address, raw, size)

    def _length(self, raw: bytes, at: int) -> int:
        return int.from_bytes(raw[at + 2 * self.word : at + 2 * self.word + 2], "little")

    def _count(self, address: int, raw: bytes, size: int) -> str:
        count, at, notes, left = 0, 0, "", size
        while left >= self.head and at + self.head <= len(raw):
            count += 1
            length = self._length(raw, at)
            if length > left:
                notes += f" /* d_reclen {length - left} bytes overflow */"
                left = 0
            elif length < self.head:
                notes += f" /* d_reclen {self.head - length} bytes underflow */"
                left -= self.head
                break
            left -= length if left else 0
            at += length
            if not left:
                break
        return f"{pointer(address)}{notes} /* {count}{'+' if left else ''} entries */"

    def _show(self, context: Context, address: int, raw: bytes, size: int) -> str:
        if not size:
            return "[]"
        texts: list[str] = []
        at = 0
        while size - at >= self.head and at + self.head <= len(raw):
            length = self._length(raw, at)
            if not self.head <= length <= size - at:
                break
            texts.append(self._entry(context, address + at, raw[at : at + length]))
            at += length
        return f"[{', '.join(texts)}]" if texts else pointer(address)

    def _entry(self, context: Context, address: int, raw: bytes) -> str:
        """Print one struct linux_dirent or linux_dirent64."""
        inode, offset = (
            int.from_bytes(raw[at : at + self.word], "little") for at in (0, self.word)
        )
        room = min(len(raw) - self.head - (not self.type_first), _NAME_MAX + 1)
        named = []
        if room > 0:
            named.append(f"d_name={path_at(context, address + self.head, room - 1)}")
        byte = raw[self.head - 1] if self.type_first else raw[-1]
        kind = f"d_type={family('dirent_type').value(byte)}"
        texts = [f"d_ino={inode}", f"d_off={offset}", f"d_reclen={len(raw)}"]
        texts += [kind, *named] if self.type_first else [*named, kind]
        return "{" + ", ".join(texts) + "}"


def _old_entry(context: Context, address: int) -> str | None:
    """Print the one entry that readdir(2) wrote."""
    if not context.leaving:
        return None
    raw = context.fetch(address, 10) if context.result else None
    if raw is None:
        return pointer(address)
    inode, offset = (int.from_bytes(raw[at : at + 4], "little") for at in (0, 4))
    length = int.from_bytes(raw[8:10], "little")
    name = path_at(context, address + 10, min(length, _NAME_MAX + 1))
    return f"{{d_ino={inode}, d_off={offset}, d_reclen={length}, d_name={name}}}"


def _getdents(context: Context, address: int) -> str | None:
    return _Directory(context.word, type_first=False)(context, address)


def _unless_one(_: Context, value: int) -> str:
    return "" if value & 0xFFFFFFFF == 1 else str(value & 0xFFFFFFFF)


def _creation_mode(position: int) -> Printer:
    """Make the printer of open's mode, which matters if the flags at ``position`` create a file."""

    def printer(context: Context, value: int) -> str:
        return mode(context, value) if context.arguments[position] & _MODE_MATTERS else ""

    return printer


def _open_how(context: Context, address: int) -> str:
    """Print openat2(2)'s struct, and what a later kernel may have added."""
    size = context.arguments[3]
    raw = context.fetch(address, _OPEN_HOW) if size >= _OPEN_HOW else None
    if raw is None:
        return pointer(address)
    flags, permissions, resolve = (int.from_bytes(raw[at : at + 8], "little") for at in (0, 8, 16))
    texts = [f"flags={open_mode(flags)}"]
    if permissions or flags & _MODE_MATTERS:
        texts.append(f"mode={octal(permissions)}")
    texts.append(f"resolve={family('open_resolve').flags(resolve)}")
    texts += tail(context, address, _OPEN_HOW, size)
    return "{" + ", ".join(texts) + "}"


def _mknod_mode(_: Context, value: int) -> str:
    return file_mode(value & 0xFFFF)


def _mknod_device(position: int) -> Printer:
    """Make the printer of mknod's device, if the mode at ``position`` says it makes one."""

    def printer(context: Context, value: int) -> str:
        special = context.arguments[position] & _S_IFMT in (_S_IFCHR, _S_IFBLK)
        return device_text(value & 0xFFFFFFFF) if special else ""

    return printer


SUBJECT: Final = Subject(
    layouts={
        **_STAT_LAYOUTS,
        "statx": Layout("IIQIIIH2xQQQQ" + "qI4x" * 4 + "IIIIQII96x", None, _statx),
        "statfs": Layout("QQQQQQQIIQQQ32x", "IIIIIIIIIIII16x", _statfs),
    },
    arguments={
        "open.mode": _creation_mode(1),
        "openat.mode": _creation_mode(2),
        "openat2.how": _open_how,
        "mknod.mode": _mknod_mode,
        "mknod.dev": _mknod_device(1),
        "mknodat.mode": _mknod_mode,
        "mknodat.dev": _mknod_device(2),
        "statfs64.buf": _statfs64_sized,
        "fstatfs64.buf": _statfs64_sized,
        "getdents.dirp": _getdents,
        "getdents64.dirp": _Directory(8, type_first=True),
        "readdir.dirp": _old_entry,
        "readdir.count": _unless_one,
    },
)
