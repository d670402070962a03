"""Printers of flags and of other named values, by family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from accel.decoding.context import Context, Printer
from accel.decoding.families import family

__all__ = ["enumeration", "flag_set", "mode_flags", "open_mode", "persona"]

_O_ACCMODE: Final = 3
_MAP_TYPE: Final = 0xF
_MAP_HUGE: Final = 0x3F << 26
_SYNC_TYPE: Final = 0x6000
_FAN_CLASS: Final = 0xC
_PER_MASK: Final = 0xFF
_SOCK_TYPE: Final = 0xF
_SHM_HUGE: Final = 0x3F << 26


def joined(first: str, rest: int, others: str) -> str:
    """Print a value and the flags that were added to it; unknown ones in hexadecimal."""
    if not rest:
        return first
    return "|".join([first, *family(others).parts(rest)])


def open_mode(value: int) -> str:
    """Print the flags of open(2): the access, which is a number, then the others."""
    return joined(
        family("open_access").value(value & _O_ACCMODE), value & ~_O_ACCMODE, "open_flags"
    )


def _mmap(value: int) -> str:
    value &= 0xFFFFFFFF
    text = joined(
        family("mmap_type").names.get(value & _MAP_TYPE) or _mmap_type(value & _MAP_TYPE),
        value & ~_MAP_TYPE & ~_MAP_HUGE,
        "mmap_flags",
    )
    huge = value & _MAP_HUGE
    return f"{text}|{huge >> 26}<<MAP_HUGE_SHIFT" if huge else text


def _mmap_type(value: int) -> str:
    return f"{value:#x} /* MAP_??? */" if value else "MAP_FILE"


def _statx(value: int) -> str:
    return joined(family("statx_sync").value(value & _SYNC_TYPE), value & ~_SYNC_TYPE, "at_flags")


def _fanotify_init(value: int) -> str:
    kind = family("fanotify_class").value(value & _FAN_CLASS)
    return joined(kind, value & ~_FAN_CLASS, "fanotify_init_flags")


def persona(value: int) -> str:
    """Print an execution domain and its bugs."""
    if value == 0xFFFFFFFF:
        return "0xffffffff"
    kind = family("personality").value(value & _PER_MASK)
    return joined(kind, value & ~_PER_MASK, "personality_flags")


def _socket_type(value: int) -> str:
    kind = family("socket_kind").value(value & _SOCK_TYPE)
    return joined(kind, value & ~_SOCK_TYPE, "socket_flags")


def mode_flags(families: str, huge: int = 0) -> Callable[[int], str]:
    """Print the flags of a System V get call: names, then the mode of what is created."""

    def text(value: int) -> str:
        flags, mode = value & ~0o777, value & 0o777
        size, flags = flags & huge, flags & ~huge
        names, rest = family(families).split(flags) if flags else ([], 0)
        texts = [f"{size >> 26}<<SHM_HUGE_SHIFT"] if size else []
        permissions = f"0{mode:o}".zfill(3) if mode else "000"
        if rest and not names and not size:
            # strace puts no separator there.
            return f"{rest:#x}{permissions}"
        parts = [*names, hex(rest)] if rest else names
        return "|".join([*parts, *texts, permissions])

    return text


def _clone(value: int) -> str:
    return family("unshare_flags").flags(value)


def _memfd(value: int) -> str:
    size, flags = value & _SHM_HUGE, value & ~_SHM_HUGE
    if not size:
        return family("memfd_create_flags").flags(flags)
    huge = f"{size >> 26}<<MFD_HUGE_SHIFT"
    return f"{family('memfd_create_flags').flags(flags)}|{huge}" if flags else huge


#: Families that are more than a set of names.
_SPECIAL: Final[dict[str, Callable[[int], str]]] = {
    "clone_flags": _clone,
    "fanotify_init_flags": _fanotify_init,
    "ipc_get_flags": mode_flags("ipc_get_flags"),
    "flock_operation": lambda value: family("flock_operation").flags(value),
    "memfd_create_flags": _memfd,
    "mmap_flags": _mmap,
    "open_flags": open_mode,
    "personality": persona,
    "shm_get_flags": mode_flags("shm_get_flags", _SHM_HUGE),
    "socket_type": _socket_type,
    "statx_flags": _statx,
    "clone_newns": lambda value: family("setns_type").flags(value),
}


def flag_set(name: str, bits: int) -> Printer:
    """Make a printer of a set of flags ``bits`` wide; without names it is hexadecimal."""
    mask = (1 << bits) - 1
    text = _SPECIAL.get(name)
    if text is not None:
        return _kept(text, mask)
    # The family is looked up when it is needed: it may have to be loaded.
    return lambda _, value: family(name).flags(value & mask)


def enumeration(name: str, bits: int) -> Printer:
    """Make a printer of a value that has one name."""
    mask = (1 << bits) - 1
    text = _SPECIAL.get(name)
    if text is not None:
        return _kept(text, mask)
    return lambda _, value: family(name).value(value & mask)


_KEPT: Final = 4096


def _kept(text: Callable[[int], str], mask: int) -> Printer:
    """Print through ``text``, but only once for each value."""
    texts: dict[int, str] = {}

    def printer(_: Context, value: int) -> str:
        value &= mask
        found = texts.get(value)
        if found is None:
            if len(texts) >= _KEPT:
                texts.clear()
            found = texts[value] = text(value)
        return found

    return printer
