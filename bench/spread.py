"""Several measurements of one thing: their median, the lowest and the highest."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Spread"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of one thing."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, costs: Sequence[float], base: Sequence[float]) -> Spread:
        """Compare round by round: what else the machine does mostly disturbs both."""
        return cls.of([cost / other for cost, other in zip(costs, base, strict=True)])

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.low)}..{_short(self.high)})"


def _short(value: float) -> str:
    """Write three digits, or a whole number if that has more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
