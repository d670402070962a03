"""Conditions judged by the loop: compiled, in its twin, and as Python does at the stop; all alike.

The memory is this process's own, which process_vm_readv(2) reads as any other.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import mmap
import os
import random
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from types import ModuleType

import pytest

from accel import Abi, Call, Decision, SyscallMask, arg, path, sockaddr
from accel.arguments import Conditions
from accel.call import Look, Memory
from accel.expressions import Expression
from accel.mechanisms import notify_tables as nt
from accel.mechanisms import notify_twin
from accel.mechanisms import stop_tables as t
from accel.mechanisms.notify_tables import NotifyTables
from accel.mechanisms.stop_tables import StopTables
from accel.mechanisms.twin_judge import judge
from accel.plan import Plan, Rule
from accel.pointees import _is_within
from accel.policy import HandlerPolicy
from accel.records import ABIS
from accel.results import CallCounter
from accel.tracee import StopMemory, Tracee
from bpf.value import replace
from tests.random_rules import (
    MEMORY,
    PAGE_SIZE,
    PAGES,
    DrawnRule,
    calls,
    expression,
    first_match,
)
from tests.support import require

RULE_SETS = 250
CALLS = 80
#: Nobody's: no system has so many tids.
NOBODYS_TID = (1 << 22) - 1
FIXED_NOREPLACE = 0x10_0000


@pytest.fixture(scope="module")
def loop() -> ModuleType:
    """The module with numba's code, or a skip."""
    try:
        return importlib.import_module("accel._loop_judge")
    except ImportError as error:
        require(condition=False, reason=str(error))
        raise


