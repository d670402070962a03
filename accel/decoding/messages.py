"""sendmsg(2) and recvmsg(2): message headers and the control messages in them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from accel.decoding.choices import AtEntry
from accel.decoding.context import Context, hex_text, pointer
from accel.decoding.families import family
from accel.decoding.iovecs import ALL, iovecs_at
from accel.decoding.layouts import Layout, array_at, read_at, read_in
from accel.decoding.numbers import descriptor_text, user_text
from accel.decoding.sockaddr import inet, interface, sockaddr_at, sockaddr_text
from accel.decoding.strings import quote
from accel.decoding.subject import Remark, Subject
from accel.decoding.times import timespec, timespec_long, timeval

__all__ = ["SUBJECT"]

#: struct msghdr: name, namelen, iov, iovlen, control, controllen, flags.
_HEADERS: Final = (struct.Struct("<QI4xQQQQI4x"), struct.Struct("<IIIIIII"))
_CONTROL: Final = (struct.Struct("<QII"), struct.Struct("<III"))
#: More than the kernel takes: net.core.optmem_max is 20 to 128 kB.
_CONTROL_MAX: Final = 1 << 17
_SOL_IP, _SOL_SOCKET = 0, 1
_VECTOR_MAX: Final = 1024


def _header_at(context: Context, address: int) -> tuple[int, ...] | None:
    layout = _HEADERS[context.i386]
    raw = context.read(address, layout.size) if address else None
    return None if raw is None else layout.unpack(raw)


def _header(context: Context, values: tuple[int, ...], room: int | None, moved: int) -> str:
    """Print a message header; ``room`` is what the caller had for the name, if that changed."""
    name, namelen, iov, iovlen, control, controllen, flags = values
    namelen = namelen - (1 << 32) if namelen >> 31 else namelen
    shown = namelen if room is None else min(namelen, room)
    before = "" if room is None or room == namelen else f"{room} => "
    texts = [
        f"msg_name={sockaddr_at(context, name, shown)}",
        f"msg_namelen={before}{namelen}",
        f"msg_iov={iovecs_at(context, iov, iovlen, moved)}",
        f"msg_iovlen={iovlen}",
    ]
    if controllen:
        texts.append(f"msg_control={_control(context, control, controllen)}")
    texts.append(f"msg_controllen={controllen}")
    texts.append(f"msg_flags={family('send_flags').flags(flags)}")
    return "{" + ", ".join(texts) + "}"


def _control(context: Context, address: int, size: int) -> str:
    layout, word = _CONTROL[context.i386], context.word
    taken = min(size, _CONTROL_MAX)
    raw = context.read(address, taken) if address and taken >= layout.size else None
    if raw is None:
        return pointer(address)
    texts, at = [], 0
    while taken - at >= layout.size:
        length, level, kind = layout.unpack_from(raw, at)
        data = raw[at + layout.size : at + max(min(length, taken - at), layout.size)]
        texts.append(
            f"{{cmsg_len={length}, cmsg_level={_level(level)}, "
            f"cmsg_type={_kind_and_data(context, level, kind, data)}}}"
        )
        if min(length, taken - at) < layout.size:
            at += layout.size
            break
        at = min(at + (length + word - 1) // word * word, taken)
    if at < taken:
        texts.append(f"... /* {address + at:#x} */")
    elif taken < size:
        texts.append("...")
    return f"[{', '.join(texts)}]"


def _level(level: int) -> str:
    text = family("socket_level").names.get(level)
    return text or f"{level:#x} /* SOL_??? */"


def _kind_and_data(context: Context, level: int, kind: int, data: bytes) -> str:
    if level == _SOL_SOCKET:
        names, table = family("socket_message"), _SOCKET_MESSAGES
    elif level == _SOL_IP:
        names, table = family("ip_message"), _IP_MESSAGES
    else:
        return hex_text(kind)
    smallest, show = table.get(kind, (1 << 32, _bytes))
    text = names.value(kind)
    return f"{text}, cmsg_data={show(context, data)}" if len(data) >= smallest else text


def _rights(context: Context, data: bytes) -> str:
    numbers = struct.unpack(f"<{len(data) // 4}i", data[: len(data) // 4 * 4])
    limit = context.options.string_limit if context.options.abbreviate else len(numbers)
    texts = [descriptor_text(context, number) for number in numbers[:limit]]
    return f"[{', '.join([*texts, '...'] if len(numbers) > limit else texts)}]"


def _credentials(_: Context, data: bytes) -> str:
    pid, uid, gid = struct.unpack_from("<iII", data)
    return f"{{pid={pid}, uid={user_text(uid)}, gid={user_text(gid)}}}"


def _bytes(_: Context, data: bytes) -> str:
    return quote(data)


def _one(what: Layout) -> Callable[[Context, bytes], str]:
    def show(context: Context, data: bytes) -> str:
        size = what.size(context)
        return what.show(context, data[:size]) if len(data) >= size else "???"

    return show


def _three(what: Layout) -> Callable[[Context, bytes], str]:
    def show(context: Context, data: bytes) -> str:
        size = what.size(context)
        if len(data) < 3 * size:
            return "???"
        texts = (what.show(context, data[at : at + size]) for at in range(0, 3 * size, size))
        return f"[{', '.join(texts)}]"

    return show


def _numbers(format_: str, size: int) -> Callable[[Context, bytes], str]:
    def show(context: Context, data: bytes) -> str:
        values = [
            int.from_bytes(data[at : at + size], "little")
            for at in range(0, len(data) // size * size, size)
        ]
        limit = context.options.string_limit if context.options.abbreviate else len(values)
        texts = [format(value, format_) if value else "0" for value in values[:limit]]
        return f"[{', '.join([*texts, '...'] if len(values) > limit else texts)}]"

    return show


def _packet_info(_: Context, data: bytes) -> str:
    (index,) = struct.unpack_from("<I", data)
    return (
        f"{{ipi_ifindex={interface(index)}, ipi_spec_dst={inet(data[4:8])}, "
        f"ipi_addr={inet(data[8:12])}}}"
    )


def _error(_: Context, data: bytes) -> str:
    number, origin, kind, code, info, value = struct.unpack_from("<IBBBxII", data)
    return (
        f"{{ee_errno={number}, ee_origin={origin}, ee_type={kind}, ee_code={code}, "
        f"ee_info={info}, ee_data={value}, offender={sockaddr_text(data[16:32])}}}"
    )


def _address(_: Context, data: bytes) -> str:
    return sockaddr_text(data[:128])


_timeval64 = Layout("qQ", None, timeval.render)
_Table = dict[int, tuple[int, Callable[[Context, bytes], str]]]

#: {type: (the smallest size of its data, its printer)}.
_SOCKET_MESSAGES: Final[_Table] = {
    1: (4, _rights),
    2: (12, _credentials),
    3: (1, _bytes),
    29: (1, _one(timeval)),
    35: (1, _one(timespec_long)),
    37: (1, _three(timespec_long)),
    63: (1, _one(_timeval64)),
    64: (1, _one(timespec)),
    65: (1, _three(timespec)),
}
_IP_MESSAGES: Final[_Table] = {
    1: (1, _numbers("#x", 1)),
    2: (4, _numbers("d", 4)),
    3: (1, _bytes),
    6: (1, _numbers("#x", 1)),
    7: (1, _numbers("#x", 1)),
    8: (12, _packet_info),
    11: (32, _error),
    20: (16, _address),
    23: (4, _numbers("d", 4)),
}


def _sent(context: Context, address: int) -> str:
    """Print the message that sendmsg(2) reads."""
    values = _header_at(context, address)
    return pointer(address) if values is None else _header(context, values, None, ALL)


class _Received:
    """The printer of the message that recvmsg(2) fills."""

    __slots__ = ()

    def prepare(self, context: Context) -> None:
        """Keep the room there is for the name of the sender."""
        values = _header_at(context, context.arguments[1])
        if values is not None:
            context.saved[1] = values[1] - (1 << 32) if values[1] >> 31 else values[1]

    def __call__(self, context: Context, address: int) -> str | None:
        room = context.saved.get(1)
        if room is None:
            return pointer(address)
        if not context.leaving:
            return None
        if context.failed:
            return f"{{msg_namelen={room}}}"
        values = _header_at(context, address)
        if values is None:
            return pointer(address)
        return _header(context, values, room, (context.result or 0) & 0xFFFFFFFFFFFFFFFF)


def _vector_size(context: Context) -> int:
    return 32 if context.i386 else 64


def _sent_vector(context: Context, address: int) -> str | None:
    """Print the messages of sendmmsg(2), and how much of each was sent."""
    if not context.leaving:
        return None
    sent = 0 if context.failed else (context.result or 0) & 0xFFFFFFFF
    count = context.arguments[2] & 0xFFFFFFFF
    failed, context.failed = context.failed, False
    text = _vector(context, address, count, sent, None)
    context.failed = failed
    return text


def _vector(
    context: Context, address: int, count: int, lengths: int, rooms: list[int] | None
) -> str:
    """Print a vector of messages; the first ``lengths`` of them have a length."""
    size, position = _vector_size(context), 0

    def element(context: Context, raw: bytes) -> str:
        nonlocal position
        layout = _HEADERS[context.i386]
        values = layout.unpack_from(raw)
        (length,) = struct.unpack_from("<I", raw, layout.size)
        room = rooms[position] if rooms is not None and position < len(rooms) else None
        moved = ALL if rooms is None else length
        text = f"{{msg_hdr={_header(context, values, room, moved)}"
        text += f", msg_len={length}}}" if position < lengths else "}"
        position += 1
        return text

    return array_at(context, address, count, size, element)


class _ReceivedVector:
    """The printer of the messages that recvmmsg(2) fills."""

    __slots__ = ()

    def prepare(self, context: Context) -> None:
        """Keep the rooms for the names."""
        address, size = context.arguments[1], _vector_size(context)
        count = min(context.arguments[2] & 0xFFFFFFFF, _VECTOR_MAX)
        raw = context.memory.read(address, count * size) if address else b""
        layout = _HEADERS[context.i386]
        rooms = []
        for at in range(0, len(raw) // size * size, size):
            room = layout.unpack_from(raw, at)[1]
            rooms.append(room - (1 << 32) if room >> 31 else room)
        context.saved[1] = rooms

    def __call__(self, context: Context, address: int) -> str | None:
        if not context.leaving:
            return None
        received = (context.result or 0) & 0xFFFFFFFF
        rooms = context.saved[1]
        text = _vector(context, address, min(received, len(rooms)) or received, received, rooms)
        more = 0 < len(rooms) < received and text[0] == "[" and not text.endswith("...]")
        return f"{text[:-1]}, ...]" if more else text


def _time_left(timeout: Layout) -> Remark:
    def remark(context: Context) -> None:
        if context.failed or context.result is None:
            return
        if context.result == 0:
            context.note = "Timeout"
        elif context.arguments[4]:
            context.note = f"left {read_at(context, context.arguments[4], timeout)}"

    return remark


SUBJECT: Final = Subject(
    arguments={
        "sendmsg.msg": _sent,
        "recvmsg.msg": _Received(),
        "sendmmsg.msgvec": _sent_vector,
        "recvmmsg.msgvec": _ReceivedVector(),
        "recvmmsg.timeout": AtEntry(4, read_in(timespec_long)),
        "recvmmsg_time64.msgvec": _ReceivedVector(),
        "recvmmsg_time64.timeout": AtEntry(4, read_in(timespec)),
    },
    remarks={
        "recvmmsg": _time_left(timespec_long),
        "recvmmsg_time64": _time_left(timespec),
    },
)
