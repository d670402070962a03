"""Processes: clone and wait, limits and usage, scheduling, capabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from accel.decoding.context import Begun, Context, Printer, pointer
from accel.decoding.families import family
from accel.decoding.flags import persona
from accel.decoding.layouts import Layout, array_at, number, read_at
from accel.decoding.numbers import descriptor_text, padded, signed32
from accel.decoding.signals import signal_name
from accel.decoding.structs import tail
from accel.decoding.subject import Steps, Subject
from accel.decoding.times import timeval

__all__ = ["SUBJECT"]

_CSIGNAL: Final = 0xFF
_CLONE_PIDFD, _CLONE_SETTLS = 0x1000, 0x80000
_CLONE_PARENT_SETTID, _CLONE_CHILD_CLEARTID, _CLONE_CHILD_SETTID = 0x100000, 0x200000, 0x1000000
_CLONE_INTO_CGROUP: Final = 0x200000000
_INT_MAX: Final = 0x7FFFFFFF
_P_PIDFD: Final = 3

_pid = number("i", text=str)

# --------------------------------------------------------------------------------------- clone


def _labelled(label: str, printer: Callable[[Context, int], str | None]) -> Printer:
    """Print an argument with its name before it, unless there is nothing to print."""

    def labelled(context: Context, value: int) -> str | None:
        text = printer(context, value)
        return f"{label}={text}" if text else text

    return labelled


def _address(_: Context, value: int) -> str:
    return pointer(value)


def _clone_flags(_: Context, value: int) -> str:
    """Print the flags and the signal that the child sends when it dies, in one word."""
    signal, flags = value & _CSIGNAL, value & ~_CSIGNAL
    if not flags:
        return signal_name(signal)
    text = family("clone_flags").flags(flags)
    return f"{text}|{signal_name(signal)}" if signal else text


def _when(bits: int, printer: Printer) -> Printer:
    """Print an argument of clone(2) at the exit, if the flags use it."""

    def conditional(context: Context, value: int) -> str | None:
        if not context.arguments[0] & bits:
            return ""
        return printer(context, value) if context.leaving else None

    return conditional


def _parent_tid(context: Context, address: int) -> str:
    raw = context.fetch(address, 4)
    if raw is None:
        return pointer(address)
    value = int.from_bytes(raw, "little", signed=True)
    is_tid = context.arguments[0] & _CLONE_PARENT_SETTID
    return f"[{value if is_tid else descriptor_text(context, value)}]"


def _thread_area(context: Context, address: int) -> str:
    """Print where thread-local storage is: on i386 a descriptor of a segment says so."""
    return user_desc_at(context, address) if context.i386 else pointer(address)


_CLONE: Final[Steps] = (
    ("stack", _labelled("child_stack", _address)),
    ("flags", _labelled("flags", _clone_flags)),
    (
        "parent_tid",
        _labelled("parent_tid", _when(_CLONE_PARENT_SETTID | _CLONE_PIDFD, _parent_tid)),
    ),
    ("tls", _labelled("tls", _when(_CLONE_SETTLS, _thread_area))),
    (
        "child_tid",
        _labelled("child_tidptr", _when(_CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID, _address)),
    ),
)

_CLONE_ARGS: Final = (
    "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls",
    "set_tid", "set_tid_size", "cgroup",
)  # fmt: skip
_CLONE_ARGS_MIN: Final = 64
_SET_TID_MAX: Final = 32


def _clone3(context: Context, address: int) -> str | None:
    """Print struct clone_args, and what the kernel then wrote where it says."""
    size = context.arguments[1]
    known = min(size, 8 * len(_CLONE_ARGS))
    if context.leaving:
        return _clone3_results(context, address, known)
    raw = context.fetch(address, known) if known >= _CLONE_ARGS_MIN else None
    if raw is None:
        return pointer(address)
    args = _clone_args(raw)
    flags = args["flags"]
    text = "{" + ", ".join(_clone3_texts(context, args) + tail(context, address, known, size)) + "}"
    if flags & (_CLONE_PIDFD | _CLONE_PARENT_SETTID) or size > known:
        return Begun(text)
    return text


def _clone_args(raw: bytes) -> dict[str, int]:
    padded = raw.ljust(8 * len(_CLONE_ARGS), b"\0")
    return {
        name: int.from_bytes(padded[8 * at : 8 * at + 8], "little")
        for at, name in enumerate(_CLONE_ARGS)
    }


def _clone3_texts(context: Context, args: dict[str, int]) -> list[str]:
    flags = args["flags"]
    names, rest = family("clone_flags").split(flags)
    if rest:
        more, rest = family("clone3_flags").split(rest)
        names += more
    if names:
        texts = ["flags=" + "|".join([*names, *([hex(rest)] if rest else [])])]
    else:
        texts = [f"flags={hex(rest) + ' /* CLONE_??? */' if rest else '0'}"]
    for name, bits in (
        ("pidfd", _CLONE_PIDFD),
        ("child_tid", _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID),
        ("parent_tid", _CLONE_PARENT_SETTID),
    ):
        if flags & bits:
            texts.append(f"{name}={pointer(args[name])}")
    signal = args["exit_signal"]
    texts.append(f"exit_signal={signal_name(signal) if signal < _INT_MAX else signal}")
    texts.append(f"stack={pointer(args['stack'])}")
    texts.append(f"stack_size={hex(args['stack_size']) if args['stack_size'] else 0}")
    if flags & _CLONE_SETTLS:
        texts.append(f"tls={_thread_area(context, args['tls'])}")
    if args["set_tid"] or args["set_tid_size"]:
        texts += [f"set_tid={_set_tid(context, args)}", f"set_tid_size={args['set_tid_size']}"]
    if args["cgroup"] or flags & _CLONE_INTO_CGROUP:
        texts.append(f"cgroup={args['cgroup']}")
    return texts


def _set_tid(context: Context, args: dict[str, int]) -> str:
    count = args["set_tid_size"]
    if not 0 < count <= _SET_TID_MAX:
        return pointer(args["set_tid"])
    return array_at(context, args["set_tid"], count, 4, _pid.show)


def _clone3_results(context: Context, address: int, known: int) -> str:
    if context.failed:
        return ""
    raw = context.read(address, known)
    if raw is None:
        return f" => {pointer(address)}"
    args = _clone_args(raw)
    texts = []
    if args["flags"] & _CLONE_PIDFD:
        texts.append(f"pidfd={_indirect_int(context, args['pidfd'])}")
    if args["flags"] & _CLONE_PARENT_SETTID:
        texts.append(f"parent_tid={_indirect_int(context, args['parent_tid'])}")
    texts += tail(context, address, known, context.arguments[1])
    return " => {" + ", ".join(texts) + "}" if texts else ""


def _indirect_int(context: Context, address: int) -> str:
    raw = context.fetch(address, 4)
    return pointer(address) if raw is None else f"[{int.from_bytes(raw, 'little', signed=True)}]"


def _id(value: int) -> str:
    return "-1" if value == 0xFFFFFFFF else str(value)


def user_desc_at(context: Context, address: int) -> str:
    """Print struct user_desc: a segment of i386."""
    raw = context.fetch(address, 16)
    if raw is None:
        return pointer(address)
    entry, base, limit, bits = (int.from_bytes(raw[at : at + 4], "little") for at in (0, 4, 8, 12))
    texts = [
        f"entry_number={_id(entry)}",
        f"base_addr={padded(base, 8)}",
        f"limit={padded(limit, 8)}",
        f"seg_32bit={bits & 1}",
        f"contents={bits >> 1 & 3}",
        f"read_exec_only={bits >> 3 & 1}",
        f"limit_in_pages={bits >> 4 & 1}",
        f"seg_not_present={bits >> 5 & 1}",
        f"useable={bits >> 6 & 1}",
        *([] if context.i386 else [f"lm={bits >> 7 & 1}"]),
    ]
    return "{" + ", ".join(texts) + "}"


# ---------------------------------------------------------------------------------------- wait


def _status_text(status: int) -> str:
    """Print a wait status by the macros that take it apart."""
    if status & 0xFF == 0x7F:
        signal = status >> 8 & 0xFF
        flag = " | 0x80" if signal & 0x80 else ""
        text = f"{{WIFSTOPPED(s) && WSTOPSIG(s) == {signal_name(signal & 0x7F)}{flag}}}"
        status &= ~(signal << 8 | 0x7F)
    elif status & 0x7F and (status & 0x7F) + 1 & 0x7F > 1:
        dumped = " && WCOREDUMP(s)" if status & 0x80 else ""
        text = f"{{WIFSIGNALED(s) && WTERMSIG(s) == {signal_name(status & 0x7F)}{dumped}}}"
        status &= ~0xFF
    elif status & 0x7F == 0:
        text = f"{{WIFEXITED(s) && WEXITSTATUS(s) == {status >> 8 & 0xFF}}}"
        status &= ~0xFF00
    else:
        return f"[{status:#x}]"
    event, rest = status >> 16, status & 0xFFFF
    if event:
        text += f"|{family('ptrace_event').value(event)}<<16"
    if rest:
        text += f"|{rest:#x}"
    return f"[{text}]"


def _status(context: Context, address: int) -> str | None:
    if not context.leaving:
        return None
    raw = context.fetch(address, 4) if context.result else None
    return pointer(address) if raw is None else _status_text(int.from_bytes(raw, "little"))


def _rusage(context: Context, *values: int) -> str:
    texts = [
        f"ru_utime={timeval.render(context, *values[:2])}",
        f"ru_stime={timeval.render(context, *values[2:4])}",
    ]
    if context.options.abbreviate:
        texts.append("...")
    else:
        texts += [f"ru_{name}={value}" for name, value in zip(_USAGE, values[4:], strict=True)]
    return "{" + ", ".join(texts) + "}"


_USAGE: Final = (
    "maxrss ixrss idrss isrss minflt majflt nswap inblock oublock msgsnd msgrcv nsignals nvcsw "
    "nivcsw"
).split()
_rusage_layout = Layout("qQqQ14Q", "iIiI14I", _rusage)


def _usage_of_child(context: Context, address: int) -> str | None:
    """Print wait4's usage: it is written only if a child was found."""
    if not context.leaving:
        return None
    found = (context.result or 0) > 0
    return read_at(context, address, _rusage_layout) if found else pointer(address)


