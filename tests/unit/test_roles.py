"""The tables of arguments: complete, consistent, and described by rule."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from accel import families, role_rules, signatures
from accel.abi import Abi
from accel.roles import Argument, Role, result, signature, string_arguments

GENERATOR = Path(__file__).parents[2] / "tools" / "generate_signatures.py"

FORMAT = """name: sys_enter_{name}
ID: 1
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:int __syscall_nr;	offset:8;	size:4;	signed:1;
{fields}

print fmt: "unused"
"""


def every_signature() -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    yield from signatures.SIGNATURES.items()
    yield from signatures.I386.items()


def described(abi: Abi, name: str) -> str:
    """Write a call's arguments: role, family, and the position of what counts it."""
    return ", ".join(
        argument.role.value
        + (f" {argument.family}" if argument.family else "")
        + ("" if argument.length is None else f"[{argument.length}]")
        for argument in signature(abi, name)
    )


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_signatures", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize("abi", list(Abi), ids=lambda abi: abi.value)
def test_every_call_has_a_signature(abi):
    """No call of any ABI's table is without its arguments."""
    known = set(signatures.SIGNATURES) | (set(signatures.I386) if abi is Abi.I386 else set())
    assert [name for name in abi.numbers if name not in known] == []


def test_no_signature_is_stale():
    """Every signature belongs to a call that a table has."""
    names = {name for abi in Abi for name in abi.numbers}
    assert [name for name, _ in every_signature() if name not in names] == []
    assert [name for name in signatures.I386 if name not in Abi.I386.numbers] == []


def test_no_i386_signature_repeats_the_common_one():
    """What is listed for i386 differs there, or exists only there."""
    same = [name for name, it in signatures.I386.items() if signatures.SIGNATURES.get(name) == it]
    assert same == []


def test_signatures_fit_into_registers():
    """A call has at most six arguments, and their names are distinct."""
    for name, parameters in every_signature():
        names = [argument for _, argument in parameters]
        assert len(names) <= 6, name
        assert len(set(names)) == len(names), name


def test_an_unknown_call_has_no_arguments():
    """A name that no table has is answered, not refused."""
    assert signature(Abi.X86_64, "syscall_0x258") == ()
    assert result("syscall_0x258") is Role.SIGNED


def test_most_calls_of_i386_share_x86_64s_description():
    """Where nothing differs, the two ABIs have one object."""
    assert signature(Abi.I386, "execve") is signature(Abi.X86_64, "execve")
    assert signature(Abi.X32, "mmap") is signature(Abi.X86_64, "mmap")
    assert signature(Abi.I386, "mmap") != signature(Abi.X86_64, "mmap")


# ---------------------------------------------------------------------------------------- the rules


@pytest.mark.parametrize(
    ("abi", "name", "expected"),
    [
        (Abi.X86_64, "openat", "dirfd, path, flags open_flags, mode"),
        (Abi.X86_64, "read", "fd, buffer_out[2], unsigned"),
        (Abi.X86_64, "write", "fd, buffer_in[2], unsigned"),
        (Abi.X86_64, "getcwd", "path_out[1], unsigned"),
        (Abi.X86_64, "execve", "path, strings argv, strings envp"),
        (Abi.X86_64, "kill", "pid, signal"),
        (Abi.X86_64, "bind", "fd, sockaddr_in[2], signed"),
        (
            Abi.X86_64,
            "recvfrom",
            "fd, buffer_out[2], unsigned, flags send_flags, sockaddr_out[5], scalar_inout int",
        ),
        (Abi.X86_64, "getgroups", "signed, array_out gid_t[0]"),
        (Abi.X86_64, "pipe2", "array_out fd, flags pipe2_flags"),
        (Abi.X86_64, "fsetxattr", "fd, string, buffer_in[3], unsigned, flags xattr_flags"),
        (Abi.X86_64, "prlimit64", "pid, enum resource, struct_in rlimit64, struct_out rlimit64"),
        (
            Abi.X86_64,
            "setitimer",
            "enum itimer, struct_in __kernel_old_itimerval, struct_out __kernel_old_itimerval",
        ),
        (Abi.X86_64, "openat2", "dirfd, path, struct_in open_how[3], unsigned"),
        (Abi.I386, "pread64", "fd, buffer_out[2], unsigned, low offset, high offset"),
        (Abi.I386, "chown", "path, uid 16, gid 16"),
        (Abi.I386, "chown32", "path, uid, gid"),
        (Abi.I386, "nanosleep", "struct_in old_timespec32, struct_out old_timespec32"),
        (Abi.I386, "clock_gettime64", "enum clockid, struct_out __kernel_timespec"),
        (Abi.I386, "mmap", "struct_in mmap_arg_struct"),
        (Abi.I386, "fcntl64", "fd, enum fcntl_command, hex"),
    ],
)
def test_arguments_have_their_roles(abi, name, expected):
    """C type, name and tables together tell what each argument is for."""
    assert described(abi, name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openat", "dirfd pathname flags mode"),
        ("socket", "domain type protocol"),
        ("write", "fd buf count"),
        ("mmap", "addr length prot flags fd offset"),
        ("clone", "flags stack parent_tid child_tid tls"),
        ("waitid", "idtype id infop options rusage"),
    ],
)
def test_arguments_are_named_as_in_the_man_pages(name, expected):
    """``arg.domain`` is what people know, not the kernel's own ``family``."""
    assert [argument.name for argument in signature(Abi.X86_64, name)] == expected.split()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openat", Role.FD),
        ("mmap", Role.ADDRESS),
        ("fork", Role.PID),
        ("umask", Role.MODE),
        ("getuid32", Role.UID),
        ("exit_group", Role.NONE),
        ("read", Role.SIGNED),
    ],
)
def test_results_have_their_roles(name, expected):
    """What a call returns has a role as well, in every variant of the call."""
    assert result(name) is expected


