"""What each argument of a system call is for: a descriptor, a path, a buffer, a set of flags.

A role is found by rule from the C type and the name of the argument (``role_rules``), so that calls
of a new kernel get theirs without anybody writing it down.

Decoding keys its printers on ``(role, family)``; the classes of masks (%file, %desc, ...) are
computed from roles.
"""

from __future__ import annotations

import enum
import functools

from accel import string_index
from accel.abi import Abi
from bpf.value import frozen

__all__ = ["Argument", "Role", "result", "signature", "string_arguments"]


class Role(enum.Enum):
    """What an argument, or a result, is for. ``family`` of the argument refines it."""

    #: A file descriptor; DIRFD may also be AT_FDCWD.
    FD = "fd"
    DIRFD = "dirfd"
    #: A C string that names a file; PATH_OUT is one that the kernel writes (getcwd).
    PATH = "path"
    PATH_OUT = "path_out"
    #: Any other C string.
    STRING = "string"
    #: An array of C strings that ends with NULL; family: "argv" or "envp".
    STRINGS = "strings"
    #: Bytes; ``length`` is the argument that counts them. The kernel fills _OUT, reads _IN.
    BUFFER_IN = "buffer_in"
    BUFFER_OUT = "buffer_out"
    #: A set of bits, or one value, with names; family: the set of names ("" if it has none).
    FLAGS = "flags"
    ENUM = "enum"
    #: File mode bits, in octal.
    MODE = "mode"
    SIGNAL = "signal"
    #: A process, thread or group of processes.
    PID = "pid"
    #: User and group ids; family: "16" where they have 16 bits.
    UID = "uid"
    GID = "gid"
    #: Plain numbers of the register's width or of 32 bits: decimal or hexadecimal.
    SIGNED = "signed"
    UNSIGNED = "unsigned"
    HEX = "hex"
    #: A pointer that is not followed.
    ADDRESS = "address"
    #: A position in a file, signed and 64 bits wide.
    OFFSET = "offset"
    #: Halves of one 64-bit value, on i386 (and preadv's pos_l and pos_h everywhere; x86_64 has all
    #: of it in pos_l); family: the name without _low, _high, _l, _h.
    LOW = "low"
    HIGH = "high"
    #: A device number, as mknod takes it.
    DEV = "dev"
    #: A socket address; ``length`` counts its bytes or points to that count.
    SOCKADDR_IN = "sockaddr_in"
    SOCKADDR_OUT = "sockaddr_out"
    #: A pointer to one number or to a struct; family: its C type without "struct".
    SCALAR_IN = "scalar_in"
    SCALAR_OUT = "scalar_out"
    SCALAR_INOUT = "scalar_inout"
    STRUCT_IN = "struct_in"
    STRUCT_OUT = "struct_out"
    STRUCT_INOUT = "struct_inout"
    #: A pointer to ``length`` elements; family: the C type of one.
    ARRAY_IN = "array_in"
    ARRAY_OUT = "array_out"
    ARRAY_INOUT = "array_inout"
    #: iovec arrays whose buffers the call reads (writev) or fills (readv).
    IOVEC_IN = "iovec_in"
    IOVEC_OUT = "iovec_out"
    #: A signal mask; the size in bytes is ``length``, else that of an old sigset.
    SIGSET_IN = "sigset_in"
    SIGSET_OUT = "sigset_out"
    #: select's sets: read and written; ``length`` is the highest descriptor plus one.
    FD_SET = "fd_set"
    #: Only as a result: the call does not return.
    NONE = "none"

    @property
    def is_pointer(self) -> bool:
        """Whether the argument is a pointer that decoding follows."""
        return self in _STRINGS_AND_SETS or self.value.endswith(("_in", "_out", "_inout"))

    @property
    def has_element(self) -> bool:
        """Whether the family names the C type that the argument points to."""
        return self.value.partition("_")[0] in ("array", "scalar", "struct", "sigset")


_STRINGS_AND_SETS = frozenset({Role.PATH, Role.STRING, Role.STRINGS, Role.FD_SET})


@frozen
class Argument:
    """One argument of a call."""

    name: str
    #: The C type, as ``const char *``.
    ctype: str
    role: Role
    #: Refines the role: the set of constants, the struct, the element.
    family: str = ""
    #: Position of the argument that holds the size or the count; None if there is none.
    length: int | None = None


@functools.cache
def signature(abi: Abi, name: str) -> tuple[Argument, ...]:
    """Look up the arguments of a call; () for one that no table knows, as for one without any.

    Cost: the first call loads the tables, about two milliseconds; every answer is kept.
    """
    from accel.signatures import I386  # noqa: PLC0415 - a big table, loaded when first asked for

    # x32 has x86_64's calls; most of i386's are x86_64's too, and share one description.
    return _described(name, abi is Abi.I386 and name in I386)


def string_arguments(abi: Abi, name: str) -> tuple[int, ...]:
    """Tell the positions of the first C strings that a call is given, paths among them."""
    if abi is Abi.I386 and name in string_index.I386:
        return string_index.I386[name]
    return string_index.STRINGS.get(name, ())


@functools.cache
def result(name: str) -> Role:
    """Tell what a call returns when it succeeds; SIGNED when nothing better is known."""
    from accel import role_rules  # noqa: PLC0415 - as above

    return role_rules.result(name)


@functools.cache
def _described(name: str, only_i386: bool) -> tuple[Argument, ...]:
    from accel import role_rules, signatures  # noqa: PLC0415 - as above

    table = signatures.I386 if only_i386 else signatures.SIGNATURES
    return role_rules.describe(name, table.get(name, ()))
