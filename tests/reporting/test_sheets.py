import io
import re

import pytest

from tladapt.errors import UsageError
from tladapt.reporting.sheets import (
    Sheet,
    blocks,
    latex,
    sheet_to_html,
    sheet_to_latex,
    sheet_to_markdown,
    sheet_to_rich,
    sheet_to_text,
)

SMALL = Sheet(
    title="A & B",
    header=("method", "A>B", "mean"),
    rows=(("source_only", "70.0 ±1.0", "[1]"), ("a|b", "80.0*", "–"), ("target_only (oracle)", "99 %", "<0.001")),
    strong=frozenset({(1, 1)}),
    faint=frozenset({2}),
    notes=("100 % of it.",),
)


def wide(columns: int, rows: int = 2) -> Sheet:
    header = ("method", *(f"D{n}>E{n}" for n in range(columns)))
    return Sheet(title="Wide", header=header, rows=tuple(("dann", *["71.0 ±0.5"] * columns) for _ in range(rows)))


def test_rows_are_as_wide_as_the_header():
    with pytest.raises(UsageError, match="row 1 of 'x' has 1 cells for 2 columns"):
        Sheet(title="x", header=("a", "b"), rows=(("1", "2"), ("1",)))


@pytest.mark.parametrize("columns", [1, 5, 9, 13, 30])
def test_text_fits_its_width_and_repeats_the_first_column(columns):
    sheet = wide(columns)
    text = sheet_to_text(sheet)
    assert max(map(len, text.split("\n"))) <= 100
    parts = blocks(sheet)
    assert [column for block in parts for column in block[1:]] == list(range(1, columns + 1))
    assert all(block[0] == 0 for block in parts)
    lengths = [len(block) for block in parts]
    assert max(lengths) - min(lengths) <= len(parts)  # no block is left with a single column
    assert text.count("dann") == 2 * len(parts) and text.count("71.0 ±0.5") == 2 * columns
    assert len(blocks(sheet, 40)) >= len(parts)


def test_words_wrap_rather_than_push_a_column_away():
    sheet = Sheet(title="x", header=("method", "seed", "error"), rows=(("dann", "1", "words " * 40),), left=(0, 2))
    assert blocks(sheet) == [[0, 1, 2]]
    assert max(map(len, sheet_to_text(sheet).split("\n"))) <= 100 and sheet_to_text(sheet).count("words") == 40


def test_text_has_everything():
    text = sheet_to_text(SMALL)
    assert text.startswith("A & B\n") and text.endswith("100 % of it.\n") and "\n\n\n" not in text
    lines = text.split("\n")
    assert [line.split() for line in lines if "source_only" in line] == [["source_only", "70.0", "±1.0", "[1]"]]
    assert not any(line != line.rstrip() for line in lines)


def test_what_rich_prints_has_the_looks():
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, color_system="standard", legacy_windows=False)
    for part in sheet_to_rich(SMALL):
        console.print(part)
    assert re.search(r"\x1b\[1m *80\.0\*", out.getvalue()) and "\x1b[2mtarget_only" in out.getvalue()
    assert "[1]" in out.getvalue()  # not taken for markup


def test_markdown():
    assert sheet_to_markdown(SMALL) == (
        "### A & B\n\n"
        "| method | A>B | mean |\n"
        "| --- | ---: | ---: |\n"
        "| source_only | 70.0 ±1.0 | [1] |\n"
        "| a\\|b | **80.0\\*** | – |\n"
        "| target_only (oracle) | 99 % | <0.001 |\n\n"
        "100 % of it.\n"
    )
    assert sheet_to_markdown(SMALL, heading="").startswith("| method") and "of it" not in sheet_to_markdown(
        SMALL, heading=""
    )


def test_latex_is_balanced_and_has_as_many_cells_in_each_row():
    text = sheet_to_latex(SMALL)
    plain = re.sub(r"\\[\\&%$#_{}]", lambda found: "\n" if found[0] == r"\\" else "", text)
    assert plain.count("{") == plain.count("}") and plain.count("$") % 2 == 0
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    [columns] = re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)
    inside = plain[plain.index(r"\toprule") : plain.index(r"\bottomrule")]
    rows = [line for line in inside.split("\n") if "&" in line]
    assert columns == "lrr" and len(rows) == 4 and all(row.count("&") == 2 for row in rows)
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.rindex(r"\midrule") < text.index("target")
    assert r"\textbf{80.0*}" in text and r"\caption{A \& B. 100 \% of it.}" in text and "{[}1]" in text


def test_latex_escapes_every_special_letter():
    assert latex("\\ & % $ # _ { } ~ ^ < > ± –") == (
        r"\textbackslash{} \& \% \$ \# \_ \{ \} \textasciitilde{} \textasciicircum{} $<$ $\to$ $\pm$ --"
    )


def test_html_escapes_and_marks():
    page = sheet_to_html(SMALL)
    assert "A &amp; B." in page and "&lt;0.001" in page and "<td><b>80.0*</b></td>" in page
    assert "<td>70.0<small> ±1.0</small></td>" in page and "<td>[1]</td>" in page and "100 % of it." in page
