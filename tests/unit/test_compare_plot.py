"""The figure of a comparison: what is drawn, and in which files."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from accel import SetupError
from accel.compare import Comparison
from accel.compare.plot import Bar, bars, check_figure, write_figure
from accel.compare.rows import Spread
from bpf.value import replace
from tests.support import require
from tests.unit.test_compare_forms import COMPARISON, row

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def _matplotlib() -> None:
    require(importlib.util.find_spec("matplotlib"), "matplotlib is not installed")


def test_every_row_is_a_bar_of_stops_and_of_time() -> None:
    """Who did not count is told from who has nothing to count; the kernel counts for strace."""
    drawn = bars(COMPARISON)
    assert [bar.label for bar in drawn] == [
        "native", "ptrace-syscall inspect()", "seccomp-trace resume(), handler",
        "seccomp-trace resume()", "strace lines",
    ]  # fmt: skip
    assert [bar.group for bar in drawn] == ["native", "naive", "accel", "accel", "others"]
    assert [bar.events for bar in drawn] == [0, 25_698, 891, 891, 25_709]
    assert drawn[1].time == Spread(1.6, 0.9 * 1.6, 1.1 * 1.6)
    unaudited = replace(
        COMPARISON, rows=tuple(replace(one, audited_stops=None) for one in COMPARISON.rows)
    )
    assert [bar.events for bar in bars(unaudited)] == [0, 25_698, 891, 891, None]


def test_notifications_are_drawn_with_stops() -> None:
    """For the command both are waits."""
    notified = row("user-notify", "resume()", "mechanism", 0.2, stops=2, notifications=40)
    assert bars(replace(COMPARISON, rows=(notified,))) == [
        Bar("user-notify resume()", "accel", 42, notified.wall_seconds)
    ]


@pytest.mark.usefixtures("_matplotlib")
def test_an_svg_has_every_label_as_text(tmp_path: Path) -> None:
    """And is the same for the same values."""
    files = tmp_path / "one.svg", tmp_path / "two.svg"
    for file in files:
        write_figure(COMPARISON, str(file))
    assert files[0].read_bytes() == files[1].read_bytes()
    texts = {text.text for text in ET.parse(files[0]).iter(f"{SVG}text")}
    assert texts >= {
        "find /usr -name 'a b'", "kernel stops in one run (log scale)", "time", "25,698", "150 ms",
        "strace lines", "naive: two stops for every call", "10,000", "500 ms",
    }  # fmt: skip


@pytest.mark.usefixtures("_matplotlib")
def test_an_image_is_big_enough_for_a_talk(tmp_path: Path) -> None:
    """1,800 pixels wide."""
    file = tmp_path / "figure.png"
    write_figure(COMPARISON, str(file))
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(content[16:20]) == 1800


@pytest.mark.usefixtures("_matplotlib")
def test_a_page_needs_no_other_file_and_takes_any_command(tmp_path: Path) -> None:
    """Nothing in a command is a formula, or a tag."""
    file = tmp_path / "page.html"
    command = ("sh", "-c", "echo $HOME $x^2$ <b>&amp;")
    native = row("native", "", "", 0.1)
    write_figure(Comparison(command, "all", 1, False, (native,)), str(file))
    page = file.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<svg") == 1
    assert "<b>" not in page
    assert page.count("echo $HOME $x^2$ &lt;b&gt;&amp;amp;") >= 3
    assert "mechanism" in page
    assert not re.search(r"(?:src|href)=\"(?!#)", page)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("figure.gif", "use one of .png, .svg, .html"),
        ("figure", "not known by its ending"),
        ("missing/figure.png", "cannot be written"),
        ("directory.svg", "cannot be written"),
    ],
)
@pytest.mark.usefixtures("_matplotlib")
def test_a_figure_that_cannot_be_written_is_refused_first(
    tmp_path: Path, name: str, text: str
) -> None:
    """Not after all runs."""
    (tmp_path / "directory.svg").mkdir()
    with pytest.raises(SetupError, match=re.escape(text)):
        check_figure(str(tmp_path / name))
    check_figure(str(tmp_path / "figure.PNG"))
    assert [path.name for path in tmp_path.iterdir()] == ["directory.svg"]


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra: nothing else needs it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SetupError, match=r"pip install 'syscall-accel\[plot\]'"):
        check_figure("figure.png")
