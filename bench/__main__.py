"""Compare the cost of tracing: accel, strace, and no tracer at all.

  python -m bench                        everything
  python -m bench one-call find          only these workloads
  python -m bench startup                what import accel costs, and a trace of nothing
  python -m bench loop                   what one stop costs, by who answers it and on which CPU
  python -m bench memory                 what a condition on a path costs, by who judges it
  python -m bench combinations           what each combination of START, CALL and EXIT is worth
  python -m bench --quick --json FILE    a trial, with all its figures in FILE

Figures are ratios to native runs of the same rounds. The exit status is 1 if output differed, if
counts of stops did, or if an unselected call cost more than it may.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.measure import Comparison, Missing, Settings, progress
from bench.report import as_json, as_markdown, broken_promises

__all__ = ["main"]

#: {workload: the module whose ``run(name, settings)`` compares it}
_WORKLOADS: Final = {
    "one-call": "bench.one_call",
    "unselected-getppid": "bench.unselected",
    "unselected-stat": "bench.unselected",
    "true": "bench.real_programs",
    "find": "bench.real_programs",
    "gcc": "bench.real_programs",
    "python": "bench.real_programs",
    "tar": "bench.real_programs",
    "startup": "bench.startup",
    "trees": "bench.trees",
    "parallel": "bench.parallel",
}
#: Workloads that are run by name only: {group: {workload: its module}}
_GROUPS: Final = {
    "record": {"record": "bench.record"},
    "memory": {"memory": "bench.memory"},
    "loop": {
        f"loop-{answer}-{where}": "bench.loop"
        for where in ("same-cpu", "other-cpu", "free")
        for answer in ("count", "observe", "skipexit", "skipcall", "both")
    },
    "combinations": {
        "combinations-getppid": "bench.combinations",
        "combinations-notified": "bench.copies",
        "combinations-virtual": "bench.copies",
    },
}
_QUICK_ROUNDS: Final = 2


def main(words: Sequence[str] | None = None) -> int:
    """Run what ``words`` name, and report; return the exit status."""
    parser = _parser()
    options = parser.parse_args(words)
    modules = _WORKLOADS | {name: group[name] for group in _GROUPS.values() for name in group}
    names = [one for name in options.workloads for one in _GROUPS.get(name, (name,))]
    unknown = [name for name in names if name not in modules]
    if unknown:
        known = (*_WORKLOADS, *_GROUPS)
        parser.error(f"unknown workload {unknown[0]}: choose from {', '.join(known)}")
    try:
        if options.cpu is not None:
            os.sched_setaffinity(0, {options.cpu})
        if options.json:
            Path(options.json).touch()
    except OSError as error:
        # Now rather than after minutes of work.
        parser.error(f"{error.filename or f'--cpu {options.cpu}'}: {error.strerror}")
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else Settings().rounds)
    settings = Settings(rounds, options.quick)
    comparisons: list[Comparison] = []
    missing: dict[str, str] = {}
    for name in names or _WORKLOADS:
        try:
            module = importlib.import_module(modules[name])
            comparisons.append(module.run(name, settings))
        except Missing as error:
            missing[name] = str(error)
    progress("")
    print(as_markdown(comparisons, missing, settings), end="")
    if options.json:
        Path(options.json).write_text(as_json(comparisons, missing, settings), encoding="utf-8")
    broken = broken_promises(comparisons)
    for text in broken:
        print(f"bench: {text}", file=sys.stderr)
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(_WORKLOADS)}")
    add("--rounds", type=_positive, metavar="N", help="how often to run each subject (default: 5)")
    add("--quick", action="store_true", help="small inputs and 2 rounds: to try the bench itself")
    add("--json", metavar="FILE", help="write all that was measured to FILE")
    add("--cpu", type=int, metavar="N", help="run tracers and tracees on CPU N only")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one round is needed")
    return number


if __name__ == "__main__":
    sys.exit(main())
