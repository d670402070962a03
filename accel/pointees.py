"""Conditions on tracee memory: ``path.within("/srv")``, ``sockaddr.port == 443``.

They are judged at the stop before the call, by the tracer's loop (``checks``): no filter can read
memory. Another thread of the tracee, or of whoever shares that memory, can change it before the
kernel reads it. So they are sound where a call is skipped, and a race where it runs: see
``MemoryCondition``.

Memory that cannot be read, and an address that has no such field, fulfil no condition, so that
``~`` of it, and ``!=``, hold. Where calls are refused, name what is allowed: fail() goes ``where=
~path.within("/srv")``.
"""

from __future__ import annotations

import os
import posixpath
from typing import Final, Literal, TypeAlias

from accel.abi import Abi
from accel.arguments import Comparable, compare
from accel.call import Call, Memory
from accel.errors import MaskError
from accel.expressions import Expression, Facts, MemoryCondition, Not, Spelled
from accel.roles import Role, signature
from bpf.value import frozen

__all__ = [
    "PathCondition",
    "SockaddrCondition",
    "path",
    "path_position",
    "sockaddr",
    "sockaddr_length",
]

#: <linux/limits.h>; the NUL is among them.
_PATH_MAX: Final = 4096
_PAGE: Final = 4096
#: <linux/socket.h>: the families whose addresses have a port, in bytes 2 and 3.
_WITH_PORT: Final = (2, 10)

Text: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
PathTest: TypeAlias = Literal["==", "startswith", "within"]
Field: TypeAlias = Literal["family", "port"]


@frozen
class PathCondition(MemoryCondition):
    """What a path argument, as the call spells it, is to be."""

    #: Which of the call's paths, by position among them or by its name.
    which: int | str
    test: PathTest
    text: bytes

    def judge(self, facts: Facts, /) -> bool | None:
        """Read the path and compare; None where there is no memory to read."""
        if facts.call is None or facts.memory is None:
            return None
        at = path_position(facts.call.abi, facts.call.number, self.which)
        found = _path_at(facts.memory, facts.call.arguments[at])
        if found is None:
            return False
        if self.test == "within":
            return _is_within(found, self.text)
        return found.startswith(self.text) if self.test == "startswith" else found == self.text

    def check(self, abi: Abi, number: int) -> None:
        """Raise MaskError if the call has no such path."""
        path_position(abi, number, self.which)

    @property
    def is_call(self) -> bool:
        """Whether it is written as the call of a method."""
        return self.test != "=="

    def __str__(self) -> str:
        subject, text = str(PathArgument(self.which)), repr(os.fsdecode(self.text))
        return f"{subject}.{self.test}({text})" if self.is_call else f"{subject} == {text}"


@frozen
class PathArgument:
    """A path argument of whatever call the condition is applied to; ``path`` is the first.

    Paths are compared as calls spell them, without the tracee's working directory, and without
    looking at any file: a symbolic link is the name that it has.
    """

    which: int | str = 0

    def __getitem__(self, which: int | str) -> PathArgument:
        """Choose one of several paths, by position or by the kernel's name of it."""
        return PathArgument(which)

    def startswith(self, prefix: Text) -> Expression:
        """Ask whether the path's bytes begin with ``prefix``."""
        return PathCondition(self.which, "startswith", os.fsencode(prefix))

    def within(self, directory: Text) -> Expression:
        """Ask for ``directory`` itself, or what is below it, lexically.

        ``.``, ``..`` and repeated slashes are taken out of the path first. A relative path is
        within nothing. Raise ValueError for a ``directory`` that is not absolute.
        """
        root = os.fsencode(directory)
        if not root.startswith(b"/"):
            raise ValueError(f"{directory!r} is not absolute")
        return PathCondition(self.which, "within", _normal(root))

    def __eq__(self, text: object) -> Expression:  # type: ignore[override]  # an expression
        return PathCondition(self.which, "==", _bytes_of(text))

    def __ne__(self, text: object) -> Expression:  # type: ignore[override]  # an expression
        equal = self == text
        return Spelled(str(equal).replace(" == ", " != ", 1), Not(equal))

    __hash__ = None  # type: ignore[assignment]  # equality makes a condition

    def __bool__(self) -> bool:
        raise TypeError("compare it with a path: as it is, it is neither true nor false")

    def __str__(self) -> str:
        return "path" if self.which == 0 else f"path[{self.which!r}]"


#: The first path argument of a call; ``path[1]`` is its second, ``path["newpath"]`` one by name.
path: Final = PathArgument()