def _wait_id(context: Context, value: int) -> str:
    identity = signed32(value)
    is_descriptor = context.arguments[0] & 0xFFFFFFFF == _P_PIDFD
    return descriptor_text(context, identity) if is_descriptor else str(identity)


# -------------------------------------------------------------------------------------- limits


def _limit(infinity: int, name: str) -> Callable[[int], str]:
    def text(value: int) -> str:
        if value == infinity:
            return name
        return f"{value // 1024}*1024" if value > 1024 and value % 1024 == 0 else str(value)

    return text


_limit64 = _limit((1 << 64) - 1, "RLIM64_INFINITY")
_limit32 = _limit((1 << 32) - 1, "RLIM_INFINITY")


def _rlimit64(_: Context, current: int, maximum: int) -> str:
    return f"{{rlim_cur={_limit64(current)}, rlim_max={_limit64(maximum)}}}"


def _rlimit(context: Context, current: int, maximum: int) -> str:
    if not context.i386:
        return _rlimit64(context, current, maximum)
    return f"{{rlim_cur={_limit32(current)}, rlim_max={_limit32(maximum)}}}"


# ---------------------------------------------------------------------------------- scheduling

_SCHED_ATTR: Final = Layout("IIQiIQQQII", None, lambda *_: "")
_SCHED_ATTR_MIN, _SCHED_ATTR_MAX = 48, 56
_KEEP_POLICY, _KEEP_PARAMS = 0x08, 0x10
_E2BIG: Final = 7


