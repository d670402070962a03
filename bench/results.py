"""What was measured, all of it, and on what: kept as JSON, and read back as the same values."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import subprocess
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

from bench.measure import Comparison, Settings

__all__ = [
    "DIRECTORY",
    "SCHEMA",
    "Results",
    "UnreadableResults",
    "file_of_host",
    "read",
    "this_environment",
]

SCHEMA: Final = 1
#: Where the results of hosts are kept; git ignores them.
DIRECTORY: Final = str(Path(__file__).parent / "results")
_HALT_POLL: Final = "/sys/module/haltpoll/parameters/guest_halt_poll_ns"

T = TypeVar("T")


class UnreadableResults(Exception):
    """A file has no results of this schema; the text says why."""


@dataclass(frozen=True, slots=True)
class Results:
    """Comparisons, and what they depend on."""

    comparisons: tuple[Comparison, ...]
    #: {workload: why it could not be compared}
    missing: Mapping[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    environment: Mapping[str, str] = field(default_factory=dict)


def file_of_host(directory: Path) -> Path:
    """Name the file that keeps the results of this host."""
    return directory / f"{platform.node() or 'localhost'}.json"


def read(path: Path) -> Results:
    """Read what ``report.as_json`` wrote; raise UnreadableResults, or OSError."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        schema = report["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableResults(f"{path}: no results of a bench") from error
    if schema != SCHEMA:
        raise UnreadableResults(f"{path}: results of schema {schema}, not {SCHEMA}")
    return Results(
        tuple(_rebuild(Comparison, one) for one in report["comparisons"]),
        report["missing"],
        _rebuild(Settings, report["settings"]),
        report["environment"],
    )


def _rebuild(kind: type[T], value: Any) -> T:
    """Make a value of ``kind`` from what ``dataclasses.asdict`` and JSON made of it."""
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return cast(
            "T", kind(**{name: _rebuild(hints[name], part) for name, part in value.items()})
        )
    if get_origin(kind) is tuple:
        return cast("T", tuple(_rebuild(get_args(kind)[0], part) for part in value))
    if get_origin(kind) is types.UnionType and value is not None:
        inner = next(one for one in get_args(kind) if one is not types.NoneType)
        return cast("T", _rebuild(inner, value))
    return cast("T", value)


# ------------------------------------------------------------------------------- environment


def this_environment() -> dict[str, str]:
    """Tell what the figures depend on besides the programs."""
    return {
        "Linux": platform.release(),
        "CPU": _cpu_model(),
        "CPUs": str(len(os.sched_getaffinity(0))),
        "guest_halt_poll_ns": _first_line(_HALT_POLL),
        "Python": platform.python_version(),
        "strace": _strace_version(),
    }


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return "unknown"


def _cpu_model() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        lines = [line for line in file if line.startswith("model name")]
    return lines[0].partition(":")[2].strip() if lines else "unknown"


def _strace_version() -> str:
    if shutil.which("strace") is None:
        return "missing"
    done = subprocess.run(["strace", "--version"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].split()[-1]
