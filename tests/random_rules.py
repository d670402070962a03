"""Random rules, random calls, and what the rules say of them: by Python's own comparisons.

Every expression is made together with a function that says when it is true, from a table of types
that is written here by hand. Neither looks at accel's lowering, nor at its judgement.
"""

from __future__ import annotations

import posixpath
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from accel import Abi, Call, Decision, SyscallMask, arg, path, sockaddr
from accel.arguments import Conditions
from accel.expressions import Expression
from accel.plan import Rule
from accel.testing import FakeMemory

#: {call: {argument: (position, bits on x86_64, bits on i386, whether it is signed)}}.
TYPES: Final = {
    "write": {"fd": (0, 32, 32, True), "count": (2, 64, 32, False)},
    "socket": {"domain": (0, 32, 32, True), "type": (1, 32, 32, True)},
    "openat": {"dirfd": (0, 32, 32, True), "flags": (2, 32, 32, True), "mode": (3, 16, 16, False)},
    "lseek": {"offset": (1, 64, 32, True), "whence": (2, 32, 32, False)},
    "kill": {"pid": (0, 32, 32, True), "sig": (1, 32, 32, True)},
    "connect": {"sockfd": (0, 32, 32, True), "addrlen": (2, 32, 32, True)},
    "rename": {},
    "getppid": {},
}  # fmt: skip
PATHS: Final = {"openat": {0: 1, "pathname": 1}, "rename": {0: 0, 1: 1, "newpath": 1}}
#: Position 4 of these calls is in no table: unsigned, and as wide as a register.
UNDESCRIBED: Final = 4
CONSTANTS: Final = (0, 1, 2, 3, 5, 9, -1, -2, -100, 0x7FFF, 0xFFFF, 0x7FFFFFFF, -0x80000000)
OPERATORS: Final = ("==", "!=", "<", "<=", ">", ">=")

TEXTS: Final = (
    b"/srv", b"/srv/a", b"/srv/../etc/passwd", b"/srvx", b"srv/a", b"", b"/", b"//srv/./b", b"/etc",
)  # fmt: skip
ADDRESSES: Final = (
    struct.pack("=H", 2) + struct.pack(">H", 443),
    struct.pack("=H", 10) + struct.pack(">H", 80),
    struct.pack("=H", 1) + b"/a",
    b"\x02",
)
#: Where nothing of a Python process is, for tests that map these pages; each has one end.
PAGES: Final = 0x6000_0000
PAGE_SIZE: Final = 4096


def _at_ends_of_pages(pieces: Sequence[bytes]) -> dict[int, bytes]:
    """Let each piece end where a page does, with nothing mapped behind it."""
    ends = (PAGES + PAGE_SIZE * (1 + 2 * at) for at in range(len(pieces)))
    return {end - len(piece): piece for end, piece in zip(ends, pieces, strict=True)}


#: The last is not terminated before its mapping ends.
MEMORY: Final = _at_ends_of_pages([*(text + b"\0" for text in TEXTS), *ADDRESSES, b"/srv"])

Predicate: TypeAlias = Callable[[Call], bool]


class Drawn(NamedTuple):
    """An expression, and when it is true."""

    expression: Expression
    holds: Predicate


class DrawnRule(NamedTuple):
    """A rule, and when it matches."""

    rule: Rule
    matches: Predicate
    #: Its condition; None if it has none.
    expression: Expression | None = None


# ------------------------------------------------------------------------------------ conditions


def _value(call: Call, name: str | int) -> int:
    position, wide, narrow, signed = (
        (name, 64, 32, False) if isinstance(name, int) else TYPES[call.name][name]
    )
    bits = wide if call.abi is Abi.X86_64 else narrow
    value = call.arguments[position] % 2**bits
    return value - 2**bits if signed and value >= 2 ** (bits - 1) else value


def _plain(operator: str, left: int, right: int) -> bool:
    return {
        "==": left == right, "!=": left != right, "<": left < right,
        "<=": left <= right, ">": left > right, ">=": left >= right,
    }[operator]  # fmt: skip