def _sched_attr_text(context: Context, raw: bytes, size: int, *, is_set: bool) -> list[str]:
    values = _SCHED_ATTR.unpack(context, raw.ljust(_SCHED_ATTR_MAX, b"\0"))
    _, policy, flags, nice, priority, runtime, deadline, period, low, high = values
    texts = []
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


# -------------------------------------------------------------------------------- capabilities

_TWO_WORDS: Final = (0x20071026, 0x20080522)


def _capability_header(context: Context, address: int) -> str:
    raw = context.read(address, 8) if address else None
    if raw is None:
        return pointer(address)
    version, pid = int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:], "little", signed=True)
    return f"{{version={family('capability_version').value(version)}, pid={pid}}}"


def _capabilities(low: int, high: int) -> str:
    names = family("capability").names

    def words(value: int, base: int) -> list[str]:
        known = [bit for bit in range(32) if value >> bit & 1 and base + bit in names]
        rest = value & ~sum(1 << bit for bit in known)
        texts = [f"1<<{names[base + bit]}" for bit in known]
        if not known and rest:
            return [f"{rest:#x} /* CAP_??? */"]
        return texts + ([hex(rest)] if rest else [])

    texts = (words(low, 0) if low else []) + (words(high, 32) if high else [])
    return "|".join(texts) or "0"


