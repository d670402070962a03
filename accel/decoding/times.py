"""Times: timespec, timeval, intervals, clocks and their adjustment."""

from __future__ import annotations

import time
from typing import Final

from accel.decoding.choices import indirect
from accel.decoding.context import Context, Printer, pointer
from accel.decoding.families import family
from accel.decoding.layouts import Layout, layout, read_out
from accel.decoding.numbers import signed32
from accel.decoding.subject import Subject

__all__ = ["SUBJECT", "comment", "date", "ticks", "timespec", "timeval"]

_M64: Final = 0xFFFFFFFFFFFFFFFF
_UTIME_NOW: Final = (1 << 30) - 1
_UTIME_OMIT: Final = (1 << 30) - 2
_TICKS: Final = 100  # USER_HZ, which never varies
_INTERRUPTED: Final = range(-516, -511)


def date(seconds: int, part: int = 0, digits: int = 9) -> str | None:
    """Print a time as a local date: ``2024-02-29T12:00:00.000000001+0000``; None for none."""
    if (not seconds and not part) or part >= 10**digits:
        return None
    try:
        local = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return None
    fraction = f".{part:0{digits}}" if part else ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + fraction + time.strftime("%z", local)


def comment(text: str | None) -> str:
    """Print a text as a C comment; nothing for None."""
    return f" /* {text} */" if text else ""


def ticks(value: int) -> str:
    """Print a time in clock ticks, unsigned: ``3 /* 0.03 s */``."""
    value &= _M64
    seconds = f"{value // _TICKS}.{value % _TICKS:02} s" if value else None
    return f"{value}{comment(seconds)}"


def _timespec(_: Context, seconds: int, nanoseconds: int) -> str:
    return f"{{tv_sec={seconds}, tv_nsec={nanoseconds}}}"


def _timeval(_: Context, seconds: int, microseconds: int) -> str:
    return f"{{tv_sec={seconds}, tv_usec={microseconds}}}"


timespec = Layout("qQ", None, _timespec)
timespec32 = Layout("iI", None, _timespec)
#: The timespec of the calls that both ABIs have under one name.
timespec_long = Layout("qQ", "iI", _timespec)
timeval = Layout("qQ", "iI", _timeval)


def _interval(one: Layout, wide: str, compat: str | None = None) -> Layout:
    def render(context: Context, *values: int) -> str:
        first, second = (one.render(context, *pair) for pair in (values[:2], values[2:]))
        return f"{{it_interval={first}, it_value={second}}}"

    return Layout(wide, compat, render)


def _utime_timespec(context: Context, seconds: int, nanoseconds: int) -> str:
    if nanoseconds == _UTIME_NOW:
        return "UTIME_NOW"
    if nanoseconds == _UTIME_OMIT:
        return "UTIME_OMIT"
    return _timespec(context, seconds, nanoseconds) + comment(date(seconds, nanoseconds))


def _utime_timeval(context: Context, seconds: int, microseconds: int) -> str:
    return _timeval(context, seconds, microseconds) + comment(date(seconds, microseconds, 6))


def _pair(one: Layout) -> Printer:
    """Print the two times of utimensat(2) and its kin."""

    def printer(context: Context, address: int) -> str:
        size = one.size(context)
        raw = context.fetch(address, 2 * size)
        if raw is None:
            return pointer(address)
        return f"[{one.show(context, raw[:size])}, {one.show(context, raw[size:])}]"

    return printer


def _old_time(_: Context, value: int) -> str:
    return f"{value}{comment(date(value))}"


@layout("qq", "ii")
def utimbuf(_: Context, access: int, modification: int) -> str:
    """Print utime(2)'s struct."""
    return (
        f"{{actime={access}{comment(date(access))}, "
        f"modtime={modification}{comment(date(modification))}}}"
    )


def _remaining(one: Layout, *, absolute: bool) -> Printer:
    """Print the time that was left when a signal interrupted a sleep; else nothing was written.

    Nor is it when flags, the second argument, say that the time to wake up was absolute.
    """

    def printer(context: Context, address: int) -> str | None:
        if not context.leaving:
            return None
        if context.result in _INTERRUPTED and not (absolute and context.arguments[1]):
            raw = context.read(address, one.size(context)) if address else None
            return pointer(address) if raw is None else one.show(context, raw)
        return pointer(address)

    return printer


