"""Conditions on tracee memory: what they read, what they need, what is not there."""

from __future__ import annotations

import socket
import struct

import pytest

from accel import Abi, Call, path, sockaddr
from accel.arguments import Conditions
from accel.call import Look
from accel.errors import MaskError
from accel.expressions import Expression, Facts
from accel.mask import SyscallMask
from accel.plan import check
from accel.testing import FakeMemory

AT = 0x10000


def judged(expression: Expression, name: str, memory: FakeMemory, *registers: int) -> bool | None:
    """Judge an expression on a call whose registers point into ``memory``."""
    arguments = (*registers, *(0,) * (6 - len(registers)))
    made = Call(1, 1, Abi.X86_64, Abi.X86_64.numbers[name], arguments)  # type: ignore[arg-type]
    return expression.judge(Facts(made, memory))


@pytest.mark.parametrize(
    ("spelled", "is_within"),
    [
        ("/srv", True), ("/srv/", True), ("/srv/a/b", True), ("//srv", True), ("/./srv/x", True),
        ("/srv/../srv/a", True), ("/etc/../srv", True), ("/srvx", False), ("/srv/..", False),
        ("/srv/../etc/passwd", False), ("srv/a", False), ("", False), ("/", False),
        ("/SRV", False),
    ],
)  # fmt: skip
def test_within_is_lexical(spelled: str, is_within: bool) -> None:
    """The directory and what is below it, once dots and repeated slashes are taken out."""
    memory = FakeMemory({AT: spelled.encode() + b"\0"})
    assert judged(path.within("/srv"), "openat", memory, 0, AT) is is_within
    assert judged(path.within("//srv/./"), "openat", memory, 0, AT) is is_within
    assert judged(path.within("/"), "openat", memory, 0, AT) is spelled.startswith("/")


def test_a_relative_directory_has_no_subtree() -> None:
    """Whose working directory would it be?"""
    with pytest.raises(ValueError, match="not absolute"):
        path.within("srv")


def test_two_paths_are_told_apart() -> None:
    """By position among the paths, or by the kernel's name."""
    memory = FakeMemory({AT: b"/old\0", 2 * AT: b"/new\0"})
    for subject in (path[1], path["newpath"]):
        assert judged(subject == "/new", "rename", memory, AT, 2 * AT)
        assert judged(subject != "/old", "rename", memory, AT, 2 * AT)
        assert not judged(subject == "/old", "rename", memory, AT, 2 * AT)
    assert judged(path == "/old", "rename", memory, AT, 2 * AT)


def test_a_path_that_the_kernel_could_not_read_fulfils_nothing() -> None:
    """Not mapped, not terminated, too long: so that ``~`` and ``!=`` hold."""
    memory = FakeMemory({AT: b"/srv", 2 * AT: b"/srv" + b"x" * 4092 + b"\0"})
    for address in (0, 5 * AT, AT, 2 * AT):
        assert judged(path.startswith(""), "openat", memory, 0, address) is False
        assert judged(~path.within("/"), "openat", memory, 0, address) is True
        assert judged(path != "/srv", "openat", memory, 0, address) is True
    whole = FakeMemory({AT: b"/srv" + b"x" * 4091 + b"\0"})
    assert judged(path.startswith("/srv"), "openat", whole, 0, AT) is True


def test_a_path_may_reach_over_pages() -> None:
    """It is read to the end of each, where the next need not be mapped."""
    memory = FakeMemory({AT + 4094: b"/s", AT + 4096: b"rv\0"})
    assert judged(path == "/srv", "openat", memory, 0, AT + 4094)


def test_one_look_reads_memory_once() -> None:
    """Whatever many conditions ask of it: they all judge the same bytes."""
    memory = FakeMemory({AT: b"/srv\0"})
    look = Look(memory)
    made = Call(1, 1, Abi.X86_64, Abi.X86_64.numbers["openat"], (0, AT, 0, 0, 0, 0))
    expression = (path == "/a") | path.startswith("/b") | path.within("/srv")
    assert expression.judge(Facts(made, look))
    assert memory.reads == 1


def test_without_memory_nothing_is_known() -> None:
    """Unless a scalar condition says enough."""
    made = Call(1, 1, Abi.X86_64, Abi.X86_64.numbers["openat"], (0, AT, 0, 0, 0, 0))
    assert (path == "/a").judge(Facts(made)) is None
    assert (~(path == "/a")).judge(Facts(made)) is None


@pytest.mark.parametrize(
    ("address", "length", "family", "port"),
    [
        (struct.pack("=H", socket.AF_INET) + struct.pack(">H", 443), 16, socket.AF_INET, 443),
        (struct.pack("=H", socket.AF_INET6) + struct.pack(">H", 443), 28, socket.AF_INET6, 443),
        (struct.pack("=H", socket.AF_UNIX) + b"\x01\xbb", 4, socket.AF_UNIX, None),
        (struct.pack("=H", socket.AF_INET) + struct.pack(">H", 443), 3, socket.AF_INET, None),
        (struct.pack("=H", socket.AF_INET), 1, None, None),
    ],
)
def test_a_socket_address_has_a_family_and_perhaps_a_port(
    address: bytes, length: int, family: int | None, port: int | None
) -> None:
    """As far as the call's length goes; what is not there is equal to nothing."""
    memory = FakeMemory({AT: address})
    arguments = (3, AT, length)
    for value in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
        assert judged(sockaddr.family == value, "connect", memory, *arguments) is (value == family)
        assert judged(sockaddr.family != value, "connect", memory, *arguments) is (value != family)
    assert judged(sockaddr.port == 443, "connect", memory, *arguments) is (port == 443)
    assert judged(sockaddr.port != 443, "connect", memory, *arguments) is (port != 443)
    assert judged(sockaddr.port.between(0, 65535), "connect", memory, *arguments) is bool(port)


@pytest.mark.parametrize(
    ("where", "mask", "reason"),
    [
        (path == "/a", "read", "it takes no path"),
        (path[1] == "/a", "openat", "its paths are pathname"),
        (path["filename"] == "/a", "rename", "oldpath, newpath"),
        (sockaddr.port == 1, "socket", "bind, connect and sendto do"),
    ],
)
def test_a_call_without_what_is_asked_for_is_an_error(
    where: Expression, mask: str, reason: str
) -> None:
    """It says what there is."""
    with pytest.raises(MaskError, match=reason):
        check(Conditions.of(where), SyscallMask.parse(mask))
