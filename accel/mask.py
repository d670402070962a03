"""A set of system calls: what to trace, to decide about, to filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from accel import mask_grammar
from accel.abi import X32_SYSCALL_BIT, Abi
from accel.call import Call
from accel.errors import MaskError
from bpf.value import frozen

__all__ = ["SyscallMask", "mask_of"]


@frozen
class SyscallMask:
    """A set of system calls of x86_64 and i386, as an immutable value.

    ``SyscallMask("openat,%network")`` reads strace's ``-e trace=`` grammar (``mask_grammar``);
    several texts, or masks, are joined. Masks combine with ``| & - ~``, compare and hash by value,
    and ``str(mask)`` reads back as an equal mask.

    A mask may hold numbers that no table knows. ``all``, ``!open`` and every other complement hold
    all of those, as calls newer than the tables are to be traced as well: see ``holds_unnamed``.
    Iteration, ``len`` and ``numbers`` stay within the tables and what was listed by number.

    Raises MaskError for what the grammar does not know, and for a mask that is empty by accident.
    """

    _listed: mask_grammar.Members
    #: Whether the mask holds everything but what is listed.
    _inverted: bool

    def __init__(self, *sets: str | SyscallMask) -> None:
        if not sets:
            raise MaskError("a mask of nothing", hint="use SyscallMask.none() to mean that")
        joined = SyscallMask.none()
        for item in sets:
            joined |= item if isinstance(item, SyscallMask) else self.parse(item)
        self._become(joined)

    @classmethod
    def parse(cls, text: str) -> SyscallMask:
        """Read one set in strace's grammar; raise MaskError as the class does."""
        return cls._new(*mask_grammar.parse(text))

    @classmethod
    def all(cls) -> SyscallMask:
        """Make the mask of every call, known and unknown."""
        return cls._new(frozenset(), inverted=True)

    @classmethod
    def none(cls) -> SyscallMask:
        """Make the empty mask."""
        return cls._new(frozenset(), inverted=False)

    @classmethod
    def of(cls, calls: Iterable[tuple[Abi, int]]) -> SyscallMask:
        """Make a mask of (ABI, number) pairs; raise MaskError for one that no mask can hold."""
        listed = frozenset(calls)
        for abi, number in listed:
            if not _exists(abi, number):
                raise MaskError(f"no mask can select number {number} of {abi.value}")
        return cls._new(listed, inverted=False)

    @classmethod
    def _new(cls, listed: mask_grammar.Members, inverted: bool) -> SyscallMask:
        mask = object.__new__(cls)
        object.__setattr__(mask, "_listed", listed)
        object.__setattr__(mask, "_inverted", inverted)
        return mask

    def _become(self, other: SyscallMask) -> None:
        object.__setattr__(self, "_listed", other._listed)
        object.__setattr__(self, "_inverted", other._inverted)

    # ---------------------------------------------------------------------------------- the algebra

    def __or__(self, other: SyscallMask) -> SyscallMask:
        if not isinstance(other, SyscallMask):
            return NotImplemented
        return ~(~self & ~other)

    def __and__(self, other: SyscallMask) -> SyscallMask:
        if not isinstance(other, SyscallMask):
            return NotImplemented
        mine, theirs = self._listed, other._listed
        if self._inverted and other._inverted:
            return self._new(mine | theirs, inverted=True)
        if self._inverted:
            return self._new(theirs - mine, inverted=False)
        return self._new(mine - theirs if other._inverted else mine & theirs, inverted=False)

    def __sub__(self, other: SyscallMask) -> SyscallMask:
        if not isinstance(other, SyscallMask):
            return NotImplemented
        return self & ~other

    def __invert__(self) -> SyscallMask:
        return self._new(self._listed, inverted=not self._inverted)

    # ------------------------------------------------------------------------------- what is in it

    def __contains__(self, item: object) -> bool:
        """Tell whether a name (in any ABI), an (ABI, number) pair or a Call is selected."""
        match item:
            case (Abi() as abi, int() as number):
                if self._inverted:
                    return (abi, number) not in self._listed and _exists(abi, number)
                return (abi, number) in self._listed
            case Call():
                return (item.abi, item.number) in self
            case str():
                pairs = [(abi, abi.numbers.get(item, -1)) for abi in mask_grammar.ABIS]
                return any(pair in self for pair in pairs)
        return False

    def __bool__(self) -> bool:
        return self._inverted or bool(self._listed)

    def __iter__(self) -> Iterator[tuple[Abi, int]]:
        for abi in mask_grammar.ABIS:
            for number in sorted(self.numbers(abi)):
                yield abi, number

    def __len__(self) -> int:
        return sum(len(self.numbers(abi)) for abi in mask_grammar.ABIS)

    def numbers(self, abi: Abi) -> frozenset[int]:
        """Select the numbers of one ABI, of those that its table knows or that were listed."""
        listed = frozenset(number for other, number in self._listed if other is abi)
        if not self._inverted:
            return listed
        return frozenset(abi.names) - listed if abi in mask_grammar.ABIS else frozenset()

    @property
    def names(self) -> frozenset[str]:
        """The names of the selected calls; numbers without a name are left out."""
        return frozenset(abi.names[number] for abi, number in self if number in abi.names)

    @property
    def holds_unnamed(self) -> bool:
        """Whether every number that neither the tables nor the mask's text names is selected."""
        return self._inverted

    # -------------------------------------------------------------------------------------- as text

    def __str__(self) -> str:
        return mask_grammar.render(self._listed, self._inverted)

    def __repr__(self) -> str:
        return f"SyscallMask({str(self)!r})"


def _exists(abi: Abi, number: int) -> bool:
    """Tell whether a mask can select this number: x32 is no ABI of masks, and -1 is no call."""
    return abi in mask_grammar.ABIS and 0 <= number < X32_SYSCALL_BIT


def mask_of(mask: SyscallMask | str) -> SyscallMask:
    """Read a mask, unless it is one."""
    return SyscallMask.parse(mask) if isinstance(mask, str) else mask
