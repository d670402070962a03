"""Which calls can be printed from captured strings and blocks alone.

That is told by the code of their printers (``capture_rules``), but to ask it of every call takes 45
ms, at each start. So the answers are kept in ``capture_index`` and ``block_index``, and only a call
that is newer than these is judged when it is met.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias, TypeVar

from accel.abi import Abi
from accel.decoding import block_index, capture_index
from accel.records import Blocks

__all__ = ["captured_arguments", "captured_blocks"]

T = TypeVar("T")
_Found: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], int, bool]
_NO_BLOCKS: Final[_Found] = (), (), 0, False


def captured_arguments(abi: Abi, name: str) -> tuple[int, ...] | None:
    """Tell which C strings must be captured to print a call without its tracee's memory.

    The answer is the positions of its arguments, in order, at most MAX_STRINGS; None if printing it
    takes other memory than these and ``captured_blocks``. A string is printed as from live memory
    if a decoder's ``string_limit`` is below ``records.STRING_LIMIT``.
    """
    index = _table(abi, name, capture_index.CAPTURES, capture_index.I386)
    if name in index:
        return index[name]
    from accel.decoding import capture_rules  # noqa: PLC0415 - for calls that are not in the index

    return capture_rules.captured_arguments(abi, name)


def captured_blocks(abi: Abi, name: str, string_limit: int) -> Blocks:
    """Tell which blocks must be captured besides, for a decoder with that ``string_limit``.

    With strings they are at most MAX_STRINGS.
    """
    read, written, size, is_limited = _blocks(abi, name)
    return Blocks(read, written, max(size, string_limit + 1) if is_limited else size)


def _table(abi: Abi, name: str, common: Mapping[str, T], i386: Mapping[str, T]) -> Mapping[str, T]:
    """Choose the table of an index that has a call, if any has."""
    return i386 if abi is Abi.I386 and name in i386 else common


def _blocks(abi: Abi, name: str) -> _Found:
    if captured_arguments(abi, name) is None:
        return _NO_BLOCKS
    index = _table(abi, name, block_index.BLOCKS, block_index.I386)
    if name in index or name in capture_index.CAPTURES or name in capture_index.I386:
        return index.get(name, _NO_BLOCKS)
    from accel.decoding import capture_rules  # noqa: PLC0415 - as above

    return capture_rules.captured_blocks(abi, name)
