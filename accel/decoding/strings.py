"""Bytes and C strings: how strace quotes them, and the printers that read them."""

from __future__ import annotations

import re
from typing import Final

from accel.decoding.context import Context, Pointed, Printer, pointer

__all__ = [
    "buffer_in",
    "buffer_out",
    "bytes_at",
    "environment",
    "escape",
    "escape_hex",
    "path",
    "path_at",
    "path_out",
    "quote",
    "read_string",
    "received",
    "string",
    "string_at",
    "strings",
    "without_last_nul",
]

PATH_MAX: Final = 4096
#: Most paths and strings are shorter: one read suffices.
_FIRST_READ: Final = 256
#: Environments are read in parts of so many pointers, and counted up to a limit.
_VARIABLES: Final = 64
_VARIABLES_MAX: Final = 1 << 17
_ESCAPED: Final = re.compile(rb"[^ !#-\[\]-~]")
#: Stands after an octal escape that a digit would change the meaning of.
_MARK: Final = "\ue000"
_BEFORE_DIGIT: Final = re.compile(rf"\\(\d+){_MARK}(?=[0-7])")
_ESCAPES: Final = {
    byte: f"\\{byte:o}{_MARK if byte < 0o100 else ''}"
    for byte in range(256)
    if not 0x20 <= byte <= 0x7E
} | {
    0x22: '\\"', 0x5C: "\\\\", 0x0C: "\\f", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x0B: "\\v",
}  # fmt: skip


def quote(raw: bytes) -> str:
    """Quote bytes as C would; unprintable bytes without a letter are octal, as short as can be."""
    if _ESCAPED.search(raw) is None:
        return f'"{raw.decode("ascii")}"'
    return f'"{escape(raw)}"'


def escape(raw: bytes, also: str = "") -> str:
    """Escape bytes without quoting; the characters of ``also`` are escaped, too."""
    table = _ESCAPES if not also else _ESCAPES | {ord(c): f"\\{ord(c):o}" for c in also}
    text = raw.decode("latin-1").translate(table)
    if _MARK not in text:
        return text
    # Three digits where the next character would be read as one of them.
    text = _BEFORE_DIGIT.sub(lambda match: f"\\{match[1]:0>3}", text)
    return text.replace(_MARK, "")


def escape_hex(raw: bytes) -> str:
    """Escape every byte in hexadecimal."""
    return "".join(f"\\x{byte:02x}" for byte in raw)


def read_string(context: Context, address: int, limit: int) -> tuple[bytes, bool] | None:
    """Read a C string of up to ``limit`` bytes, and whether it ended; None if that fails."""
    size = min(limit, _FIRST_READ)
    raw = context.memory.read(address, size)
    end = raw.find(b"\0")
    if end < 0 and len(raw) == size < limit:
        raw += context.memory.read(address + size, limit - size)
        end = raw.find(b"\0")
    if end >= 0:
        return raw[:end], True
    return (raw, False) if len(raw) == limit else None


def path_at(context: Context, address: int, limit: int = PATH_MAX - 1) -> str:
    """Print the C string at ``address``: all of it, however small the limit of strings is."""
    if not address:
        return "NULL"
    found = read_string(context, address, limit + 1)
    if found is None:
        return hex(address)
    raw, ended = found
    return quote(raw) if ended and len(raw) <= limit else quote(raw[:limit]) + "..."


def path(context: Context, address: int) -> str:
    """Print a path that the call reads."""
    return path_at(context, address)


def _path_out(context: Context, address: int) -> str | None:
    """Print a path that the kernel wrote, with its NUL: the result counts its bytes (getcwd)."""
    if not context.leaving:
        return None
    if context.failed or context.result is None:
        return pointer(address)
    length = (context.result - 1) & 0xFFFFFFFF
    return path_at(context, address, min(length, PATH_MAX - 1))


path_out: Final[Printer] = Pointed(_path_out, (PATH_MAX, PATH_MAX), written=True)


