"""POSIX extended regular expressions, as strace's ``/regex`` has them, on top of Python's ``re``.

The two agree on most of what people write about system call names. This module translates what
they do not agree on (bracket expressions, escapes) and refuses what only Python would understand,
and what POSIX leaves undefined, so that a mask never means something else here than under strace.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["compile_posix"]

#: regex(7): character classes within a bracket expression, in the C locale.
_CLASSES: Final = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"!-~",
    "lower": "a-z",
    "print": r" -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
_BRACKET: Final = re.compile(r"\[(?P<negated>\^?)(?P<body>\]?(?:\[[:.=].*?[:.=]\]|[^\]])*)\]")
_BRACKET_PART: Final = re.compile(r"\[:(?P<name>\w+):\]|(?P<equivalence>\[[.=])|(?P<other>.)")
_INTERVAL: Final = re.compile(r"\{(\d+(,\d*)?|,\d+)\}")
_QUANTIFIERS: Final = "*+?"
#: GNU's escapes that Python spells the same, and those that it spells otherwise.
_ESCAPES: Final = {letter: f"\\{letter}" for letter in "wWsSbB123456789"} | {
    "<": r"\b(?=\w)",
    ">": r"\b(?<=\w)",
    "`": r"\A",
    "'": r"\Z",
}


def compile_posix(pattern: str) -> re.Pattern[str]:
    """Compile an extended regular expression; raise ValueError saying what is wrong with it."""
    parts: list[str] = []
    position = 0
    # Whether something that a quantifier can repeat comes before.
    repeatable = False
    while position < len(pattern):
        part, width, kind = _translate(pattern, position)
        if kind == "quantifier" and not repeatable:
            raise ValueError(f"nothing to repeat before {pattern[position]!r}")
        parts.append(part)
        repeatable = kind == "atom"
        position += width
    try:
        return re.compile("".join(parts), re.ASCII)
    except re.error as error:
        raise ValueError(str(error)) from error


def _translate(pattern: str, position: int) -> tuple[str, int, str]:
    """Translate what starts at ``position``: Python's spelling, width here, and what it is."""
    character = pattern[position]
    if character == "[":
        match = _BRACKET.match(pattern, position)
        if match is None:
            raise ValueError("unmatched [")
        return f"[{match['negated']}{_bracket(match['body'])}]", len(match[0]), "atom"
    if character == "\\":
        if position + 1 == len(pattern):
            raise ValueError("trailing backslash")
        escaped = pattern[position + 1]
        return _ESCAPES.get(escaped, re.escape(escaped)), 2, "atom"
    if character in _QUANTIFIERS:
        return character, 1, "quantifier"
    if character == "{":
        interval = _INTERVAL.match(pattern, position)
        if interval is None:
            raise ValueError("invalid content of {}")
        return interval[0].replace("{,", "{0,"), len(interval[0]), "quantifier"
    if character in "(|^":
        return character, 1, "start"
    return (character if character in ").$" else re.escape(character)), 1, "atom"


def _bracket(body: str) -> str:
    parts = []
    for part in _BRACKET_PART.finditer(body):
        if part["equivalence"]:
            raise ValueError("collating symbols are not supported")
        if part["name"]:
            if part["name"] not in _CLASSES:
                raise ValueError(f"no character class {part['name']!r}")
            parts.append(_CLASSES[part["name"]])
        else:
            # Between brackets a backslash is a backslash, and only the minus sign is special.
            other = part["other"]
            parts.append(other if other == "-" or other.isalnum() else re.escape(other))
    return "".join(parts)
