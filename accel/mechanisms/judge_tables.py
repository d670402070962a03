"""What the loop judges calls by: the checks of every call that may fall under a rule.

Checks are of CHECK_WORDS words each and lead from one to the next by address, until one leads to a
verdict: the index of an answer in the table of answers, JUDGED + RET_DATA. What has been looked at
in tracee memory is kept as long as one call is judged, so that all its checks see the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from accel._kernel.words import Words
from accel.checks import FROM, MATCHES, NO_MATCH, OF_PATHS, Candidate, Check, Judgements
from accel.mechanisms.stop_tables import JUDGED, MAX_NUMBER, NOBODY, UNKNOWN
from accel.records import ABIS

__all__ = ["UNKNOWN", "JudgeTables", "verdict_of"]

# The words of a check. THEN and OTHERWISE: the address of the next, or -1 - a verdict. Of a check
# of a path, LOW and HIGH are where the text is, and its length.
KIND, ARGUMENT, THEN, OTHERWISE, LOW, HIGH, DETAIL, CHECK_WORDS = 0, 1, 2, 3, 4, 5, 6, 8

# The table that the control words name: of each argument how many bytes have been looked at, and
# those bytes; and where the table is that has the first check of every call, or 0.
LOOKED, CHAINS, LOOKS, LOOK_WORDS = 0, 6, 8, 520
#: LOOKED: nobody has; there is no path, or no address.
UNSEEN: Final = -4096
ABSENT: Final = -4097


def verdict_of(candidate: Candidate) -> int:
    """Tell the answer to a call that falls under a rule."""
    return JUDGED + candidate.ret_data


class JudgeTables:
    """The tables of one run; of calls that the loop need not judge they have nothing."""

    def __init__(self, judgements: Judgements) -> None:
        self.words = Words(LOOKS + 6 * LOOK_WORDS)
        self.chains = Words(len(ABIS) * MAX_NUMBER)
        self.words.view[CHAINS] = self.chains.address
        texts = {
            check.text: 0
            for _call, candidates in judgements.candidates
            for candidate in candidates
            for check in candidate.checks.checks
        }
        pool = b"".join(texts)
        self._texts = Words(len(pool) // 8 + 1)
        self._texts.bytes[: len(pool)] = pool
        at = self._texts.address
        for text in texts:
            texts[text], at = at, at + len(text)
        # Calls that differ in their number alone share their checks.
        places: dict[tuple[Candidate, ...], int] = {}
        size = 0
        for _call, candidates in judgements.candidates:
            if candidates not in places:
                places[candidates] = size
                size += CHECK_WORDS * sum(1 + len(one.checks.checks) for one in candidates)
        self._checks = Words(size + 1)
        for candidates, place in places.items():
            self._place(candidates, place, texts)
        for (abi, number), candidates in judgements.candidates:
            if number < MAX_NUMBER:
                index = ABIS.index(abi) * MAX_NUMBER + number
                self.chains.view[index] = self._checks.address + 8 * places[candidates]

    def check(self, address: int) -> Sequence[int]:
        """Find a check by its address."""
        at = (address - self._checks.address) // 8
        return self._checks.view[at : at + CHECK_WORDS]

    def text(self, check: Sequence[int]) -> bytes:
        """Read what a check compares a path with."""
        at = check[LOW] - self._texts.address
        return bytes(self._texts.bytes[at : at + check[HIGH]])

    def _place(
        self, candidates: tuple[Candidate, ...], place: int, texts: dict[bytes, int]
    ) -> None:
        """Lay out the checks of all rules that a call may fall under, one behind the other."""
        for number, candidate in enumerate(candidates):
            checks = candidate.checks.checks
            first = place + CHECK_WORDS
            following = first + CHECK_WORDS * len(checks)
            is_last = number == len(candidates) - 1
            targets = {
                MATCHES: -1 - verdict_of(candidate),
                NO_MATCH: -1 - NOBODY if is_last else self._address(following),
            }
            targets |= {at: self._address(first + CHECK_WORDS * at) for at in range(len(checks))}
            start = Check(FROM, 0, candidate.checks.first, NO_MATCH, 0, candidate.ret_data)
            for at, check in enumerate((start, *checks)):
                self._store(place + CHECK_WORDS * at, check, targets, texts)
            place = following

    def _store(
        self, at: int, check: Check, targets: dict[int, int], texts: dict[bytes, int]
    ) -> None:
        view = self._checks.view
        view[at + KIND], view[at + ARGUMENT] = check.kind, check.argument
        view[at + THEN], view[at + OTHERWISE] = targets[check.then], targets[check.otherwise]
        if check.kind in OF_PATHS:
            view[at + LOW], view[at + HIGH] = texts[check.text], len(check.text)
        else:
            view[at + LOW], view[at + HIGH] = check.low, check.high
        view[at + DETAIL] = check.detail - (check.detail >> 63 << 64)

    def _address(self, at: int) -> int:
        return self._checks.address + 8 * at
