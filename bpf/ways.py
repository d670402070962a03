"""The ways through a filter for one call: which registers lead to which action.

A filter is a decision tree: for one architecture and number every way from its first instruction to
a return is a set of ranges of argument registers, no two ways share a register, and together they
are all. What a filter does can so be told from the filter itself, however it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from bpf import data
from bpf import instruction as op
from bpf.action import Action
from bpf.errors import InvalidProgram
from bpf.program import Program
from bpf.value import frozen

__all__ = ["Range", "Way", "entry", "ways"]

_WORD: Final = 0xFFFFFFFF
_REGISTER: Final = (1 << 64) - 1
_LOAD: Final = op.BPF_LD | op.BPF_W | op.BPF_ABS
_MASK: Final = op.BPF_ALU | op.BPF_AND | op.BPF_K
_JUMP: Final = op.BPF_JMP | op.BPF_JA
_TESTS: Final = {
    op.BPF_JMP | operation | op.BPF_K: operation
    for operation in (op.BPF_JEQ, op.BPF_JGT, op.BPF_JGE, op.BPF_JSET)
}


@frozen
class Range:
    """The registers of which the bits under ``mask`` make a number from ``low`` to ``high``."""

    mask: int
    low: int
    high: int

    def holds(self, register: int) -> bool:
        """Tell whether a register is among them."""
        return self.low <= register & self.mask <= self.high

    def __and__(self, other: Range) -> Range | None:
        """Join two under one mask; None if no register is in both."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Range(self.mask, low, high) if low <= high else None


@frozen
class Way:
    """An action, and where it is taken: all ranges must hold, each with its argument's position."""

    action: Action
    ranges: tuple[tuple[int, Range], ...] = ()


class _Loaded(NamedTuple):
    """What is in the accumulator: a known number, or a part of an argument."""

    number: int | None = None
    argument: int = 0
    shift: int = 0
    mask: int = _WORD


#: Of each argument and mask, where its register is known to be.
_Known: TypeAlias = Mapping[tuple[int, int], Range]


def entry(program: Program, arch: int, number: int) -> int:
    """Find where a call's own instructions begin: the first that needs more than its number."""
    pc, loaded = 0, _Loaded()
    while True:
        instruction = program[pc]
        is_argument = instruction.code == _LOAD and instruction.k not in (data.NR, data.ARCH)
        if instruction.action is not None or is_argument:
            return pc
        pc, loaded, _known = next(_steps(program, pc, loaded, {}, (arch, number)))


def ways(program: Program, arch: int, number: int) -> list[Way]:
    """List the ways of a call; raise InvalidProgram for what ``bpf.compile`` does not write."""
    found: list[Way] = []
    pending: list[tuple[int, _Loaded, _Known]] = [(0, _Loaded(), {})]
    while pending:
        pc, loaded, known = pending.pop()
        action = program[pc].action
        if action is not None:
            found.append(Way(action, tuple(_by_argument(known))))
        else:
            pending += _steps(program, pc, loaded, known, (arch, number))
    return found


def _steps(
    program: Program, pc: int, loaded: _Loaded, known: _Known, call: tuple[int, int]
) -> Iterator[tuple[int, _Loaded, _Known]]:
    """List where one instruction leads, and what is known there."""
    instruction = program[pc]
    code, k, following = instruction.code, instruction.k, pc + 1
    if code == _JUMP:
        yield following + k, loaded, known
    elif code == _LOAD:
        yield following, _load(k, call), known
    elif code == _MASK:
        number = None if loaded.number is None else loaded.number & k
        yield following, loaded._replace(number=number, mask=loaded.mask & k), known
    elif code in _TESTS:
        for holds, jump in ((True, instruction.jt), (False, instruction.jf)):
            for narrowed in _narrowed(known, loaded, _TESTS[code], k, holds=holds):
                yield following + jump, loaded, narrowed
    else:
        raise InvalidProgram(f"instruction {pc} is none of a decision tree: {instruction}")


def _load(offset: int, call: tuple[int, int]) -> _Loaded:
    arch, number = call
    if offset == data.ARCH:
        return _Loaded(arch)
    if offset == data.NR:
        return _Loaded(number & _WORD)
    index, is_high = divmod((offset - data.low(0)) // 4, 2)
    if index < 0:
        raise InvalidProgram("the filter looks at the instruction pointer")
    return _Loaded(None, index, 32 if is_high else 0)


def _narrowed(
    known: _Known, loaded: _Loaded, operation: int, k: int, *, holds: bool
) -> Iterator[_Known]:
    """List what is known after a comparison came out so; nothing if it cannot."""
    mask = loaded.mask & k if operation == op.BPF_JSET else loaded.mask
    if loaded.number is not None:
        number = loaded.number & mask
        if any(low <= number <= high for low, high in _outcomes(operation, k, mask, holds=holds)):
            yield known
        return
    mask64 = mask << loaded.shift
    key = (loaded.argument, mask64)
    before = known.get(key, Range(mask64, 0, mask64))
    for low, high in _outcomes(operation, k, mask, holds=holds):
        after = before & Range(mask64, low << loaded.shift, high << loaded.shift)
        if after is not None:
            yield {**known, key: after}


def _outcomes(operation: int, k: int, mask: int, *, holds: bool) -> list[tuple[int, int]]:
    """Tell between which numbers the accumulator is; a few of them may be empty."""
    if operation == op.BPF_JEQ:
        found = [(k, k)] if holds else [(0, k - 1), (k + 1, mask)]
    elif operation == op.BPF_JSET:
        found = [(1, mask)] if holds else [(0, 0)]
    else:
        least = k + 1 if operation == op.BPF_JGT else k
        found = [(least, mask)] if holds else [(0, least - 1)]
    return [(low, high) for low, high in found if low <= high]


def _by_argument(known: _Known) -> Iterator[tuple[int, Range]]:
    """Join what is known of the halves of each argument."""
    for index in sorted({index for index, _mask in known}):
        ranges = [one for (other, _mask), one in known.items() if other == index]
        yield from ((index, one) for one in _joined(ranges))


def _joined(ranges: Iterable[Range]) -> list[Range]:
    """Make one range of the two words of a register, where that says the same."""
    by_mask = {one.mask: one for one in ranges}
    high = by_mask.get(_REGISTER - _WORD)
    low = by_mask.get(_WORD, Range(_WORD, 0, _WORD))
    if high is not None and (high.low == high.high or _WORD not in by_mask):
        del by_mask[high.mask]
        by_mask.pop(_WORD, None)
        by_mask[_REGISTER] = Range(_REGISTER, high.low | low.low, high.high | low.high)
    return list(by_mask.values())
