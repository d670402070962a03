"""Filters in the real kernel: it must decide as the evaluator, accept as the verifier.

tests/programs/bpf_probe.c installs them and makes the calls, natively and through ``int 0x80``.
Calls are answered by RET_ERRNO with an errno that tells who answered; none is really made.
"""

import errno
import os
import random
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

import bpf
from bpf import Action, Arch, Condition, Instruction, InvalidProgram, Program, Rule, SeccompData
from bpf import instruction as op
from tests.support import compiled, require

ROOT = Path(__file__).parents[2]
X32 = 0x40000000
KILLED = 1 << 32
NOT_REACHED = -(1 << 63)
#: SIGSYS ends a child that seccomp kills or traps.
SIGSYS = KILLED + signal.SIGSYS

GETPPID = 110
#: The kernel lets these two pass every filter: uretprobe (6.14) and uprobe (6.18).
UNFILTERED = {335, 336}

DEFAULT, UNKNOWN_ARCH, X32_ACTION = (Action.errno(number) for number in (4001, 4002, 4003))
ACTIONS = {"default": DEFAULT, "unknown_arch": UNKNOWN_ARCH, "x32": X32_ACTION}


class Outcome(NamedTuple):
    """What seccomp(2) returned, and each call."""

    installed: int
    results: tuple[int, ...]


def probe(*jobs):
    """Run (program, calls) jobs, each in a process of its own; return an Outcome for each."""
    packed = bytearray()
    for program, calls in jobs:
        packed += struct.pack("=II", len(program), len(calls)) + bytes(program)
        for call in calls:
            compat = call.arch == Arch.I386
            packed += struct.pack("=Ii6Q", compat, call.number, *call.arguments)
    done = subprocess.run([compiled("bpf_probe")], input=packed, stdout=subprocess.PIPE, check=True)
    values = iter(struct.iter_unpack("=q", done.stdout))
    return [
        Outcome(next(values)[0], tuple(next(values)[0] for _ in calls)) for _program, calls in jobs
    ]


def signed(number):
    """Interpret 32 bits as the kernel does a system call number."""
    return number - (1 << 32) if number & 0x80000000 else number


@pytest.fixture(scope="module", autouse=True)
def _int80():
    """Require that the kernel has the i386 entry (CONFIG_IA32_EMULATION)."""
    fail = bpf.compile({Arch.I386: [Rule(20, Action.errno(7))]}, **ACTIONS)
    (outcome,) = probe((fail, [SeccompData(20, Arch.I386)]))
    require(outcome == (0, (-7,)), f"int 0x80 does not get to a filter: {outcome}")


def test_every_number_of_every_abi_gets_its_errno():
    """x86_64, i386 and x32 numbers, -1 and the ends of the range are told apart by the kernel."""
    rules = {
        Arch.X86_64: [Rule(number, Action.errno(1 + number)) for number in range(0, 600, 2)],
        Arch.I386: [Rule(number, Action.errno(1000 + number)) for number in range(0, 600, 3)],
    }
    program = bpf.compile(rules, **ACTIONS)
    numbers = [*range(-3, 600), *range(X32 - 1, X32 + 600), 0x7FFFFFFF, -0x80000000]
    calls = [
        SeccompData(number, arch)
        for arch in Arch
        for number in numbers
        if arch == Arch.I386 or number not in UNFILTERED
    ]
    (outcome,) = probe((program, calls))
    assert outcome.installed == 0
    for call, result in zip(calls, outcome.results, strict=True):
        assert -result == bpf.evaluate(program, call).data, call


def test_conditions_decide_in_the_kernel_as_in_the_evaluator():
    """Random rules on registers with dirty upper halves: 40 filters of all operators, both ABIs."""
    rng = random.Random(4711)
    values = (0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**32, 2**32 + 1, 2**63, 2**64 - 1)
    jobs = []
    for _ in range(40):
        rules = {arch: [random_rule(rng, values) for _ in range(12)] for arch in Arch}
        calls = [random_call(rng, values) for _ in range(200)]
        jobs.append((bpf.compile(rules, **ACTIONS), calls))
    answers = set()
    for (program, calls), outcome in zip(jobs, probe(*jobs), strict=True):
        assert outcome.installed == 0
        for call, result in zip(calls, outcome.results, strict=True):
            assert -result == bpf.evaluate(program, call).data, f"{call}\n{program}"
            answers.add(-result)
    assert answers == {DEFAULT.data, *range(1, 6)}


