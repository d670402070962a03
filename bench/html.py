"""The report as one HTML file: of Markdown, what the report is written in."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["as_html"]

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;
       padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0; }}
th, td {{ border: 1px solid #ddd; padding: .25rem .6rem; text-align: right; white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }}
th {{ background: #f4f4f4; }}
img {{ max-width: 100%; }}
code {{ background: #f4f4f4; padding: 0 .2em; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
_HEADING: Final = re.compile(r"(#+) (.*)")
_PICTURE: Final = re.compile(r"!\[(.*)\]\((.*)\)")
_RULE: Final = re.compile(r"\|( --- \|)+")


def as_html(markdown: str, pictures: Mapping[str, bytes]) -> str:
    """Convert a report; ``pictures`` are the SVG files by their links, and become part of it.

    It knows headings, tables, lists of one level, pictures, ``code`` and *emphasis*: what the
    reports have.
    """
    blocks = markdown.strip().split("\n\n")
    title = blocks[0].lstrip("# ")
    body = "\n".join(_block(block, pictures) for block in blocks)
    return _PAGE.format(title=html.escape(title), body=body)


def _block(block: str, pictures: Mapping[str, bytes]) -> str:
    if heading := _HEADING.fullmatch(block):
        level = len(heading[1])
        return f"<h{level}>{_inline(heading[2])}</h{level}>"
    if picture := _PICTURE.fullmatch(block):
        return _picture(picture[1], picture[2], pictures)
    if block.startswith("| "):
        return "\n".join(_table(block.splitlines()))
    if block.startswith("- "):
        items = "\n".join(f"<li>{_inline(line[2:])}</li>" for line in block.splitlines())
        return f"<ul>\n{items}\n</ul>"
    return f"<p>{_inline(block)}</p>"


def _picture(text: str, link: str, pictures: Mapping[str, bytes]) -> str:
    source = html.escape(link)
    if link in pictures:
        source = f"data:image/svg+xml;base64,{base64.b64encode(pictures[link]).decode()}"
    return f'<p><img src="{source}" alt="{html.escape(text)}"></p>'


def _table(lines: list[str]) -> Iterator[str]:
    yield "<table>"
    for number, line in enumerate(lines):
        if _RULE.fullmatch(line):
            continue
        kind = "td" if number else "th"
        cells = line.removeprefix("| ").removesuffix(" |").split(" | ")
        yield "<tr>" + "".join(f"<{kind}>{_inline(cell)}</{kind}>" for cell in cells) + "</tr>"
    yield "</table>"


def _inline(text: str) -> str:
    """Escape text; what is code has no emphasis."""
    parts = re.split(r"`([^`]*)`", html.escape(text))
    for place in range(0, len(parts), 2):
        parts[place] = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", parts[place])
    for place in range(1, len(parts), 2):
        parts[place] = f"<code>{parts[place]}</code>"
    return "".join(parts)
