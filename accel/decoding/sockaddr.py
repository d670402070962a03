"""Socket addresses of every family that programs use; of others the bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from accel.decoding.context import Context, Pointed, Printer, hex_text, pointer
from accel.decoding.families import family
from accel.decoding.numbers import padded, signed32
from accel.decoding.strings import quote
from accel.decoding.subject import Subject

__all__ = [
    "SUBJECT",
    "interface",
    "read_length",
    "sockaddr_at",
    "sockaddr_in",
    "sockaddr_out",
    "sockaddr_text",
    "value_result",
]

#: sizeof(struct sockaddr_storage) and of the path of a Unix address.
_STORAGE: Final = 128
_UNIX: Final = 110


def interface(index: int) -> str:
    """Print the index of a network interface by its name, if this host has one."""
    import socket  # noqa: PLC0415 - it takes 2.5 ms, and few calls have an address

    try:
        name = socket.if_indextoname(index) if index else ""
    except (OSError, OverflowError):
        name = ""
    return f"if_nametoindex({quote(name.encode())})" if name else str(index)


def _unix(raw: bytes) -> str:
    path = raw[2:_UNIX]
    if path[:1] == b"\0":
        return f"sun_path=@{quote(path[1:])}"
    return f"sun_path={quote(path.partition(bytes(1))[0])}"


def inet(raw: bytes) -> str:
    """Print an IPv4 address."""
    return f'inet_addr("{".".join(map(str, raw))}")'


def inet6(raw: bytes, name: str) -> str:
    """Print an IPv6 address as inet_pton(3) would fill in the field ``name``."""
    import socket  # noqa: PLC0415 - as above

    return f'inet_pton(AF_INET6, "{socket.inet_ntop(socket.AF_INET6, raw)}", &{name})'


def _inet(raw: bytes) -> str:
    (port,) = struct.unpack_from(">H", raw, 2)
    return f"sin_port=htons({port}), sin_addr={inet(raw[4:8])}"


def _inet6(raw: bytes) -> str:
    port, flow = struct.unpack_from(">HI", raw, 2)
    address = raw[8:24]
    text = f"sin6_port=htons({port}), sin6_flowinfo=htonl({flow}), {inet6(address, 'sin6_addr')}"
    if len(raw) <= 24:
        return text
    (scope,) = struct.unpack("<I", raw[24:28].ljust(4, b"\0"))
    link_local = address[0] in (0xFE, 0xFF) and (
        address[1] & 0xC0 == 0x80 if address[0] == 0xFE else address[1] & 0xF == 2
    )
    return f"{text}, sin6_scope_id={interface(scope) if link_local else scope}"


def _netlink(raw: bytes) -> str:
    pad, pid, groups = struct.unpack_from("<HiI", raw, 2)
    before = f"nl_pad={pad:#x}, " if pad else ""
    return f"{before}nl_pid={pid}, nl_groups={padded(groups, 8)}"


def _packet(raw: bytes) -> str:
    (protocol,) = struct.unpack_from(">H", raw, 2)
    index, hardware, kind, size = struct.unpack_from("<IHBB", raw, 4)
    text = (
        f"sll_protocol=htons({family('ethernet_protocol').value(protocol)}), "
        f"sll_ifindex={interface(index)}, sll_hatype={family('arp_hardware').value(hardware)}, "
        f"sll_pkttype={family('packet_type').value(kind)}, sll_halen={size}"
    )
    if not size:
        return text
    octets = [
        padded(byte, 2) if byte > 15 else f"{byte:#x}" if byte else "00"
        for byte in raw[12 : 12 + size]
    ]
    if size > len(raw) - 12:
        octets.append("...")
    return f"{text}, sll_addr=[{', '.join(octets)}]"


def _vsock(raw: bytes) -> str:
    reserved, port, identity, flags = struct.unpack_from("<HIIB", raw, 2)
    texts = [f"svm_reserved1={reserved:#x}"] if reserved else []
    texts.append(f"svm_cid={_VSOCK_CIDS.get(identity) or hex_text(identity)}")
    texts.append(f"svm_port={'VMADDR_PORT_ANY' if port == 0xFFFFFFFF else hex_text(port)}")
    texts.append(f"svm_flags={_VSOCK_FLAGS.get(flags) or f'{flags:#x} /* VMADDR_FLAG_??? */'}")
    if any(raw[13:16]):
        texts.append(f"svm_zero=[{', '.join(hex_text(byte) for byte in raw[13:16])}]")
    return ", ".join(texts)


_VSOCK_CIDS: Final = {
    0xFFFFFFFF: "VMADDR_CID_ANY", 0: "VMADDR_CID_HYPERVISOR", 1: "VMADDR_CID_LOCAL",
    2: "VMADDR_CID_HOST",
}  # fmt: skip
_VSOCK_FLAGS: Final = {0: "0", 1: "VMADDR_FLAG_TO_HOST"}


def _algorithm(raw: bytes) -> str:
    kind = raw[2:16].partition(b"\0")[0]
    features, mask = struct.unpack_from("<II", raw, 16)
    name = raw[24:].partition(b"\0")[0]
    return (
        f"salg_type={quote(kind)}, salg_feat={hex_text(features)}, salg_mask={hex_text(mask)}, "
        f"salg_name={quote(name)}"
    )


#: {family: (the smallest size that it can have, its printer)}.
_FAMILIES: Final[dict[int, tuple[int, Callable[[bytes], str]]]] = {
    1: (3, _unix),
    2: (16, _inet),
    10: (24, _inet6),
    16: (12, _netlink),
    17: (20, _packet),
    38: (25, _algorithm),
    40: (16, _vsock),
}


def sockaddr_text(raw: bytes) -> str:
    """Print the bytes of a socket address."""
    (number,) = struct.unpack("<H", raw[:2].ljust(2, b"\0"))
    text = f"{{sa_family={family('address_family').value(number)}"
    if len(raw) > 2:
        smallest, show = _FAMILIES.get(number, (_STORAGE + 1, _unix))
        data = show(raw) if len(raw) >= smallest else f"sa_data={quote(raw[2:])}"
        text = f"{text}, {data}"
    return text + "}"


def sockaddr_at(context: Context, address: int, size: int) -> str:
    """Print the socket address of ``size`` bytes at ``address``."""
    raw = context.fetch(address, min(size, _STORAGE)) if size >= 2 else None
    return pointer(address) if raw is None else sockaddr_text(raw)


def sockaddr_in(length: int) -> Printer:
    """Make a printer of an address that the call reads; the argument at ``length`` is its size."""

    def printer(context: Context, address: int) -> str:
        return sockaddr_at(context, address, signed32(context.arguments[length]))

    return Pointed(printer, (_STORAGE, _STORAGE), shows=sockaddr_text)


def read_length(context: Context, address: int) -> int | None:
    """Read the int at ``address``; None if it cannot be read."""
    raw = context.read(address, 4) if address else None
    return None if raw is None else int.from_bytes(raw, "little", signed=True)


def sockaddr_out(length: int) -> Printer:
    """Make a printer of an address that the kernel writes; ``length`` points to its size.

    It is as long as the kernel says, but no longer than the room there was for it.
    """

    def printer(context: Context, address: int) -> str | None:
        room = context.saved.get(length)
        if not context.leaving:
            return pointer(address) if room is None or not address else None
        got = None if context.failed else read_length(context, context.arguments[length])
        if got is None or room is None:
            return pointer(address)
        return sockaddr_at(context, address, min(room, got))

    return printer


class value_result:  # noqa: N801 - it makes printers, as the functions here do
    """The printer of a length that the kernel changes: ``[16]``, or ``[128 => 16]``."""

    __slots__ = ("_beside", "_position")

    def __init__(self, position: int, beside: int | None = None) -> None:
        self._position = position
        #: The argument whose length this is: without it nobody looks at the length.
        self._beside = beside

    def prepare(self, context: Context) -> None:
        """Keep the length that the caller offers."""
        if self._beside is None or context.arguments[self._beside]:
            length = read_length(context, context.arguments[self._position])
            if length is not None:
                context.saved[self._position] = length

    def __call__(self, context: Context, address: int) -> str | None:
        """Print it."""
        room = context.saved.get(self._position)
        if room is None:
            return pointer(address)
        if not context.leaving:
            return None
        got = None if context.failed else read_length(context, address)
        if got is None or got == room:
            return f"[{room}]"
        return f"[{room} => {got}]"


SUBJECT: Final = Subject()
