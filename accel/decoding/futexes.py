"""futex(2): each operation has arguments of its own."""

from __future__ import annotations

from typing import Final

from accel.decoding.choices import Table, chosen, named, plain_pointer
from accel.decoding.context import Context, Printer, hex_text
from accel.decoding.families import family
from accel.decoding.layouts import Layout, read_in
from accel.decoding.numbers import hexadecimal, unsigned
from accel.decoding.subject import Steps, Subject
from accel.decoding.times import timespec, timespec_long

__all__ = ["SUBJECT"]

(_WAIT, _WAKE, _FD, _REQUEUE, _CMP_REQUEUE, _WAKE_OP, _LOCK_PI, _UNLOCK_PI, _TRYLOCK_PI,
 _WAIT_BITSET, _WAKE_BITSET, _WAIT_REQUEUE_PI, _CMP_REQUEUE_PI, _LOCK_PI2) = range(14)  # fmt: skip
_COMMAND: Final = 127
_OPARG_SHIFT: Final = 8

_u32: Final = unsigned(32)
_bitset: Final = named("futex_bitset", 32)


def _skip(_: Context, __: int) -> str:
    return ""


def _wake_op(_: Context, value: int) -> str:
    """Print the operation and the comparison that FUTEX_WAKE_OP packs into its last argument."""
    operation, comparison = value >> 28 & 7, value >> 24 & 0xF
    texts = ["FUTEX_OP_OPARG_SHIFT<<28"] if value >> 28 & _OPARG_SHIFT else []
    texts += [
        _shifted("futex_wake_op", operation, 28, "FUTEX_OP_???"),
        f"{hex_text(value >> 12 & 0xFFF)}<<12",
        _shifted("futex_wake_cmp", comparison, 24, "FUTEX_OP_CMP_???"),
        hex_text(value & 0xFFF),
    ]
    return "|".join(texts)


def _shifted(name: str, value: int, shift: int, unknown: str) -> str:
    text = family(name).names.get(value)
    return f"{text}<<{shift}" if text else f"{hex_text(value)}<<{shift} /* {unknown} */"


def _operations(timeout: Printer) -> Table:
    """Make the table of the arguments after the operation: val, timeout or val2, uaddr2, val3."""
    p = plain_pointer
    return {
        _WAIT: (_u32, timeout),
        _WAKE: (_u32,),
        _FD: (_u32,),
        _REQUEUE: (_u32, _u32, p),
        _CMP_REQUEUE: (_u32, _u32, p, _u32),
        _WAKE_OP: (_u32, _u32, p, _wake_op),
        _LOCK_PI: (_skip, timeout),
        _UNLOCK_PI: (),
        _TRYLOCK_PI: (),
        _WAIT_BITSET: (_u32, timeout, _skip, _bitset),
        _WAKE_BITSET: (_u32, _skip, _skip, _bitset),
        _WAIT_REQUEUE_PI: (_u32, timeout, p),
        _CMP_REQUEUE_PI: (_u32, _u32, p, _u32),
        _LOCK_PI2: (_skip, timeout),
    }


def _futex(timeout: Layout) -> Steps:
    return (
        ("uaddr", plain_pointer),
        ("futex_op", named("futex_op", 32)),
        *chosen(
            ["val", "timeout", "uaddr2", "val3"],
            _operations(read_in(timeout)),
            1,
            2,
            mask=_COMMAND,
            default=(_u32, plain_pointer, plain_pointer, hexadecimal(32)),
        ),
    )


def _waiter(_: Context, value: int, address: int, flags: int, reserved: int) -> str:
    more = f", __reserved={reserved:#x}" if reserved else ""
    return (
        f"{{val={hex_text(value)}, uaddr={plain_pointer(_, address)}, "
        f"flags={family('futex_waiter_flags').flags(flags)}{more}}}"
    )


SUBJECT: Final = Subject(
    layouts={"futex_waitv": Layout("QQII", None, _waiter)},
    calls={"futex": _futex(timespec_long), "futex_time64": _futex(timespec)},
)