def _capability_data(context: Context, address: int) -> str:
    """Print the three sets; a newer version has them in two words each."""
    header = context.fetch(context.arguments[0], 8)
    words = 2 if header and int.from_bytes(header[:4], "little") in _TWO_WORDS else 1
    raw = context.fetch(address, 12 * words) if header else None
    if raw is None:
        return pointer(address)
    values = [int.from_bytes(raw[at : at + 4], "little") for at in range(0, 12 * words, 4)]
    values += [0] * (6 - len(values))
    names = ("effective", "permitted", "inheritable")
    texts = [f"{name}={_capabilities(*values[at::3])}" for at, name in enumerate(names)]
    return "{" + ", ".join(texts) + "}"


def _capability_data_out(context: Context, address: int) -> str | None:
    return _capability_data(context, address) if context.leaving else None


# ------------------------------------------------------------------------------------ the rest


def _personality(context: Context) -> None:
    """Annotate the result of personality(2): the persona until then."""
    if context.result is not None and not context.failed:
        context.radix, context.note = "x", persona(context.result & 0xFFFFFFFF)


SUBJECT: Final = Subject(
    layouts={
        "rlimit": Layout("QQ", "II", _rlimit),
        "old_rlimit": Layout("QQ", "II", _rlimit),
        "rlimit64": Layout("QQ", None, _rlimit64),
        "rusage": _rusage_layout,
    },
    arguments={
        "clone3.cl_args": _clone3,
        "wait4.wstatus": _status,
        "waitpid.wstatus": _status,
        "wait4.rusage": _usage_of_child,
        "waitid.id": _wait_id,
        "sched_setscheduler.param": _sched_param,
        "sched_setparam.param": _sched_param,
        "sched_getparam.param": _sched_param_out,
        "sched_setattr.attr": _sched_setattr,
        "sched_getattr.attr": _sched_getattr,
        "sched_setaffinity.mask": _affinity_in,
        "sched_getaffinity.mask": _affinity_out,
        "capget.hdrp": _capability_header,
        "capget.datap": _capability_data_out,
        "capset.hdrp": _capability_header,
        "capset.datap": _capability_data,
    },
    calls={"clone": _CLONE},
    remarks={"personality": _personality, "sched_getscheduler": _policy_returned},
)
