"""A table as text cells, and the same cells for the terminal, as plain text, Markdown, LaTeX and HTML."""

from __future__ import annotations

import dataclasses
import io
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from tladapt.errors import UsageError
from tladapt.reporting.page import Markup, listing, table, tag

WIDTH = 100  # columns of plain text
_WORDS = 40  # columns of text that may be wrapped have about this width
_DENSE = 8  # more columns than this are set in smaller letters on a page
_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{letter: "\\" + letter for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "<": "$<$",
    ">": r"$\to$",  # between two domains; "greater than" is in no table
    "[": "{[}",  # else one at the start of a row would be an option of the line break before it
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """Cells and what to know about them.

    Attributes:
      title: what the table shows, a line.
      header: the heading of each column.
      rows: cells, as many in each row.
      left: columns of words, which are aligned to the left; the first is repeated where a table is split.
      strong: (row, column) of the cells to stand out.
      faint: rows that stand apart: what used labels of the target.
      notes: how to read it, a sentence or two each.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[int, ...] = (0,)
    strong: frozenset[tuple[int, int]] = frozenset()
    faint: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise UsageError(f"row {number} of {self.title!r} has {len(row)} cells for {len(self.header)} columns.")


def blocks(sheet: Sheet, width: int = WIDTH) -> list[list[int]]:
    """Return the columns that stand side by side within a width: the first in each block, the others in their order.

    There are as few blocks as fit, and of these the narrowest: about as many columns in each.
    """
    from rich.cells import cell_len

    sizes = [
        max(cell_len(row[column]) for row in (sheet.header, *sheet.rows)) + 2 for column in range(len(sheet.header))
    ]
    for column in sheet.left[1:]:
        sizes[column] = min(sizes[column], _WORDS)  # words can be wrapped
    found = _split(sizes, width)
    while len(tighter := _split(sizes, width - 1)) == len(found) > 1 and width > sizes[0] + max(sizes[1:]):
        found, width = tighter, width - 1
    return found


def _split(sizes: Sequence[int], width: int) -> list[list[int]]:
    found, used = [[0]], 1 + sizes[0]  # a space stands before each line
    for column in range(1, len(sizes)):
        if used + sizes[column] > width and len(found[-1]) > 1:
            found.append([0])
            used = 1 + sizes[0]
        found[-1].append(column)
        used += sizes[column]
    return found


def sheet_to_rich(sheet: Sheet, *, width: int = WIDTH) -> list[Any]:
    """Return what rich prints for a table: title, one `rich.table.Table` a block of columns, and the notes."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = [Text(sheet.title, style="bold")]
    for columns in blocks(sheet, width):
        drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for column in columns:
            words = column in sheet.left
            drawn.add_column(
                Text(sheet.header[column]),
                justify="left" if words else "right",
                overflow="fold",
                no_wrap=not words or column == 0,
            )
        for place, row in enumerate(sheet.rows):
            texts = [Text(row[column], style="bold" if (place, column) in sheet.strong else "") for column in columns]
            drawn.add_row(*texts, style="dim" if place in sheet.faint else None)
        parts.append(drawn)
    parts += [Text(note, style="dim") for note in sheet.notes]
    return parts


def sheet_to_text(sheet: Sheet, *, width: int = WIDTH) -> str:
    """Return a table as plain text, no line wider than a width where its words allow; columns go on in blocks below."""
    from rich.console import Console
    from rich.table import Table

    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    for part in sheet_to_rich(sheet, width=width):
        if isinstance(part, Table):
            console.print(part)
    drawn = "\n".join(line.rstrip() for line in out.getvalue().split("\n")).strip("\n")
    notes = [textwrap.fill(note, width, break_on_hyphens=False) for note in sheet.notes]
    return "\n".join([sheet.title, "", drawn, "", *notes]).rstrip("\n") + "\n"


def sheet_to_markdown(sheet: Sheet, *, heading: str = "###") -> str:
    """Return a table as GitHub Markdown under its title; `heading=""` leaves title and notes out."""

    def plain(cell: str) -> str:
        return re.sub(r"([|*])", r"\\\1", cell)

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    rows = [
        [f"**{plain(cell)}**" if (place, column) in sheet.strong else plain(cell) for column, cell in enumerate(row)]
        for place, row in enumerate(sheet.rows)
    ]
    rule = "| " + " | ".join("---" if c in sheet.left else "---:" for c in range(len(sheet.header))) + " |"
    drawn = [line(list(map(plain, sheet.header))), rule, *map(line, rows)]
    if not heading:
        return "\n".join(drawn) + "\n"
    notes = [part for note in sheet.notes for part in ("", note)]
    return "\n".join([f"{heading} {sheet.title}", "", *drawn, *notes]) + "\n"


def sheet_to_latex(sheet: Sheet) -> str:
    """Return a table as a LaTeX `table` with booktabs rules; rows that stand apart come below a rule of their own."""

    def line(place: int | None, cells: Sequence[str]) -> str:
        texts = [
            rf"\textbf{{{latex(cell)}}}" if (place, column) in sheet.strong else latex(cell)
            for column, cell in enumerate(cells)
        ]
        return " & ".join(texts) + r" \\"

    columns = "".join("l" if column in sheet.left else "r" for column in range(len(sheet.header)))
    body: list[str] = []
    for place, row in enumerate(sheet.rows):
        if place and (place in sheet.faint) != (place - 1 in sheet.faint):
            body.append(r"\midrule")
        body.append(line(place, row))
    caption = " ".join([f"{latex(sheet.title)}.", *map(latex, sheet.notes)])
    inside = [r"\toprule", line(None, sheet.header), r"\midrule", *body, r"\bottomrule"]
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\begin{{tabular}}{{{columns}}}", *inside]
    return "\n".join([*lines, r"\end{tabular}", r"\end{table}", ""])


def sheet_to_html(sheet: Sheet) -> Markup:
    """Return a table for a page, its notes below it; spreads and intervals in small print."""
    rows = []
    for place, row in enumerate(sheet.rows):
        cells: list[Any] = [row[0]]
        for column, cell in enumerate(row[1:], start=1):
            if column in sheet.left:
                cells.append(cell)
                continue
            value, spread = re.fullmatch(r"(.+?)((?: ±| \[).*)?", cell, re.DOTALL).groups()  # type: ignore[union-attr]
            shown = tag("b", value) if (place, column) in sheet.strong else value
            cells.append(tag("td", shown, tag("small", spread) if spread else ""))
        rows.append(cells)
    dense = "dense" if len(sheet.header) > _DENSE else None
    drawn = table(sheet.header, rows, caption=f"{sheet.title}.", left=sheet.left, class_=dense)
    notes = listing(sheet.notes, class_="small soft") if sheet.notes else Markup("")
    return Markup(drawn + notes)


def latex(text: str) -> str:
    r"""Return text as LaTeX prints it.

    >>> print(latex("source_only: B>D 84.3 ± 0.4 %"))
    source\_only: B$\to$D 84.3 $\pm$ 0.4 \%
    """
    return "".join(_SPECIAL.get(letter, letter) for letter in text)
