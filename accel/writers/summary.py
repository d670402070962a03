"""The table of ``-c``: strace's, with a column for stops."""

from __future__ import annotations

from accel.results import CallStatistics, Statistics

__all__ = ["summary"]

_HEAD = "% time     seconds  usecs/call     calls    errors     stops syscall"
_RULE = "------ ----------- ----------- --------- --------- --------- ----------------"


def summary(statistics: Statistics) -> str:
    """Tabulate calls, errors, stops and wall time by call, the slowest first; ends with a newline.

    ``seconds`` is wall time between entry- and exit-stop, strace's ``-w``.
    """
    calls = sorted(statistics.calls.items(), key=lambda item: (-item[1].seconds, -item[1].calls))
    total = CallStatistics(
        calls=sum(call.calls for _name, call in calls),
        stops=sum(call.stops for _name, call in calls),
        errors=sum(call.errors for _name, call in calls),
        seconds=sum(call.seconds for _name, call in calls),
    )
    rows = [_row(name, call, total.seconds) for name, call in calls]
    return "\n".join([_HEAD, _RULE, *rows, _RULE, _row("total", total, total.seconds)]) + "\n"


def _row(name: str, call: CallStatistics, seconds: float) -> str:
    share = 100 * call.seconds / seconds if seconds else 0.0
    mean = round(call.seconds * 1e6 / call.calls) if call.calls else 0
    errors = call.errors or ""
    counts = f"{call.calls:9} {errors:>9} {call.stops:9}"
    return f"{share:6.2f} {call.seconds:11.6f} {mean:11} {counts} {name}"
