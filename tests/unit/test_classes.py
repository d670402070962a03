"""Classes of system calls, computed from roles; strace's own answers are in integration tests."""

from __future__ import annotations

import pytest

from accel import class_index, class_rules, classes, role_rules
from accel.abi import Abi
from accel.roles import signature

ABIS = (Abi.X86_64, Abi.I386)


def names(name: str, abi: Abi = Abi.X86_64) -> set[str]:
    return {abi.call_name(number) for number in classes.members(name, abi)}


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("%file", "open openat execve statx getcwd mount fsconfig", "read fstat mq_open"),
        ("%desc", "read openat poll mmap pipe2 epoll_wait sendfile", "stat socket recvmsg"),
        ("%network", "socket bind recvmmsg sendfile shutdown", "read pidfd_send_signal"),
        ("%process", "clone3 execveat exit_group waitid kill", "ptrace getpid prctl"),
        ("%memory", "mmap brk madvise shmat mlockall move_pages", "ptrace futex quotactl"),
        ("%signal", "kill rt_sigaction signalfd4 pause", "ppoll rseq restart_syscall"),
        ("%ipc", "msgget semtimedop shmdt", "mq_open"),
        ("%creds", "setuid getgroups capset prctl setfsgid", "chown setpgid quotactl"),
        ("%clock", "clock_settime adjtimex time gettimeofday", "clock_nanosleep times"),
        ("%pure", "getpid getuid getegid", "getpgid umask sched_yield"),
    ],
)
def test_classes_hold_what_they_are_known_for(name, inside, outside):
    """Each rule finds its subsystem and stops at its border."""
    assert set(inside.split()) <= names(name)
    assert names(name).isdisjoint(outside.split())


@pytest.mark.parametrize("abi", ABIS, ids=lambda abi: abi.value)
def test_stat_classes_add_up(abi):
    """%%stat is %stat, %lstat and %fstat, which share nothing; %%statfs adds ustat."""
    stat, lstat, fstat = (names(name, abi) for name in ("%stat", "%lstat", "%fstat"))
    assert stat | lstat | fstat == names("%%stat", abi)
    assert len(stat) + len(lstat) + len(fstat) == len(names("%%stat", abi))
    assert names("%statfs", abi) | names("%fstatfs", abi) | {"ustat"} == names("%%statfs", abi)


@pytest.mark.parametrize("abi", ABIS, ids=lambda abi: abi.value)
def test_members_are_numbers_of_the_table(abi):
    """Every class has members in both ABIs, and no others."""
    for name in classes.NAMES:
        assert classes.members(name, abi)
        assert classes.members(name, abi) <= set(abi.numbers.values())


def test_i386_has_its_own_members():
    """Multiplexers and the variants of 32-bit calls belong where their calls belong."""
    assert "socketcall" in names("%network", Abi.I386)
    assert "ipc" in names("%ipc", Abi.I386)
    assert {"mmap", "mmap2"} <= names("%memory", Abi.I386)
    assert {"mmap", "select", "_newselect"} <= names("%desc", Abi.I386)
    assert {"chown32", "stat64", "truncate64"} <= names("%file", Abi.I386)
    assert {"setresuid", "setresuid32"} <= names("%creds", Abi.I386)


def test_old_spellings_are_the_same_classes():
    """strace's deprecated names, and %net, are aliases."""
    for alias, name in classes.ALIASES.items():
        assert classes.members(alias, Abi.X86_64) == classes.members(name, Abi.X86_64)


def test_an_unknown_class_is_an_error():
    """There is no empty class to fall back to."""
    with pytest.raises(KeyError):
        classes.members("%nope", Abi.X86_64)


@pytest.mark.parametrize("abi", list(Abi), ids=lambda abi: abi.value)
def test_the_index_holds_what_the_rules_say(abi):
    """If not: python tools/generate_indexes.py."""
    for name, rule in class_rules.RULES.items():
        ruled = {call for call in abi.numbers if rule(call, signature(abi, call))}
        assert names(name, abi) == ruled
    assert tuple(class_rules.RULES) == classes.NAMES


def test_a_call_that_is_not_in_the_index_is_judged_by_the_rules(monkeypatch):
    """As one of a kernel that is newer than the index."""
    for call in ("sendto", "getppid"):
        monkeypatch.delitem(class_index.CLASSES, call)
    assert classes._classes_of("sendto", Abi.X86_64) == ["%network"]
    assert classes._classes_of("getppid", Abi.X86_64) == ["%pure"]


def test_a_call_of_a_new_kernel_joins_its_classes():
    """A call that nobody has written down is classified by its arguments."""
    arguments = role_rules.describe(
        "novelat",
        (("int", "dirfd"), ("const char *", "pathname"), ("struct statx *", "buffer")),
    )
    found = {name for name, rule in class_rules.RULES.items() if rule("novelat", arguments)}
    assert found == {"%file", "%desc", "%fstat", "%%stat"}
