"""What it takes to begin: the import of accel, next to that of ctypes, and a trace of nothing.

Every start pays for both. That of ctypes is what any tracer in Python pays: without it there is no
ptrace.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from typing import Final

from bench.measure import Comparison, Contestant, Missing, Settings, compare
from bench.subjects import Task, Wrapper, accel_trace

__all__ = ["run"]

_CALLS: Final = "%network"
#: Runs are short and what else the machine does is not: 20 of them unless told otherwise.
_TIMES_THE_ROUNDS: Final = 4


def run(name: str, settings: Settings) -> Comparison:
    """Compare three starts; raise Missing without ``true``."""
    true = shutil.which("true")
    if true is None:
        raise Missing("true is not installed")
    rounds = settings.rounds if settings.quick else _TIMES_THE_ROUNDS * settings.rounds
    contestants = [
        _importing("ctypes"),
        _importing("accel"),
        Contestant(accel_trace(f"accel trace -e trace={_CALLS} true", _CALLS), Task((true,))),
    ]
    return compare(name, contestants, replace(settings, rounds=rounds))


def _importing(module: str) -> Contestant:
    statement = f"import {module}"
    return Contestant(Wrapper(statement), Task((sys.executable, "-c", statement)))
