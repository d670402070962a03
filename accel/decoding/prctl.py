"""prctl(2) and arch_prctl(2): operations on the calling thread."""

from __future__ import annotations

from typing import Final

from accel.decoding.choices import Table, chosen, indirect, named, plain_pointer
from accel.decoding.context import Context, Printer, hex_text, pointer
from accel.decoding.families import family
from accel.decoding.flags import flag_set
from accel.decoding.layouts import number
from accel.decoding.numbers import hexadecimal, process, signed, signed32, unsigned
from accel.decoding.programs import filter_program
from accel.decoding.signal_lines import signal_name
from accel.decoding.strings import string, string_at
from accel.decoding.subject import Subject

__all__ = ["SUBJECT"]

_HEX: Final = hexadecimal(64)
_UNSIGNED: Final = unsigned(64)
_COMM: Final = 16

_unsigned_out = indirect(number("I"))
_word_out = indirect(number("Q", "I", pointer))


def _signal_out(context: Context, address: int) -> str | None:
    return indirect(number("i", text=_signal_or_zero))(context, address)


def _signal_or_zero(value: int) -> str:
    return signal_name(value)


def _name(context: Context, address: int) -> str:
    return string_at(context, address, _COMM - 1)


def _name_out(context: Context, address: int) -> str | None:
    if not context.leaving:
        return None
    return pointer(address) if context.failed else string_at(context, address, _COMM)


def _death_signal(_: Context, value: int) -> str:
    return str(value) if value > 128 else signal_name(value)


def _ptracer(_: Context, value: int) -> str:
    pid = signed32(value)
    return "PR_SET_PTRACER_ANY" if pid == -1 else str(pid)


def _mode_argument(context: Context, address: int) -> str | None:
    """Print what follows the mode of seccomp: the program of SECCOMP_MODE_FILTER."""
    mode = context.arguments[1]
    if mode == 1:
        return ""
    return filter_program(context, address) if mode == 2 else _HEX(context, address)


def _mode_rest(context: Context, value: int) -> str | None:
    return _HEX(context, value) if context.arguments[1] not in (1, 2) else ""


def _vma_address(context: Context, value: int) -> str | None:
    return pointer(value) if context.arguments[1] == 0 else _HEX(context, value)


def _vma_size(context: Context, value: int) -> str | None:
    return str(value) if context.arguments[1] == 0 else _HEX(context, value)


def _vma_name(context: Context, value: int) -> str | None:
    return string(context, value) if context.arguments[1] == 0 else _HEX(context, value)


def _if_second(values: tuple[int, ...], then: Printer) -> Printer:
    """Choose a printer by the second argument: the operation below the option."""

    def printer(context: Context, value: int) -> str | None:
        return (then if context.arguments[1] in values else _HEX)(context, value)

    return printer


def _core_scope(_: Context, value: int) -> str:
    value &= 0xFFFFFFFF
    name = family("prctl_sched_core_scope").names.get(value)
    return f"{hex_text(value)} /* {name or 'PIDTYPE_???'} */"


def _core_cookie(context: Context, address: int) -> str | None:
    if context.arguments[1] & 0xFFFFFFFF != 0:
        return pointer(address)
    return indirect(number("Q", text=hex_text))(context, address)


_capability = named("capability")
_speculation = named("prctl_speculation")
_rest3 = (_HEX, _HEX, _HEX)

#: The arguments after the option.
_OPTIONS: Final[Table] = {
    1: (_death_signal,),  # PR_SET_PDEATHSIG
    2: (_signal_out,),  # PR_GET_PDEATHSIG
    3: (),  # PR_GET_DUMPABLE
    4: (named("prctl_dumpable"),),  # PR_SET_DUMPABLE
    5: (_unsigned_out,),  # PR_GET_UNALIGN
    6: (flag_set("prctl_unalign", 32),),  # PR_SET_UNALIGN
    7: (),  # PR_GET_KEEPCAPS
    8: (_UNSIGNED,),  # PR_SET_KEEPCAPS
    9: (_unsigned_out,),  # PR_GET_FPEMU
    10: (_UNSIGNED,),  # PR_SET_FPEMU
    11: (_unsigned_out,),  # PR_GET_FPEXC
    12: (_UNSIGNED,),  # PR_SET_FPEXC
    13: (),  # PR_GET_TIMING
    14: (_UNSIGNED,),  # PR_SET_TIMING
    15: (_name,),  # PR_SET_NAME
    16: (_name_out,),  # PR_GET_NAME
    19: (_unsigned_out,),  # PR_GET_ENDIAN
    20: (_UNSIGNED,),  # PR_SET_ENDIAN
    21: (),  # PR_GET_SECCOMP
    22: (named("seccomp_mode"), _mode_argument, _mode_rest, _mode_rest),  # PR_SET_SECCOMP
    23: (_capability,),  # PR_CAPBSET_READ
    24: (_capability,),  # PR_CAPBSET_DROP
    25: (indirect(number("I", text=lambda value: family("prctl_tsc").value(value))),),
    26: (named("prctl_tsc", 32),),  # PR_SET_TSC
    27: (),  # PR_GET_SECUREBITS
    28: (flag_set("securebits", 64),),  # PR_SET_SECUREBITS
    29: (signed(64),),  # PR_SET_TIMERSLACK
    30: (),  # PR_GET_TIMERSLACK
    31: (),  # PR_TASK_PERF_EVENTS_DISABLE
    32: (),  # PR_TASK_PERF_EVENTS_ENABLE
    33: (  # PR_MCE_KILL
        named("prctl_mce_kill"), _if_second((1,), named("prctl_mce_kill_policy")), _HEX, _HEX,
    ),
    34: (_HEX, _HEX, _HEX, _HEX),  # PR_MCE_KILL_GET
    35: (named("prctl_mm", 32), *_rest3),  # PR_SET_MM
    36: (_UNSIGNED,),  # PR_SET_CHILD_SUBREAPER
    37: (_unsigned_out,),  # PR_GET_CHILD_SUBREAPER
    38: (_UNSIGNED, *_rest3),  # PR_SET_NO_NEW_PRIVS
    40: (_word_out,),  # PR_GET_TID_ADDRESS
    41: (_UNSIGNED, *_rest3),  # PR_SET_THP_DISABLE
    46: (),  # PR_GET_FP_MODE
    47: (  # PR_CAP_AMBIENT
        named("prctl_cap_ambient"), _if_second((1, 2, 3), _capability), _HEX, _HEX,
    ),
    52: (_speculation,),  # PR_GET_SPECULATION_CTRL
    53: (_speculation, _if_second((0, 1, 2), named("prctl_speculation_state"))),
    57: (_UNSIGNED, *_rest3),  # PR_SET_IO_FLUSHER
    59: (named("prctl_syscall_dispatch"), _HEX, _HEX, plain_pointer),
    62: (named("prctl_sched_core", 32), process, _core_scope, _core_cookie),  # PR_SCHED_CORE
    0x53564D41: (named("prctl_vma"), _vma_address, _vma_size, _vma_name),  # PR_SET_VMA
    0x59616D61: (_ptracer,),  # PR_SET_PTRACER
}  # fmt: skip

