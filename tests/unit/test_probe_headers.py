"""Two trees of kernel headers as one, in trees that a test made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bpf.probes.headers import Headers, find_headers, merged

CONFIGURED, COMMON = "include/generated/autoconf.h", "include/linux/kconfig.h"


def tree(path: Path, *files: str) -> Path:
    """Make a tree whose files contain their names."""
    for name in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(f"{path.name}: {name}")
    return path


def debian(root: Path, version: str, kind: str = "") -> Headers:
    """Install what Debian's packages of a version hold."""
    sources = root / "usr/src"
    build = tree(
        sources / f"linux-headers-{version}{kind}-amd64",
        ".config", "Makefile", CONFIGURED, "arch/x86/include/generated/asm/errno.h",
    )  # fmt: skip
    common = tree(
        sources / f"linux-headers-{version}-common{kind}",
        "Makefile", COMMON, "arch/x86/include/asm/page.h", "arch/x86/include/asm/page_types.h",
        "arch/arm/include/asm/page.h",
    )  # fmt: skip
    tools = tree(root / "usr/lib/linux-kbuild", "scripts/tool")
    for each in (build, common):
        (each / "scripts").symlink_to(tools / "scripts")
    return Headers(str(build), str(common))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/accel/headers"


def find(root: Path, release: str = "6.18.0") -> Headers | None:
    return find_headers(release, str(root))


# ------------------------------------------------------------------------------- finding


def test_without_headers_there_are_none(tmp_path: Path) -> None:
    """Nor is a half of Debian's pair of any use."""
    assert find(tmp_path) is None
    tree(tmp_path / "usr/src/linux-headers-6.1.0-9-amd64", CONFIGURED)
    tree(tmp_path / "usr/src/linux-headers-6.1.0-8-common", COMMON)
    assert find(tmp_path) is None


def test_the_newest_of_debians_is_found(tmp_path: Path) -> None:
    """By its numbers: 10 is more than 9."""
    for version in ("6.1.0-9", "6.1.0-10", "5.10.0-30"):
        debian(tmp_path, version)
    found = find(tmp_path)
    assert found is not None
    assert found.build.endswith("usr/src/linux-headers-6.1.0-10-amd64")
    assert found.common.endswith("usr/src/linux-headers-6.1.0-10-common")


def test_another_flavour_finds_its_own_half(tmp_path: Path) -> None:
    """The real-time kernel has a common half of its own, the cloud kernel has not."""
    real_time = debian(tmp_path / "rt", "6.1.0-9", "-rt")
    assert find(tmp_path / "rt") == real_time
    headers = debian(tmp_path / "cloud", "6.1.0-9")
    os.rename(headers.build, headers.build.replace("-amd64", "-cloud-amd64"))
    found = find(tmp_path / "cloud")
    assert found is not None
    assert found.build.endswith("-cloud-amd64")
    assert found.common == headers.common


def test_those_of_the_running_kernel_are_preferred(tmp_path: Path) -> None:
    """Even if others are newer; as one tree, or as Debian's two."""
    debian(tmp_path, "6.19.0-1")
    build = tree(tmp_path / "lib/modules/6.18.0/build", CONFIGURED)
    source = tmp_path / "lib/modules/6.18.0/source"
    tree(source, COMMON)
    assert find(tmp_path) == Headers(str(build), str(source))
    tree(build, COMMON)
    assert find(tmp_path) == Headers(str(build))


# ------------------------------------------------------------------------------- merging


def test_two_trees_become_one(tmp_path: Path, cache: Path) -> None:
    """Everything of both is there; of what both have, what depends on the configuration."""
    headers = debian(tmp_path, "6.1.0-9")
    with merged(headers) as one:
        assert Path(one).parent == cache
        for whole in (headers.build, headers.common):
            for directory, _names, files in os.walk(whole, followlinks=True):
                for name in files:
                    path = os.path.relpath(os.path.join(directory, name), whole)
                    assert os.path.exists(os.path.join(one, path)), path
        assert Path(one, "Makefile").read_text().startswith("linux-headers-6.1.0-9-amd64")
        links = [name for _path, names, files in os.walk(one) for name in (*names, *files)]
        assert "page_types.h" not in links, "a directory that only one has is linked whole"


def test_a_merged_tree_is_kept_and_used_again(tmp_path: Path, cache: Path) -> None:
    """The second time nothing is made."""
    headers = debian(tmp_path, "6.1.0-9")
    with merged(headers) as first:
        made = os.stat(first)
    with merged(headers) as second:
        assert os.path.samestat(made, os.stat(second))
    assert os.listdir(cache) == [os.path.basename(headers.build)]


@pytest.mark.parametrize("change", ["other link", "missing link", "more"])
def test_a_tree_that_is_not_what_it_should_be_is_made_again(
    tmp_path: Path, cache: Path, change: str
) -> None:
    """An older version of the package, or somebody else, may have left it."""
    headers = debian(tmp_path, "6.1.0-9")
    with merged(headers) as one:
        link = Path(one, "Makefile")
    if change == "more":
        Path(one, "include/more.h").write_text("")
    else:
        link.unlink()
    if change == "other link":
        link.symlink_to("/dev/null")
    with merged(headers) as again:
        assert Path(again).parent == cache
        assert Path(again, "Makefile").read_text().startswith("linux-headers-6.1.0-9-amd64")
        assert not Path(again, "include/more.h").exists()
    assert os.listdir(cache) == [os.path.basename(headers.build)]


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree lasts as long as it is needed; /proc takes no directory from anybody."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    with merged(debian(tmp_path, "6.1.0-9")) as one:
        assert Path(one, COMMON).exists()
        assert Path(one, CONFIGURED).exists()
    assert not Path(one).exists()


def test_a_cache_that_others_can_write_is_not_trusted(tmp_path: Path, cache: Path) -> None:
    """What is in it would become a part of the kernel."""
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    with merged(debian(tmp_path, "6.1.0-9")) as one:
        assert cache not in Path(one).parents
    assert not os.listdir(cache)


def test_one_tree_is_used_as_it_is(tmp_path: Path, cache: Path) -> None:
    """There is nothing to merge."""
    whole = tree(tmp_path / "build", CONFIGURED, COMMON)
    with merged(Headers(str(whole))) as one:
        assert one == str(whole)
    assert not cache.exists()