@pytest.fixture(scope="module")
def memory() -> Iterator[Memory]:
    """Map the pages that random calls point into, each with nothing mapped around it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | FIXED_NOREPLACE
    readable = mmap.PROT_READ | mmap.PROT_WRITE
    size = PAGE_SIZE * (2 * len(MEMORY) + 1)
    # All of it, so that nobody else's page comes to lie between ours; most is not readable.
    assert libc.mmap(PAGES, size, 0, private, -1, 0) == PAGES, os.strerror(ctypes.get_errno())
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for address, piece in MEMORY.items():
        assert libc.mprotect(address & -PAGE_SIZE, PAGE_SIZE, readable) == 0
        ctypes.memmove(address, piece, len(piece))
    yield StopMemory(Tracee(os.getpid(), os.getpid()))
    libc.munmap(PAGES, size)


def tables_of(plan: Plan) -> StopTables:
    """Make the tables of a run."""
    policy = HandlerPolicy(plan, calls_observed=False)
    return StopTables(policy.loop_answers(), judgements=policy.judgements())


def verdicts(
    loop: ModuleType, tables: StopTables, made: Call, ret_data: int, tid: int = 0
) -> tuple[int, int]:
    """Ask the compiled loop and its twin."""
    assert tables.judge is not None
    words = tables.control.view[t.INFO + 4 : t.INFO + 10]
    for at, argument in enumerate(made.arguments):
        words[at] = argument - (argument >> 63 << 64)
    index = made.number + t.MAX_NUMBER * ABIS.index(made.abi)
    control = tables.control.address
    arguments = control + 8 * (t.INFO + 4)
    who = tid or os.getpid()
    return (
        loop.judge(control, who, index, ret_data, arguments),
        judge(tables.judge, who, index, ret_data, made.arguments),
    )


# ------------------------------------------------------------------------------- equal answers


def looking_rules(rng: random.Random) -> list[DrawnRule]:
    """Draw rules on one call with a pointer, each with conditions on memory and registers."""
    name = rng.choice(("openat", "rename", "connect"))
    drawn = []
    for _ in range(rng.randrange(1, 7)):
        each = expression(rng, name, memory_too=True)
        where = Conditions.of(each.expression)
        drawn.append(DrawnRule(Rule(SyscallMask(name), Decision.skip(7), where=where), each.holds))
    return drawn


def test_the_loop_judges_as_python_does_on_random_rules_and_calls(
    loop: ModuleType, memory: Memory
) -> None:
    """Of rules that a call may fall under by its registers, all agree on the one that it does.

    That the filter names the first of them, tests/unit/test_random_rules tells.
    """
    rng = random.Random(2008)
    seen: Counter[str] = Counter()
    for _ in range(RULE_SETS):
        drawn = looking_rules(rng)
        plan = Plan(tuple(one.rule for one in drawn)).fitted()
        tables = tables_of(plan)
        for made in calls(rng, drawn, CALLS):
            named = plan.match(made)
            if named is None or not plan.rules[named].judged:
                continue
            expected = first_match(drawn, made)
            assert plan.settle(named, made, Look(memory)) == expected
            index = t.NOBODY if expected is None else t.JUDGED + plan.ret_data_of(expected)
            answers = verdicts(loop, tables, made, plan.ret_data_of(named))
            assert answers == (index, index), f"{made}\n{plan}"
            seen["nobody" if expected is None else "this" if expected == named else "later"] += 1
    assert min(seen.values()) > 500, seen
    assert len(seen) == 3


@pytest.mark.parametrize("root", [b"/", b"/a", b"/a/b", b"/ab", b"/.a", b"/a/a", b"/.../b"])
def test_within_is_the_same_for_every_short_path(loop: ModuleType, root: bytes) -> None:
    """All paths of up to seven of these characters, but for those that no rule can tell apart."""
    buffer, operand = ctypes.create_string_buffer(16), ctypes.create_string_buffer(root)
    texts, roots = ctypes.addressof(buffer), ctypes.addressof(operand)
    counted: Counter[bool] = Counter()
    for size in range(8):
        for letters in itertools.product(b"/.ab", repeat=size):
            text = bytes(letters)
            buffer[:size] = text
            expected = _is_within(text, root)
            assert loop._is_within(texts, size, roots, len(root)) == expected, text
            counted[expected] += 1
    assert min(counted.values()) > 0 or root == b"/.../b"
    assert counted.total() == sum(4**size for size in range(8))


# ------------------------------------------------------------------------------- by hand


def judged(
    loop: ModuleType, name: str, where: Expression, *registers: int, abi: Abi = Abi.X86_64
) -> bool | None:
    """Judge one rule on one call; None if that is left to Python."""
    plan = Plan((Rule(SyscallMask(name), Decision.fail(13), where=Conditions.of(where)),)).fitted()
    arguments = (*registers, *(0,) * (6 - len(registers)))
    made = Call(1, 1, abi, abi.numbers[name], arguments)  # type: ignore[arg-type]
    tables = tables_of(plan)
    compiled, twin = verdicts(loop, tables, made, plan.ret_data_of(0))
    assert compiled == twin
    return {t.JUDGED + plan.ret_data_of(0): True, t.NOBODY: False}[compiled]


def string(text: bytes) -> ctypes.Array[ctypes.c_char]:
    """Put a C string into memory; keep it as long as its address is used."""
    return ctypes.create_string_buffer(text)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (path == "/srv/a", True),
        (path == "/srv", False),
        (path != "/srv", True),
        (path.startswith("/srv/a"), True),
        (path.startswith("/srv/ab"), False),
        (path.startswith(""), True),
        (path.within("/srv"), True),
        (path.within("/srv/a/.."), True),
        (path.within("/srv/b"), False),
        (~path.within("/srv") | (path == "/srv/a"), True),
        ((path == "/srv/a") & (arg.flags == 1), True),
        ((path == "/srv/a") & ~(arg.flags == 1), False),
    ],
    ids=str,
)
def test_a_path_is_compared_as_it_is_spelled(
    loop: ModuleType, where: Expression, expected: bool
) -> None:
    """With & | ~ around it, and conditions on registers beside it."""
    text = string(b"/srv/a")
    assert judged(loop, "openat", where, 0, ctypes.addressof(text), 1) is expected


@pytest.mark.parametrize("size", [255, 256, 257, 4094, 4095, 4096, 5000])
def test_a_path_of_any_length_is_read_whole_and_one_too_long_is_none(
    loop: ModuleType, size: int
) -> None:
    """PATH_MAX counts the NUL: the kernel would fail, and nothing is true of such a path."""
    text = string(b"/" + b"x" * (size - 1))
    address = ctypes.addressof(text)
    assert judged(loop, "openat", path == text.value, 0, address) is (size < 4096)
    assert judged(loop, "openat", path.within("/"), 0, address) is (size < 4096)
    assert judged(loop, "openat", ~path.startswith("/"), 0, address) is (size >= 4096)


@pytest.mark.parametrize("address", [0, 16, (1 << 47) - 1, 1 << 63, (1 << 64) - 1])
def test_where_nothing_is_mapped_nothing_is_true(loop: ModuleType, address: int) -> None:
    """Neither of a path nor of a socket address, so that != holds."""
    assert judged(loop, "openat", path.startswith(""), 0, address) is False
    assert judged(loop, "openat", path != "/", 0, address) is True
    assert judged(loop, "connect", sockaddr.family >= 0, 3, address, 16) is False
    assert judged(loop, "connect", sockaddr.port != 443, 3, address, 16) is True


@pytest.mark.parametrize(
    ("address", "size", "family", "port"),
    [
        (struct.pack("=H", socket.AF_INET) + struct.pack(">H", 443), 16, socket.AF_INET, 443),
        (struct.pack("=H", socket.AF_INET6) + struct.pack(">H", 65535), 28, socket.AF_INET6, 65535),
        (struct.pack("=H", socket.AF_UNIX) + b"\1\xbb", 110, socket.AF_UNIX, None),
        (struct.pack("=H", 0x8002) + b"\1\xbb", 16, 0x8002, None),
        (struct.pack("=H", socket.AF_INET) + struct.pack(">H", 443), 3, socket.AF_INET, None),
        (struct.pack("=H", socket.AF_INET) + struct.pack(">H", 443), 1, None, None),
        # The kernel looks at 32 bits of an int.
        (struct.pack("=H", socket.AF_INET) + struct.pack(">H", 443), 1 << 32, None, None),
        (struct.pack("=H", socket.AF_INET) + struct.pack(">H", 443), -1, socket.AF_INET, 443),
    ],
)
def test_family_and_port_of_a_socket_address(
    loop: ModuleType, address: bytes, size: int, family: int | None, port: int | None
) -> None:
    """As far as its size goes; of what is not there nothing is true, and != is."""
    text = string(address)
    registers = (3, ctypes.addressof(text), size % (1 << 64))
    for field, value in ((sockaddr.family, family), (sockaddr.port, port)):
        there = value is not None
        other = 1 if value is None else value
        assert judged(loop, "connect", field == other, *registers) is there
        assert judged(loop, "connect", field != other, *registers) is not there
        assert judged(loop, "connect", field >= 0, *registers) is there
        assert judged(loop, "connect", field < 65535, *registers) is (there and value != 65535)
        assert judged(loop, "connect", ~(field > other), *registers) is True


@pytest.mark.parametrize(("position", "name"), [(0, "oldpath"), (1, "newpath")])
def test_two_paths_of_a_call_are_kept_apart(loop: ModuleType, position: int, name: str) -> None:
    """By position and by name, asked for in turns."""
    texts = [string(b"/old"), string(b"/new")]
    registers = [ctypes.addressof(text) for text in texts]
    own, other = ("/old", "/new") if position == 0 else ("/new", "/old")
    both = (path[position] == own) & (path[1 - position] == other) & (path[name] == own)
    assert judged(loop, "rename", both, *registers) is True
    assert judged(loop, "rename", path[position] == other, *registers) is False


def test_a_tracee_that_is_gone_is_left_to_python(loop: ModuleType) -> None:
    """Where memory cannot be read this way, Python finds another, or that it was killed."""
    rule = Rule(SyscallMask("openat"), Decision.fail(13), where=Conditions.of(path == "/a"))
    plan = Plan((rule,)).fitted()
    made = Call(1, 1, Abi.X86_64, Abi.X86_64.numbers["openat"], (0, 0x1000, 0, 0, 0, 0))
    tables = tables_of(plan)
    answers = verdicts(loop, tables, made, plan.ret_data_of(0), NOBODYS_TID)
    assert answers == (t.UNKNOWN, t.UNKNOWN)
    assert tables.answers.view[t.ANSWER_WORDS * t.UNKNOWN + t.ACTION] == t.TO_PYTHON


def test_conditions_that_are_too_many_for_the_filter_are_the_loops(loop: ModuleType) -> None:
    """300 descriptors: no memory is looked at, and no Python runs."""
    where = arg.fd.one_of(*range(2, 700, 2))
    for fd, expected in ((4, True), (5, False), (698, True), (700, False), (1 << 32 | 4, True)):
        assert judged(loop, "write", where, fd) is expected
    assert judged(loop, "write", where, 4, abi=Abi.I386) is True


# ------------------------------------------------------------------------------- what comes of it


def actions(plan: Plan, *, calls_observed: bool = False) -> list[int]:
    """Tell what the loop does to calls that were found to fall under each rule."""
    policy = HandlerPolicy(plan, calls_observed=calls_observed)
    tables = StopTables(policy.loop_answers(), judgements=policy.judgements())
    at = [t.ANSWER_WORDS * (t.JUDGED + plan.ret_data_of(n)) for n in range(len(plan.rules))]
    return [tables.answers.view[one + t.ACTION] for one in at]


def test_a_rule_that_is_found_does_what_it_would_do_in_the_filter() -> None:
    """What needs no stop is not told either; what is Python's stays Python's."""
    opened, where = SyscallMask("openat"), Conditions.of(path.within("/srv"))
    plan = Plan(
        (
            Rule(opened, Decision.allow(), where=where),
            Rule(opened, Decision.nullify(2), where=where),
            Rule(opened, Decision.fail(2), where=where),
            Rule(opened, Decision.inspect(), where=where),
            Rule(opened, Decision.skip(5), where=where),
            Rule(opened, Decision.exit_only(), where=where),
            Rule(opened, None, lambda _stop: None, where=where),
            Rule(opened, Decision.fail(2), where=where, observed=True),
            Rule(opened, Decision.allow()),
        )
    ).fitted()
    quiet = [t.RESUME, t.SKIP, t.SKIP]
    assert actions(plan) == [
        *quiet, t.INSPECT, t.SKIP, t.TO_PYTHON, t.ASK, t.SKIP, t.RESUME,
    ]  # fmt: skip
    observed = actions(plan, calls_observed=True)
    assert observed == [*quiet, *[t.TO_PYTHON] * 5, t.RESUME]


# ------------------------------------------------------------------------------- by notification


@pytest.fixture(scope="module")
def notify_loop() -> ModuleType:
    """The module with numba's code of a supervisor, or a skip."""
    try:
        return importlib.import_module("accel._notify_loop")
    except ImportError as error:
        require(condition=False, reason=str(error))
        raise


