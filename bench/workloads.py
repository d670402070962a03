"""What is run: a program that makes one call over and over, and real ones on generated input."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from bench.measure import Missing, Settings
from bench.subjects import Task

__all__ = ["REAL_PROGRAMS", "compiled", "crowded", "mixed", "real_program", "repeated"]

_SOURCES: Final = Path(__file__).parent / "programs"
_REPORT: Final = "nanoseconds"
_IMPORTS: Final = (
    "argparse, asyncio, concurrent.futures, decimal, email.message, http.client, json, logging,"
    " unittest, xml.dom.minidom"
)


@contextlib.contextmanager
def compiled(name: str, *flags: str) -> Iterator[str]:
    """Compile ``bench/programs/NAME.c``; yield the program's path while the block lasts."""
    with tempfile.TemporaryDirectory(prefix="accel-bench-") as directory:
        target = f"{directory}/{name}"
        source = str(_SOURCES / f"{name}.c")
        command = [_installed("cc"), "-O2", *flags, "-o", target, source]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"cc cannot compile {name}.c: {done.stderr}")
        yield target


def repeated(program: str, call: str, calls: int) -> Task:
    """Let the compiled ``one_call`` make ``call`` that often, and measure it."""
    return Task((program, call, str(calls), _REPORT), report=_REPORT, calls=calls)


def mixed(program: str, call: str, share: int, calls: int) -> Task:
    """Let the compiled ``mixed_calls`` make ``share`` percent of all calls ``call``, and count."""
    argv = (program, call, str(share), str(calls), _REPORT)
    return Task(argv, report=_REPORT, calls=calls, counts=call)


def crowded(program: str, kind: str, count: int, calls: int) -> Task:
    """Let the compiled ``crowd`` make calls of getpgid in ``count`` processes or threads."""
    argv = (program, kind, str(count), str(calls), _REPORT)
    return Task(argv, report=_REPORT, calls=calls, counts="getpgid")


@contextlib.contextmanager
def real_program(name: str, settings: Settings) -> Iterator[Task]:
    """Make the input of a real program; yield the task while the block lasts."""
    with tempfile.TemporaryDirectory(prefix="accel-bench-") as directory:
        yield REAL_PROGRAMS[name](Path(directory), settings)


def _true(_directory: Path, _settings: Settings) -> Task:
    """Do nothing: what remains is the start of the tracer."""
    return Task((_installed("true"),))


def _find(_directory: Path, settings: Settings) -> Task:
    """Walk a tree of the system: one selected call a directory, four unselected ones a file."""
    tree = "/etc" if settings.quick else "/usr"
    return Task((_installed("find"), tree, "-name", "*.h", "-size", "+8k"))


def _gcc(directory: Path, settings: Settings) -> Task:
    """Compile small files: two processes each, much computing, few calls."""
    lines = ["#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>"]
    lines += [
        f"int work_{n}(int a, int b) {{ while (a > {n}) {{ a -= b + {n}; b ^= a; }} return b; }}"
        for n in range(20)
    ]
    sources = [directory / f"source{n}.c" for n in range(1 if settings.quick else 40)]
    for source in sources:
        source.write_text("\n".join(lines) + "\n", encoding="ascii")
    command = (_installed("gcc"), "-O2", "-c", *map(str, sources))
    return Task(command, tuple(f"{source.stem}.o" for source in sources))


def _python(_directory: Path, settings: Settings) -> Task:
    """Start interpreters that import: many calls fail, for files that are not there."""
    program = f"import sys, {_IMPORTS}; print(len(sys.modules))"
    starts = 1 if settings.quick else 25
    script = f'for i in $(seq {starts}); do "$0" -I -B -c "$1"; done'
    return Task((_installed("sh"), "-c", script, sys.executable, program))


def _tar(directory: Path, settings: Settings) -> Task:
    """Pack small files: every file is opened, so a large part of all calls is selected."""
    _small_files(directory / "tree", 100 if settings.quick else 10_000)
    options = ("--sort=name", "-cf", "out.tar", "-C", str(directory), "tree")
    return Task((_installed("tar"), *options), ("out.tar",))


def _small_files(tree: Path, count: int) -> Path:
    """Make a tree of files, fifty in each directory."""
    for n in range(count):
        path = tree / f"{n // 50:03}" / f"{n:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d\n" % n * 200)
    return tree


def _git(directory: Path, settings: Settings) -> Task:
    """Commit small files and read the history: many short processes, and files that are made."""
    tree = _small_files(directory / "tree", 50 if settings.quick else 1_000)
    settings_of_git = "-c gc.auto=0 -c maintenance.auto=false -c user.name=a -c user.email=a@b"
    script = (
        "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1"
        " GIT_AUTHOR_DATE=2000-01-01T00:00:00Z GIT_COMMITTER_DATE=2000-01-01T00:00:00Z;"
        f' g="git {settings_of_git} --git-dir=made --work-tree=$0";'
        " $g init -q && $g add -A && $g commit -q -m all && $g log --stat && $g status --short"
    )
    _installed("git")
    return Task((_installed("sh"), "-c", script, str(tree)))


def _sqlite3(directory: Path, settings: Settings) -> Task:
    """Insert rows, each in a transaction of its own: a journal is made and removed for each."""
    transactions = 20 if settings.quick else 2_000
    script = directory / "script.sql"
    lines = ["PRAGMA synchronous = OFF;", "CREATE TABLE t (number INTEGER, text TEXT);"]
    lines += [f"INSERT INTO t VALUES ({n}, 'row {n}');" for n in range(transactions)]
    lines += ["SELECT count(*), sum(number), max(text) FROM t;"]
    script.write_text("\n".join(lines) + "\n", encoding="ascii")
    return Task((_installed("sqlite3"), "made.db", f".read {script}"))


def _make(directory: Path, settings: Settings) -> Task:
    """Run a recipe for each of many targets, two at a time: short processes, on both CPUs."""
    count = 10 if settings.quick else 150
    tree = _small_files(directory / "tree", count)
    sources = sorted(str(path) for path in tree.rglob("*.txt"))
    rules = [f"all:{''.join(f' {n}.out' for n in range(count))}"]
    rules += [f"{n}.out: {path}\n\ttr a-z A-Z <$< >$@" for n, path in enumerate(sources)]
    makefile = directory / "Makefile"
    makefile.write_text("\n".join(rules) + "\n", encoding="ascii")
    produced = tuple(f"{n}.out" for n in range(count))
    return Task((_installed("make"), "-s", "-j2", "-f", str(makefile)), produced)


def _dd(directory: Path, settings: Settings) -> Task:
    """Copy a file, a page at a time: two calls each, and nearly no other."""
    source = directory / "big"
    source.write_bytes(random.Random(0).randbytes((1 if settings.quick else 32) << 20))
    words = (f"if={source}", "of=copy", "bs=4096", "status=none")
    return Task((_installed("dd"), *words), ("copy",))


#: {name: what makes its input and names its command}
REAL_PROGRAMS: Final[Mapping[str, Callable[[Path, Settings], Task]]] = {
    "true": _true,
    "find": _find,
    "gcc": _gcc,
    "python": _python,
    "tar": _tar,
    "git": _git,
    "sqlite3": _sqlite3,
    "make": _make,
    "dd": _dd,
}


def _installed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise Missing(f"{program} is not installed")
    return path
