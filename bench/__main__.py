"""Compare the cost of tracing: accel, strace, and no tracer at all.

  python -m bench                        one call and real programs
  python -m bench one-call find          only these workloads
  python -m bench startup                what import accel costs, and a trace of nothing
  python -m bench loop                   what one stop costs, by who answers it and on which CPU
  python -m bench memory                 what a condition on a path costs, by who judges it
  python -m bench notify                 what a user notification costs, by who answers it
  python -m bench combinations           what each combination of START, CALL and EXIT is worth
  python -m bench mask-sweep             by the share of calls that are selected
  python -m bench filter-sweep           by the size of the filter, and filters on top of each other
  python -m bench tracees                by the number of processes, and of threads
  python -m bench handlers               by who answers, from the filter to decoded text
  python -m bench all                    everything but loop, kept as bench/results/HOST.json with a
                                         report and figures: 20 to 40 minutes
  python -m bench report                 the report anew; --figure NAME FILE draws one figure
  python -m bench --quick --json FILE    a trial, with all its figures in FILE

Figures are ratios to native runs of the same rounds. The exit status is 1 if output differed, if
counts of stops or calls did, or if an unselected call cost more than it may.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench import report_command
from bench.measure import Comparison, Missing, Settings, progress, stage
from bench.registry import ALL, GROUPS, MODULES, WORKLOADS, expand
from bench.report import as_json, as_markdown, broken_promises
from bench.results import DIRECTORY, Results, file_of_host, this_environment

__all__ = ["main"]

_QUICK_ROUNDS: Final = 2


def main(words: Sequence[str] | None = None) -> int:
    """Run what ``words`` name, and report; return the exit status."""
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["report"]:
        return report_command.main(words[1:])
    parser = _parser()
    options = parser.parse_args(words)
    try:
        names = expand(options.workloads)
    except KeyError as error:
        known = (*WORKLOADS, *GROUPS, ALL)
        parser.error(f"unknown workload {error.args[0]}: choose from {', '.join(known)}")
    keeps = ALL in options.workloads
    try:
        if options.cpu is not None:
            os.sched_setaffinity(0, {options.cpu})
        if options.json:
            Path(options.json).touch()
        if keeps:
            Path(options.results).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        # Now rather than after minutes of work.
        parser.error(f"{error.filename or f'--cpu {options.cpu}'}: {error.strerror}")
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else Settings().rounds)
    results = _run(names, Settings(rounds, options.quick))
    if options.json:
        Path(options.json).write_text(as_json(results), encoding="utf-8")
    if keeps:
        file = file_of_host(Path(options.results))
        file.write_text(as_json(results), encoding="utf-8")
        report_command.write(results, file)
    else:
        print(as_markdown(results), end="")
    broken = broken_promises(results.comparisons)
    for text in broken:
        print(f"bench: {text}", file=sys.stderr)
    return 1 if broken else 0


def _run(names: Sequence[str], settings: Settings) -> Results:
    comparisons: list[Comparison] = []
    missing: dict[str, str] = {}
    for number, name in enumerate(names, start=1):
        try:
            module = importlib.import_module(MODULES[name])
            with stage(f"[{number}/{len(names)}] "):
                comparisons.append(module.run(name, settings))
        except Missing as error:
            missing[name] = str(error)
    progress("")
    return Results(tuple(comparisons), missing, settings, this_environment())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}")
    add("--rounds", type=_positive, metavar="N", help="how often to run each subject (default: 5)")
    add("--quick", action="store_true", help="small inputs and 2 rounds: to try the bench itself")
    add("--json", metavar="FILE", help="write all that was measured to FILE")
    add("--results", metavar="DIR", default=DIRECTORY, help="where all is kept (%(default)s)")
    add("--cpu", type=int, metavar="N", help="run tracers and tracees on CPU N only")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one round is needed")
    return number


if __name__ == "__main__":
    sys.exit(main())
