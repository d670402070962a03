"""Container profiles: read as libseccomp reads them, written as what the filter does."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyseccomp
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

import accel.oci
import bpf
from accel import Abi, Decision, SetupError, Tracer, arg
from accel.errors import FilterError
from accel.oci.host import Host
from bpf import Action

PROFILE = Path(__file__).parents[1] / "profiles" / "container.json"
#: The host of most tests: no capability, an old kernel.
NOBODY = Host(frozenset(), (6, 1))
BOTH = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
WORD = (1 << 64) - 1
#: It takes minutes for hundreds of entries with arguments.
_MOST_FOR_LIBSECCOMP = 16


def compiled(profile: accel.oci.Profile) -> bpf.Program:
    """Compile what a Tracer under the profile would install, without accel's own stops."""
    tracer = Tracer(["true"])
    tracer.enforce(profile)
    return tracer.plan.untraced().compile()


def answer(program: bpf.Program, name: str, *registers: int, abi: Abi = Abi.X86_64) -> bpf.Action:
    """Ask a filter about a call."""
    arguments = (*registers, 0, 0, 0, 0, 0, 0)[:6]
    return bpf.evaluate(program, bpf.SeccompData(abi.numbers[name], abi.audit_arch, 0, arguments))


def read(*entries: dict[str, Any], default: str = "SCMP_ACT_ALLOW", **members: Any) -> bpf.Program:
    """Compile a profile of these entries."""
    profile = {
        "defaultAction": default, "architectures": BOTH, "syscalls": list(entries), **members
    }  # fmt: skip
    return compiled(accel.oci.read(json.dumps(profile), NOBODY))


def refuse(*names: str, **members: Any) -> dict[str, Any]:
    """Make an entry."""
    return {"names": list(names), "action": "SCMP_ACT_ERRNO", "errnoRet": 13, **members}


def condition(op: str, value: int, two: int = 0, index: int = 0) -> dict[str, Any]:
    """Make a comparison."""
    return {"index": index, "value": value, "valueTwo": two, "op": f"SCMP_CMP_{op}"}


# ----------------------------------------------------------------------------- libseccomp agrees

OPERATORS = {
    "SCMP_CMP_EQ": pyseccomp.EQ, "SCMP_CMP_NE": pyseccomp.NE, "SCMP_CMP_LT": pyseccomp.LT,
    "SCMP_CMP_LE": pyseccomp.LE, "SCMP_CMP_GT": pyseccomp.GT, "SCMP_CMP_GE": pyseccomp.GE,
    "SCMP_CMP_MASKED_EQ": pyseccomp.MASKED_EQ,
}  # fmt: skip


def libseccomps_action(entry: dict[str, Any], action: str, errno: str) -> Any:
    """Translate an action for libseccomp."""
    if entry[action] == "SCMP_ACT_ERRNO":
        return pyseccomp.ERRNO(entry.get(errno, 1))
    return {
        "SCMP_ACT_ALLOW": pyseccomp.ALLOW, "SCMP_ACT_LOG": pyseccomp.LOG,
        "SCMP_ACT_TRAP": pyseccomp.TRAP, "SCMP_ACT_KILL_PROCESS": pyseccomp.KILL_PROCESS,
        "SCMP_ACT_KILL_THREAD": pyseccomp.KILL,
    }[entry[action]]  # fmt: skip


def by_libseccomp(profile: dict[str, Any]) -> bpf.Program:
    """Compile a profile as runc does."""
    default = libseccomps_action(profile, "defaultAction", "defaultErrnoRet")
    rules = pyseccomp.SyscallFilter(default)
    if "SCMP_ARCH_X86" in profile["architectures"]:
        rules.add_arch(pyseccomp.Arch.X86)
    for entry in profile["syscalls"]:
        action = libseccomps_action(entry, "action", "errnoRet")
        if action == default:
            continue
        compared = [
            pyseccomp.Arg(one["index"], OPERATORS[one["op"]], one["value"], one.get("valueTwo", 0))
            for one in entry.get("args", [])
        ]
        for name in entry["names"]:
            if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) == -1:
                continue  # A call that is newer than the library.
            alternatives = [compared]
            if len({one["index"] for one in entry.get("args", [])}) < len(compared):
                alternatives = [[one] for one in compared]
            for chosen in alternatives:
                rules.add_rule(action, name, *chosen)
    with open(os.memfd_create("filter"), "w+b", buffering=0) as file:
        rules.export_bpf(file)
        file.seek(0)
        return bpf.Program.from_bytes(file.read())


