"""What a filter costs by its size: how many calls it selects, on what conditions, how often stacked.

The kernel remembers which calls a filter always allows, whatever their arguments, and runs no
filter at those. So there are three kinds of calls: those that are not selected, those that are, and
those whose selection depends on an argument. What a selected call costs is seen best where the
filter also answers it: a stop, which is measured as well, is a hundred times as dear.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from accel import Decision, SyscallMask, Tracer, arg
from accel.abi import Abi
from accel.signatures import signature
from bench.circumstances import ByLoop, Placed
from bench.figure import Figure, Panel
from bench.measure import Comparison, Contestant, Settings
from bench.spread import Spread
from bench.subjects import SIGN, Library, Task, Wrapper
from bench.sweep import Place, Swept, key, sweep, under_settings
from bench.workloads import compiled, mixed

__all__ = ["run"]
