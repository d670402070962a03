"""seccomp(2) and Landlock."""

from __future__ import annotations

from typing import Final

from accel.decoding.choices import (
    Table,
    chosen,
    named,
    once_left,
    plain_pointer,
)
from accel.decoding.context import Context, pointer
from accel.decoding.families import family
from accel.decoding.flags import flag_set
from accel.decoding.layouts import Layout, read_at
from accel.decoding.numbers import (
    descriptor_text,
    hexadecimal,
)
from accel.decoding.programs import filter_program
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]


def _seccomp_action(context: Context, address: int) -> str:
    raw = context.read(address, 4) if address else None
    if raw is None:
        return pointer(address)
    return f"[{family('seccomp_action').value(int.from_bytes(raw, 'little'))}]"


def _notification_sizes(_: Context, notif: int, response: int, data: int) -> str:
    return f"{{seccomp_notif={notif}, seccomp_notif_resp={response}, seccomp_data={data}}}"


_sizes_layout = Layout("HHH", None, _notification_sizes)


_FLAGS: Final = hexadecimal(32)
_SECCOMP: Final[Table] = {
    1: (flag_set("seccomp_flags", 32), filter_program),
    2: (_FLAGS, _seccomp_action),
    3: (_FLAGS, once_left(lambda context, value: read_at(context, value, _sizes_layout))),
}


def _ruleset(context: Context, address: int) -> str:
    size = context.arguments[1]
    raw = context.fetch(address, 8) if size >= 8 else None
    if raw is None:
        return pointer(address)
    access = family("landlock_access").flags(int.from_bytes(raw, "little"))
    return f"{{handled_access_fs={access}{', ...' if size > 8 else ''}}}"


def _landlock_rule(context: Context, address: int) -> str:
    if context.arguments[1] & 0xFFFFFFFF != 1:
        return pointer(address)
    raw = context.fetch(address, 12)
    if raw is None:
        return pointer(address)
    access = family("landlock_access").flags(int.from_bytes(raw[:8], "little"))
    number = int.from_bytes(raw[8:], "little", signed=True)
    return f"{{allowed_access={access}, parent_fd={descriptor_text(context, number)}}}"


def _landlock_remark(context: Context) -> None:
    if context.arguments[2] & 1:
        context.radix = "d"


SUBJECT: Final = Subject(
    arguments={
        "landlock_create_ruleset.attr": _ruleset,
        "landlock_add_rule.rule_type": named("landlock_rule_type", 32),
        "landlock_add_rule.rule_attr": _landlock_rule,
    },
    calls={
        "seccomp": (
            ("operation", named("seccomp_operation", 32)),
            *chosen(["flags", "args"], _SECCOMP, 0, 1, default=(_FLAGS, plain_pointer)),
        ),
    },
    remarks={
        "landlock_create_ruleset": _landlock_remark,
    },
)