#: Calls of two ints, of an int and a long, of two longs.
CALLS = ("kill", "lseek", "munmap")
constants = st.one_of(st.integers(0, 7), st.sampled_from([0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]))


@st.composite
def entries(draw: st.DrawFn, name: str, actions: list[str]) -> dict[str, Any]:
    """Draw an entry for a call, with comparisons of its first two arguments."""
    compared = []
    for _number in range(draw(st.integers(0, 2))):
        op = draw(st.sampled_from([*OPERATORS]))
        value, two = draw(constants), 0
        if op == "SCMP_CMP_MASKED_EQ":
            two = draw(constants) & value
        index = draw(st.integers(0, 1))
        compared.append({"index": index, "value": value, "valueTwo": two, "op": op})
    made = {"names": [name], "action": draw(st.sampled_from(actions)), "args": compared}
    return made | ({"errnoRet": draw(st.integers(0, 50))} if draw(st.booleans()) else {})


@st.composite
def profiles(draw: st.DrawFn, *, ambiguous: bool = False) -> dict[str, Any]:
    """Draw a profile; unless ``ambiguous``, all conditional entries of a call have one action."""
    actions = ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"]
    made: list[dict[str, Any]] = []
    for name in CALLS:
        allowed = actions if ambiguous else [draw(st.sampled_from(actions))]
        # libseccomp 2.5.4 misses the first of "a == 0" and "a != 1 and b == 0", for a == 0, b == 1.
        drawn = draw(st.lists(entries(name, allowed), max_size=2 if ambiguous else 1))
        if not ambiguous:
            drawn = [one | {"errnoRet": 7} for one in drawn]
        made += drawn
    default = draw(st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG"]))
    return {"defaultAction": default, "architectures": BOTH, "syscalls": made}


registers = st.one_of(constants, st.integers(0, 0xFFFFFFFF))
wide = st.one_of(registers, registers.map(lambda low: low | 1 << 32), st.integers(0, WORD))


@settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(profiles(), st.lists(st.tuples(registers, registers), min_size=4, max_size=12))
def test_a_profile_is_read_as_libseccomp_reads_it(
    profile: dict[str, Any], drawn: list[tuple[int, int]]
) -> None:
    """The same answers, where the upper half of no int is set."""
    theirs = by_libseccomp(profile)
    ours = compiled(accel.oci.read(json.dumps(profile), NOBODY))
    for name in CALLS:
        for first, second in drawn:
            expected = answer(theirs, name, first, second)
            assert answer(ours, name, first, second) == expected, (name, first, second)


@settings(
    max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(profiles(ambiguous=True), st.lists(st.tuples(wide, wide), min_size=4, max_size=12))
def test_a_profile_that_is_written_says_what_the_filter_does(
    profile: dict[str, Any], drawn: list[tuple[int, int]]
) -> None:
    """To accel, which reads it back, and to libseccomp, for every register of either ABI."""
    ours = compiled(accel.oci.read(json.dumps(profile), NOBODY))
    try:
        text = accel.oci.dump(ours)
    except FilterError:
        reject()  # Too many entries, or a long whose upper half i386 does not have.
    if len(json.loads(text)["syscalls"]) > _MOST_FOR_LIBSECCOMP:
        reject()
    again = compiled(accel.oci.read(text, NOBODY))
    theirs = by_libseccomp(json.loads(text))
    for abi, word in ((Abi.X86_64, WORD), (Abi.I386, 0xFFFFFFFF)):
        for name in CALLS:
            for first, second in drawn:
                call = (name, first & word, second & word)
                expected = answer(ours, *call, abi=abi)
                assert answer(again, *call, abi=abi) == expected, (abi, call)
                assert answer(theirs, *call, abi=abi) == expected, (abi, call)


# ------------------------------------------------------------------------- what the format means


def test_a_containers_default_profile_loads() -> None:
    """archMap, includes, excludes, calls of other architectures: as Docker's own has them."""
    profile = accel.oci.load(PROFILE, NOBODY)
    program = compiled(profile)
    assert answer(program, "openat") == Action.allow()
    assert answer(program, "mount") == Action.errno(1)
    assert answer(program, "clone", 0x11) == Action.allow()
    assert answer(program, "clone", 0x1000_0011) == Action.errno(1)
    assert answer(program, "clone3") == Action.errno(38)
    assert answer(program, "getuid32", abi=Abi.I386) == Action.allow()
    assert answer(program, "socketcall", 9, abi=Abi.I386) == Action.allow()
    assert answer(program, "socketcall", 1, abi=Abi.I386) == Action.errno(1)
    assert answer(program, "personality", 0xFFFFFFFF) == Action.allow()
    assert answer(program, "personality", 1) == Action.errno(1)
    assert profile.notes == ()
    assert profile.foreign == Action.errno(38)


def test_capabilities_and_kernel_choose_entries() -> None:
    """Of this host, unless another one is given."""
    root = accel.oci.load(PROFILE, Host(frozenset({"CAP_SYS_ADMIN"}), (6, 1)))
    assert answer(compiled(root), "mount") == Action.allow()
    assert answer(compiled(root), "clone", 0x1000_0011) == Action.allow()
    assert answer(compiled(root), "reboot") == Action.errno(1)
    old = accel.oci.load(PROFILE, Host(frozenset(), (4, 7)))
    assert answer(compiled(old), "ptrace") == Action.errno(1)
    assert answer(compiled(accel.oci.load(PROFILE, NOBODY)), "ptrace") == Action.allow()
    here = Host.this()
    assert here.kernel >= (3, 17)
    assert all(name.startswith("CAP_") for name in here.capabilities)


def test_an_int_is_compared_in_its_32_bits() -> None:
    """Where libseccomp compares the register, and lets 40 pass with an upper bit set."""
    entry = refuse("socket", args=[condition("EQ", 40)])
    ours = read(entry)
    theirs = by_libseccomp(
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": BOTH, "syscalls": [entry]}
    )
    evasive = 40 | 1 << 32
    assert answer(ours, "socket", evasive) == Action.errno(13)
    assert answer(theirs, "socket", evasive) == Action.allow()


def test_comparisons_are_unsigned() -> None:
    """As libseccomp's: -1 is no descriptor below 5; EQ takes it with 32 bits, or with 64."""
    program = read(refuse("close", args=[condition("LT", 5)]))
    assert answer(program, "close", 4) == Action.errno(13)
    assert answer(program, "close", 0xFFFFFFFF) == Action.allow()
    for minus_one in (WORD, 0xFFFFFFFF):
        program = read(refuse("close", args=[condition("EQ", minus_one)]))
        assert answer(program, "close", 0xFFFFFFFF) == Action.errno(13)


def test_an_entry_without_arguments_decides_alone() -> None:
    """Wherever it stands, as libseccomp has it; and one that is the default does nothing."""
    narrow = refuse("getppid", "lseek", args=[condition("EQ", 1)], errnoRet=5)
    for order in ([narrow, refuse("lseek")], [refuse("lseek"), narrow]):
        assert answer(read(*order), "lseek", 1) == Action.errno(13)
    allowed = {"names": ["lseek"], "action": "SCMP_ACT_ALLOW"}
    assert answer(read(allowed, narrow), "lseek", 1) == Action.errno(5)


def test_what_is_refused_is_refused_in_socketcall_too() -> None:
    """The 32-bit calls that pack others: all of them if their arguments are compared."""
    program = read(refuse("socket", args=[condition("EQ", 40)]), refuse("shmget"))
    assert answer(program, "socketcall", 1, abi=Abi.I386) == Action.errno(13)
    assert answer(program, "socketcall", 2, abi=Abi.I386) == Action.allow()
    assert answer(program, "ipc", 23 | 1 << 16, abi=Abi.I386) == Action.errno(13)
    assert answer(program, "ipc", 22, abi=Abi.I386) == Action.allow()


@pytest.mark.parametrize(
    ("word", "action"),
    [
        ("SCMP_ACT_KILL", Action.kill_thread()),
        ("SCMP_ACT_KILL_THREAD", Action.kill_thread()),
        ("SCMP_ACT_KILL_PROCESS", Action.kill_process()),
        ("SCMP_ACT_TRAP", Action.trap()),
        ("SCMP_ACT_LOG", Action.log()),
        ("SCMP_ACT_ERRNO", Action.errno(1)),
    ],
)
def test_the_filter_takes_every_action_that_needs_nobody(word: str, action: bpf.Action) -> None:
    """An errno that is not given is EPERM, as runc has it."""
    program = read({"names": ["sync"], "action": word}, default="SCMP_ACT_ALLOW")
    assert answer(program, "sync") == action
    assert answer(read(default=word, syscalls=[]), "sync") == action


def test_an_architecture_that_is_not_listed_is_killed() -> None:
    """As libseccomp does; where x32 is listed, which accel does not judge, it is not there."""
    program = read(architectures=["SCMP_ARCH_X86_64"])
    assert answer(program, "getpid", abi=Abi.I386) == Action.kill_thread()
    x32 = bpf.SeccompData(0x4000_0000, Abi.X86_64.audit_arch)
    assert bpf.evaluate(program, x32) == Action.kill_thread()
    assert bpf.evaluate(read(architectures=["SCMP_ARCH_X32"]), x32) == Action.errno(38)
    assert json.loads(accel.oci.dump(program))["architectures"] == ["SCMP_ARCH_X86_64"]


def test_the_profile_of_a_runtimes_configuration_is_found() -> None:
    """config.json has it under linux.seccomp."""
    inner = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refuse("sync")]}
    text = json.dumps({"ociVersion": "1.2.0", "linux": {"seccomp": inner}})
    assert answer(compiled(accel.oci.read(text, NOBODY)), "sync") == Action.errno(13)


