"""Ranges of registers as the comparisons that a profile has.

A profile compares whole registers, or bits under a mask for equality. A range under a mask is a few
such equalities, as a range of addresses is a few prefixes: ``x & 0xff < 5`` is ``x & 0xfc == 0`` or
``x & 0xff == 4``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import bpf
from bpf.value import frozen
from bpf.ways import Range, Way

__all__ = ["Comparison", "comparisons", "is_same_in_32_bits"]

_WORD: Final = (1 << 64) - 1
_LOW_WORD: Final = 0xFFFFFFFF
#: Entries for one call, at most; a range takes 126 at the worst.
_MOST: Final = 128

#: Registers, 32 bits of each argument in one number, that under a mask are a value.
_Cube: TypeAlias = tuple[int, int]
#: What must hold besides one argument's ranges.
_Rest: TypeAlias = tuple[bpf.Action, tuple[tuple[int, Range], ...]]


@frozen
class Comparison:
    """One comparison, in the words of a profile; with a mask it is SCMP_CMP_MASKED_EQ."""

    index: int
    operator: str
    value: int
    mask: int | None = None


def comparisons(
    ways: Iterable[Way], bits: int
) -> Iterator[tuple[bpf.Action, tuple[Comparison, ...]]]:
    """List alternatives, of which each has at most one comparison for an argument.

    Registers have ``bits`` bits. Two comparisons of one argument would be alternatives to runc.
    Raise OverflowError if there are hundreds for one call.
    """
    found = (
        (way.action, chosen)
        for way in _merged(ways)
        for chosen in itertools.product(*_by_argument(way, bits))
    )
    yield from itertools.islice(found, _MOST)
    if next(found, None) is not None:
        raise OverflowError(f"more than {_MOST} entries")


def is_same_in_32_bits(
    wide: Iterable[tuple[bpf.Action, tuple[Comparison, ...]]],
    narrow: Iterable[tuple[bpf.Action, tuple[Comparison, ...]]],
) -> bool:
    """Tell whether entries say the same of registers of 32 bits; "no" may be too cautious."""
    first, second = _in_32_bits(wide), _in_32_bits(narrow)
    if first == second:
        return True
    return first.keys() == second.keys() and all(
        _is_same(first[action], second[action]) for action in first
    )


# ----------------------------------------------------------------------------------------- ranges


def _merged(ways: Iterable[Way]) -> list[Way]:
    """Join ways that differ in one argument, by ranges that touch."""
    found = list(ways)
    for index in range(6):
        groups: dict[_Rest, list[Range]] = {}
        others: list[Way] = []
        for way in found:
            mine = [one for at, one in way.ranges if at == index]
            rest = tuple((at, one) for at, one in way.ranges if at != index)
            if len(mine) == 1 and mine[0].mask in (_WORD, _LOW_WORD):
                groups.setdefault((way.action, rest), []).append(mine[0])
            else:
                others.append(way)
        found = others + [
            Way(action, tuple(sorted([*rest, *_placed(index, one)], key=_position)))
            for (action, rest), ranges in groups.items()
            for one in _touching(ranges)
        ]
    return found


def _placed(index: int, one: Range) -> list[tuple[int, Range]]:
    """Leave a range out that has every register."""
    return [] if one.low == 0 and one.high == one.mask else [(index, one)]


def _position(placed: tuple[int, Range]) -> int:
    return placed[0]


def _touching(ranges: Iterable[Range]) -> list[Range]:
    found: list[Range] = []
    for one in sorted(ranges, key=lambda one: (one.mask, one.low)):
        last = found[-1] if found else None
        if last is not None and last.mask == one.mask and one.low <= last.high + 1:
            found[-1] = Range(one.mask, last.low, max(last.high, one.high))
        else:
            found.append(one)
    return found


def _by_argument(way: Way, bits: int) -> Iterator[list[Comparison]]:
    """List, for each argument, the comparisons of which any must hold."""
    for index in sorted({at for at, _one in way.ranges}):
        ranges = [one for at, one in way.ranges if at == index]
        yield _compared(index, ranges, (1 << bits) - 1)


def _compared(index: int, ranges: Sequence[Range], register: int) -> list[Comparison]:
    only = ranges[0]
    if len(ranges) == 1 and only.mask == register:
        if only.low == only.high:
            return [Comparison(index, "SCMP_CMP_EQ", only.low)]
        if only.low == 0:
            return [Comparison(index, "SCMP_CMP_LE", only.high)]
        if only.high == register:
            # Not GE, which holds of every 32-bit register where ``low`` is 1 << 32.
            return [Comparison(index, "SCMP_CMP_GT", only.low - 1)]
    return [
        Comparison(index, "SCMP_CMP_MASKED_EQ", value, mask)
        for mask, value in _in_all(list(_cubes(one)) for one in ranges)
    ]


def _in_all(unions: Iterable[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Intersect unions of (mask, value)."""
    found = [(0, 0)]
    for union in unions:
        found = [
            (mask | other, value | more)
            for mask, value in found
            for other, more in union
            if (value ^ more) & mask & other == 0
        ]
    return found