def random_rule(rng, values):
    """Make a rule for one of four numbers, with up to three conditions."""
    conditions = []
    for _ in range(rng.randrange(4)):
        width = rng.choice((32, 64))
        mask = rng.choice((None, rng.choice(values) % 2**width))
        operator = rng.choice(("==", "!=", "<", "<=", ">", ">="))
        # int 0x80 has its sixth argument in ebp, which the probe does not set.
        index = rng.randrange(5)
        conditions.append(Condition(index, operator, rng.choice(values) % 2**width, mask, width))
    return Rule(rng.randrange(4), Action.errno(rng.randrange(1, 6)), tuple(conditions))


def random_call(rng, values):
    """Make a call of one of six numbers with registers from ``values``, or one off."""
    arguments = [(rng.choice(values) + rng.choice((-1, 0, 0, 1))) % 2**64 for _ in range(5)]
    return SeccompData(rng.randrange(6), rng.choice(tuple(Arch)), 0, (*arguments, 0))


def test_the_verifier_accepts_what_the_kernel_accepts():
    """Every code from 0 to 0x1ff with operands at all limits is accepted by both or by neither."""
    operands = (0, 1, 2, 4, 15, 16, 31, 32, 60, 61, 64, 0xFFFFF000, 0xFFFFFFFF)
    store = Instruction(op.BPF_ST, k=15)
    end = (Instruction(op.BPF_RET, k=DEFAULT.value),) * 2
    programs = [
        Program((store, Instruction(code, jt, jf, k), *end))
        for code in range(0x200)
        for jt, jf, k in (*((0, 0, operand) for operand in operands), (1, 0, 1), (0, 2, 1))
    ]
    programs += [
        Program(()),
        Program(end * 2048),
        Program((*end * 2048, *end)),
        Program((*end, store)),
        Program((Instruction(op.BPF_LD | op.BPF_MEM, k=3), *end)),
    ]
    outcomes = probe(*((program, []) for program in programs))
    accepted = 0
    for program, outcome in zip(programs, outcomes, strict=True):
        assert outcome.installed == (0 if is_valid(program) else -errno.EINVAL), str(program)
        accepted += outcome.installed == 0
    assert 400 < accepted < len(programs) / 2


def is_valid(program):
    """Turn the verifier's exception into a bool."""
    try:
        bpf.verify(program)
    except InvalidProgram:
        return False
    return True


def test_random_programs_compute_the_same_in_the_kernel():
    """2,000 programs of arithmetic, memory and jumps: accepted alike, and with equal results."""
    rng = random.Random(42)
    # getppid, its registers full of noise; the program's result is the errno.
    call = SeccompData(GETPPID, Arch.X86_64, 0, tuple(rng.getrandbits(64) for _ in range(6)))
    programs = [random_program(rng) for _ in range(2000)]
    outcomes = probe(*((program, [call]) for program in programs))
    seen = {"refused": 0, "killed": 0, "answered": 0}
    for program, outcome in zip(programs, outcomes, strict=True):
        if not is_valid(program):
            assert outcome == (-errno.EINVAL, (NOT_REACHED,)), str(program)
            seen["refused"] += 1
            continue
        action = bpf.evaluate(program, call)
        killed = action == Action.kill_thread()
        assert outcome == (0, (SIGSYS if killed else -action.data,)), str(program)
        seen["killed" if killed else "answered"] += 1
    assert min(seen.values()) > 20, seen


def random_program(rng):
    """Make up to 30 random instructions and an end that returns part of A as an errno."""
    arithmetic = (op.BPF_ADD, op.BPF_SUB, op.BPF_MUL, op.BPF_DIV, op.BPF_OR, op.BPF_AND, op.BPF_XOR)
    words = (0, 1, 2, 31, 0x80000000, 0xFFFFFFFF, rng.getrandbits(32))
    kinds = (
        lambda: Instruction(op.BPF_LD | op.BPF_ABS, k=4 * rng.choice((0, 1, *range(4, 16)))),
        lambda: Instruction(rng.choice((op.BPF_LD, op.BPF_LDX)) | op.BPF_IMM, k=rng.choice(words)),
        lambda: Instruction(rng.choice((op.BPF_LD, op.BPF_LDX)) | op.BPF_LEN),
        lambda: Instruction(op.BPF_MISC | rng.choice((op.BPF_TAX, op.BPF_TXA))),
        lambda: Instruction(rng.choice((op.BPF_ST, op.BPF_STX)), k=rng.randrange(3)),
        lambda: Instruction(op.BPF_ALU | op.BPF_NEG),
        lambda: Instruction(op.BPF_ALU | rng.choice(arithmetic), k=rng.choice(words[1:])),
        lambda: Instruction(op.BPF_ALU | rng.choice(arithmetic) | op.BPF_X),
        lambda: Instruction(op.BPF_ALU | rng.choice((op.BPF_LSH, op.BPF_RSH)), k=rng.randrange(32)),
        lambda: Instruction(op.BPF_ALU | rng.choice((op.BPF_LSH, op.BPF_RSH)) | op.BPF_X),
        lambda: Instruction(op.BPF_JMP | op.BPF_JA, k=rng.randrange(3)),
        lambda: Instruction(
            op.BPF_JMP
            | rng.choice((op.BPF_JEQ, op.BPF_JGT, op.BPF_JGE, op.BPF_JSET))
            | rng.choice((op.BPF_K, op.BPF_X)),
            *(rng.randrange(3), rng.randrange(3), rng.choice(words)),
        ),
    )
    body = [rng.choice(kinds)() for _ in range(rng.randrange(30))]
    # What was stored can be read: half of the time one word is, stored on all ways or not.
    if rng.random() < 0.5:
        body.append(Instruction(op.BPF_LD | op.BPF_MEM, k=rng.randrange(3)))
    ending = (
        # Jumps of at most 2 end here, so that whatever is in A becomes an errno.
        *(Instruction(op.BPF_JMP | op.BPF_JA),) * 2,
        Instruction(op.BPF_ALU | op.BPF_AND, k=0xFFF),
        Instruction(op.BPF_ALU | op.BPF_OR, k=Action.errno(0).value),
        Instruction(op.BPF_RET | op.BPF_A),
    )
    return Program((*body, *ending))