def test_what_has_no_effect_is_said() -> None:
    """Flags are about installing a filter, listeners about a supervisor; new calls may come."""
    text = json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/run/agent",
            "syscalls": [{"names": ["sync", "of_tomorrow"], "action": "SCMP_ACT_ALLOW"}],
        }
    )
    flags, *others = sorted(accel.oci.read(text, NOBODY).notes)
    assert flags.startswith("flags are not used")
    assert [note.partition(" is ")[0] for note in others] == ["listenerPath", "of_tomorrow"]


# ------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ("nonsense", "this is no JSON"),
        ("[]", "a profile is [], not an object"),
        ("{}", "defaultAction is missing"),
        ('{"defaultAction": 1}', "defaultAction is 1, not a string"),
        ('{"defaultAction": "ALLOW"}', "'ALLOW' is no action; use SCMP_ACT_ALLOW"),
        ('{"defaultAction": "SCMP_ACT_TRACE"}', "SCMP_ACT_TRACE hands the call to a tracer"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscall": []}', "syscall is not known"),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}', "from 0 to 4095"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}', "syscalls is {}, not a list"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [7]}', "syscalls[0] is 7, not an object"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["x86"]}', "'x86' is no archit"),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],'
            ' "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]}',
            "both architectures and archMap",
        ),
    ],
)
def test_a_profile_that_is_not_understood_is_refused(profile: str, text: str) -> None:
    """With the place, and what would be understood."""
    with pytest.raises(SetupError) as caught:
        accel.oci.read(profile, NOBODY)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({}, "syscalls[0].name is missing"),
        ({"names": ["sync"]}, "syscalls[0].action is missing"),
        (refuse("snyc"), "syscalls[0] refuses 'snyc', which no table knows"),
        (refuse("sync", arg=[]), "syscalls[0].arg is not known"),
        (refuse("sync", action="SCMP_ACT_NOTIFY"), "hands the call to a supervisor"),
        (refuse("sync", errnoRet=-1), "syscalls[0].errnoRet is -1"),
        (refuse("sync", errnoRet=True), "syscalls[0].errnoRet is True, not a number"),
        (refuse("sync", includes={"cap": []}), "syscalls[0].includes.cap is not known"),
        (refuse("sync", excludes={"minKernel": "new"}), "'new' is no kernel version"),
        (refuse("read", args=[{"index": 0}]), "syscalls[0].args[0].value is missing"),
        (refuse("read", args=[condition("EQ", 1, index=6)]), "args[0].index is 6"),
        (refuse("read", args=[condition("IS", 1)]), "'SCMP_CMP_IS' is no comparison"),
        (refuse("read", args=[condition("EQ", 1 << 64)]), "args[0].value is 1844674407370955"),
        (refuse("read", args=[condition("MASKED_EQ", 1, 2)]), "args[0] never holds"),
    ],
)
def test_an_entry_that_is_not_understood_is_refused(entry: dict[str, Any], text: str) -> None:
    """By the name of what is wrong: a part that is ignored would go unenforced."""
    with pytest.raises(SetupError) as caught:
        read(entry)
    assert text in str(caught.value)