def _cubes(one: Range, fixed: int = 0, value: int = 0) -> Iterator[tuple[int, int]]:
    """Split a range into (mask, value): the bits under ``fixed`` are decided already."""
    rest = one.mask & ~fixed
    if value > one.high or value | rest < one.low:
        return
    if one.low <= value and value | rest <= one.high:
        yield fixed, value
        return
    bit = 1 << (rest.bit_length() - 1)
    yield from _cubes(one, fixed | bit, value)
    yield from _cubes(one, fixed | bit, value | bit)


# ------------------------------------------------------------------------------------- comparison


def _in_32_bits(
    entries: Iterable[tuple[bpf.Action, tuple[Comparison, ...]]],
) -> dict[bpf.Action, set[_Cube]]:
    """Write entries as libseccomp reads them where registers have 32 bits."""
    found: dict[bpf.Action, set[_Cube]] = {}
    for action, compared in entries:
        for chosen in itertools.product(*(_low_cubes(one) for one in compared)):
            mask = sum(part << 32 * index for index, part, _value in chosen)
            value = sum(part << 32 * index for index, _mask, part in chosen)
            found.setdefault(action, set()).add((mask, value))
    return found


def _is_same(first: set[_Cube], second: set[_Cube]) -> bool:
    """Compare unions by how many registers they have, and how many of these in common.

    That counts right only where no two of a union overlap.
    """
    sizes = [_size((cube,), (cube,)) for cube in (*first, *second)]
    if _size(first, first) + _size(second, second) != sum(sizes):
        return False
    return _size(first, first) == _size(second, second) == _size(first, second)


def _size(first: Iterable[_Cube], second: Iterable[_Cube]) -> int:
    """Count what pairs of both have in common, of all that seven registers can hold."""
    return sum(
        1 << (7 * 32 - (mask | other).bit_count())
        for (mask, value), (other, more) in itertools.product(first, second)
        if (value ^ more) & mask & other == 0
    )


def _low_cubes(one: Comparison) -> list[tuple[int, int, int]]:
    if one.mask is not None:
        # A mask that lies in the upper half alone compares nothing here.
        return [(one.index, one.mask & _LOW_WORD, one.value & _LOW_WORD)]
    if one.value > _LOW_WORD:
        return [(6, _LOW_WORD, one.value)]  # libseccomp compares its low word: never alike.
    low, high = {
        "SCMP_CMP_EQ": (one.value, one.value),
        "SCMP_CMP_LE": (0, one.value),
        "SCMP_CMP_GT": (one.value + 1, _LOW_WORD),
    }[one.operator]
    return [(one.index, *cube) for cube in _cubes(Range(_LOW_WORD, low, high))]
