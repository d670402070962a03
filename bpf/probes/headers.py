"""Headers of a kernel, which bcc compiles against.

Those of the running kernel are best. Any others serve a program that looks into no structure of
the kernel, and a kernel without packaged headers has no others. Debian has them in two packages,
of which one holds what depends on the configuration and the other the rest; bcc wants one tree.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from typing import Final

from bpf import user_cache
from bpf.value import frozen

__all__ = ["Headers", "find_headers", "merged"]

#: What a tree must have: the first depends on the configuration, the second does not.
_CONFIGURED: Final = "include/generated/autoconf.h"
_COMMON: Final = "include/linux/kconfig.h"
#: linux-headers-6.1.0-56-amd64, linux-headers-6.1.0-56-rt-amd64, ...
_DEBIAN: Final = re.compile(r"(?P<version>linux-headers-.+?)(?P<kind>-rt)?(-cloud)?-amd64")


@frozen
class Headers:
    """One tree, or two that complete each other: ``common`` is "" if ``build`` has everything."""

    build: str
    common: str = ""

    @property
    def complete(self) -> bool:
        """Whether nothing that bcc needs is missing."""
        rest = self.common or self.build
        return os.path.exists(f"{self.build}/{_CONFIGURED}") and os.path.exists(f"{rest}/{_COMMON}")


def find_headers(release: str, root: str = "") -> Headers | None:
    """Find headers: the running kernel's, or else the newest installed; None if there are none."""
    return next((headers for headers in _candidates(release, root) if headers.complete), None)


def _candidates(release: str, root: str) -> Iterator[Headers]:
    modules = f"{root}/lib/modules/{release}"
    yield Headers(f"{modules}/build")
    yield Headers(f"{modules}/build", f"{modules}/source")
    sources = f"{root}/usr/src"
    names = os.listdir(sources) if os.path.isdir(sources) else []
    for name in sorted(names, key=_version, reverse=True):
        if name.startswith("linux-headers-"):
            yield Headers(f"{sources}/{name}")
        debian = _DEBIAN.fullmatch(name)
        if debian:
            common = f"{debian['version']}-common{debian['kind'] or ''}"
            yield Headers(f"{sources}/{name}", f"{sources}/{common}")


def _version(name: str) -> tuple[list[int], str]:
    return [int(number) for number in re.findall(r"\d+", name)], name


@contextlib.contextmanager
def merged(headers: Headers) -> Iterator[str]:
    """Provide ``headers`` as the one tree that BCC_KERNEL_SOURCE names.

    Two trees are merged by some 40 links in the user's cache, or where that cannot be written, in
    a directory that lasts as long as the block. Cost: about 1 ms.
    """
    if not headers.common:
        yield headers.build
        return
    links = dict(_links(headers.build, headers.common))
    cached = _cached(os.path.basename(os.path.realpath(headers.build)), links)
    if cached:
        yield cached
        return
    with tempfile.TemporaryDirectory(prefix="accel-headers-") as tree:
        _make(tree, links)
        yield tree


def _links(build: str, common: str, below: str = "") -> Iterator[tuple[str, str]]:
    """List the links that make one tree of two, as (path in it, target).

    What only one has is linked whole, and of what both have, that of ``build``, unless both are
    directories.
    """
    for name in sorted({*os.listdir(build), *os.listdir(common)}):
        first, second = os.path.join(build, name), os.path.join(common, name)
        if _is_directory(first) and _is_directory(second):
            yield from _links(first, second, f"{below}{name}/")
        else:
            yield below + name, first if os.path.lexists(first) else second


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _make(tree: str, links: dict[str, str]) -> None:
    for path, target in links.items():
        os.makedirs(os.path.dirname(f"{tree}/{path}"), exist_ok=True)
        os.symlink(os.path.abspath(target), f"{tree}/{path}")


def _cached(name: str, links: dict[str, str]) -> str:
    """Return the tree of that name in the cache, made unless it is there; "" if that fails."""
    if not user_cache.directory():
        return ""
    parent = os.path.join(user_cache.directory(), "headers")
    tree = os.path.join(parent, name)
    try:
        os.makedirs(parent, mode=0o700, exist_ok=True)
        if not _is_ours(parent):
            return ""
        if not _is_made(tree, links):
            shutil.rmtree(tree, ignore_errors=True)
            new = tempfile.mkdtemp(prefix=f"{name}-", dir=parent)
            try:
                _make(new, links)
                os.rename(new, tree)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except OSError:
        # The cache cannot be written, or another process has just made the same.
        return tree if _is_made(tree, links) else ""
    return tree


def _is_ours(directory: str) -> bool:
    """Tell whether nobody else could put there what root would then compile into the kernel."""
    found = os.stat(directory)
    others = stat.S_IWGRP | stat.S_IWOTH
    return found.st_uid == os.geteuid() and not found.st_mode & others


def _is_made(tree: str, links: dict[str, str]) -> bool:
    """Tell whether the links are all there, and nothing else."""
    found = {}
    for directory, names, files in os.walk(tree):
        for name in (*names, *files):
            path = os.path.join(directory, name)
            if os.path.islink(path):
                found[os.path.relpath(path, tree)] = os.readlink(path)
            elif name in files:
                return False
    return found == {path: os.path.abspath(target) for path, target in links.items()}