def test_a_constant_that_is_wider_than_its_argument_is_refused() -> None:
    """To the kernel it can never be equal."""
    with pytest.raises(SetupError, match="has 32 bits"):
        read(refuse("socket", args=[condition("EQ", 1 << 32)]))


def test_a_profile_needs_a_filter() -> None:
    """Nothing else keeps it: in a process that runs, or by stops alone, it is refused."""
    profile = accel.oci.load(PROFILE, NOBODY)
    for tracer in (Tracer(pid=1), Tracer(["true"], mechanism="ptrace-syscall")):
        with pytest.raises(SetupError, match="kept by a filter"):
            tracer.enforce(profile)


def test_a_profile_that_refuses_execve_is_refused_before_anything_starts() -> None:
    """The launching child could not execute the command."""
    tracer = Tracer(["true"])
    tracer.enforce(accel.oci.read('{"defaultAction": "SCMP_ACT_KILL"}', NOBODY))
    with pytest.raises(SetupError, match="no command can start"):
        tracer.run()


# --------------------------------------------------------------------------------------- writing


def test_a_call_that_needs_a_tracer_has_no_entry() -> None:
    """It would fail with ENOSYS in the container; the calls are named."""
    tracer = Tracer(["true"], mask="openat,connect")
    tracer.decide("getuid", Decision.nullify())
    with pytest.raises(FilterError, match="no tracer for connect, openat"):
        accel.oci.dump(tracer.plan.untraced().compile())
    tracer = Tracer(["true"], mask="all")
    with pytest.raises(FilterError, match="no tracer for calls that no table knows"):
        accel.oci.dump(tracer.plan.untraced().compile())


