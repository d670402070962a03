"""The grammar of ``strace -e inject=`` (strace 6.1, src/filter_qualify.c), read as strace reads it.

    SET[:error=ERRNO|:retval=VALUE][:signal=SIG][:syscall=CALL]
       [:delay_enter=TIME][:delay_exit=TIME][:when=FIRST[..LAST][+[STEP]]]

Each word may come once, ``when`` again: the last holds. Numbers are those of strtoll(3).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from accel.abi import Abi
from accel.decoding import errno_name, signal_name
from accel.errors import InjectionError
from accel.mask import SyscallMask

__all__ = ["Fields", "read", "time_text"]

_MAX_ERRNO: Final = 4095
_LAST_SIGNAL: Final = 64
#: strace keeps its counts in 16 bits, of which the greatest stands for "no last one".
_MAX_COUNT: Final = 0xFFFF
_LLONG_MAX: Final = (1 << 63) - 1
_WORD: Final = 1 << 64

_ERRORS: Final = {name: n for n in range(1, _MAX_ERRNO + 1) if (name := errno_name(n))}
_SIGNALS: Final = {signal_name(n).removeprefix("SIG"): n for n in range(1, _LAST_SIGNAL + 1)}
_NANOSECONDS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "": 10**3}

_NUMBER: Final = r"[ \t-\r]*\+?[0-9]+"
_WHEN: Final = re.compile(
    rf"(?P<first>{_NUMBER})(\.\.(?P<last>{_NUMBER}))?((?P<plus>\+)(?P<step>{_NUMBER})?)?", re.ASCII
)
_WHOLE_TIME: Final = re.compile(rf"({_NUMBER})(s|ms|us|ns|)")
_TIME: Final = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(s|ms|us|ns|)")
#: What strtoull(3) takes with base 0.
_WORD_NUMBER: Final = re.compile(
    r"[ \t-\r]*(?P<sign>[+-]?)"
    r"(?:0[xX](?P<hex>[0-9a-fA-F]+)|0(?P<octal>[0-7]*)|(?P<decimal>[1-9][0-9]*))"
)


class Fields:
    """What the words of one text have said so far; None or empty: nothing."""

    def __init__(self, mask: SyscallMask) -> None:
        self.mask = mask
        self.result: int | None = None
        self.signal: int | None = None
        self.delay_enter: int | None = None
        self.delay_exit: int | None = None
        #: First, last (None: no last one), step.
        self.when: tuple[int, int | None, int] = (1, None, 1)
        self.syscall = ""

    @property
    def does_something(self) -> bool:
        """Whether something is injected, and not only said when."""
        actions = (self.result, self.signal, self.delay_enter, self.delay_exit)
        return any(action is not None for action in actions)


def read(text: str, *, fault: bool = False) -> Fields:
    """Read the text of an injection, with ``fault`` of ``-e fault=``.

    Raise InjectionError for what strace would not take; MaskError for its set of calls.
    """
    option = "fault" if fault else "inject"
    # As strtok(3) splits: between two colons there is no word. A text that begins with one has no
    # set of calls.
    name, *words = [""] if text[:1] in ("", ":") else [word for word in text.split(":") if word]
    fields = Fields(SyscallMask.parse(name))
    for word in words:
        _read_word(fields, word, option)
    if not fields.does_something:
        if not fault:
            raise InjectionError(
                f"-e inject={text} injects nothing",
                hint="add error=, retval=, signal=, delay_enter= or delay_exit=",
            )
        fields.result = -_ERRORS["ENOSYS"]
    return fields


def _read_word(fields: Fields, word: str, option: str) -> None:
    key, equals, value = word.partition("=")
    words = _FAULT_WORDS if option == "fault" else _WORDS
    if not equals or key not in words:
        hint = f"use {'=, '.join(words)}="
        if key in ("poke_enter", "poke_exit"):
            hint = "memory can be written by a handler: stop.write"
        raise InjectionError(f"-e {option}= has no {key}= here", hint=hint)
    target, reader, hint = words[key]
    if key != "when" and getattr(fields, target) not in (None, ""):
        raise InjectionError(f"-e {option}=: {key}={value} is one too many", hint="give it once")
    found = reader(value)
    if found is None:
        raise InjectionError(f"-e {option}=: {key}={value} is not valid", hint=hint)
    setattr(fields, target, found)


def _number(text: str, limit: int) -> int | None:
    if not re.fullmatch(_NUMBER, text):
        return None
    number = int(text)
    return number if number <= limit else None


def _error(text: str) -> int | None:
    number = _number(text, _MAX_ERRNO)
    number = _ERRORS.get(text.upper()) if number is None else number
    return -number if number else None


def _result(text: str) -> int | None:
    """Read a word of 64 bits, as the signed number that a register of those bits is."""
    found = _WORD_NUMBER.fullmatch(text)
    if found is None:
        return None
    base = {"hex": 16, "octal": 8, "decimal": 10}[found.lastgroup or "octal"]
    number = int(found[found.lastgroup or "octal"] or "0", base)
    if number >= _WORD:
        return None
    if found["sign"] == "-":
        number = -number % _WORD
    return number - _WORD if number > _LLONG_MAX else number


def _signal(text: str) -> int | None:
    if text[:1].isdigit():
        number = _number(text, _LAST_SIGNAL)
    else:
        number = _SIGNALS.get(text.upper().removeprefix("SIG"))
    return number or None


def _nanoseconds(text: str) -> int | None:
    """Read a time: a number, and its unit; microseconds without one. See parse_ts() in strace."""
    whole = _WHOLE_TIME.fullmatch(text)
    if whole:
        number = _number(whole[1], _LLONG_MAX)
        return None if number is None else number * _NANOSECONDS[whole[2]]
    found = _TIME.fullmatch(text)
    if found is None or float(found[1]) < 0 or float(found[1]) == float("inf"):
        return None
    return int(float(found[1]) * _NANOSECONDS[found[2]])


def time_text(nanoseconds: int) -> str:
    """Write a time in the greatest unit that says it in whole numbers."""
    units = ((unit, size) for unit, size in _NANOSECONDS.items() if unit)
    return next(f"{nanoseconds // size}{unit}" for unit, size in units if nanoseconds % size == 0)


def _when(text: str) -> tuple[int, int | None, int] | None:
    found = _WHEN.fullmatch(text)
    if found is None:
        return None
    first = _number(found["first"], _MAX_COUNT)
    last = None if found["last"] is None else _number(found["last"], _MAX_COUNT - 1)
    step = 1 if found["step"] is None else _number(found["step"], _MAX_COUNT)
    if not first or not step or (found["last"] is not None and (last is None or last < first)):
        return None
    is_first_alone = found["last"] is None and found["plus"] is None
    return first, last, 0 if is_first_alone else step


def _harmless(text: str) -> str | None:
    """Take the name of a call that changes nothing, and cannot fail, in both ABIs."""
    known = all(text in abi.numbers for abi in (Abi.X86_64, Abi.I386))
    return text if known and text in SyscallMask.parse("%pure") else None


_Reader = Callable[[str], object]
#: {word: (the field that it sets, how its value is read, what to write)}.
_FAULT_WORDS: Final[Mapping[str, tuple[str, _Reader, str]]] = {
    "error": ("result", _error, "name an errno, as ENOENT, or a number from 1 to 4095"),
    "syscall": ("syscall", _harmless, "name a call of %pure, as getpid"),
    "when": ("when", _when, "use FIRST, FIRST+, FIRST+STEP, FIRST..LAST or FIRST..LAST+STEP"),
}
_WORDS: Final[Mapping[str, tuple[str, _Reader, str]]] = {
    **_FAULT_WORDS,
    "retval": ("result", _result, "write a number of 64 bits"),
    "signal": ("signal", _signal, "name a signal, as SIGUSR1, or a number from 1 to 64"),
    "delay_enter": ("delay_enter", _nanoseconds, "write microseconds, or a number and s, ms, us"),
    "delay_exit": ("delay_exit", _nanoseconds, "write microseconds, or a number and s, ms, us"),
}
