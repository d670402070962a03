"""Scheduling: policies, affinity, priorities."""

from __future__ import annotations

from typing import Final

from accel.decoding.context import Begun, Context, hex_text, pointer
from accel.decoding.families import family
from accel.decoding.layouts import Layout
from accel.decoding.numbers import (
    unsigned,
)
from accel.decoding.subject import Subject

__all__ = ["SUBJECT", "priority_text"]

_SCHED_ATTR: Final = Layout("IIQiIQQQII", None, lambda *_: "")


_SCHED_ATTR_MIN, _SCHED_ATTR_MAX = 48, 56


_KEEP_POLICY, _KEEP_PARAMS = 0x08, 0x10


_E2BIG: Final = 7


def _sched_attr_text(context: Context, raw: bytes, size: int, *, is_set: bool) -> list[str]:
    values = _SCHED_ATTR.unpack(context, raw.ljust(_SCHED_ATTR_MAX, b"\0"))
    _, policy, flags, nice, priority, runtime, deadline, period, low, high = values
    texts: list[str] = []
    if size < _SCHED_ATTR_MIN:
        return texts
    if not is_set or policy >> 31 or not flags & (_KEEP_POLICY | _KEEP_PARAMS):
        texts.append(f"sched_policy={family('sched_policy').value(policy)}")
    texts.append(f"sched_flags={family('sched_flags').flags(flags)}")
    if not is_set or not flags & _KEEP_PARAMS:
        texts += [
            f"sched_nice={nice}",
            f"sched_priority={priority}",
            f"sched_runtime={runtime}",
            f"sched_deadline={deadline}",
            f"sched_period={period}",
        ]
    if size >= _SCHED_ATTR_MAX:
        texts += [f"sched_util_min={low}", f"sched_util_max={high}"]
    return texts


def _sched_setattr(context: Context, address: int) -> str | None:
    if context.leaving:
        raw = context.read(address, 4) if context.result == -_E2BIG and address else None
        return "" if raw is None else f" => {{size={int.from_bytes(raw, 'little')}}}"
    first = context.fetch(address, 4)
    if first is None:
        return pointer(address)
    stated = int.from_bytes(first, "little")
    wanted = stated or _SCHED_ATTR_MIN
    size = min(wanted, _SCHED_ATTR_MAX)
    raw = context.fetch(address, size) if size >= _SCHED_ATTR_MIN else first
    if raw is None:
        return pointer(address)
    texts = [f"size={stated}", *_sched_attr_text(context, raw, size, is_set=True)]
    return Begun("{" + ", ".join([*texts, "..."] if wanted > size else texts) + "}")


def _sched_getattr(context: Context, address: int) -> str | None:
    if not context.leaving:
        return None
    asked = min(context.arguments[2] & 0xFFFFFFFF, _SCHED_ATTR_MAX)
    raw = context.fetch(address, asked) if asked else None
    if raw is None:
        return pointer(address)
    written = int.from_bytes(raw[:4].ljust(4, b"\0"), "little")
    texts = [f"size={written}", *_sched_attr_text(context, raw, written, is_set=False)]
    return "{" + ", ".join(texts) + "}"


def _sched_param(context: Context, address: int) -> str:
    raw = context.fetch(address, 4)
    return pointer(address) if raw is None else f"[{int.from_bytes(raw, 'little', signed=True)}]"


def _sched_param_out(context: Context, address: int) -> str | None:
    return _sched_param(context, address) if context.leaving else None


def _policy_returned(context: Context) -> None:
    if not context.failed and context.result is not None:
        context.note = family("sched_policy").names.get(context.result, "")


def _cpu_set(context: Context, address: int, size: int) -> str:
    """Print a set of processors; the kernel's has as many words as the machine needs."""
    if context.failed or not address:
        return pointer(address)
    if not size:
        return "[]"
    shown = min(size, _CPU_SET_MAX)
    raw = context.read(address, shown)
    if raw is None:
        return pointer(address)
    mask = int.from_bytes(raw, "little")
    texts = [str(cpu) for cpu in range(mask.bit_length()) if mask >> cpu & 1]
    if shown < size:
        texts.append("...")
    return f"[{' '.join(texts)}]"


_CPU_SET_MAX: Final = 128


def _affinity_in(context: Context, address: int) -> str:
    return _cpu_set(context, address, context.arguments[1] & 0xFFFFFFFF)


def _affinity_out(context: Context, address: int) -> str | None:
    return _cpu_set(context, address, context.result or 0) if context.leaving else None


def priority_text(value: int) -> str:
    """Print an I/O priority: its class and its level."""
    kind, level = value >> 13, value & 0x1FFF
    name = family("ioprio_class").names.get(kind)
    return f"IOPRIO_PRIO_VALUE({name or f'{hex_text(kind)} /* IOPRIO_CLASS_??? */'}, {level})"


def _priority_returned(context: Context) -> None:
    if context.result is not None and not context.failed:
        context.note = priority_text(context.result & 0xFFFFFFFF)


def _priority(_: Context, value: int) -> str:
    return priority_text(value & 0xFFFFFFFF)


SUBJECT: Final = Subject(
    arguments={
        "sched_setscheduler.param": _sched_param,
        "sched_setparam.param": _sched_param,
        "sched_getparam.param": _sched_param_out,
        "sched_setattr.attr": _sched_setattr,
        "sched_getattr.attr": _sched_getattr,
        "sched_setaffinity.mask": _affinity_in,
        "sched_getaffinity.mask": _affinity_out,
        "ioprio_set.ioprio": _priority,
        "sched_setattr.flags": unsigned(32),
        "sched_getattr.flags": unsigned(32),
    },
    remarks={
        "sched_getscheduler": _policy_returned,
        "ioprio_get": _priority_returned,
    },
)
