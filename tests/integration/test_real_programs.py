"""Programs that nobody here wrote: accel sees in them what strace sees, and changes nothing."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from tests.integration.strace_comparison import (
    ACCEL,
    STRACE,
    Scenario,
    compare_calls,
    compare_effects,
    run_alone,
    run_traced,
)
from tests.support import compiled, require_program

#: Every way to start a process, to become another program, and to end.
PROCESSES = "execve,clone,clone3,vfork,fork,wait4,exit_group"

#: When a parent is told of a child's end depends on which of the two runs first.
SIGCHLD = r"^--- SIGCHLD "
INTERRUPTED_WAIT = r"^wait4\(.* = \? ERESTARTSYS"
#: A fork that a signal interrupts is made again.
INTERRUPTED_FORK = r"^clone\(.* = \? ERESTARTNOINTR"
#: Whether a parent that polls finds somebody yet, or finds the child that it would else wait for.
EMPTY_POLL = r"^wait4\(-1, .* = 0$"
POLLED = (r"^(wait4\(-1, .*), WNOHANG,", r"\1, 0,")
#: Threads and processes that share descriptors get them in the order in which they run.
DESCRIPTORS = (
    (r"^(openat\(.*) = \d+$", r"\1 = FD"),
    (r"^(newfstatat\()\d+, ", r"\1FD, "),
)


def script(text: str, *, shell: str = "sh") -> tuple[str, ...]:
    """Make a command of a shell script."""
    return (shell, "-euc", textwrap.dedent(text))


# --------------------------------------------------------------------------------- fixtures


def sources(directory: Path) -> None:
    """Write a small tree of source files, some of them larger than a pipe."""
    for index in range(60):
        folder = directory / "tree" / f"part{index % 7}" / f"deep{index % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        suffix = ("c", "h", "txt")[index % 3]
        text = f"/* {index} */\n" * (1 + index * index * 3)
        path = folder / f"file{index}.{suffix}"
        path.write_text(text)
    (directory / "tree" / "link").symlink_to("part0")
    for path in (directory / "tree").rglob("*"):
        # Old, since git reads a file again that is as young as its index.
        os.utime(path, (1112911993, 1112911993), follow_symlinks=False)


def c_program(directory: Path) -> None:
    """Write a program of two translation units."""
    (directory / "main.c").write_text(
        '#include <stdio.h>\nint twice(int);\nint main(void) { printf("%d\\n", twice(21)); }\n'
    )
    (directory / "twice.c").write_text("int twice(int n) { return 2 * n; }\n")


def makefile(directory: Path) -> None:
    """Write a Makefile with twenty targets of three levels."""
    leaves = [f"leaf{index}" for index in range(12)]
    nodes = {f"node{index}": leaves[index * 2 : index * 2 + 2] for index in range(6)}
    lines = [f"all: {' '.join(nodes)}", "\tcat $^ > $@"]
    for node, needed in nodes.items():
        lines += [f"{node}: {' '.join(needed)}", "\tcat $^ > $@.tmp", "\tmv $@.tmp $@"]
    lines += [f"{' '.join(leaves)}:", "\techo $@ > $@"]
    (directory / "Makefile").write_text("\n".join(lines) + "\n")


THREADS = """
import threading, pathlib

def work(number):
    path = pathlib.Path(f"thread{number}")
    path.write_text(str(number) * 1000)
    for _ in range(20):
        assert len(path.read_text()) == 1000
    path.rename(f"done{number}")

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(path.name for path in pathlib.Path().iterdir()))
"""

MULTIPROCESSING = """
import multiprocessing, os, pathlib

def square(number):
    pathlib.Path(f"square{number}").write_text(str(number * number))
    return number * number

def run(method):
    context = multiprocessing.get_context(method)
    pool = context.Pool(3)
    print(method, pool.map(square, range(12), chunksize=1), flush=True)
    # Not terminate(), which kills workers wherever they are.
    pool.close()
    pool.join()
    process = context.Process(target=os._exit, args=(9,))
    process.start()
    process.join()
    print(method, process.exitcode, flush=True)

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        run(method)
"""

LOOPBACK = """
import socket, threading

def serve(listener):
    connection, _address = listener.accept()
    with connection:
        assert connection.recv(100, socket.MSG_WAITALL) == b"x" * 100
        connection.sendall(b"hello")
        connection.shutdown(socket.SHUT_WR)

for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_UNIX, "socket")):
    with socket.socket(family) as listener:
        listener.bind((host, 0) if family == socket.AF_INET else host)
        listener.listen(1)
        with socket.socket(family) as client:
            client.connect(listener.getsockname())
            server = threading.Thread(target=serve, args=(listener,))
            server.start()
            client.sendall(b"x" * 100)
            print(client.recv(5, socket.MSG_WAITALL))
            server.join()
"""

SQL = """
create table t(a integer primary key, b text);
begin;
with recursive n(i) as (select 1 union all select i+1 from n where i<2000)
 insert into t select i, 'row ' || i from n;