def string_at(context: Context, address: int, limit: int | None = None) -> str:
    """Print the C string at ``address``, up to the limit of strings."""
    if not address:
        return "NULL"
    if limit is None:
        limit = context.options.string_limit
    found = read_string(context, address, limit + 1)
    if found is None:
        return hex(address)
    raw, _ = found
    return quote(raw) if len(raw) <= limit else quote(raw[:limit]) + "..."


def string(context: Context, address: int) -> str:
    """Print a C string that the call reads."""
    return string_at(context, address)


def bytes_at(context: Context, address: int, size: int) -> str:
    """Print ``size`` bytes, as many as the limit of strings allows."""
    if not address:
        return "NULL"
    limit = context.options.string_limit
    # strace reads one byte more than it shows, and shows nothing if it cannot.
    raw = context.read(address, min(size, limit + 1))
    if raw is None:
        return hex(address)
    return quote(raw) if size <= limit else quote(raw[:limit]) + "..."


def without_last_nul(context: Context, address: int, size: int) -> str:
    """Print ``size`` bytes, up to the limit of strings; a NUL at the end of that is not shown."""
    limit = context.options.string_limit
    raw = context.read(address, min(size, limit + 1)) if address else None
    if raw is None:
        return pointer(address)
    shown = raw[:limit]
    if shown.endswith(b"\0"):
        return quote(shown[:-1])
    return quote(shown) + ("..." if size > limit else "")


def buffer_in(length: int) -> Printer:
    """Make the printer of bytes that the call reads; the argument at ``length`` counts them."""

    def printer(context: Context, address: int) -> str:
        return bytes_at(context, address, context.arguments[length])

    return Pointed(printer)


def _buffer_out(context: Context, address: int) -> str | None:
    """Print bytes that the kernel wrote; the result counts them."""
    if not context.leaving:
        return None
    if context.failed or context.result is None:
        return pointer(address)
    return bytes_at(context, address, context.result & 0xFFFFFFFFFFFFFFFF)


buffer_out: Final[Printer] = Pointed(_buffer_out, written=True)


def _received(context: Context, address: int) -> str | None:
    """Print a datagram: with MSG_TRUNC the result counts more than there was room for."""
    if not context.leaving:
        return None
    if context.failed or context.result is None:
        return pointer(address)
    size = context.result & 0xFFFFFFFFFFFFFFFF
    return bytes_at(context, address, min(size, context.arguments[2]))


received: Final[Printer] = Pointed(_received, written=True)


def strings(context: Context, address: int) -> str:
    """Print an array of C strings that ends with NULL: ``["ls", "-l"]``."""
    if not address:
        return "NULL"
    word, limit = context.word, context.options.string_limit
    texts: list[str] = []
    pointers = _pointers(context, address, limit + 2)
    if not pointers and context.read(address, word) is None:
        return hex(address)
    for position in range(limit + 1):
        if position >= len(pointers):
            texts.append(f"... /* {address + position * word:#x} */")
            break
        if not pointers[position]:
            break
        if position == limit and context.options.abbreviate:
            texts.append("...")
            break
        texts.append(string_at(context, pointers[position]))
    return f"[{', '.join(texts)}]"


def environment(context: Context, address: int) -> str:
    """Count the strings of an environment: ``0x7ffd5c2d33a8 /* 30 vars */``."""
    if not address:
        return "NULL"
    if not context.options.abbreviate:
        return strings(context, address)
    pointers: list[int] = []
    ended = False
    while not ended and len(pointers) < _VARIABLES_MAX:
        part = _pointers(context, address + len(pointers) * context.word, _VARIABLES)
        ended = 0 in part
        pointers += part[: part.index(0)] if ended else part
        if len(part) < _VARIABLES:
            break
    if not pointers and not ended:
        return hex(address)
    count = len(pointers)
    unterminated = "" if ended else ", unterminated"
    return f"{address:#x} /* {count} var{'' if count == 1 else 's'}{unterminated} */"


def _pointers(context: Context, address: int, count: int) -> list[int]:
    """Read up to ``count`` pointers, fewer where memory ends."""
    word = context.word
    raw = context.memory.read(address, count * word)
    whole = memoryview(raw)[: len(raw) - len(raw) % word]
    return whole.cast("Q" if word == 8 else "I").tolist()
