"""The skeleton of a page: one HTML file that needs no network, in light and dark, wide and narrow, and on paper.

Text is escaped by every function here; only `Markup`, which these functions return, is taken as it is.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def render(*parts: Any) -> Markup:
    """Return parts one after the other: `Markup` as it is, anything else escaped.

    >>> render("a < b", Markup("<br>"))
    'a &lt; b<br>'
    """
    return Markup("".join(part if isinstance(part, Markup) else html.escape(str(part)) for part in parts))


def tag(name: str, *parts: Any, **attributes: Any) -> Markup:
    """Return an element; attributes are escaped, those that are None left out, "_" reads "-" and one at the end goes.

    >>> tag("p", "1 < 2", class_="lead")
    '<p class="lead">1 &lt; 2</p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{render(*parts)}</{name}>")


def document(title: str, body: Markup, *, eyebrow: str, heading: Any = None, lead: Any = "", foot: Any = "") -> str:
    """Return a whole page.

    Args:
      title: of the window, and the heading where none is given.
      body: sections, from `section`; their headings become the page's list of contents.
      eyebrow: a few words above the heading.
      heading: the heading, where it is more than the title.
      lead: what stands under the heading.
      foot: what stands at the end.
    """
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    found = re.findall(r'<section id="([^"]*)"><h2>(.*?)</h2>', body)
    links = [tag("li", Markup(f'<a href="#{name}">{text}</a>')) for name, text in found]
    contents = tag("nav", tag("ul", *links), aria_label="Contents") if len(found) > 2 else ""
    top = tag("header", tag("p", eyebrow, class_="eyebrow"), tag("h1", heading or title), lead, contents)
    end = tag("footer", foot) if foot else ""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<link rel="icon" href="data:,">\n'
        f"{tag('title', title)}\n<style>\n{style}</style>\n</head>\n<body>\n{render(top)}\n{tag('main', body)}\n{end}\n"
        "</body>\n</html>\n"
    )


def section(title: str, *parts: Any) -> Markup:
    """Return a section with its heading; the heading makes its address."""
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return tag("section", tag("h2", title), *parts, id=name)


def paragraph(*parts: Any, class_: str | None = None) -> Markup:
    """Return a paragraph."""
    return tag("p", *parts, class_=class_)


def table(
    header: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    *,
    caption: Any,
    left: Sequence[int] = (),
    strong: Sequence[int] = (),
    class_: str | None = None,
) -> Markup:
    """Return a table that scrolls by itself where it is wider than the page; the first cell of a row is its heading.

    Args:
      header: the heading of each column.
      rows: cells; one that is `Markup` of a whole `<td>` is taken as it is.
      caption: what the table shows.
      left: columns of text.
      strong: rows to stand out.
      class_: of the table.
    """
    head = [tag("th", cell, scope="col", class_="left" if place in left else None) for place, cell in enumerate(header)]
    body = []
    for number, row in enumerate(rows):
        cells = [tag("th", row[0], scope="row")]
        for place, cell in enumerate(row[1:], start=1):
            whole = isinstance(cell, Markup) and cell.startswith("<td")
            cells.append(cell if whole else tag("td", cell, class_="left" if place in left else None))
        body.append(tag("tr", *cells, class_="strong" if number in strong else None))
    label = re.sub(r"<[^>]*>", "", str(caption))[:120]
    inside = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body), class_=class_, aria_label=label)
    # The caption stands outside of what scrolls, or it would be as wide as the table.
    region = tag("div", inside, class_="scroll", tabindex="0", role="region", aria_label=label)
    return tag("figure", tag("figcaption", caption), region)


def facts(pairs: Iterable[tuple[Any, Any]]) -> Markup:
    """Return names with what they are."""
    return tag("dl", *(part for name, value in pairs for part in (tag("dt", name), tag("dd", value))), class_="facts")


def details(summary: str, *parts: Any) -> Markup:
    """Return what opens on demand."""
    return tag("details", tag("summary", summary), *parts)


def listing(items: Iterable[Any], *, class_: str | None = None) -> Markup:
    """Return a list."""
    return tag("ul", *(tag("li", item) for item in items), class_=class_)


def picture(pixels: np.ndarray, *, alt: str) -> Markup:
    """Return an image inside the page.

    Args:
      pixels: uint8 `[h, w, 1 or 3]`.
      alt: what it shows, for those who do not see it.
    """
    from PIL import Image

    buffer = io.BytesIO()
    plane = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(np.ascontiguousarray(plane)).save(buffer, format="png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup(f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">')


def percent(value: Any) -> str:
    """Return a fraction in percent with one decimal, or a dash.

    >>> percent(0.8437), percent(None)
    ('84.4 %', '–')
    """
    return "–" if value is None else f"{100 * value:.1f} %"