commit;
create index by_b on t(b);
update t set b = 'changed' where a % 3 = 0;
select count(*), sum(a), max(b) from t where b <> 'changed';
vacuum;
"""

PERL = r"""
use strict;
open(my $out, '>', 'numbers') or die;
print $out "$_\n" for reverse 1 .. 500;
close $out;
open(my $in, '-|', 'sort', '-n', 'numbers') or die;
my @sorted = <$in>;
close $in;
my %seen = map { $_ => -s $_ } glob('*');
my $pid = fork();
exit 4 unless $pid;
waitpid($pid, 0);
print scalar(@sorted), " $sorted[0]", $? >> 8, " $seen{numbers}\n";
rename 'numbers', 'sorted';
"""


def file_of(name: str, text: str):
    """Make a ``prepare`` that writes one file."""
    return lambda directory: (directory / name).write_text(text) and None


# --------------------------------------------------------------------------------- scenarios

SCENARIOS = (
    Scenario(
        "git",
        needs=("git",),
        argv=script("""
            git init -q -b main .
            git add tree
            git commit -q -m first
            echo changed > tree/part1/deep1/file1.h
            touch -d 2006-01-01 tree/part1/deep1/file1.h
            git commit -q -a -m second
            git log --stat --format='%H %an %ad %s'
            git gc -q
            git fsck --strict
            git status --short
        """),
        mask="%file",
        prepare=sources,
        variables={
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "pack.threads",
            "GIT_CONFIG_VALUE_0": "1",
            "GIT_CONFIG_KEY_1": "core.trustctime",
            "GIT_CONFIG_VALUE_1": "false",
            **{
                f"GIT_{who}_{what}": value
                for who in ("AUTHOR", "COMMITTER")
                for what, value in (
                    ("NAME", "A U Thor"),
                    ("EMAIL", "author@example.com"),
                    ("DATE", "1112911993 -0700"),
                )
            },
        },
        # mkstemp(3), and temporary packs named by pid.
        made_up=(
            (r"\b(tmp_obj_|tmp_pack_|tmp_idx_|tmp_rev_|refs_|packs_)\w{6}\b", r"\1RANDOM"),
            (r"/\.git/t\w{6}\b", "/.git/tRANDOM"),
            (r"/\.tmp-\d+-", "/.tmp-PID-"),
        ),
        races=(SIGCHLD,),
        # The index holds inode numbers and times.
        volatile=(r"\.git/index$",),
    ),
    Scenario(
        "gcc",
        needs=("gcc",),
        argv=script("""
            gcc -O1 -c main.c
            gcc -O1 -c twice.c
            gcc main.o twice.o -o program
            ./program
        """),
        mask="%file",
        prepare=c_program,
        # The compiler driver's temporary files.
        made_up=((r"/tmp/cc\w{6}", "/tmp/ccRANDOM"),),
        races=(SIGCHLD,),
    ),
    Scenario(
        "find",
        script(r"""
            find tree -name '*.c' -size +1k -newermt 2000-01-01 -printf '%p %s %l\n' | sort
            find -L tree -type d -exec echo {} +
            find tree -name '*.txt' -delete
        """),
        # All but what tells of the machine or its memory, and what a child's end interrupts.
        mask="!brk,sysinfo,fstatfs,statfs,rt_sigreturn",
        prepare=sources,
        races=(SIGCHLD,),
    ),
    Scenario(
        "tar",
        needs=("tar", "gzip"),
        argv=script("""
            tar --sort=name --mtime=@0 --owner=0 --group=0 -czf tree.tgz tree
            mkdir copy
            tar -xzf tree.tgz -C copy
            diff -r tree copy/tree && tar -tzf tree.tgz | tail -n 3
        """),
        mask=f"%file,{PROCESSES}",
        prepare=sources,
        races=(SIGCHLD, INTERRUPTED_WAIT),
    ),
    Scenario(
        "sqlite3",
        (
            "sqlite3",
            "test.db",
            SQL,
        ),
        mask="%file,fcntl,fsync,fdatasync,pread64,lseek,ftruncate,close",
        # Temporary files; the journal's header is random, but it is only written.
        made_up=((r"etilqs_\w+", "etilqs_RANDOM"),),
    ),
    Scenario(
        "python3-threads",
        ("/usr/bin/python3", "-c", THREADS),
        mask="%file,clone3,execve,exit_group",
        made_up=DESCRIPTORS,
    ),
    Scenario(
        "python3-multiprocessing",
        ("/usr/bin/python3", "program.py"),
        mask="execve,openat,mkdir,rmdir",
        prepare=file_of("program.py", MULTIPROCESSING),
        # tempfile and the names of semaphores.
        made_up=(
            (r"\b(pymp-|listener-|sem\.)\w+(-\w+)?", r"\1RANDOM"),
            (r'"/tmp/\w{8}"', '"/tmp/RANDOM"'),
            *DESCRIPTORS,
        ),
        races=(SIGCHLD,),
    ),
    Scenario(
        "loopback",
        ("/usr/bin/python3", "-c", LOOPBACK),
        mask="%network",
        made_up=((r"htons\(\d+\)", "htons(PORT)"),),
    ),
    Scenario(
        "pipeline-of-20",
        script("seq 3000 | " + "cat | " * 14 + "grep 7 | tr 7 8 | sort -r | uniq | tail -n 5"),
        mask=f"%file,pipe,pipe2,dup2,{PROCESSES}",
        races=(SIGCHLD, INTERRUPTED_WAIT),
    ),
    Scenario(
        "make-j4",
        ("make", "-s", "-j4"),
        mask=f"openat,unlink,rename,{PROCESSES}",
        prepare=makefile,
        made_up=(POLLED,),
        races=(SIGCHLD, INTERRUPTED_WAIT, INTERRUPTED_FORK, EMPTY_POLL),
    ),
    Scenario(
        "perl",
        ("perl", "-e", PERL),
        # As above, and without reads of a pipe, which may come in parts.
        mask="!brk,read,sysinfo,rt_sigreturn",
        variables={"PERL_HASH_SEED": "0"},
        races=(SIGCHLD, INTERRUPTED_WAIT),
    ),
    Scenario(
        "busybox",
        (
            "busybox",
            "sh",
            "-euc",
            textwrap.dedent("""
                busybox seq 200 | busybox awk '{ sum += $1 } END { print sum }'
                busybox tar -cf tree.tar tree && busybox md5sum tree/part0/deep0/file0.c
                busybox find tree -name '*.h' | busybox sort | busybox xargs busybox wc -l
                busybox gzip tree/part6/deep1/file13.h && busybox ls -R tree | busybox tail -n 3
            """),
        ),
        mask=f"%file,{PROCESSES}",
        prepare=sources,
        races=(SIGCHLD, INTERRUPTED_WAIT),
        # Times of files.
        volatile=(r"tree\.tar$",),
    ),
    Scenario(
        "bash-job-control",
        script(
            """
            set -m
            exec 2> /dev/null  # When bash tells of its jobs depends on when it hears of them.
            mkfifo fifo
            cat fifo > copy &
            kill -STOP %1
            wait %1 || echo "wait says $?"
            jobs %1
            kill -CONT %1
            echo text > fifo
            fg %1 || echo "cat fifo > copy"  # As it says itself, unless the job has ended.
            cat copy
            cat fifo &
            exec 3> fifo
            kill -TERM %1
            wait $! || echo "wait says $?"  # Not %1, which is no more once bash has noticed.
            (kill -KILL $BASHPID) || echo "killed with $?"
            """,
            shell="bash",
        ),
        mask="kill,setpgid,execve,clone,exit_group",
        # Parent and child both set the child's group; the parent may not once the child executed.
        made_up=((r"^(setpgid\(.*\)) = .*", r"\1"),),
        races=(SIGCHLD,),
    ),
    Scenario(
        "xargs-P4",
        script("""seq 60 | xargs -P4 -n5 sh -c 'printf "%s\\n" "$@" > out.$1' _; cat out.*"""),
        mask=f"%file,{PROCESSES}",
        made_up=(POLLED,),
        races=(SIGCHLD, INTERRUPTED_WAIT, INTERRUPTED_FORK, EMPTY_POLL),
    ),
)


def built(
    name: str,
    mask: str,
    program: str,
    *arguments: str,
    flags: tuple[str, ...] = (),
    status: int = 0,
    made_up: tuple[tuple[str, str], ...] = (),
):
    """Make a scenario, when it runs, of a program of tests/programs."""

    def scenario() -> Scenario:
        command = (compiled(program, *flags), *arguments)
        return Scenario(name, command, mask, status=status, made_up=made_up)

    return pytest.param(scenario, id=name)


BUILT = (
    built("files", "all", "files", status=5),
    built("32-bit", "all", "files", flags=("-m32",), status=5),
    built("32-bit-static", "%file,%network,%desc", "files", flags=("-m32", "-static"), status=5),
    built("forks-2000", PROCESSES, "forks_many", "2000"),
    built("spawn-kinds", PROCESSES, "spawn_kinds"),
    built(
        "exec-from-thread",
        f"getppid,{PROCESSES}",
        "exec_from_thread",
        status=7,
        # It passes its pid to its second image.
        made_up=((r'"again", "\d+"', '"again", "PID"'),),
    ),
)


@pytest.mark.parametrize(
    "scenario",
    [*(pytest.param(lambda s=s: s, id=s.name) for s in SCENARIOS), *BUILT],
)
def test_accel_sees_what_strace_sees_and_changes_nothing(scenario, tmp_path):
    """Calls, arguments and results equal strace's; output, files and status the lone run's."""
    require_program("strace")
    given: Scenario = scenario()
    for program in (given.argv[0], *given.needs):
        require_program(program)
    alone = run_alone(given, tmp_path)
    assert alone.returncode == given.status, alone.stderr
    # What programs see of a placement has its own test; find and perl do ask for their affinity.
    accel = run_traced(given, tmp_path, (*ACCEL, "--placement", "none"))
    assert compare_effects(alone, accel) == ""
    strace = run_traced(given, tmp_path, STRACE)
    assert strace.log, "strace saw nothing: the comparison would be empty"
    assert compare_calls(given, strace, accel) == ""