_GET_DUMPABLE, _GET_SECUREBITS, _MCE_KILL_GET, _GET_SPECULATION = 3, 27, 34, 52


def _remark(context: Context) -> None:
    """Say what the number that an option returned means."""
    result, option = context.result, context.arguments[0] & 0xFFFFFFFF
    if result is None or context.failed:
        return
    if option == _GET_DUMPABLE:
        context.note = family("prctl_dumpable").names.get(result, "")
    elif option == _MCE_KILL_GET:
        context.note = family("prctl_mce_kill_policy").names.get(result, "")
    elif option == _GET_SECUREBITS and result:
        context.radix, context.note = "x", _names("securebits", result)
    elif option == _GET_SPECULATION and context.arguments[1] in (0, 1, 2):
        context.radix, context.note = "x", _names("prctl_speculation_state", result)


def _names(name: str, value: int) -> str:
    """Name the flags of a result; if none has a name, say nothing."""
    names, _ = family(name).split(value)
    return "|".join(family(name).parts(value)) if names else ""


# ---------------------------------------------------------------------------------- arch_prctl

_ARCH_GET_FS, _ARCH_GET_GS, _ARCH_GET_CPUID = 0x1003, 0x1004, 0x1011
_XCOMP_SUPP, _XCOMP_PERM, _XCOMP_GUEST = 0x1021, 0x1022, 0x1024
_REQ_XCOMP, _REQ_XCOMP_GUEST = 0x1023, 0x1025
_XFEATURES: Final = (
    "FP", "SSE", "YMM", "BNDREGS", "BNDCSR", "OPMASK", "ZMM_Hi256", "Hi16_ZMM",
    "PT", "PKRU", "PASID", "", "", "", "", "LBR", "", "XTILE_CFG",
    "XTILE_DATA",
)  # fmt: skip


#: The two features of AMX have a name together.
_XTILE: Final = 3 << 17


def _features(value: int) -> str:
    known = [(name, 1 << bit) for bit, name in enumerate(_XFEATURES) if name]
    if value & _XTILE == _XTILE:
        known = [(name, bit) for name, bit in known if not bit & _XTILE] + [("XTILE", _XTILE)]
    names = [f"XFEATURE_MASK_{name}" for name, bits in known if value & bits]
    rest = value & ~sum(bits for _, bits in known)
    return "|".join([*names, hex(rest)] if rest else names)


def _feature_mask(value: int) -> str:
    return f"{value:#x} /* {_features(value) or 'XFEATURE_MASK_???'} */" if value else "0"


def _feature(_: Context, value: int) -> str:
    name = _XFEATURES[value] if value < len(_XFEATURES) else ""
    return f"{hex_text(value)} /* {f'XFEATURE_{name}' if name else 'XFEATURE_???'} */"


_features_out = indirect(number("Q", text=_feature_mask))
_ARCH_OPTIONS: Final[Table] = {
    _ARCH_GET_FS: (_word_out,),
    _ARCH_GET_GS: (_word_out,),
    _ARCH_GET_CPUID: (),
    _XCOMP_SUPP: (_features_out,),
    _XCOMP_PERM: (_features_out,),
    _XCOMP_GUEST: (_features_out,),
    _REQ_XCOMP: (_feature,),
    _REQ_XCOMP_GUEST: (_feature,),
}


def _arch_remark(context: Context) -> None:
    option = context.arguments[0] & 0xFFFFFFFF
    if option in (_REQ_XCOMP, _REQ_XCOMP_GUEST) and context.result and not context.failed:
        context.radix, context.note = "x", _features(context.result)


SUBJECT: Final = Subject(
    calls={
        "prctl": (
            ("option", named("prctl_option", 32)),
            *chosen(["arg2", "arg3", "arg4", "arg5"], _OPTIONS, 0, 1),
        ),
        "arch_prctl": (
            ("code", named("arch_prctl_code", 32)),
            *chosen(["addr"], _ARCH_OPTIONS, 0, 1),
        ),
    },
    remarks={"prctl": _remark, "arch_prctl": _arch_remark},
)
