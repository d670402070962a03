"""What a subject module contributes: the structs, arguments and calls it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from accel.decoding.context import Context, Printer
from accel.decoding.layouts import Layout
from bpf.value import frozen

__all__ = ["Remark", "Steps", "Subject"]

#: (argument, its printer) in the order in which they are printed.
Steps: TypeAlias = tuple[tuple[str, Printer], ...]
#: Looks at a call that has returned; sets ``note`` and ``radix`` of its context.
Remark: TypeAlias = Callable[[Context], None]

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


@frozen
class Subject:
    """Entries for the tables that plans are made from; they add to what roles say."""

    #: {family: layout of the struct}.
    layouts: Mapping[str, Layout] = _NONE
    #: {"call.argument": its printer}; "*" stands for every call.
    arguments: Mapping[str, Printer] = _NONE
    #: {call: its steps}, where not every argument is printed, or not in order.
    calls: Mapping[str, Steps] = _NONE
    #: {call: what to add to the result}.
    remarks: Mapping[str, Remark] = _NONE