def test_both_abis_have_one_answer() -> None:
    """The specification cannot tell them apart; a number without a name has no word."""
    tracer = Tracer(["true"])
    tracer.decide("sync@64", Decision.nullify())
    with pytest.raises(FilterError, match="one answer for x86_64 and i386: sync"):
        accel.oci.dump(tracer.plan.untraced().compile())
    tracer = Tracer(["true"])
    tracer.decide("999", Decision.nullify())
    with pytest.raises(FilterError, match="no word for number 999"):
        accel.oci.dump(tracer.plan.untraced().compile())


def test_conditions_are_written_in_the_width_of_their_argument() -> None:
    """An int by its low bits, a long as a register."""
    tracer = Tracer(["true"])
    tracer.decide("close", Decision.nullify(9), where=arg.fd == 2)
    tracer.decide("munmap", Decision.nullify(22), where=arg.length > 4096)
    entries_ = json.loads(accel.oci.dump(tracer.plan.untraced().compile()))["syscalls"]
    assert entries_ == [
        {
            "names": ["close"], "action": "SCMP_ACT_ERRNO", "errnoRet": 9,
            "args": [{"index": 0, "value": 0xFFFFFFFF, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}],
        },
        {
            "names": ["munmap"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22,
            "args": [{"index": 1, "value": 4096, "op": "SCMP_CMP_GT"}],
        },
    ]  # fmt: skip


def test_too_many_entries_for_a_call_are_refused() -> None:
    """Three ints that differ from something are some 30 to the third."""
    tracer = Tracer(["true"])
    where = (arg[0] != 40) & (arg[1] != 40) & (arg[2] != 40)
    tracer.decide("socket", Decision.nullify(1), where=where)
    with pytest.raises(FilterError, match="conditions of socket are too many"):
        accel.oci.dump(tracer.plan.untraced().compile())