@frozen
class SockaddrCondition(MemoryCondition):
    """What a number in the socket address of a call is to be."""

    field: Field
    operator: str
    value: int

    def judge(self, facts: Facts, /) -> bool | None:
        """Read the address and compare; None where there is no memory to read."""
        if facts.call is None or facts.memory is None:
            return None
        found = _field(self.field, _address_of(facts.call, facts.memory))
        # Of what is not there nothing is true, and "!=" is the opposite of "==".
        return self.operator == "!=" if found is None else compare(found, self.operator, self.value)

    def check(self, abi: Abi, number: int) -> None:
        """Raise MaskError if the call takes no socket address."""
        sockaddr_length(abi, number)

    def __str__(self) -> str:
        return f"sockaddr.{self.field} {self.operator} {self.value}"


@frozen
class SockaddrField(Comparable):
    """A number in the socket address that bind, connect and sendto are given."""

    field: Field

    def _compare(self, operator: str, value: object) -> SockaddrCondition:
        if not isinstance(value, int) or not 0 <= value < 1 << 16:
            raise TypeError(f"a {self.field} is compared with a number of 16 bits, not {value!r}")
        return SockaddrCondition(self.field, operator, int(value))

    __eq__ = Comparable.__eq__
    __hash__ = None

    def __str__(self) -> str:
        return f"sockaddr.{self.field}"


class _Sockaddr:
    """``sockaddr.family``, and ``sockaddr.port`` of AF_INET and AF_INET6."""

    __slots__ = ()

    family: Final = SockaddrField("family")
    port: Final = SockaddrField("port")


sockaddr: Final = _Sockaddr()


# ------------------------------------------------------------------------------- looking at memory


def path_position(abi: Abi, number: int, which: int | str) -> int:
    """Find the argument that is one of a call's paths; raise MaskError if there is none."""
    name = abi.call_name(number)
    arguments = signature(abi, name)
    paths = [at for at, one in enumerate(arguments) if one.role is Role.PATH]
    if isinstance(which, int):
        paths = paths[which : which + 1] if which >= 0 else []
    else:
        paths = [at for at in paths if arguments[at].name == which]
    if not paths:
        names = [one.name for one in arguments if one.role is Role.PATH]
        raise MaskError(
            f"{name} has no {PathArgument(which)}",
            hint=f"its paths are {', '.join(names)}" if names else "it takes no path",
        )
    return paths[0]


def _path_at(memory: Memory, address: int) -> bytes | None:
    """Read a path as the kernel would: None where it would fail with EFAULT or ENAMETOOLONG."""
    found = b""
    while len(found) < _PATH_MAX:
        at = address + len(found)
        part = memory.read(at, min(_PAGE - at % _PAGE, _PATH_MAX - len(found)))
        text, nul, _rest = part.partition(b"\0")
        found += text
        if nul:
            return found
        if not part:
            return None
    return None


def _normal(text: bytes) -> bytes:
    """Take ``.``, ``..`` and repeated slashes out of an absolute path; POSIX keeps a leading //."""
    return b"/" + posixpath.normpath(text).lstrip(b"/")


def _is_within(text: bytes, root: bytes) -> bool:
    if not text.startswith(b"/"):
        return False
    normal = _normal(text)
    return normal == root or normal.startswith(root.rstrip(b"/") + b"/")


def _bytes_of(text: object) -> bytes:
    if not isinstance(text, (str, bytes, os.PathLike)):
        raise TypeError(f"a path is compared with a path, not {text!r}")
    return os.fsencode(text)


def sockaddr_length(abi: Abi, number: int) -> tuple[int, int | None]:
    """Find the argument that is a call's socket address, and the one that counts its bytes.

    Raise MaskError if the call takes no address.
    """
    name = abi.call_name(number)
    for at, argument in enumerate(signature(abi, name)):
        if argument.role is Role.SOCKADDR_IN:
            return at, argument.length
    raise MaskError(f"{name} takes no socket address", hint="bind, connect and sendto do")


def _address_of(call: Call, memory: Memory) -> bytes:
    """Read the first four bytes of the address, or fewer if it is shorter."""
    at, length = sockaddr_length(call.abi, call.number)
    size = 4 if length is None else call.arguments[length] & 0xFFFF_FFFF
    return memory.read(call.arguments[at], min(size, 4))


def _field(field: Field, address: bytes) -> int | None:
    if len(address) < 2:
        return None
    family = int.from_bytes(address[:2], "little")
    if field == "family":
        return family
    if family not in _WITH_PORT or len(address) < 4:
        return None
    return int.from_bytes(address[2:4], "big")
