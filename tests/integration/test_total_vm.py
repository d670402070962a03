"""A kernel in Python: unmodified programs do in it what they do on the host."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from examples.total_vm import BUILT_IN, Console, Identity, Machine, VirtualFileSystem, copy_of
from examples.total_vm.machine import ENVIRONMENT
from examples.total_vm.nodes import Directory, Node, SymbolicLink
from tests.integration.static_guests import LONG_AGO, MECHANISMS, Outcome, static_busybox
from tests.support import require

#: Runs a program of the host in a root directory that does not hold it.
LAUNCHER = """
import os, sys
root, program, *argv = sys.argv[1:]
descriptor = os.open(program, os.O_RDONLY)
os.chroot(root)
os.chdir("/")
os.setgroups([])
os.umask(0o022)
os.execve(descriptor, argv, {environment})
"""


@pytest.fixture
def busybox() -> str:
    """Debian's static busybox."""
    return static_busybox()


@pytest.fixture(params=MECHANISMS)
def mechanism(request: pytest.FixtureRequest) -> str | None:
    """How the machine gets its stops."""
    chosen: str | None = request.param
    return chosen


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory of the host with files of every kind, all of them old."""
    require(os.geteuid() == 0, "root is needed, to chroot")
    top = tmp_path / "root"
    for name in ("etc", "root/deep/er", "tmp", "dev"):
        (top / name).mkdir(parents=True)
    for path, content in BUILT_IN.items():
        (top / path[1:]).write_bytes(content)
    (top / "root/binary").write_bytes(bytes(range(256)) * 40)
    (top / "root/table").write_text("one:1:x\ntwo:2:y\nthree:3:x\nthree:3:x\n")
    (top / "root/deep/er/empty").touch()
    (top / "root/script").write_text("echo $1\n")
    (top / "root/script").chmod(0o4755)
    os.chown(top / "root/table", 12, 34)
    os.symlink("deep/er/../../fruit", top / "root/link")
    os.symlink("nowhere", top / "root/dangling")
    os.link(top / "root/fruit", top / "root/fruit too")
    os.mknod(top / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    for directory, names, files in os.walk(top, topdown=False):
        for name in (*names, *files, "."):
            os.utime(Path(directory, name), (LONG_AGO, LONG_AGO), follow_symlinks=False)
    return top


def on_the_host(root: Path, argv: list[str], stdin: bytes = b"") -> Outcome:
    """Run ``argv`` in ``root``."""
    launcher = LAUNCHER.format(environment=dict(ENVIRONMENT))
    done = subprocess.run(
        [sys.executable, "-c", launcher, str(root), argv[0], *argv],
        input=stdin, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


def in_the_machine(
    tree: VirtualFileSystem, argv: list[str], stdin: bytes = b"", mechanism: str | None = None
) -> Outcome:
    """Run ``argv`` in a machine with these files, that calls itself what the host does."""
    host = os.uname()
    identity = Identity(host.sysname, host.nodename, host.release, host.version, host.machine)
    console = Console(stdin)
    missing: list[str] = []
    machine = Machine(tree, console, identity=identity, log=missing.append)
    result = machine.run(argv, mechanism=mechanism, timeout=60)
    assert not missing
    return Outcome(result.returncode, console.output, console.errors)


COMMANDS = """
echo hello world
echo -e a\\tb\\0101
cat /etc/motd /root/fruit
cat /root/nothing /root/deep
cat -n -
ls
ls /root
ls -l / /root
ls -la /root/deep
ls -liR /
ls -l /root/link /root/dangling
ls -ld /root/nothing
wc /root/fruit /root/binary
wc -l
sort /root/fruit
sort -rn /root/numbers
uname -a
head -n 2 /root/fruit
head -c 100 /root/binary
tail -n 2 /root/fruit
tail -c +10200 /root/binary
grep -n pl /root/fruit
grep -rc three /root
grep nothing /etc/passwd
cut -d : -f 1,3 /root/table
tr a-z A-Z
seq 3 4 30
md5sum /root/binary /root/fruit /root/missing
sha256sum /root/binary
basename /root/deep/er .r
dirname /root/deep/er
rev /root/fruit
uniq -c /root/table
od -c /root/numbers
hexdump -C /root/numbers
xxd /root/numbers
expr 6 * 7
expr 1 = 2
printf %05d|%s\\n 42 text
test -d /root/deep
test -f /root/deep
[ a = b ]
id
id -u
whoami
stat -c %n|%s|%b|%a|%u|%g|%i|%h|%F|%Y /root/fruit /root/link /root /dev/null /root/script
find / -type f
find /root -name *r* -size +1
du -a /root
readlink -f /root/link
realpath /root/deep/../link
pwd
env
true
false
tac /root/fruit
nl /root/table
fold -w 5 /etc/motd
paste /root/fruit /root/numbers
diff /root/fruit /root/numbers
cmp /root/fruit /root/numbers
sed -n s/p/P/gp /root/fruit
awk -F: {n+=$2}END{print\\tn} /root/table
dd if=/root/binary bs=1000 count=3 status=none
strings /root/binary
base64 /root/numbers
dc -e 2p
cal 6 2008
tar cf - /root/fruit
gzip -c /root/fruit
date -r /root/fruit
nosuchapplet
"""
SCRIPTS = [
    "for i in 1 2 3; do echo $i; done; exit 4",
    'while read name; do echo "<$name>"; done < /root/fruit',
    "read a b; echo $b $a; read c || echo end",
    "cd /root/deep; pwd; cd ..; pwd; cd /nowhere; echo $?",
    "echo one > /tmp/a; echo two >> /tmp/a; exec < /tmp/a; read x; read y; echo $x-$y",
    'for f in /root/*; do test -L "$f" && echo "$f"; done',
    'umask 077; echo $((6 * 7)) >&2; printf \'%s\\n\' "$HOME" "$0"',
    "set -e; false; echo never",
    'while read line; do echo "[$line]"; done <<end\na $HOME\nb\nend',
    "echo lost > /nowhere/file; echo $?",
    "case $PWD in /) echo root;; esac",
    "f() { local x=$1; return $x; }; f 3; echo $?; type f; trap 'echo bye' EXIT; exit 5",
    "kill -TERM $$; echo never",
    "exec 3<>/root/table; read x <&3; echo new >&3; exec 3<&-; read y < /root/table; echo $x $y",
    "exec ls -l /root/fruit",
]
STDIN = b"first second\nlast"


@pytest.mark.parametrize("command", COMMANDS.strip().splitlines())
def test_an_applet_does_in_the_machine_what_it_does_on_the_host(
    busybox: str, root: Path, command: str, mechanism: str | None
) -> None:
    """Same bytes on both streams, same status: inodes, times and blocks are those of the host."""
    argv = [busybox, *(word.replace("\\t", "\t") for word in command.split(" "))]
    tree = copy_of(str(root))
    expected = on_the_host(root, argv, STDIN)
    assert in_the_machine(tree, argv, STDIN, mechanism) == expected


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_shell_script_does_in_the_machine_what_it_does_on_the_host(
    busybox: str, root: Path, script: str, mechanism: str | None
) -> None:
    """Loops, redirections, here-documents, traps, its own death by a signal."""
    argv = [busybox, "sh", "-c", script]
    tree = copy_of(str(root))
    expected = on_the_host(root, argv, STDIN)
    assert in_the_machine(tree, argv, STDIN, mechanism) == expected


CHANGES = [
    "cp /root/binary /tmp/copy",
    "cp -a /root /tmp/all",
    "mkdir -p /tmp/a/b/c",
    "rmdir -p /root/deep/er",
    "rm -r /root",
    "mv /root/deep /tmp/deeper",
    "mv /root/fruit /root/numbers",
    "ln -s fruit /root/new",
    "ln /root/numbers /tmp/numbers",
    "touch /tmp/new /root/fruit",
    "chmod -R u=rwX,go= /root",
    "chown 5:6 /root/fruit",
    "tee /tmp/a /tmp/b",
    "truncate -s 5 /root/fruit",
    "dd if=/root/binary of=/tmp/z bs=512 seek=2 count=4",
    "sed -i s/p/q/ /root/fruit",
    "sort -o /root/fruit /root/fruit",
    "tar cf /tmp/all.tar /root",
    "gzip /root/binary",
    "mkdir /root/fruit",
    "rmdir /root",
    "unlink /root/link",
]


@pytest.mark.parametrize("command", CHANGES)
def test_an_applet_leaves_the_same_files_behind(
    busybox: str, root: Path, command: str, mechanism: str | None
) -> None:
    """Names, types, permissions, owners, links, contents; the host's own do not change."""
    argv = [busybox, *command.split(" ")]
    tree, untouched = copy_of(str(root)), outline(copy_of(str(root)).root)
    outcome = in_the_machine(tree, argv, STDIN, mechanism)
    assert outline(copy_of(str(root)).root) == untouched
    assert outcome == on_the_host(root, argv, STDIN)
    assert outline(tree.root) == outline(copy_of(str(root)).root)


def outline(node: Node) -> object:
    """Say all of a node that is not a time, a number or a place on a disk."""
    content: object = getattr(node, "content", node.device_number)
    if isinstance(node, Directory):
        content = {name: outline(one) for name, one in node.entries.items()}
    elif isinstance(node, SymbolicLink):
        content = node.target
    return node.mode, node.uid, node.gid, node.links, content
