"""A profile as a value: which calls get which action, in the order in which they are tried."""

from __future__ import annotations

import bpf
from accel.arguments import AnyCondition
from accel.mask import SyscallMask
from bpf.value import frozen

__all__ = ["FilterRule", "Profile"]


@frozen
class FilterRule:
    """What the filter answers to the calls of a mask whose arguments satisfy ``where``."""

    mask: SyscallMask
    action: bpf.Action
    where: AnyCondition | None = None


@frozen
class Profile:
    """The rules of a profile; of several that match a call the first decides, the last is for all.

    ``notes`` say what of the profile has no effect here.
    """

    rules: tuple[FilterRule, ...]
    #: What calls of other ABIs get: x32's, in which no mask selects.
    foreign: bpf.Action
    notes: tuple[str, ...] = ()
