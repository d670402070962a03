"""Reads members of a JSON document and says where in it something is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Self, TypeVar

from accel.errors import SetupError

__all__ = ["Members"]

T = TypeVar("T")

_TYPES: Final = {str: "a string", int: "a number", list: "a list", dict: "an object"}


class Members:
    """An object of the document, which names each member that it is asked for.

    ``null`` is as good as no member: Docker's profiles have both.
    """

    def __init__(self, value: object, place: str) -> None:
        self.place = place
        self._members: dict[str, Any] = self._typed(value, dict, "")
        self._asked: set[str] = set()

    def get(self, name: str, kind: type[T], default: T) -> T:
        """Read a member; raise SetupError if it is of another kind."""
        self._asked.add(name)
        value = self._members.get(name)
        return default if value is None else self._typed(value, kind, name)

    def need(self, name: str, kind: type[T]) -> T:
        """Read a member; raise SetupError if it is missing, or of another kind."""
        self._asked.add(name)
        value = self._members.get(name)
        if value is None:
            raise self.error("is missing", name)
        return self._typed(value, kind, name)

    def strings(self, name: str) -> list[str]:
        """Read a list of strings."""
        return [self._typed(item, str, name) for item in self.get(name, list, [])]

    def each(self, name: str) -> Iterator[Self]:
        """Read a list of objects."""
        for index, item in enumerate(self.get(name, list, [])):
            yield type(self)(item, f"{self._path(name)}[{index}]")

    def inner(self, name: str) -> Self:
        """Read an object; one that is missing has no members."""
        return type(self)(self.get(name, dict, {}), self._path(name))

    def number(self, name: str, most: int, default: int | None = None) -> int:
        """Read a number from 0 to ``most``; without ``default`` it must be there."""
        value = self.need(name, int) if default is None else self.get(name, int, default)
        if not 0 <= value <= most:
            raise self.error(f"is {value}, not a number from 0 to {most}", name)
        return value

    def finish(self) -> None:
        """Raise SetupError if there is a member that nobody asked for: it would have no effect."""
        for name in self._members:
            if name not in self._asked:
                raise self.error("is not known", name, hint="leave it out if it is to do nothing")

    def error(self, problem: str, name: str = "", *, hint: str = "") -> SetupError:
        """Describe what is wrong with a member, or with all of it."""
        return SetupError(f"{self._path(name)} {problem}", hint=hint)

    def _path(self, name: str) -> str:
        return f"{self.place}.{name}" if name and self.place else name or self.place or "a profile"

    def _typed(self, value: object, kind: type[T], name: str) -> T:
        if isinstance(value, kind) and not isinstance(value, bool):
            return value
        raise self.error(f"is {value!r:.40}, not {_TYPES[kind]}", name)