def _constant(rng: random.Random, call: str, name: str | int) -> int:
    """Draw a number that the argument can have, in either ABI."""
    bits, signed = (32, False) if isinstance(name, int) else TYPES[call][name][2:]
    number = rng.choice(CONSTANTS) if rng.random() < 0.8 else rng.getrandbits(32)
    number %= 2**bits
    return number - 2**bits if signed and number >= 2 ** (bits - 1) else number


def scalar(rng: random.Random, call: str) -> Drawn:
    """Draw a condition on a scalar argument, in any of its spellings."""
    name = rng.choice([*TYPES[call], UNDESCRIBED])
    subject = arg[name] if isinstance(name, int) else getattr(arg, name)
    one, two = sorted((_constant(rng, call, name), _constant(rng, call, name)))
    kind = rng.randrange(10)
    if kind < 4:
        operator = rng.choice(OPERATORS)
        expression = getattr(subject, _METHODS[operator])(one)
        return Drawn(expression, lambda made: _plain(operator, _value(made, name), one))
    if kind < 6:
        return Drawn(subject.between(one, two), lambda made: one <= _value(made, name) <= two)
    if kind < 8:
        members = [one, two, *(_constant(rng, call, name) for _ in range(rng.randrange(4)))]
        if rng.random() < 0.01:
            # More alternatives than a filter gets.
            members += range(11, 11 + 2 * 300, 2)
        return Drawn(subject.one_of(*members), lambda made: _value(made, name) in members)
    mask = rng.choice((1, 6, 0o100, 0x7FFF))
    if kind == 8:
        return Drawn((subject & mask).as_condition(), lambda made: _value(made, name) & mask != 0)
    operator, bits = rng.choice(OPERATORS), rng.randrange(8)
    expression = getattr(subject & mask, _METHODS[operator])(bits)
    return Drawn(expression, lambda made: _plain(operator, _value(made, name) & mask, bits))


_METHODS: Final = {
    "==": "__eq__", "!=": "__ne__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__",
}  # fmt: skip


def memory(rng: random.Random, call: str) -> Drawn:
    """Draw a condition on what an argument points to."""
    if call == "connect":
        return _socket_address(rng)
    which = rng.choice(list(PATHS[call]))
    at = PATHS[call][which]
    text = rng.choice((b"/srv", b"/", b"/srv/a", b"/etc"))
    subject = path if which == 0 else path[which]

    def found(made: Call) -> bytes | None:
        text, nul, _rest = _there(made.arguments[at]).partition(b"\0")
        return text if nul else None

    def within(made: Call) -> bool:
        spelled = found(made) or b""
        parts = posixpath.normpath(b"/" + spelled.lstrip(b"/")).split(b"/")
        root = text.rstrip(b"/").split(b"/")
        return spelled[:1] == b"/" and (text == b"/" or parts[: len(root)] == root)

    return rng.choice(
        (
            Drawn(subject == text, lambda made: found(made) == text),
            Drawn(subject != text, lambda made: found(made) != text),
            Drawn(subject.startswith(text), lambda made: (found(made) or b"").startswith(text)),
            Drawn(subject.within(text), within),
        )
    )


def _there(address: int) -> bytes:
    """Find what is at an address, up to the end of its page."""
    pieces = ((address - start, piece) for start, piece in MEMORY.items())
    return next((piece[at:] for at, piece in pieces if 0 <= at < len(piece)), b"")


def _socket_address(rng: random.Random) -> Drawn:
    def found(made: Call) -> bytes:
        return _there(made.arguments[1])[: min(4, made.arguments[2] % 2**32)]

    def family(made: Call) -> int:
        return int.from_bytes(found(made)[:2], "little") if len(found(made)) > 1 else -1

    def port(made: Call) -> int:
        has_port = family(made) in (2, 10) and len(found(made)) == 4
        return int.from_bytes(found(made)[2:], "big") if has_port else -1

    return rng.choice(
        (
            Drawn(sockaddr.family == 2, lambda made: family(made) == 2),
            Drawn(sockaddr.family.one_of(1, 10), lambda made: family(made) in (1, 10)),
            Drawn(sockaddr.port != 443, lambda made: port(made) != 443),
            Drawn(sockaddr.port.between(1, 100), lambda made: 1 <= port(made) <= 100),
        )
    )


