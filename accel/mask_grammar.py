"""The text of a mask: strace's ``-e trace=`` grammar, read and written.

    set     = ["!" ...] ("all" | "none" | value {"," value})
    value   = ["?" ...] (name | number | class | "/" regex | "all") ["@64" | "@32"]

A leading ``!`` inverts the whole set; ``?`` forgives a value that selects nothing. Without a suffix
a value selects in both ABIs. Classes are those of ``classes``; regexes are POSIX extended ones and
match anywhere in a name. As in strace, ``ipc`` and ``signal`` are the classes, not the calls.

Unlike strace, blanks around values are ignored, a number may be one that no table knows (a call
newer than the tables), and ``@x32`` is refused, because accel selects nothing in that ABI.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from accel import classes
from accel.abi import X32_SYSCALL_BIT, Abi
from accel.errors import MaskError

__all__ = ["ABIS", "Member", "Members", "parse", "render"]

Member: TypeAlias = tuple[Abi, int]
Members: TypeAlias = frozenset[Member]

#: The ABIs in which masks select, and how a value is limited to one.
ABIS: Final = (Abi.X86_64, Abi.I386)
_SUFFIXES: Final = {"64": Abi.X86_64, "32": Abi.I386}

#: Masks of fewer calls are written without classes.
_SHORT: Final = 8
#: A class is written if it replaces at least so many names.
_WORTHWHILE: Final = 3


def parse(text: str) -> tuple[Members, bool]:
    """Read a set: the calls listed, and whether it is inverted.

    Raises MaskError for what is not in the grammar, an unknown call or class, and a set that is
    empty without saying so (``none``).
    """
    values = text.strip()
    inverted = False
    while values.startswith("!"):
        values = values[1:].lstrip()
        inverted = not inverted
    if values == "none":
        return frozenset(), inverted
    tokens = [token for token in map(str.strip, values.split(",")) if token]
    if not tokens:
        raise MaskError(f"the mask {text!r} names no system call", hint="name one, or write all")
    listed = frozenset().union(*map(_select, tokens))
    if any(token.lstrip("?") == "all" for token in tokens):
        return frozenset(), not inverted
    if not listed and not inverted:
        raise MaskError(f"the mask {text!r} selects no system call", hint="write none to mean that")
    return listed, inverted


def render(listed: Members, inverted: bool) -> str:
    """Write a set so that ``parse`` reads the same again, with classes where they shorten it."""
    if not listed:
        return "all" if inverted else "none"
    rest = set(listed)
    values = []
    if len(listed) > _SHORT:
        for value, members in sorted(_classes(), key=lambda item: -len(item[1])):
            if members <= listed and len(members & rest) >= _WORTHWHILE:
                values.append(value)
                rest -= members
    single = {_value(abi, number, listed) for abi, number in rest}
    return "!" * inverted + ",".join(sorted(values) + sorted(single))


# ------------------------------------------------------------------------------------------ reading


def _select(token: str) -> Members:
    """Find the calls that one value selects."""
    value = token.lstrip("?")
    optional = value != token
    value, abis = _limited(value, token)
    found = frozenset((abi, number) for abi in abis for number in _numbers(value, abi, token))
    if not found and not optional:
        raise _unknown(value, token, abis)
    return found


def _limited(value: str, token: str) -> tuple[str, tuple[Abi, ...]]:
    """Split the suffix off that limits a value to one ABI."""
    name, at, suffix = value.rpartition("@")
    if not at:
        return value, ABIS
    if suffix == "x32":
        raise MaskError(f"{token!r}: accel selects nothing in the x32 ABI", hint="use @64 or @32")
    if suffix not in _SUFFIXES:
        raise MaskError(f"{token!r}: there is no ABI {suffix!r}", hint="use @64 or @32")
    return name, (_SUFFIXES[suffix],)


def _numbers(value: str, abi: Abi, token: str) -> frozenset[int]:
    """Find the numbers that a value selects in one ABI."""
    if value[:1].isdecimal():
        # Not int() alone: it reads other digits and underscores, and refuses very long numbers.
        number = int(value) if re.fullmatch("[0-9]{1,10}", value) else X32_SYSCALL_BIT
        return frozenset({number} if number < X32_SYSCALL_BIT else ())
    if value.startswith("/"):
        return _matches(value[1:], abi, token)
    if value == "all":
        return frozenset(abi.numbers.values())
    if value in classes.NAMES or value in classes.ALIASES:
        return classes.members(value, abi)
    return frozenset({abi.numbers[value]} if value in abi.numbers else ())


def _matches(pattern: str, abi: Abi, token: str) -> frozenset[int]:
    from accel.posix_regex import compile_posix  # noqa: PLC0415 - few masks have one

    try:
        search = compile_posix(pattern).search
    except ValueError as error:
        raise MaskError(f"bad regular expression in {token!r}: {error}") from error
    return frozenset(number for name, number in abi.numbers.items() if search(name))


def _unknown(value: str, token: str, abis: tuple[Abi, ...]) -> MaskError:
    """Describe a value that selects nothing, with what its writer may have meant."""
    if value[:1].isdecimal():
        hint = "write it in decimal, as 257; they end below 2**30"
        return MaskError(f"{token!r} is no system call number", hint=hint)
    if value.startswith("/"):
        return MaskError(f"no system call matches {token!r}", hint=f"?{token} forgives that")
    if value.startswith("!"):
        message = f"{token!r}: an exclamation mark inverts the whole set"
        return MaskError(message, hint="write it first")
    if value.startswith("%"):
        return _not_found("class", value, [*classes.NAMES, "%net"])
    return _unknown_name(value, abis)


def _unknown_name(name: str, abis: tuple[Abi, ...]) -> MaskError:
    if name == "none":
        return MaskError("'none' stands alone", hint="leave it out, or the other values")
    elsewhere = [suffix for suffix, abi in _SUFFIXES.items() if name in abi.numbers]
    if elsewhere:
        message = f"{abis[0].value} has no system call {name!r}"
        return MaskError(message, hint=f"write {name}@{elsewhere[0]}")
    names = dict.fromkeys(name for abi in ABIS for name in abi.numbers)
    return _not_found("system call", name, [*classes.NAMES, *names])


def _not_found(kind: str, value: str, known: list[str]) -> MaskError:
    import difflib  # noqa: PLC0415 - only to word an error

    near = difflib.get_close_matches(value.lower(), known)
    hint = f"did you mean {', '.join(near)}?" if near else f"?{value} forgives that"
    return MaskError(f"unknown {kind} {value!r}", hint=hint)


# ------------------------------------------------------------------------------------------ writing


def _classes() -> Iterator[tuple[str, Members]]:
    """List the values that stand for many calls: in both ABIs, and in one."""
    for name in classes.NAMES:
        yield name, _select(name)
    for suffix in _SUFFIXES:
        for name in ("all", *classes.NAMES):
            yield f"{name}@{suffix}", _select(f"{name}@{suffix}")


def _value(abi: Abi, number: int, listed: Members) -> str:
    """Write one call; without a suffix where that selects no other call."""
    value = abi.names.get(number, str(number))
    if value in classes.ALIASES:
        # A class has the name of the call: signal, ipc.
        value = f"/^{value}$"
    return value if _select(value) <= listed else f"{value}@{_suffix(abi)}"


def _suffix(abi: Abi) -> str:
    return next(suffix for suffix, limited in _SUFFIXES.items() if limited is abi)
