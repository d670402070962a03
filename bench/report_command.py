"""``python -m bench report``: the report of results that are kept, or one figure of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.document import as_document, figures_of
from bench.drawing import can_draw, draw
from bench.html import as_html
from bench.measure import Missing
from bench.results import DIRECTORY, Results, UnreadableResults, file_of_host, read

__all__ = ["main", "write"]


def main(words: Sequence[str]) -> int:
    """Write what ``words`` ask for; return the exit status."""
    parser = _parser()
    options = parser.parse_args(words)
    file = Path(options.results or file_of_host(Path(DIRECTORY)))
    try:
        results = read(file)
        if options.figure is None:
            write(results, file)
        else:
            _draw_one(results, *options.figure)
    except OSError as error:
        hint = ": python -m bench all measures" if error.filename == str(file) else ""
        parser.error(f"{error.filename}: {error.strerror}{hint}")
    except (UnreadableResults, Missing, ValueError) as error:
        parser.error(str(error))
    return 0


def write(results: Results, file: Path) -> None:
    """Write the report as Markdown and HTML beside ``file``, and its figures; name all of them.

    Without matplotlib there are no figures; everything else is the same.
    """
    pictures: dict[str, bytes] = {}
    links: dict[str, str] = {}
    if can_draw():
        directory = file.with_suffix("")
        directory.mkdir(exist_ok=True)
        for figure in figures_of(results):
            path = directory / f"{figure.name}.svg"
            draw(figure, path)
            links[figure.name] = f"{directory.name}/{path.name}"
            pictures[links[figure.name]] = path.read_bytes()
    else:
        print("bench: no figures: pip install 'syscall-accel[plot]'", file=sys.stderr)
    text = as_document(results, links)
    markdown, page = file.with_suffix(".md"), file.with_suffix(".html")
    markdown.write_text(text, encoding="utf-8")
    page.write_text(as_html(text, pictures), encoding="utf-8")
    for path in (file, markdown, page):
        print(path)


def _draw_one(results: Results, name: str, path: str) -> None:
    figures = {figure.name: figure for figure in figures_of(results)}
    if name not in figures:
        known = ", ".join(figures) or "none, as none was measured"
        raise ValueError(f"no figure {name}: there is {known}")
    draw(figures[name], Path(path))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench report", description=__doc__)
    add = parser.add_argument
    add("results", nargs="?", metavar="FILE", help="results of this or another host, as JSON")
    add("--figure", nargs=2, metavar=("NAME", "FILE"), help="draw one figure: .svg, .png or .pdf")
    return parser