def _timex(context: Context, *values: int) -> str:
    (modes, offset, freq, maxerror, esterror, status, constant, precision, tolerance, seconds,
     microseconds, tick, ppsfreq, jitter, shift, stabil, jitcnt, calcnt, errcnt, stbcnt,
     tai) = values  # fmt: skip
    return (
        f"{{modes={family('adjtimex_modes').flags(modes)}, offset={offset}, freq={freq}, "
        f"maxerror={maxerror}, esterror={esterror}, "
        f"status={family('adjtimex_status').flags(status)}, constant={constant}, "
        f"precision={precision}, tolerance={tolerance}, "
        f"time={_timeval(context, seconds, microseconds)}, tick={tick}, ppsfreq={ppsfreq}, "
        f"jitter={jitter}, shift={shift}, stabil={stabil}, jitcnt={jitcnt}, calcnt={calcnt}, "
        f"errcnt={errcnt}, stbcnt={stbcnt}, tai={tai}}}"
    )


_TIMEX_WIDE: Final = "I4xqqqqI4xqqqqQqqqi4xqqqqqi44x"
_TIMEX_COMPAT: Final = "IiiiiIiiiiIiiiiiiiiii44x"
timex64 = Layout(_TIMEX_WIDE, None, _timex)
timex = Layout(_TIMEX_WIDE, _TIMEX_COMPAT, _timex)


def _clock_state(context: Context) -> None:
    """Annotate the result of adjtimex(2)."""
    name = context.call.name
    size = (timex64 if name == "clock_adjtime64" else timex).size(context)
    address = context.arguments[name != "adjtimex"]
    if context.result is not None and context.fetch(address, size) is not None:
        context.note = family("adjtimex_state").names.get(context.result, "")


@layout("ii")
def timezone(_: Context, west: int, dst: int) -> str:
    """Print gettimeofday(2)'s time zone."""
    return f"{{tz_minuteswest={west}, tz_dsttime={dst}}}"


def _times(context: Context, user: int, system: int, child_user: int, child_system: int) -> str:
    del context
    return (
        f"{{tms_utime={ticks(user)}, tms_stime={ticks(system)}, "
        f"tms_cutime={ticks(child_user)}, tms_cstime={ticks(child_system)}}}"
    )


def _date_returned(context: Context) -> None:
    """Annotate the result of time(2)."""
    if context.result is not None and not context.failed:
        returned = signed32(context.result) if context.i386 else context.result
        context.note = date(returned) or ""


SUBJECT: Final = Subject(
    layouts={
        "__kernel_timespec": timespec,
        "old_timespec32": timespec32,
        "__kernel_old_timeval": timeval,
        "__kernel_old_itimerval": _interval(timeval, "qQqQ", "iIiI"),
        "__kernel_itimerspec": _interval(timespec, "qQqQ"),
        "old_itimerspec32": _interval(timespec32, "iIiI"),
        "timezone": timezone,
        "utimbuf": utimbuf,
        "tms": Layout("qqqq", "iiii", _times),
    },
    arguments={
        "utimensat.times": _pair(Layout("qQ", "iI", _utime_timespec)),
        "utimensat_time64.times": _pair(Layout("qQ", None, _utime_timespec)),
        "time.tloc": indirect(Layout("q", "i", _old_time)),
        "stime.t": indirect(Layout("q", "i", _old_time)),
        "adjtimex.buf": read_out(timex),
        "clock_adjtime.buf": read_out(timex),
        "clock_adjtime64.buf": read_out(timex64),
        "nanosleep.rem": _remaining(timespec_long, absolute=False),
        "clock_nanosleep.remain": _remaining(timespec_long, absolute=True),
        "clock_nanosleep_time64.remain": _remaining(timespec, absolute=True),
        "utimes.times": _pair(Layout("qQ", "iI", _utime_timeval)),
        "futimesat.times": _pair(Layout("qQ", "iI", _utime_timeval)),
    },
    remarks={
        "adjtimex": _clock_state,
        "clock_adjtime": _clock_state,
        "clock_adjtime64": _clock_state,
        "stime": _date_returned,
        "time": _date_returned,
    },
)
