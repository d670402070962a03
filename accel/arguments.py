"""Conditions on scalar arguments: ``arg.fd == 2``, ``(arg.flags & os.O_CREAT) != 0``.

They are values, compiled into the filter. What a pointer points to is not a scalar: the kernel's
filter cannot read memory, and accel does not pretend that it can.
"""

from __future__ import annotations

from typing import Final

from bpf.value import frozen, replace

__all__ = ["Argument", "Condition", "Conditions", "arg"]

_WORD = (1 << 64) - 1


@frozen
class Condition:
    """A comparison of one argument with a number; several joined by ``&`` must all hold."""

    #: The kernel's name of the argument, or its position.
    argument: str | int
    operator: str
    value: int
    mask: int | None = None

    def __and__(self, other: Condition | Conditions) -> Conditions:
        return Conditions((self,)) & other

    def __bool__(self) -> bool:
        # "a == 1 and b == 2" would silently drop the first.
        raise TypeError("join conditions with &, in parentheses; 'and' cannot be compiled")

    def __str__(self) -> str:
        name = f"arg[{self.argument}]" if isinstance(self.argument, int) else f"arg.{self.argument}"
        left = name if self.mask is None else f"({name} & {self.mask:#x})"
        return f"{left} {self.operator} {self.value}"


@frozen
class Conditions:
    """Conditions that must all hold."""

    all: tuple[Condition, ...] = ()

    def __and__(self, other: Condition | Conditions) -> Conditions:
        more = other.all if isinstance(other, Conditions) else (other,)
        return Conditions(self.all + more)

    def __bool__(self) -> bool:
        return bool(self.all)

    def __str__(self) -> str:
        return " & ".join(f"({condition})" for condition in self.all)


@frozen
class Argument:
    """A scalar argument of whatever call the condition is applied to."""

    name: str | int
    mask: int | None = None

    def __and__(self, mask: int) -> Argument:
        """Compare only the bits of ``mask``."""
        if not isinstance(mask, int) or not 0 <= mask <= _WORD:
            raise TypeError(f"a mask is a number of at most 64 bits, not {mask!r}")
        if self.mask is not None:
            raise TypeError("an argument takes one mask")
        return replace(self, mask=mask)

    def _compare(self, operator: str, value: object) -> Condition:
        if not isinstance(value, int) or not -(1 << 63) <= value <= _WORD:
            raise TypeError(
                f"an argument is compared with a number of at most 64 bits, not {value!r}:"
                " the filter cannot read tracee memory"
            )
        return Condition(self.name, operator, value, self.mask)

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]  # an expression
        return self._compare("==", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]  # an expression
        return self._compare("!=", value)

    def __lt__(self, value: int) -> Condition:
        return self._compare("<", value)

    def __le__(self, value: int) -> Condition:
        return self._compare("<=", value)

    def __gt__(self, value: int) -> Condition:
        return self._compare(">", value)

    def __ge__(self, value: int) -> Condition:
        return self._compare(">=", value)

    __hash__ = None  # type: ignore[assignment]  # equality makes a Condition


class _Arguments:
    """``arg.NAME`` and ``arg[INDEX]``."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Argument:
        if name.startswith("__"):
            raise AttributeError(name)
        return Argument(name)

    def __getitem__(self, index: int) -> Argument:
        if not 0 <= index < 6:
            raise IndexError("a system call has arguments 0 to 5")
        return Argument(index)


arg: Final = _Arguments()