def test_the_layout_of_notifications_is_written_down_twice_and_equal(
    notify_loop: ModuleType,
) -> None:
    """The compiled loop has its own copy: a change of one must be a change of both."""
    named = {name: value for name, value in vars(nt).items() if isinstance(value, int)}
    both = {name: value for name, value in named.items() if hasattr(notify_loop, f"_{name}")}
    assert both == {name: getattr(notify_loop, f"_{name}") for name in both}
    assert len(both) > 25
    assert notify_loop._RESPONSE == nt.ANSWER


def notify(tables: NotifyTables, made: Call) -> None:
    """Lay out a notification of this process as the kernel does, and a response as the loop."""
    response = tables.control.view[nt.ANSWER : nt.ANSWER + 3]
    response[0], response[1], response[2] = 4711, 0, 0
    words = tables.control.view[nt.INFO : nt.INFO + 10]
    words[0], words[1], words[3] = 4711, os.getpid(), 0x401000
    which = made.number | made.abi.audit_arch << 32
    words[2] = which - (which >> 63 << 64)
    for at, argument in enumerate(made.arguments):
        words[4 + at] = argument - (argument >> 63 << 64)


def answered(tables: NotifyTables) -> tuple[list[int], bytes]:
    """Everything that a loop may have changed: the response, and the counts."""
    return [*tables.control.view[nt.ANSWER : nt.ANSWER + 3]], bytes(tables.counters.bytes)


