"""The system as a whole: its name and state, its log, how to reboot it."""

from __future__ import annotations

from typing import Final

from accel.decoding.choices import (
    Table,
    chosen,
    named,
)
from accel.decoding.context import Context, pointer
from accel.decoding.families import family
from accel.decoding.layouts import Layout, array_at, read_at
from accel.decoding.numbers import (
    descriptor,
    descriptor_text,
    process,
    signed32,
    unsigned,
)
from accel.decoding.strings import (
    buffer_out,
    bytes_at,
    escape_hex,
    quote,
    string_at,
)
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]


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
    return string_at(context, address) if restart2 else ""


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


def _slot(context: Context, epoll: int, target: int, offset: int) -> str:
    texts = (descriptor_text(context, signed32(number)) for number in (epoll, target))
    first, second = texts
    return f"{{efd={first}, tfd={second}, toff={offset}}}"


_slot_layout = Layout("III", None, _slot)


_KCMP: Final[Table] = {
    0: (descriptor, descriptor),
    **dict.fromkeys((1, 2, 3, 4, 5, 6), ()),
    7: (descriptor, lambda context, value: read_at(context, value, _slot_layout)),
}


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


def _host_name(context: Context, address: int) -> str:
    size = context.arguments[1] & 0xFFFFFFFF
    return pointer(address) if size > 64 else bytes_at(context, address, size)


SUBJECT: Final = Subject(
    layouts={
        "new_utsname": _names(6, 65),
        "sysinfo": Layout("QQQQQQQQQQH6xQQI4x", "IIIIIIIIIIH2xIII8x", _sysinfo),
    },
    arguments={
        "syslog.type": _log_type,
        "syslog.bufp": _log_buffer,
        "syslog.len": _log_length,
        "reboot.arg": _reboot_argument,
        "membarrier.cpu_id": _membarrier_cpu,
        "kexec_load.flags": _kexec_flags,
        "kexec_load.segments": _segments,
        "kexec_file_load.cmdline": _command_line,
        "getrandom.buf": _hex_random,
        "sethostname.name": _host_name,
        "sethostname.len": unsigned(32),
        "setdomainname.name": _host_name,
        "setdomainname.len": unsigned(32),
    },
    calls={
        "kcmp": (
            ("pid1", process),
            ("pid2", process),
            ("type", named("kcmp_type", 32)),
            *chosen(["idx1", "idx2"], _KCMP, 2, 3),
        ),
    },
    remarks={
        "membarrier": _membarrier_remark,
    },
)