@pytest.mark.parametrize(
    ("action", "result"),
    [
        (Action.allow(), os.getppid),
        (Action.log(), os.getppid),
        (Action.errno(0), 0),
        (Action.errno(4095), -4095),
        (Action.trace(1), -errno.ENOSYS),
        (Action.notify(), -errno.ENOSYS),
        (Action.trap(1), SIGSYS),
        (Action.kill_thread(), SIGSYS),
        (Action.kill_process(), SIGSYS),
    ],
    ids=str,
)
def test_each_action_does_what_its_docstring_says(action, result):
    """Without tracer, listener or handler of SIGSYS, a call of getppid returns or ends so."""
    program = bpf.compile(
        {Arch.X86_64: [Rule(GETPPID, action)]}, default=Action.allow(), unknown_arch=DEFAULT
    )
    (outcome,) = probe((program, [SeccompData(GETPPID, Arch.X86_64)]))
    assert outcome.installed == 0
    if callable(result):
        # The probe's children are children of the probe, whose pid nobody knows here.
        assert 0 < outcome.results[0] < KILLED
    else:
        assert outcome.results == (result,)


PRELUDE = """
import ctypes, os, sys, threading
import bpf
from bpf import Action, Arch, Program, Rule
from bpf.installer import SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_TSYNC

def failing(number):
    rules = {Arch.X86_64: [Rule(110, Action.errno(number))]}
    return bpf.compile(rules, default=Action.allow(), unknown_arch=Action.allow())

def status(*names):
    with open("/proc/thread-self/status") as file:
        lines = file.read().splitlines()
    return [line.split()[1] for name in names for line in lines if line.startswith(name + ":")]

def getppid():
    libc = ctypes.CDLL(None, use_errno=True)
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(110) == -1 else "parent"

def refused(program, **options):
    try:
        bpf.install(program, **options)
    except OSError as error:
        return error
    return None

def become_nobody():
    failing(5)  # Loads libseccomp: nobody may not be able to.
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
"""


