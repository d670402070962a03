"""Immutable values: what dataclasses promise of frozen classes with slots, kept without them."""

from __future__ import annotations

import copy
import pickle

import pytest

from bpf.value import frozen, hidden, replace


@frozen
class Point:
    """A value."""

    x: int
    #: Not shown.
    secret: int = hidden(compared=True)
    y: int = 0

    @property
    def norm(self) -> int:
        """Methods stay."""
        return self.x * self.x + self.y * self.y


@frozen
class Even:
    """A value that is checked."""

    number: int
    note: str = hidden()

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{self} is odd")


@frozen
class Own:  # noqa: PLW1641 - as it is to be: equal to much, and therefore without a hash
    """A value that does some things its own way."""

    name: str

    def __init__(self, *words: str) -> None:
        object.__setattr__(self, "name", " ".join(words))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and self.name.lower() == other.name.lower()

    def __repr__(self) -> str:
        return f"<{self.name}>"


def test_fields_are_given_by_place_or_name_and_have_defaults():
    """As the arguments of any function; a mistake is a TypeError that names the class."""

    @frozen
    class Pair:
        left: int
        right: int = 7

    assert (Pair(1).left, Pair(1).right, Pair(1, right=2).right) == (1, 7, 2)
    for wrong in ({}, {"middle": 1}, {"left": 1, "middle": 1}):
        with pytest.raises(TypeError, match=r"left|middle"):
            Pair(**wrong)


def test_a_value_equals_another_of_its_class_with_the_same_fields():
    """And hashes like it; another class with the same fields is something else."""
    assert Even(2, "a") == Even(2, "b") != Even(4, "a")
    assert hash(Even(2, "a")) == hash(Even(2, "b"))
    assert Point(1, 2, 3) != Point(1, 3, 3)
    assert Even(2, "") != Own("2")
    assert len({Point(1, 2, 3), Point(1, 2, 3), Point(2, 2, 3)}) == 2


def test_it_does_not_change():
    """Nor does it take other attributes: it has slots."""
    point = Point(1, 2, 3)
    for change in (
        lambda: setattr(point, "x", 2),
        lambda: setattr(point, "z", 2),
        lambda: delattr(point, "x"),
    ):
        with pytest.raises(AttributeError, match="a Point does not change"):
            change()
    assert not hasattr(point, "__dict__")
    assert replace(point, y=5) == Point(1, 2, 5)


def test_it_shows_what_it_was_made_with():
    """All but what is hidden."""
    assert repr(Point(1, 2, 3)) == "Point(x=1, y=3)"


def test_what_a_class_defines_itself_is_kept():
    """Its methods, its own __init__ and equality; equality without a hash has none."""
    assert Point(3, 0, 4).norm == 25
    assert Own("Much", "Ado") == Own("much ado")
    assert repr(Own("a", "b")) == "<a b>"
    with pytest.raises(TypeError):
        hash(Own("a"))
    with pytest.raises(ValueError, match=r"Even\(number=3\) is odd"):
        Even(3, "")


@pytest.mark.parametrize("original", [Point(1, 2, 3), Even(2, "two"), Own("a", "b")], ids=repr)
def test_it_can_be_copied_and_pickled(original):
    """With what is hidden, and without calling __init__."""
    for twin in (copy.copy(original), copy.deepcopy(original)):
        assert twin == original
    again = pickle.loads(pickle.dumps(original))
    assert again == original
    assert getattr(again, "note", None) == getattr(original, "note", None)


def test_it_matches_by_place():
    """In the order of its fields."""
    match Point(1, 2, 3):
        case Point(x, secret, y):
            assert (x, secret, y) == (1, 2, 3)
        case _:
            pytest.fail("no match")
