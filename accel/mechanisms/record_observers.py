"""Which observers are those that records are enough for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from accel.mechanisms.contract import RecordObserver

__all__ = ["takes_records"]


def takes_records(observer: object) -> TypeGuard[RecordObserver]:
    """Tell whether an observer, or a sink, is a ``RecordObserver``."""
    return hasattr(observer, "takes_records_of") and hasattr(observer, "write")
