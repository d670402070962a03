"""Immutable values: what ``@dataclass(frozen=True, slots=True)`` makes, thirty times faster.

dataclasses compiles six methods for each class, when the class is made, and imports inspect to do
so. That is half a millisecond a class, and there are forty of them between a user and the first
stop of ``accel trace``. Here classes share their methods, and the one that is worth compiling,
``__init__``, is compiled for those classes that get more than a few instances.

Whatever a class defines itself is kept, ``__init__`` and ``__eq__`` too; ``__post_init__`` runs at
the end of a compiled ``__init__``. Defaults are shared by all instances: they must be immutable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, Final, NoReturn, TypeVar, cast, dataclass_transform

__all__ = ["frozen", "hidden", "replace"]

T = TypeVar("T")

#: To compile takes as long as to make so many instances in the slow way.
_FEW: Final = 16
#: Attributes that Python gave to the class without slots, and gives anew to the one with.
_GIVEN: Final = ("__dict__", "__weakref__")


class _Hidden:
    """Stands where the default would be."""

    __slots__ = ("compared",)

    def __init__(self, compared: bool) -> None:
        self.compared = compared


def hidden(*, compared: bool = False) -> Any:
    """Declare a field that ``repr`` does not show and, unless ``compared``, ``==`` ignores."""
    return _Hidden(compared)


@dataclass_transform(frozen_default=True, field_specifiers=(hidden,))
def frozen(cls: type[T]) -> type[T]:
    """Make the class of an immutable value; its annotations are the fields, in order."""
    namespace = {name: item for name, item in vars(cls).items() if name not in _GIVEN}
    fields = tuple(namespace["__annotations__"])
    defaults = {name: namespace.pop(name) for name in fields if name in namespace}
    marks = {name: mark for name, mark in defaults.items() if isinstance(mark, _Hidden)}
    compared = (name for name in fields if name not in marks or marks[name].compared)
    own = {
        "__qualname__": cls.__qualname__,
        "__slots__": fields,
        "__match_args__": fields,
        "_defaults": {name: default for name, default in defaults.items() if name not in marks},
        "_shown": tuple(name for name in fields if name not in marks),
        "_key": attrgetter(*compared),
        "_made": 0,
    }
    metaclass: Any = type(cls)
    made: Any = metaclass(cls.__name__, cls.__bases__, _METHODS | namespace | own)
    #: What an instance is one of, whatever other class it has for the sake of speed.
    made._kind = made  # noqa: SLF001 - its own
    return cast("type[T]", made)


def replace(original: T, **changes: Any) -> T:
    """Make a value that differs from ``original`` in some fields."""
    made: T = original._kind(**dict(_items(original)) | changes)  # type: ignore[attr-defined]  # noqa: SLF001 - as above
    return made


def _items(instance: object) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(instance, name)) for name in type(instance).__match_args__)  # type: ignore[attr-defined]


# --------------------------------------------------------------------------- what all values share


def _init(self: Any, *arguments: Any, **named: Any) -> None:
    """Set the fields of one of the first instances.

    Later the class's own ``__init__``, compiled, takes the place of this one; it also says what is
    wrong with arguments that are.
    """
    cls = type(self)
    fields = cls.__match_args__
    given = {**cls._defaults, **dict(zip(fields, arguments, strict=False)), **named}
    is_right = given.keys() == set(fields) and len(arguments) <= len(fields)
    if cls._made >= _FEW or not is_right or named.keys() & fields[: len(arguments)]:
        cls.__init__ = _compiled(cls)
        cls.__init__(self, *arguments, **named)
        return
    cls._made += 1
    for name in fields:
        object.__setattr__(self, name, given[name])
    if hasattr(cls, "__post_init__"):
        self.__post_init__()


def _compiled(cls: Any) -> Callable[..., None]:
    fields, defaults = cls.__match_args__, cls._defaults
    parameters = (f"{name}=defaults[{name!r}]" if name in defaults else name for name in fields)
    lines = [f"def __init__(self, {', '.join(parameters)}):"]
    # A slot is set through its descriptor: the instance itself refuses.
    lines += [f"    set_{name}(self, {name})" for name in fields]
    if hasattr(cls, "__post_init__"):
        lines.append("    self.__post_init__()")
    names = {"defaults": defaults} | {f"set_{name}": getattr(cls, name).__set__ for name in fields}
    # Python makes its 100 classes of syntax trees, 2 ms, for the first compile(); not for exec().
    exec("\n".join(lines), names)  # noqa: S102 - names of fields
    compiled: Callable[..., None] = names["__init__"]
    return compiled


def _eq(self: Any, other: Any) -> Any:
    is_like = getattr(other, "_kind", None) is self._kind
    return self._key(self) == self._key(other) if is_like else NotImplemented


def _hash(self: Any) -> int:
    return hash(self._key(self))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._shown)
    return f"{self._kind.__qualname__}({shown})"


def _setattr(self: Any, name: str, _value: object) -> NoReturn:
    raise AttributeError(f"cannot set {name!r}: a {self._kind.__name__} does not change")


def _delattr(self: Any, name: str) -> NoReturn:
    raise AttributeError(f"cannot delete {name!r}: a {self._kind.__name__} does not change")


def _getstate(self: object) -> dict[str, Any]:
    # For pickle and copy, which would set the attributes.
    return dict(_items(self))


def _setstate(self: object, state: dict[str, Any]) -> None:
    for name, item in state.items():
        object.__setattr__(self, name, item)


_METHODS: Final[dict[str, Any]] = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}
