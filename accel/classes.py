"""strace's classes of system calls: %file, %desc, %network, ...

Which call is in which follows from rules (``class_rules``), but those want every call described: 10
ms, at each start. So their answers are kept in ``class_index``, and only a call that is newer than
the index is judged when it is met.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from accel import class_index
from accel.abi import Abi

__all__ = ["ALIASES", "NAMES", "members"]

#: Every class, spelled as strace does.
NAMES: Final = class_index.NAMES

#: Other spellings that strace accepts; those without a percent sign are deprecated there.
ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "%net": "%network",
        "desc": "%desc",
        "file": "%file",
        "ipc": "%ipc",
        "memory": "%memory",
        "network": "%network",
        "process": "%process",
        "signal": "%signal",
    }
)


@functools.cache
def members(name: str, abi: Abi) -> frozenset[int]:
    """Find the numbers of the calls of ``abi`` that belong to a class; raise KeyError if none."""
    wanted = ALIASES.get(name, name)
    if wanted not in NAMES:
        raise KeyError(name)
    numbers = abi.numbers.items()
    return frozenset(number for call, number in numbers if wanted in _classes_of(call, abi))


def _classes_of(call: str, abi: Abi) -> Collection[str]:
    only_i386 = abi is Abi.I386 and call in class_index.I386
    index = class_index.I386 if only_i386 else class_index.CLASSES
    indexed = index.get(call)
    if indexed is not None:
        return indexed.split()
    from accel.class_rules import RULES  # noqa: PLC0415 - for calls that are not in the index
    from accel.roles import signature  # noqa: PLC0415 - as above

    return [name for name, rule in RULES.items() if rule(call, signature(abi, call))]