def expression(rng: random.Random, call: str, *, memory_too: bool, depth: int = 3) -> Drawn:
    """Draw an expression of up to eight conditions."""
    kind = rng.randrange(5) if depth else 4
    if kind == 0:
        one = expression(rng, call, memory_too=memory_too, depth=depth - 1)
        return Drawn(~one.expression, lambda made: not one.holds(made))
    if kind in (1, 2):
        one = expression(rng, call, memory_too=memory_too, depth=depth - 1)
        two = expression(rng, call, memory_too=memory_too, depth=depth - 1)
        if kind == 1:
            both = one.expression & two.expression
            return Drawn(both, lambda made: one.holds(made) and two.holds(made))
        either = one.expression | two.expression
        return Drawn(either, lambda made: one.holds(made) or two.holds(made))
    if memory_too and (call in PATHS or call == "connect") and rng.random() < 0.3:
        return memory(rng, call)
    return scalar(rng, call)


# ------------------------------------------------------------------------------------ rules


def rules(
    rng: random.Random, decisions: Sequence[Decision], *, memory_too: bool = True
) -> list[DrawnRule]:
    """Draw up to eight rules on a few calls, so that they overlap."""
    names = rng.sample(list(TYPES), 2)
    return [_rule(rng, names, decisions, memory_too) for _ in range(rng.randrange(1, 9))]


def _rule(
    rng: random.Random, names: Sequence[str], decisions: Sequence[Decision], memory_too: bool
) -> DrawnRule:
    decision, observed = rng.choice(decisions), rng.random() < 0.2
    if rng.random() < 0.1:
        name = rng.choice(names)
        mask = rng.choice((SyscallMask.parse(f"!{name}"), ~_number(1000), _number(1000)))
        return DrawnRule(Rule(mask, decision, observed=observed), lambda made: made in mask)
    name = rng.choice(names)
    mask = SyscallMask.parse(name)
    if rng.random() < 0.15:
        return DrawnRule(Rule(mask, decision, observed=observed), lambda made: made.name == name)
    drawn = expression(rng, name, memory_too=memory_too)
    rule = Rule(mask, decision, where=Conditions.of(drawn.expression), observed=observed)
    return DrawnRule(rule, lambda made: made.name == name and drawn.holds(made), drawn.expression)


def _number(number: int) -> SyscallMask:
    return SyscallMask.of([(Abi.X86_64, number), (Abi.I386, number)])


def first_match(drawn: Sequence[DrawnRule], made: Call) -> int | None:
    """Find the first rule that matches, one after the other."""
    return next((at for at, one in enumerate(drawn) if one.matches(made)), None)


# ------------------------------------------------------------------------------------ calls


def calls(rng: random.Random, drawn: Sequence[DrawnRule], count: int) -> Iterator[Call]:
    """Draw calls that rules are about, or are close to one; of either ABI."""
    names = [one.rule.mask.names for one in drawn]
    known = sorted(set().union(*(few for few in names if len(few) < 9)) | {"write", "getppid"})
    for _ in range(count):
        abi = rng.choice((Abi.X86_64, Abi.X86_64, Abi.I386))
        number = 1000 if rng.random() < 0.05 else abi.numbers.get(rng.choice(known), 1000)
        width = 2**abi.bits
        yield Call(1, 1, abi, number, tuple(_register(rng) % width for _ in range(6)))  # type: ignore[arg-type]


def _register(rng: random.Random) -> int:
    kind = rng.randrange(8)
    if kind == 0:
        return rng.getrandbits(64)
    if kind < 4:
        return rng.choice(list(MEMORY)) + (rng.random() < 0.05)
    near = rng.choice(CONSTANTS) + rng.choice((-1, 0, 0, 1))
    # What a tracee leaves in the upper half of an int, or above a short.
    return (near % 2**32 | rng.choice((0, 0, 0xDEAD << 48, 0x10000))) if kind < 7 else near % 2**64


def tracee_memory() -> FakeMemory:
    """Make the memory that registers of such calls point into."""
    return FakeMemory(MEMORY)