def child(script):
    """Run ``script`` after the prelude in a Python of its own; return what it prints, in lines."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_privileged_thread_installs_without_no_new_privs():
    """With CAP_SYS_ADMIN the attribute stays 0, so that setuid programs keep working."""
    require(os.geteuid() == 0, "needs root")
    assert child(
        "print(bpf.needs_no_new_privs())\n"
        "print(bpf.install(failing(5)), *status('NoNewPrivs', 'Seccomp'), getppid())\n"
    ) == ["False", "0 0 2 5"]


def test_an_unprivileged_thread_sets_no_new_privs_first():
    """Without CAP_SYS_ADMIN the attribute is set, and once set it is needed no more."""
    drop = "become_nobody()\n" if os.geteuid() == 0 else ""
    assert child(
        f"{drop}program = failing(5)\n"
        "print(bpf.needs_no_new_privs())\n"
        "print(bpf.install(program), *status('NoNewPrivs', 'Seccomp'), getppid())\n"
        "print(bpf.needs_no_new_privs())\n"
    ) == ["True", "0 1 2 5", "False"]


def test_no_new_privs_can_be_asked_for_and_declined():
    """True sets it whoever asks; False leaves it, and the refusal then says what is missing."""
    drop = "become_nobody()\n" if os.geteuid() == 0 else ""
    assert child(
        "bpf.install(failing(5), no_new_privs=True)\nprint(*status('NoNewPrivs'), getppid())\n"
    ) == ["1 5"]
    assert child(f"{drop}print(refused(failing(5), no_new_privs=False))\n") == [
        "[Errno 13] seccomp: this thread has neither no_new_privs nor CAP_SYS_ADMIN"
    ]


def test_what_the_kernel_refuses_is_an_oserror_that_says_why():
    """EINVAL names the wrong instruction, or the flags; a second listener is EBUSY."""
    lines = child(
        "listener = bpf.install(failing(5), flags=SECCOMP_FILTER_FLAG_NEW_LISTENER)\n"
        "os.fstat(listener)\n"
        "print(refused(failing(5), flags=SECCOMP_FILTER_FLAG_NEW_LISTENER))\n"
        "print(refused(failing(5), flags=1 << 30))\n"
        "print(refused(Program(tuple(failing(5))[:-1])))\n"
        "print(refused(Program(())))\n"
    )
    assert [line.removeprefix("[Errno ") for line in lines] == [
        "16] seccomp: a filter of this thread has a listener already",
        "22] seccomp: the kernel has no seccomp filters, or does not know these flags",
        "22] seccomp: instruction 1: jump past the end",
        "22] seccomp: a program has 1 to 4096 instructions, this one has 0",
    ]


def fail_getppid():
    """Compile the filter that the prelude calls failing()."""
    rules = {Arch.X86_64: [Rule(GETPPID, Action.errno(5))]}
    return bpf.compile(rules, default=Action.allow(), unknown_arch=Action.allow())


def test_a_filter_is_the_calling_threads_own():
    """Another thread is not filtered, unless SECCOMP_FILTER_FLAG_TSYNC asks for all of them."""
    script = (
        "thread = threading.Thread(target=lambda: (bpf.install(failing(5){}), print(getppid())))\n"
        "thread.start()\nthread.join()\nprint(getppid())\n"
    )
    assert child(script.format("")) == ["5", "parent"]
    assert child(script.format(", flags=SECCOMP_FILTER_FLAG_TSYNC")) == ["5", "5"]


def test_a_thread_that_cannot_be_synchronized_is_an_error():
    """With TSYNC the kernel names a thread that has a filter of its own, and installs nothing."""
    assert child(
        "ready, done = threading.Event(), threading.Event()\n"
        "other = threading.Thread(target=lambda: "
        "(bpf.install(failing(6)), ready.set(), done.wait()))\n"
        "other.start()\nready.wait()\n"
        "error = refused(failing(5), flags=SECCOMP_FILTER_FLAG_TSYNC)\n"
        "print(f'thread {other.native_id} has a filter of its own' in str(error))\n"
        "print(getppid())\ndone.set()\n"
    ) == ["True", "parent"]


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_filters_the_one_of_lowest_precedence_wins(order):
    """Action.precedence is the kernel's: ERRNO beats TRACE beats ALLOW; of equals, the newest."""
    answers = {
        Action.errno(7): "7",
        Action.trace(1): str(errno.ENOSYS),
        Action.allow(): "parent",
    }
    for pair in ((0, 1), (0, 2), (1, 2)):
        older, newer = [list(answers)[index] for index in pair][::order]
        lines = child(
            f"for value in ({older.value}, {newer.value}):\n"
            "    rules = {Arch.X86_64: [Rule(110, Action(value))]}\n"
            "    bpf.install(bpf.compile(rules, default=Action.allow(),"
            " unknown_arch=Action.allow()))\n"
            "print(getppid())\n"
        )
        assert lines == [answers[min(newer, older, key=lambda action: action.precedence)]]
    assert child("bpf.install(failing(5))\nbpf.install(failing(6))\nprint(getppid())") == ["6"]


def test_compiling_starts_no_process():
    """ctypes.util would run ldconfig; here the dynamic linker is asked, in this process."""
    assert child(
        "starts = []\n"
        "sys.addaudithook(lambda event, _: event in "
        "('subprocess.Popen', 'os.posix_spawn', 'os.fork', 'os.system', 'os.exec')"
        " and starts.append(event))\n"
        "failing(5)\n"
        "print(starts, {'subprocess', 'tempfile', 'ctypes.util'} & set(sys.modules))\n"
    ) == ["[] set()"]


def test_compiling_in_many_threads_at_once_is_safe():
    """The first loading of libseccomp and all compilations may run side by side."""
    bpf.libseccomp._library.cache_clear()
    expected = fail_getppid()
    bpf.libseccomp._library.cache_clear()
    together = threading.Barrier(8)
    programs = []

    def compile_often():
        together.wait()
        programs.extend(fail_getppid() for _ in range(50))

    threads = [threading.Thread(target=compile_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(programs) == {expected}
    assert len(programs) == 400