def test_a_call_of_a_new_kernel_gets_its_roles():
    """Nothing need be written down for a call that follows the kernel's own habits."""
    parameters = (
        ("int", "dirfd"),
        ("const char *", "pathname"),
        ("struct novel_attr *", "attr"),
        ("size_t", "size"),
        ("unsigned int", "at_flags"),
    )
    assert role_rules.describe("get_novel_attr", parameters) == (
        Argument("dirfd", "int", Role.DIRFD),
        Argument("pathname", "const char *", Role.PATH),
        Argument("attr", "struct novel_attr *", Role.STRUCT_OUT, "novel_attr", 3),
        Argument("size", "size_t", Role.UNSIGNED),
        Argument("at_flags", "unsigned int", Role.FLAGS, "at_flags"),
    )
    set_attr = role_rules.describe("set_novel_attr", parameters)
    assert set_attr[2].role is Role.STRUCT_IN


def test_lengths_name_numbers():
    """The argument that counts another is an integer, or points to one."""
    numbers = (Role.UNSIGNED, Role.SIGNED, Role.SCALAR_INOUT)
    for abi in (Abi.X86_64, Abi.I386):
        for name in abi.numbers:
            arguments = signature(abi, name)
            for argument in arguments:
                if argument.length is not None:
                    assert arguments[argument.length].role in numbers, (name, argument)


def test_every_written_role_is_of_an_argument():
    """No entry of the tables is misspelt or stale."""
    arguments = {
        f"{call}.{name}" for call, parameters in every_signature() for _, name in parameters
    }
    arguments |= {f"*.{argument.partition('.')[2]}" for argument in arguments}
    tables = (role_rules.ROLES, families.FLAGS, families.ENUMS)
    written = [member for table in tables for text in table.values() for member in text.split()]
    assert [member for member in written if member not in arguments] == []
    calls = {call for call, _ in every_signature()}
    results = [call for text in role_rules.RESULTS.values() for call in text.split()]
    assert [call for call in results if call not in calls] == []


def test_no_entry_is_written_twice():
    """One argument is in one table, once."""
    tables = (role_rules.ROLES, families.FLAGS, families.ENUMS)
    written = [member for table in tables for text in table.values() for member in text.split()]
    assert [member for member in written if written.count(member) > 1] == []


def test_no_written_role_repeats_a_rule(monkeypatch):
    """The table of exceptions holds only what the rules do not find."""
    redundant = []
    for member in [member for text in role_rules.ROLES.values() for member in text.split()]:
        call, _, argument = member.partition(".")
        users = [item for item in every_signature() if argument in dict(map(reversed, item[1]))]
        before = [role_rules.describe(*user) for user in users]
        with monkeypatch.context() as patch:
            for key in ((argument, False), (argument, True)):
                written = role_rules._WRITTEN.get(key, {})
                others = {other: it for other, it in written.items() if other != call}
                patch.setitem(role_rules._WRITTEN, key, others)
            if [role_rules.describe(*user) for user in users] == before:
                redundant.append(member)
    assert redundant == []


# ------------------------------------------------------------------------------------ the generator


def test_the_generator_reads_tracepoint_formats(generator, tmp_path, monkeypatch, capsys):
    """A format file becomes a signature under the table's name and the man page's words."""
    fields = {
        "newstat": ("const char * filename", "struct stat * statbuf"),
        "dup": ("unsigned fildes",),
        "sync": (),
        "not_a_call": ("int fd",),
    }
    for name, declarations in fields.items():
        directory = tmp_path / f"sys_enter_{name}"
        directory.mkdir()
        lines = [f"\tfield:{it};\toffset:16;\tsize:8;\tsigned:0;" for it in declarations]
        (directory / "format").write_text(FORMAT.format(name=name, fields="\n".join(lines)))
    monkeypatch.setattr(sys, "argv", ["generate_signatures", "--formats", str(tmp_path)])
    assert generator.main() == 0
    module: dict[str, object] = {}
    exec(capsys.readouterr().out, module)
    table = module["SIGNATURES"]
    assert isinstance(table, dict)
    assert table["stat"] == (("const char *", "pathname"), ("struct stat *", "statbuf"))
    assert table["dup"] == (("unsigned int", "oldfd"),)
    assert table["sync"] == ()
    assert "not_a_call" not in table
    assert "newstat" not in table


def test_the_supplement_is_in_the_table(generator):
    """signatures.py was generated from the supplement as it is."""
    for name, parameters in generator.prototypes(generator.PROTOTYPES):
        assert signatures.SIGNATURES[name] == parameters
    for name, parameters in generator.prototypes(generator.PROTOTYPES_I386):
        assert signatures.I386.get(name, signatures.SIGNATURES.get(name)) == parameters


def test_i386_signatures_follow_from_the_common_ones(generator):
    """Old calls of i386 take 16-bit ids and 32-bit times; signatures.py holds just that."""
    assert generator.i386(signatures.SIGNATURES) == signatures.I386


@pytest.mark.parametrize("abi", list(Abi), ids=lambda abi: abi.value)
def test_the_index_of_strings_holds_what_the_signatures_say(abi: Abi) -> None:
    """If not: python tools/generate_indexes.py."""
    for name in [*abi.numbers, "syscall_0x3e7"]:
        roles = [argument.role for argument in signature(abi, name)]
        strings = [at for at, role in enumerate(roles) if role in (Role.PATH, Role.STRING)]
        assert list(string_arguments(abi, name)) == strings[:3], name
