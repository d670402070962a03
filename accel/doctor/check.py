"""The result of looking at one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["Check", "Finding", "State", "limited", "missing", "ok"]

State = Literal["ok", "limited", "missing"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    #: What was seen, in one line.
    detail: str
    #: What to type to change it; never empty unless the state is "ok".
    advice: str = ""


class Finding(NamedTuple):
    """A check whose name is not yet known."""

    state: State
    detail: str
    advice: str = ""


def ok(detail: str) -> Finding:
    """Say that it works."""
    return Finding("ok", detail)


def limited(detail: str, advice: str) -> Finding:
    """Say that something works less well than it could."""
    return Finding("limited", detail, advice)


def missing(detail: str, advice: str) -> Finding:
    """Say that it does not work, or is not there."""
    return Finding("missing", detail, advice)
