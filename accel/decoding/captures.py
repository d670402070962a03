"""Which calls can be printed from their records alone: registers, and strings that were captured.

That follows from the code of their printers, but to read it takes 50 ms, at each start. So the
answers are kept in ``capture_index``. A call that is newer than the index is printed while its
tracee waits: that costs its speed, never its line a word.
"""

from __future__ import annotations

from typing import Final

from accel.abi import Abi
from accel.decoding import capture_index

__all__ = ["records_suffice"]

_INDEX: Final = {Abi.X86_64: capture_index.X86_64, Abi.I386: capture_index.I386}


def records_suffice(abi: Abi, name: str) -> bool:
    """Tell whether the record of a call says all that is printed of it.

    Which of its strings were captured, ``roles.string_arguments`` tells. They are printed as from
    live memory if a decoder's ``string_limit`` is below ``records.STRING_LIMIT``.
    """
    # Of a number that no table knows, the registers are printed.
    return name in _INDEX[abi] or name.startswith("syscall_")
