"""Histograms with slots of powers of two, as bcc prints them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bpf.value import frozen

__all__ = ["Histogram"]

_HEAD: Final = f"{'nsecs':>24} : {'count':<8}  distribution"
_STARS: Final = 40


@frozen
class Histogram:
    """How often something took how long: slot n is for 2^(n-1) to 2^n - 1 nanoseconds."""

    slots: tuple[int, ...]
    #: Of all that is in the slots.
    nanoseconds: int = 0

    @property
    def count(self) -> int:
        """How many are in it."""
        return sum(self.slots)

    @property
    def mean_ns(self) -> float:
        """Their mean; 0 if there is none."""
        return self.nanoseconds / self.count if self.count else 0.0

    def rows(self) -> Iterator[tuple[int, int, int]]:
        """Tell (lowest, highest, count) of each slot from the first that has any to the last."""
        taken = [slot for slot, count in enumerate(self.slots) if count]
        for slot in range(taken[0], taken[-1] + 1) if taken else ():
            yield (1 << slot) >> 1, (1 << slot) - 1, self.slots[slot]

    def __str__(self) -> str:
        """Draw it in less than 80 columns."""
        most = max(self.slots, default=0)
        lines = [
            f"{lowest:>10} -> {highest:<10} : {count:<8} |{_bar(count, most):<{_STARS}}|"
            for lowest, highest, count in self.rows()
        ]
        return "\n".join([_HEAD, *lines])


def _bar(count: int, most: int) -> str:
    """Draw a count to scale: what is there at all is seen."""
    return "*" * -(-count * _STARS // most)
