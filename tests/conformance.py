"""Print what every mechanism makes of every combination, as it was just found to be.

  python -m tests.conformance        a table in Markdown; what is wrong follows it

A cell holds the kernel's stops for one call, and whether it notified instead, if all calls of both
ABIs passed: those of tests/integration/combinations.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from bench.audit import AuditUnavailable
from tests.integration.combinations import COMBINATIONS, Case, Finding, cases, examine

__all__ = ["main", "table"]

_NAMES = (
    "PTRACE_SYSCALL", "SKIPEXIT", '"useless"', "SKIPCALL", "what strace wants",
    "\"don't use PTRACE_SYSCALL\"", "PTRACE_SYSEMU", '"nullify"',
)  # fmt: skip


def table(findings: Mapping[Case, Finding]) -> str:
    """Make the table; a cell is empty where a mechanism does not claim the combination."""
    mechanisms = list(dict.fromkeys(case.mechanism for case in findings))
    lines = [
        f"| # | START CALL EXIT | the thread's name | {' | '.join(mechanisms)} |",
        f"|---|---|---|{'---|' * len(mechanisms)}",
    ]
    for number, decision in enumerate(COMBINATIONS):
        does = " ".join(
            "yes" if on else "no" for on in (decision.start, decision.call, decision.exit)
        )
        cells = (
            _cell({case: found for case, found in findings.items()
                   if (case.mechanism, case.combination) == (mechanism, number)})
            for mechanism in mechanisms
        )  # fmt: skip
        lines.append(f"| {number} | {does} | {_NAMES[number]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(findings: Mapping[Case, Finding]) -> str:
    if any(found.wrong for found in findings.values()):
        return "**wrong**"
    if any(found.notifications for found in findings.values()):
        return "0, notified"
    stops = {found.stops for case, found in findings.items() if not case.is_exec_at_its_exit}
    return ", ".join(str(count) for count in sorted(stops))


def main() -> int:
    """Examine every case; return the exit status."""
    findings: dict[Case, Finding] = {}
    todo = list(cases())
    for index, case in enumerate(todo, 1):
        if sys.stderr.isatty():
            print(f"\r{index}/{len(todo)} {case!s:60}", end="", file=sys.stderr, flush=True)
        findings[case] = examine(case)
    if sys.stderr.isatty():
        print("\r" + " " * 72, end="\r", file=sys.stderr)
    print(table(findings))
    counts = [len({getattr(case, of) for case in findings}) for of in ("abi", "call", "mechanism")]
    print("\n{} cases: {} ABIs, {} calls, {} mechanisms.".format(len(findings), *counts))
    print("An execve that succeeds leaves no arguments: of combination 4, auto stops it twice.")
    for case, finding in findings.items():
        for wrong in finding.wrong:
            print(f"{case}: {wrong}")
    return int(any(finding.wrong for finding in findings.values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AuditUnavailable as error:
        sys.exit(f"the kernel's stops cannot be counted: {error}")
