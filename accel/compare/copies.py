"""A fresh copy of what a command changes, for each of its runs; afterwards all is as before.

The original is not copied but moved away, and back at the end: nothing ever writes to it. Who moves
it back is a guardian, a shell in a session of its own that waits for the end of a pipe. That comes
when the comparison closes it, and also when the comparison is killed. If the machine itself stops,
the original stays where it was moved to, and the next comparison says so and touches nothing.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Self

from accel.errors import AccelError, SetupError

__all__ = ["Copies"]

_PREFIX: Final = "accel-compare-kept-"
#: What a directory of originals says of where they belong, one path a line.
_LIST: Final = "paths"
#: $1 is that directory, then paths. N is the original of the Nth, N.absent says that there is none:
#: without either, the path was not touched yet. The command may still be dying in it.
_GUARDIAN: Final = """\
trap '' HUP INT TERM
cat >/dev/null
kept=$1 status=0 number=0
shift
for path do
    if [ -e "$kept/$number" ] || [ -L "$kept/$number" ] || [ -e "$kept/$number.absent" ]; then
        for attempt in 1 2 3 4 5 6 7 8 9; do
            rm -rf -- "$path" 2>/dev/null && break
            sleep 0.2
        done
        [ -e "$kept/$number.absent" ] || mv -T -- "$kept/$number" "$path" || status=1
    fi
    number=$((number + 1))
done
[ $status = 0 ] && rm -rf -- "$kept"
exit $status
"""


class Copies:
    """Paths of which every run gets a fresh copy; a path that is not there is removed before each.

    Within the ``with`` block, the originals are elsewhere. Raise SetupError, before anything is
    moved, for a path that cannot be moved or copied. Cost: a copy (``cp -a``) for each run.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(_outermost(paths))
        self._kept = ""
        self._guardian: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if not self.paths:
            return self
        for path in self.paths:
            _check(path)
        self._kept = _directory_for(self.paths)
        with open(os.path.join(self._kept, _LIST), "w", encoding="utf-8") as file:
            file.writelines(f"{path}\n" for path in self.paths)
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", _GUARDIAN, "sh", self._kept, *self.paths],
            stdin=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )
        try:
            for number, path in enumerate(self.paths):
                self._move_away(number, path)
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._give_back()

    def refresh(self) -> None:
        """Make every path what it was at the start; raise AccelError if that fails."""
        for number, path in enumerate(self.paths):
            _remove(path)
            kept = self._name(number)
            if os.path.lexists(kept):
                done = subprocess.run(
                    ["cp", "-a", "--", kept, path], capture_output=True, text=True, check=False
                )
                if done.returncode:
                    raise AccelError(f"cannot copy {path}: {done.stderr.strip()}")

    def digest(self) -> str:
        """Sum up what is in the paths: names, kinds, permissions, contents; not times."""
        if not self.paths:
            return ""
        whole = hashlib.sha256()
        for path in self.paths:
            for part in _described(path):
                whole.update(part)
        return whole.hexdigest()

    def _name(self, number: int) -> str:
        return os.path.join(self._kept, str(number))

    def _move_away(self, number: int, path: str) -> None:
        if not os.path.lexists(path):
            open(f"{self._name(number)}.absent", "x").close()
            return
        try:
            os.rename(path, self._name(number))
        except OSError as error:
            raise SetupError(
                f"--copy {path}: it cannot be moved aside: {error.strerror}",
                hint="name a file or directory that is yours, and no mount point",
            ) from error

    def _give_back(self) -> None:
        guardian, self._guardian = self._guardian, None
        if guardian is None:
            return
        assert guardian.stdin is not None
        guardian.stdin.close()
        if guardian.wait():
            raise AccelError(f"not all could be moved back: the originals are in {self._kept}")


def _outermost(paths: Sequence[str]) -> Iterator[str]:
    """Resolve paths; leave out what is within another of them."""
    resolved = sorted({os.path.realpath(path) for path in paths})
    for path in resolved:
        if not any(_is_within(path, other) for other in resolved if other != path):
            yield path


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(os.path.join(directory, ""))


def _check(path: str) -> None:
    """Raise SetupError if ``path`` cannot be given back, or waits for that since an earlier run."""
    if os.path.ismount(path):
        raise SetupError(f"--copy {path}: it is a mount point", hint="name what is in it")
    if "\n" in path:
        raise SetupError(f"--copy {path!r}: a name with a line break", hint="rename it")
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        raise SetupError(f"--copy {path}: there is no directory {parent}", hint="check the path")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise SetupError(f"--copy {path}: {parent} cannot be written", hint="check its permissions")
    for place in _places(path):
        for listing in glob.glob(os.path.join(glob.escape(place), f"{_PREFIX}*", _LIST)):
            _check_leftover(path, listing)


def _check_leftover(path: str, listing: str) -> None:
    try:
        with open(listing, encoding="utf-8") as file:
            others = file.read().splitlines()
    except OSError:  # Another user's, or just being removed.
        return
    if path in others:
        kept = os.path.join(os.path.dirname(listing), str(others.index(path)))
        raise SetupError(
            f"--copy {path}: another comparison has it now, or was cut off by a crash",
            hint=f"wait for it; after a crash type: rm -rf {path}; mv {kept} {path};"
            f" rm -r {os.path.dirname(listing)}",
        )


def _places(path: str) -> list[str]:
    """List directories where originals may be kept, best first: out of the command's sight."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [tempfile.gettempdir(), cache, os.path.dirname(path)]


def _directory_for(paths: Sequence[str]) -> str:
    """Make the directory for the originals, on their file system and in none of them."""
    for place in _places(paths[0]):
        if any(_is_within(os.path.realpath(place), path) for path in paths):
            continue
        with contextlib.suppress(OSError):
            directory = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
            if all(_can_move(path, directory) for path in paths):
                return directory
            shutil.rmtree(directory)
    raise SetupError(
        "--copy: no directory on the same file system to keep the originals in",
        hint="name paths of one file system, and set TMPDIR to a directory on it",
    )


def _can_move(path: str, directory: str) -> bool:
    """Try a rename beside ``path``: mounts of one file system (EXDEV) have one st_dev."""
    try:
        probe = tempfile.mkdtemp(prefix=".accel-", dir=os.path.dirname(path))
    except OSError:
        return False
    try:
        os.rename(probe, os.path.join(directory, "probe"))
    except OSError:
        os.rmdir(probe)
        return False
    os.rmdir(os.path.join(directory, "probe"))
    return True


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _described(path: str) -> Iterator[bytes]:
    """Describe a file, or a directory with all that is in it."""
    if not os.path.lexists(path):
        yield b"absent\0"
        return
    status = os.lstat(path)
    yield b"%s %o\0" % (os.fsencode(os.path.basename(path)), status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        yield os.fsencode(os.readlink(path))
    elif stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            yield hashlib.file_digest(file, "sha256").digest()
    elif stat.S_ISDIR(status.st_mode):
        for name in sorted(os.listdir(path)):
            yield from _described(os.path.join(path, name))
        yield b"end\0"
