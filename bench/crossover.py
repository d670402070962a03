"""Where one curve rises above another, by interpolation between the places measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.spread import Spread

__all__ = ["Crossing", "crossings"]

#: A place, and what both subjects cost there, round by round.
Costs = tuple[float, Sequence[float], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the first subject begins to cost more than the second."""

    #: Of those rounds in which it does; None if it does not in most.
    at: Spread | None
    #: In how many of all rounds it does.
    rounds: int
    of_rounds: int
    #: What the first costs at the last place, as a multiple of the second; and that place.
    last_ratio: Spread
    last: float

    def describe(self) -> str:
        """Say it in words, in per cent."""
        there = f"at {self.last:g} % it costs {self.last_ratio} times as much"
        if self.at is None:
            return f"at every share ({there})"
        where = f"up to {self.at.median:.0f} % ({self.at.low:.0f}..{self.at.high:.0f})"
        often = (
            ""
            if self.rounds == self.of_rounds
            else f", in {self.rounds} of {self.of_rounds} rounds"
        )
        return f"{where}{often} ({there})"


def crossings(costs: Sequence[Costs]) -> Crossing | None:
    """Find the crossing of each round, ``costs`` being in ascending order; None without costs.

    A round crosses where the first subject becomes dearer and stays so: one disturbed place before
    that does not count.
    """
    if not costs:
        return None
    last, first_there, second_there = costs[-1]
    rounds = range(len(first_there))
    found = [
        _crossing([(at, first[one] - second[one]) for at, first, second in costs]) for one in rounds
    ]
    crossed = [at for at in found if at is not None]
    return Crossing(
        Spread.of(crossed) if 2 * len(crossed) > len(found) else None,
        len(crossed),
        len(rounds),
        Spread.of_ratios(first_there, second_there),
        last,
    )


def _crossing(differences: Sequence[tuple[float, float]]) -> float | None:
    """Go down from the last place as long as the difference is positive, and interpolate."""
    if differences[-1][1] <= 0:
        return None
    above, excess = differences[-1]
    for at, difference in reversed(differences):
        if difference <= 0:
            return at + (above - at) * -difference / (excess - difference)
        above, excess = at, difference
    return above
