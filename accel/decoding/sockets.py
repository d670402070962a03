"""Sockets: their kinds, and the options of getsockopt(2) and setsockopt(2)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from accel.decoding.context import Context, Printer, pointer
from accel.decoding.errnos import errno_name
from accel.decoding.families import family
from accel.decoding.flags import flag_set
from accel.decoding.layouts import array_at
from accel.decoding.layouts import number as number_layout
from accel.decoding.numbers import signed32, unsigned, user_text
from accel.decoding.programs import PROGRAM, socket_filter
from accel.decoding.sockaddr import (
    inet,
    inet6,
    interface,
    sockaddr_out,
    sockaddr_text,
    value_result,
)
from accel.decoding.strings import bytes_at, escape_hex, received
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]

_SOCK_TYPE: Final = 0xF
_AF_PACKET: Final = 17
_PROTOCOLS: Final = {
    2: "inet_protocol", 10: "inet_protocol", 16: "netlink_protocol", 29: "can_protocol",
    23: "irda_protocol", 31: "bluetooth_protocol", 33: "address_family", 34: "isdn_protocol",
    35: "phonet_protocol", 37: "caif_protocol", 39: "nfc_protocol", 41: "kcm_protocol",
    43: "smc_protocol",
}  # fmt: skip


def _kind(_: Context, value: int) -> str:
    """Print the type of a socket and its flags."""
    value &= 0xFFFFFFFF
    name = family("socket_kind").names.get(value & _SOCK_TYPE)
    if name is None:
        return family("socket_flags").flags(value)
    rest = value & ~_SOCK_TYPE
    return f"{name}|{family('socket_flags').flags(rest)}" if rest else name


def _protocol(context: Context, value: int) -> str:
    """Print the protocol of a socket; each family has its own."""
    domain = context.arguments[0]
    if domain == _AF_PACKET:
        swapped = (value & 0xFF) << 8 | value >> 8 & 0xFF
        return f"htons({family('ethernet_protocol').value(swapped)})"
    name = _PROTOCOLS.get(domain)
    return family(name).value(value & 0xFFFFFFFF) if name else str(value)


# ------------------------------------------------------------------------------------- options

_SOL_IP, _SOL_SOCKET, _SOL_IPV6, _SOL_RAW = 0, 1, 41, 255
_SOL_PACKET, _SOL_NETLINK = 263, 270
#: {level: the family of its options}.
_OPTIONS: Final = {
    _SOL_IP: "ip_option", _SOL_SOCKET: "so_option", 6: "tcp_option", 17: "udp_option",
    40: "vsock_option", _SOL_IPV6: "ipv6_option", 101: "can_raw_option", _SOL_RAW: "raw_option",
    _SOL_PACKET: "packet_option", _SOL_NETLINK: "netlink_option", 274: "bluetooth_option",
    132: "sctp_option", 256: "ipx_option", 257: "ax25_option", 266: "irda_option",
    268: "llc_option", 269: "dccp_option", 271: "tipc_option", 272: "rxrpc_option",
    273: "pppol2tp_option", 275: "pnpipe_option", 276: "rds_option", 277: "iucv_option",
    278: "caif_option", 279: "alg_option", 280: "nfcllcp_option", 281: "kcm_option",
    282: "tls_option", 283: "xdp_option",
}  # fmt: skip
#: Options whose names depend on the direction.
_GET_NAMES: Final = {(_SOL_SOCKET, 26): "SO_GET_FILTER"}
_SET_NAMES: Final = {(_SOL_SOCKET, 26): "SO_ATTACH_FILTER"}

_SO_ERROR, _SO_LINGER, _SO_PEERCRED, _SO_ATTACH_FILTER = 4, 13, 17, 26
_SO_ATTACH_REUSEPORT_CBPF, _SO_TXREHASH = 51, 74
#: Options of SOL_SOCKET that are an int; a kernel may give or take more than that.
_INTS: Final = frozenset(
    (1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 18, 19, 27, 29, 30, 32, 33, 34, 35, 36, 37, 40,
     41, 42, 43, 44, 45, 46, 49, 53, 56, 60, 63, 64, 65, 68, 69, 70, 73, 75)
)  # fmt: skip


def _option_name(table: dict[tuple[int, int], str]) -> Printer:
    def printer(context: Context, value: int) -> str:
        level, option = context.arguments[1] & 0xFFFFFFFF, value & 0xFFFFFFFF
        name = _OPTIONS.get(level)
        if name is None:
            return str(option)
        return table.get((level, option)) or family(name).value(option)

    return printer


def _integer(context: Context, address: int) -> str:
    raw = context.fetch(address, 4)
    return pointer(address) if raw is None else f"[{int.from_bytes(raw, 'little', signed=True)}]"


def _hex_bytes(context: Context, address: int, size: int) -> str:
    limit = context.options.string_limit
    raw = context.read(address, min(size, limit)) if address else None
    if raw is None:
        return pointer(address)
    return f'"{escape_hex(raw)}"' + ("..." if size > limit else "")


def _plain(context: Context, address: int, size: int) -> str:
    return _integer(context, address) if size == 4 else bytes_at(context, address, size)


def _fields(names: tuple[str, ...], format_: str) -> Callable[[Context, int, int], str]:
    """Print a struct of which the kernel may have written only the first fields."""

    def show(context: Context, address: int, size: int) -> str:
        size = min(size, 4 * len(names))
        raw = context.fetch(address, size)
        if raw is None:
            return pointer(address)
        texts = []
        for at, name in enumerate(names):
            part = raw[4 * at : 4 * at + 4]
            if not part:
                break
            if len(part) < 4:
                texts.append(f'{name}="{escape_hex(part)}"')
                break
            texts.append(f"{name}={_field(part, format_[at])}")
        return "{" + ", ".join(texts) + "}"

    return show


def _field(part: bytes, kind: str) -> str:
    if kind == "i":
        return str(int.from_bytes(part, "little", signed=True))
    value = int.from_bytes(part, "little")
    return user_text(value) if kind == "u" else str(value)


_linger = _fields(("l_onoff", "l_linger"), "ii")
_credentials = _fields(("pid", "uid", "gid"), "iuu")
_packet_statistics = _fields(("tp_packets", "tp_drops", "tp_freeze_q_cnt"), "III")


def _socket_error(context: Context, address: int, size: int) -> str:
    if size < 4:
        return _hex_bytes(context, address, size)
    raw = context.fetch(address, 4)
    if raw is None:
        return pointer(address)
    value = int.from_bytes(raw, "little")
    return f"[{errno_name(value) or value}]"


def _rehash(context: Context, address: int, size: int) -> str:
    if size < 4:
        return _hex_bytes(context, address, size) if context.leaving else pointer(address)
    raw = context.fetch(address, 4)
    if raw is None:
        return pointer(address)
    value = int.from_bytes(raw, "little", signed=True)
    names = {-1: "-1", 0: "SOCK_TXREHASH_DISABLED", 1: "SOCK_TXREHASH_ENABLED"}
    names[-1] = "255"
    return f"[{names.get(value) or f'{value} /* SOCK_TXREHASH_??? */'}]"


def _icmp_filter(context: Context, address: int, size: int) -> str:
    if size <= 0:
        return pointer(address)
    raw = context.fetch(address, min(size, 4))
    if raw is None:
        return pointer(address)
    mask = int.from_bytes(raw + b"\xff" * (4 - len(raw)), "little")
    complement = mask.bit_count() > 16
    if complement:
        mask ^= 0xFFFFFFFF
    names = [family("icmp_filter").value(bit) for bit in range(32) if mask >> bit & 1]
    return f"{'~' if complement else ''}[{' '.join(names)}]"


def _int_or(unreadable: Callable[[Context, int, int], str]) -> Callable[[Context, int, int], str]:
    def show(context: Context, address: int, size: int) -> str:
        return _integer(context, address) if size >= 4 else unreadable(context, address, size)

    return show


def _memberships(context: Context, address: int, size: int) -> str:
    return array_at(context, address, size // 4, 4, number_layout("I").show)


def _got_filter(context: Context, address: int, size: int) -> str:
    return socket_filter(context, address, size) if size <= 0xFFFF else pointer(address)


_Show = Callable[[Context, int, int], str]
_GET: Final[dict[tuple[int, int], _Show]] = {
    (_SOL_SOCKET, _SO_LINGER): _linger,
    (_SOL_SOCKET, _SO_PEERCRED): _credentials,
    (_SOL_SOCKET, _SO_ERROR): _socket_error,
    (_SOL_SOCKET, _SO_ATTACH_FILTER): _got_filter,
    (_SOL_SOCKET, _SO_TXREHASH): _rehash,
    **dict.fromkeys(((_SOL_SOCKET, option) for option in _INTS), _int_or(_hex_bytes)),
    (_SOL_PACKET, 6): _packet_statistics,
    (_SOL_RAW, 1): _icmp_filter,
    (_SOL_NETLINK, 9): _memberships,
}


def _got(context: Context, address: int) -> str | None:
    """Print the value of an option that the kernel wrote, as long as it says."""
    room = context.saved.get(4)
    if not context.leaving:
        return pointer(address) if room is None else None
    raw = None if context.failed or room is None else context.read(context.arguments[4], 4)
    if raw is None or room is None:
        return pointer(address)
    size = int.from_bytes(raw, "little", signed=True)
    if room <= 0 or size <= 0 or not address:
        return pointer(address)
    level, option = (context.arguments[at] & 0xFFFFFFFF for at in (1, 2))
    show = _GET.get((level, option))
    if show is _memberships:
        size = min(room, size)
    if show is None:
        show = _int_or(_pointer) if level == _SOL_NETLINK else _plain
        if level == _SOL_NETLINK:
            return _integer(context, address)
    return show(context, address, size)


def _pointer(_: Context, address: int, __: int) -> str:
    return pointer(address)


def _whole(size: int, text: Callable[[bytes], str], *, exact: bool) -> _Show:
    """Print a struct if the call says that there is all of it."""

    def show(context: Context, address: int, given: int) -> str:
        fits = given == size if exact else given >= size
        raw = context.fetch(address, size) if fits else None
        return pointer(address) if raw is None else text(raw)

    return show


def _linger_text(raw: bytes) -> str:
    on, seconds = struct.unpack("<ii", raw)
    return f"{{l_onoff={on}, l_linger={seconds}}}"


def _membership(raw: bytes) -> str:
    return f"{{imr_multiaddr={inet(raw[:4])}, imr_interface={inet(raw[4:])}}}"


def _membership6(raw: bytes) -> str:
    index = int.from_bytes(raw[16:], "little")
    return f"{{{inet6(raw[:16], 'ipv6mr_multiaddr')}, ipv6mr_interface={interface(index)}}}"


def _ring(raw: bytes) -> str:
    names = ("tp_block_size", "tp_block_nr", "tp_frame_size", "tp_frame_nr")
    values = struct.unpack("<IIII", raw)
    return (
        "{" + ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True)) + "}"
    )


def _packet_membership(raw: bytes) -> str:
    index, kind, size = struct.unpack_from("<iHH", raw)
    address = ":".join(f"{byte:02x}" for byte in raw[8 : 8 + size])
    return (
        f"{{mr_ifindex={interface(index)}, mr_type={family('packet_membership').value(kind)}, "
        f"mr_alen={size}, mr_address={address}}}"
    )


def _filter(context: Context, address: int, size: int) -> str:
    layout = PROGRAM[context.i386]
    return socket_filter(context, address, None) if size == layout.size else pointer(address)


def _group(context: Context, address: int, given: int) -> str:
    """Print struct group_req: an interface and the address of a group."""
    first = 4 if context.i386 else 8
    raw = context.fetch(address, first + 128) if given >= first + 128 else None
    if raw is None:
        return pointer(address)
    index = int.from_bytes(raw[:4], "little")
    return f"{{gr_interface={interface(index)}, gr_group={sockaddr_text(raw[first:])}}}"


_SET: Final[dict[tuple[int, int], _Show]] = {
    **dict.fromkeys(((level, option) for level in (0, 41) for option in (42, 45)), _group),
    (_SOL_SOCKET, _SO_LINGER): _whole(8, _linger_text, exact=False),
    (_SOL_SOCKET, _SO_ATTACH_FILTER): _filter,
    (_SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF): _filter,
    (_SOL_SOCKET, _SO_TXREHASH): _rehash,
    **dict.fromkeys(((_SOL_SOCKET, option) for option in _INTS), _int_or(_pointer)),
    (_SOL_IP, 35): _whole(8, _membership, exact=False),
    (_SOL_IP, 36): _whole(8, _membership, exact=False),
    (_SOL_IPV6, 20): _whole(20, _membership6, exact=False),
    (_SOL_IPV6, 21): _whole(20, _membership6, exact=False),
    (_SOL_IPV6, 27): _whole(20, _membership6, exact=False),
    (_SOL_IPV6, 28): _whole(20, _membership6, exact=False),
    (_SOL_PACKET, 5): _whole(16, _ring, exact=True),
    (_SOL_PACKET, 13): _whole(16, _ring, exact=True),
    (_SOL_PACKET, 1): _whole(16, _packet_membership, exact=True),
    (_SOL_PACKET, 2): _whole(16, _packet_membership, exact=True),
    (_SOL_RAW, 1): _icmp_filter,
}


def _set(context: Context, address: int) -> str:
    """Print the value of an option that the call reads."""
    if not address:
        return "NULL"
    level, option = (context.arguments[at] & 0xFFFFFFFF for at in (1, 2))
    size = signed32(context.arguments[4])
    show = _SET.get((level, option))
    if show is None:
        show = _int_or(_pointer) if level == _SOL_NETLINK else _plain
    return show(context, address, size)


SUBJECT: Final = Subject(
    arguments={
        "socket.type": _kind,
        "socket.protocol": _protocol,
        "socketpair.type": _kind,
        "socketpair.protocol": unsigned(64),
        "accept.addrlen": value_result(2, 1),
        "accept4.addrlen": value_result(2, 1),
        "getsockname.addrlen": value_result(2, 1),
        "getpeername.addrlen": value_result(2, 1),
        "recvfrom.buf": received,
        "recv.buf": received,
        "recvfrom.src_addr": sockaddr_out(5),
        "recvfrom.addrlen": value_result(5, 4),
        "getsockopt.optname": _option_name(_GET_NAMES),
        "getsockopt.optval": _got,
        "getsockopt.optlen": value_result(4),
        "setsockopt.optname": _option_name(_SET_NAMES),
        "setsockopt.optval": _set,
        "setsockopt.optlen": lambda _, value: str(signed32(value)),
        "pipe2.flags": flag_set("pipe2_flags", 32),
    },
)