NOTIFIED_DECISIONS = (Decision.resume(), Decision.allow(), Decision.skip(7), Decision.fail(13))


@pytest.mark.usefixtures("memory")
def test_notifications_are_judged_as_python_does_on_random_rules_and_calls(
    notify_loop: ModuleType,
) -> None:
    """Nobody names a rule: all are asked. The response and what is counted are those of the first.

    Of what no rule is about nothing is counted, and it runs.
    """
    rng = random.Random(2016)
    seen: Counter[str] = Counter()
    for _ in range(RULE_SETS // 2):
        drawn = [
            one._replace(rule=replace(one.rule, decision=rng.choice(NOTIFIED_DECISIONS)))
            for one in looking_rules(rng)
        ]
        rules = tuple(replace(one.rule, by_notify=True) for one in drawn)
        plan = Plan(rules, mechanism="user-notify").fitted()
        policy = HandlerPolicy(plan, calls_observed=False)
        parts = policy.notify_answers(), policy.notify_judgements()
        assert not parts[0]
        ours, theirs = (NotifyTables(-1, *parts, polls=False) for _ in range(2))
        for made in calls(rng, drawn, CALLS):
            if made not in drawn[0].rule.mask:
                continue
            for tables in (ours, theirs):
                notify(tables, made)
            counted = nt.COUNTER_WORDS * nt.call_index(made.abi, made.number) + nt.CALLS
            before = ours.counters.view[counted]
            assert (notify_twin._answer(ours), notify_loop._answer(theirs.control.address)) == (
                1,
                1,
            )
            assert answered(ours) == answered(theirs)
            first = first_match(drawn, made)
            decision = Decision.allow() if first is None else drawn[first].rule.decision
            assert decision is not None
            value = 0 if decision.call else decision.value or 0
            told = ours.control.view[nt.ANSWER + 1 : nt.ANSWER + 3]
            error, flags = struct.unpack("=iI", struct.pack("=q", told[1]))
            assert (told[0] or error, flags) == (value, int(decision.call))
            assert ours.counters.view[counted] - before == (first is not None)
            seen["nobody" if first is None else str(decision)] += 1
    assert min(seen.values()) > 100, seen
    assert len(seen) == 1 + len(NOTIFIED_DECISIONS)


def test_what_is_notified_is_left_to_python_where_its_rule_is() -> None:
    """A handler, a look at what is observed, and calls that are blind spots to report."""
    opened, where = SyscallMask("openat"), Conditions.of(path.within("/srv"))
    handled = Rule(opened, None, lambda _stop: None, where=where, by_notify=True)
    ring = Rule(SyscallMask("io_uring_setup"), Decision.skip(1), where=Conditions.of(arg[0] == 1))
    plan = Plan(
        (handled, replace(ring, by_notify=True)),
        SyscallMask("io_uring_setup"),
        mechanism="user-notify",
    ).fitted()
    policy = HandlerPolicy(plan, calls_observed=False)
    tables = NotifyTables(-1, policy.notify_answers(), policy.notify_judgements(), polls=False)
    at = t.ANSWER_WORDS * (t.JUDGED + plan.ret_data_of(0))
    assert tables.verdicts.view[at + nt.ACTION] == t.ASK
    assert tables.verdicts.view[t.ANSWER_WORDS * t.NOBODY + nt.ACTION] == t.RESUME
    actions = {
        name: tables.answers.view[nt.ANSWER_WORDS * Abi.X86_64.numbers[name] + nt.ACTION]
        for name in ("openat", "io_uring_setup", "read")
    }
    assert actions == {"openat": t.JUDGE, "io_uring_setup": t.TO_PYTHON, "read": t.TO_PYTHON}


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.I386])
def test_a_handler_is_asked_at_once_only_about_threads_that_python_knows(
    notify_loop: ModuleType, abi: Abi
) -> None:
    """And once the command runs. Who asks finds the call counted."""
    number = abi.numbers["getppid"]
    rules = (Rule(SyscallMask("getppid"), None, lambda _stop: None, by_notify=True),)
    plan = Plan(rules, mechanism="user-notify").fitted()
    answers = HandlerPolicy(plan, calls_observed=False).notify_answers()
    ours, theirs = (NotifyTables(-1, answers, polls=False) for _ in range(2))
    made = Call(os.getpid(), os.getpid(), abi, number, (1, 2, 3, 4, 5, 6))
    for asks, known, found in ((1, 0, 0), (0, 1, 0), (1, 1, t.ASKED)):
        for tables in (ours, theirs):
            tables.control.view[nt.ASKS] = asks
            tables.identities.view[os.getpid()] = os.getpid() * known
            notify(tables, made)
        assert notify_twin._answer(ours) == notify_loop._answer(theirs.control.address) == found
        assert answered(ours) == answered(theirs)
    ours.failed(abi, number)
    expected = CallCounter(calls=1, notifications=1, handler_calls=1, errors=1)
    assert dict(ours.calls()) == {(abi, number): expected}
