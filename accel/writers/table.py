"""The table of ``-c``: strace's, with a column for stops."""

from __future__ import annotations

from accel.results import CallStatistics, Statistics

__all__ = ["summary"]

_HEAD = "% time     seconds  usecs/call     calls    errors     stops syscall"
_RULE = "------ ----------- ----------- --------- --------- --------- ----------------"
#: With a column more, where calls have notified.
_NOTIFIED_HEAD = _HEAD.replace("syscall", " notified syscall")
_NOTIFIED_RULE = _RULE.replace("----------------", "--------- ----------------")


def summary(statistics: Statistics) -> str:
    """Tabulate calls, errors, stops and wall time by call, the slowest first; ends with a newline.

    ``seconds`` is wall time between entry- and exit-stop, strace's ``-w``.
    """
    calls = sorted(statistics.calls.items(), key=lambda item: (-item[1].seconds, -item[1].calls))
    notifies = statistics.notifications > 0
    total = CallStatistics(
        calls=sum(call.calls for _name, call in calls),
        stops=sum(call.stops for _name, call in calls),
        errors=sum(call.errors for _name, call in calls),
        notifications=sum(call.notifications for _name, call in calls),
        seconds=sum(call.seconds for _name, call in calls),
    )
    head, rule = (_HEAD, _RULE) if not notifies else (_NOTIFIED_HEAD, _NOTIFIED_RULE)
    rows = [_row(name, call, total.seconds, notifies=notifies) for name, call in calls]
    last = _row("total", total, total.seconds, notifies=notifies)
    return "\n".join([head, rule, *rows, rule, last]) + "\n"


def _row(name: str, call: CallStatistics, seconds: float, *, notifies: bool) -> str:
    share = 100 * call.seconds / seconds if seconds else 0.0
    mean = round(call.seconds * 1e6 / call.calls) if call.calls else 0
    errors = call.errors or ""
    counts = f"{call.calls:9} {errors:>9} {call.stops:9}"
    if notifies:
        counts += f" {call.notifications:9}"
    return f"{share:6.2f} {call.seconds:11.6f} {mean:11} {counts} {name}"
