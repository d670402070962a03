"""The report of the bench from made-up figures: kept, read back, drawn, and as a page."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import drawing, report_command
from bench.document import as_document, figures_of
from bench.figure import Bar, Curve, Dot, Figure, Mark, Panel
from bench.html import as_html
from bench.measure import Comparison, Limit, Measured, Missing, Settings
from bench.programs_figure import programs_figure
from bench.registry import MODULES, WORKLOADS, expand
from bench.report import as_json
from bench.results import Results, UnreadableResults, file_of_host, read
from bench.spread import Spread
from bench.subjects import CallCount
from tests.support import require

ONE = Spread(1.0, 0.9, 1.2)
LINES = Figure(
    "mask-sweep",
    "Lines",
    (
        Panel("left", "share (%)", "time (µs)", (Curve("a", (0, 1), (ONE, ONE)),),
              marks=(Mark(0.5, "here"),)),
        Panel("right", "share (%)", "time (µs)", (Curve("a", (1, 10), (ONE, ONE), is_dashed=True),),
              is_x_log=True, is_y_log=True, x_ticks=(1, 10)),
    ),
    "What was learnt.",
)  # fmt: skip


def results(*figures: Figure) -> Results:
    """Make up a sweep, two programs, and one workload that is in no section."""
    sweep = Comparison(
        "mask-sweep",
        ("program",),
        "ns",
        (Measured("native", costs=(1.0, 2.0)),),
        paragraphs=("| share | a |\n| --- | --- |\n| 1 % | 2 |",),
        figures=figures,
        tells_itself=True,
    )
    find = Comparison(
        "find",
        ("find",),
        "s",
        (
            Measured("native", costs=(1.0, 1.0), ratio=Spread(1.0, 1.0, 1.0)),
            Measured("strace", costs=(8.0, 8.0), ratio=Spread(8.0, 8.0, 8.0), kernel_stops=100),
            Measured(
                "accel", costs=(2.0, 2.0), ratio=Spread(2.0, 2.0, 2.0), kernel_stops=50,
                limit=Limit(1.0, "strace"), limited=Spread(0.25, 0.2, 0.3),
                counted=CallCount(50, 0, 50, 50),
            ),
        ),
    )  # fmt: skip
    tar = replace(find, workload="tar")
    return Results(
        (sweep, find, tar, replace(find, workload="parallel")),
        {"gcc": "gcc is not installed"},
        Settings(rounds=2),
        {"Linux": "6.18"},
    )


# ------------------------------------------------------------------------------- kept


def test_what_was_kept_is_read_back_as_the_same_values(tmp_path: Path) -> None:
    """Nested values, tuples and what may be None; so a figure can be drawn of a stranger's file."""
    file = tmp_path / "host.json"
    file.write_text(as_json(results(LINES)), encoding="utf-8")
    assert read(file) == results(LINES)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "no results of a bench"),
        ("[]", "no results of a bench"),
        ("{}", "no results of a bench"),
        (json.dumps({"schema": 2}), "results of schema 2, not 1"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    """Rather than half understood."""
    file = tmp_path / "host.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableResults, match=reason):
        read(file)


def test_each_host_has_its_file() -> None:
    """Results of several machines can lie in one directory."""
    assert file_of_host(Path("directory")).suffix == ".json"


# ------------------------------------------------------------------------------- the report


def test_the_report_begins_with_what_was_learnt() -> None:
    """Then a section for each question, with its figure, and what was checked at the end."""
    text = as_document(results(LINES), {"mask-sweep": "host/mask-sweep.svg"})
    in_order = [
        "# What it costs", "Median of at least 2", "## In short", "- What was learnt.",
        "## Where a filter stops paying", "![Lines](host/mask-sweep.svg)", "| share | a |",
        "## Real programs", "| time, native = 1 | find | tar |",
        "## One call, start-up", "| time, native = 1 | parallel |",
        "## What was checked", "- missing: gcc: gcc is not installed",
    ]  # fmt: skip
    places = [text.index(part) for part in in_order]
    assert places == sorted(places)


def test_a_section_of_nothing_has_no_heading() -> None:
    """And a figure that was not drawn no link."""
    text = as_document(results(LINES), {})
    assert "## Many tracees" not in text
    assert "![" not in text


def test_real_programs_are_compared_by_time_and_by_stops() -> None:
    """Those of the group only, without the native run."""
    figure = programs_figure(results().comparisons)
    assert figure is not None
    time, stops = figure.panels
    assert [(dot.row, dot.series, dot.value.median) for dot in time.dots] == [
        ("find", "strace", 8.0), ("find", "accel", 2.0),
        ("tar", "strace", 8.0), ("tar", "accel", 2.0),
    ]  # fmt: skip
    assert [dot.value.median for dot in stops.dots] == [100, 50, 100, 50]
    assert "strace 8 (find) to 8 (find)" in figure.caption
    assert programs_figure(results().comparisons[:1]) is None


def test_the_page_has_what_the_markdown_has() -> None:
    """Headings, tables, lists, emphasis and code; what looks like HTML is none."""
    markdown = (
        "# Title\n\nText with `a < *b*` and *stress*.\n\n| a | b |\n| --- | --- |\n"
        "| 1 | 2 < 3 |\n\n- one\n- two\n\n![A < B](host/a.svg)\n\n![Other](host/b.svg)\n"
    )
    page = as_html(markdown, {"host/a.svg": b"<svg/>"})
    for part in (
        "<h1>Title</h1>",
        "<p>Text with <code>a &lt; *b*</code> and <em>stress</em>.</p>",
        "<tr><th>a</th><th>b</th></tr>\n<tr><td>1</td><td>2 &lt; 3</td></tr>",
        "<ul>\n<li>one</li>\n<li>two</li>\n</ul>",
        '<img src="data:image/svg+xml;base64,PHN2Zy8+" alt="A &lt; B">',
        '<img src="host/b.svg" alt="Other">',
    ):
        assert part in page


# ------------------------------------------------------------------------------- drawing


def test_a_figure_is_drawn_with_its_words_as_text(tmp_path: Path) -> None:
    """Title, axes with their units, curves and marks; equal figures are equal files."""
    require(drawing.can_draw(), "matplotlib is not installed")
    bars = Panel("bars", "time (µs)", bars=(Bar("first", ONE, "tier"), Bar("second", ONE, "tier")))
    dots = Panel("dots", "times", dots=(Dot("find", "strace", ONE), Dot("tar", "accel", ONE)))
    figure = replace(LINES, panels=(*LINES.panels, bars, replace(dots, is_x_log=True)))
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    drawing.draw(figure, first)
    drawing.draw(figure, second)
    texts = {element.text for element in ET.parse(first).iter() if element.text}
    assert {
        "Lines", "share (%)", "time (µs)", "a", "here", "first", "second", "tier", "find", "tar",
        "strace", "accel",
    } <= {text.strip() for text in texts}  # fmt: skip
    assert first.read_bytes() == second.read_bytes()


def test_what_could_not_be_measured_is_drawn_as_such(tmp_path: Path) -> None:
    """On axes that would be logarithmic, too."""
    require(drawing.can_draw(), "matplotlib is not installed")
    empty = Panel("none", "share (%)", "time (µs)", (Curve("a", (), ()),), is_x_log=True)
    drawing.draw(Figure("empty", "Empty", (empty,)), tmp_path / "empty.svg")
    assert "not measured" in (tmp_path / "empty.svg").read_text(encoding="utf-8")


def test_without_matplotlib_a_report_has_no_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what to install, and everything else is written."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(Missing, match=r"pip install 'syscall-accel\[plot\]'"):
        drawing.draw(LINES, tmp_path / "figure.svg")
    report_command.write(results(LINES), tmp_path / "host.json")
    output = capsys.readouterr()
    assert "pip install 'syscall-accel[plot]'" in output.err
    assert output.out.split()[1:] == [str(tmp_path / "host.md"), str(tmp_path / "host.html")]
    assert "## In short" in (tmp_path / "host.md").read_text(encoding="utf-8")


def test_a_host_with_dots_in_its_name_keeps_them(tmp_path: Path) -> None:
    """Its report is not that of another."""
    require(drawing.can_draw(), "matplotlib is not installed")
    report_command.write(results(LINES), tmp_path / "a.example.org.json")
    assert (tmp_path / "a.example.org.md").is_file()
    assert (tmp_path / "a.example.org" / "mask-sweep.svg").is_file()


def test_figures_of_single_comparisons_come_before_those_of_several() -> None:
    """Each has a name of its own."""
    assert [figure.name for figure in figures_of(results(LINES))] == ["mask-sweep", "programs"]


# ------------------------------------------------------------------------------- workloads


def test_all_is_everything_but_the_long_ones() -> None:
    """Each workload once, and those without a name are the first ones."""
    every = expand(["all"])
    assert len(set(every)) == len(every)
    assert set(MODULES) - set(every) == {
        name for name in MODULES if name.startswith(("loop-", "record"))
    }
    assert expand([]) == tuple(WORKLOADS)
    assert expand(["find", "sweeps", "tracees"])[0] == "find"
    assert expand(["tracees", "sweeps"]).count("tracees") == 1
    with pytest.raises(KeyError, match="nothing"):
        expand(["find", "nothing"])
