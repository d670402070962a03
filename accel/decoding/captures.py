"""Which calls can be printed from captured strings alone.

That is told by the code of their printers (``capture_rules``), but to ask it of every call takes 45
ms, at each start. So the answers are kept in ``capture_index``, and only a call that is newer than
the index is judged when it is met.
"""

from __future__ import annotations

from accel.abi import Abi
from accel.decoding import capture_index

__all__ = ["captured_arguments"]


def captured_arguments(abi: Abi, name: str) -> tuple[int, ...] | None:
    """Tell which C strings must be captured to print a call without its tracee's memory.

    The answer is the positions of its arguments, in order, at most MAX_STRINGS; None if printing it
    takes other memory: structs, buffers, vectors, whatever the kernel writes. A string is printed
    as from live memory if a decoder's ``string_limit`` is below ``records.STRING_LIMIT``.
    """
    only_i386 = abi is Abi.I386 and name in capture_index.I386
    index = capture_index.I386 if only_i386 else capture_index.CAPTURES
    if name in index:
        return index[name]
    from accel.decoding import capture_rules  # noqa: PLC0415 - for calls that are not in the index

    return capture_rules.captured_arguments(abi, name)
