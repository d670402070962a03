"""Keys and keyrings: add_key(2), request_key(2) and the operations of keyctl(2)."""

from __future__ import annotations

from typing import Final

from accel.decoding.choices import Table, chosen, named, once_left, plain_pointer
from accel.decoding.context import Context, pointer
from accel.decoding.errnos import errno_name
from accel.decoding.families import family
from accel.decoding.flags import flag_set
from accel.decoding.iovecs import ALL, iovecs_at
from accel.decoding.layouts import Layout, read_in
from accel.decoding.numbers import signed, signed32, unsigned, user
from accel.decoding.strings import bytes_at, string, without_last_nul
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]


def _serial(_: Context, value: int) -> str:
    return serial_text(value)


def serial_text(value: int) -> str:
    """Print the number of a key, or the name of a keyring that every process has."""
    return family("key_serial").names.get(_widened(value)) or str(signed32(value))


def _widened(value: int) -> int:
    # The headers say -1 .. -8, as 64 bits.
    number = signed32(value)
    return number & 0xFFFFFFFFFFFFFFFF


def _payload(context: Context, address: int) -> str:
    return bytes_at(context, address, context.arguments[3])


def _read_out(context: Context, address: int) -> str:
    """Print what was read of a key, or of its description (which ends with NUL)."""
    if context.failed or context.result is None:
        return pointer(address)
    size = min(context.result & 0xFFFFFFFFFFFFFFFF, context.arguments[3])
    if context.arguments[0] & 0xFFFFFFFF == _READ:
        return bytes_at(context, address, size)
    return without_last_nul(context, address, size)


def _iov(context: Context, address: int) -> str:
    return iovecs_at(context, address, context.arguments[3], ALL)


def _error(_: Context, value: int) -> str:
    value &= 0xFFFFFFFF
    return errno_name(value) or str(value)


def _dh(_: Context, private: int, prime: int, base: int) -> str:
    return (
        f"{{private={serial_text(private)}, prime={serial_text(prime)}, base={serial_text(base)}}}"
    )


_READ: Final = 11
_NUMBER: Final = unsigned(64)
_u32: Final = unsigned(32)
_id: Final = user(32)
_description = once_left(_read_out)

#: The arguments after the operation.
_OPERATIONS: Final[Table] = {
    0: (_serial, signed(32)),  # GET_KEYRING_ID
    1: (string,),  # JOIN_SESSION_KEYRING
    2: (_serial, _payload, _NUMBER),  # UPDATE
    3: (_serial,),  # REVOKE
    4: (_serial, _id, _id),  # CHOWN
    5: (_serial, flag_set("key_permissions", 32)),  # SETPERM
    6: (_serial, _description, _NUMBER),  # DESCRIBE
    7: (_serial,),  # CLEAR
    8: (_serial, _serial),  # LINK
    9: (_serial, _serial),  # UNLINK
    10: (_serial, string, string, _serial),  # SEARCH
    _READ: (_serial, _description, _NUMBER),
    12: (_serial, _payload, _NUMBER, _serial),  # INSTANTIATE
    13: (_serial, _u32, _serial),  # NEGATE
    14: (named("key_reqkey", 32),),  # SET_REQKEY_KEYRING
    15: (_serial, _u32),  # SET_TIMEOUT
    16: (_serial,),  # ASSUME_AUTHORITY
    17: (_serial, _description, _NUMBER),  # GET_SECURITY
    18: (),  # SESSION_TO_PARENT
    19: (_serial, _u32, _error, _serial),  # REJECT
    20: (_serial, _iov, _NUMBER, _serial),  # INSTANTIATE_IOV
    21: (_serial,),  # INVALIDATE
    22: (_id, _serial),  # GET_PERSISTENT
    23: (
        read_in(Layout("III", None, _dh)), once_left(_read_out), _NUMBER, plain_pointer,
    ),
    29: (_serial, string, string),  # RESTRICT_KEYRING
    30: (_serial, _serial, _serial, flag_set("keyctl_move_flags", 32)),  # MOVE
}  # fmt: skip

SUBJECT: Final = Subject(
    arguments={
        "add_key.keyring": _serial,
        "request_key.dest_keyring": _serial,
    },
    calls={
        "keyctl": (
            ("operation", named("keyctl_operation", 32)),
            *chosen(["arg2", "arg3", "arg4", "arg5"], _OPERATIONS, 0, 1),
        ),
    },
)
