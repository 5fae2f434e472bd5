"""One self-contained page that shows how schedules differ: curves, values, and words for short and long runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 240.0, 110.0
LEFT, TOP = 24.0, 6.0  # room for the axis numbers, and for a line at 1


@dataclasses.dataclass(frozen=True)
class Curve:
    """One schedule as numbers.

    Attributes:
      names: what it is called; all of them are the same function.
      formula: one line: the formula and where it is from.
      source: the rest of what there is to say about it.
      counts: what moves it: "share of the run", "steps", both joined by " and ", or "nothing".
      runs: by length of the run in steps (a tenth, the run itself, ten times it), its values at equally spaced shares
        of the run, both ends included.
      values: by share of the run (0, 0.1, 0.25, 0.5, 1), its values in the run itself.
    """

    names: tuple[str, ...]
    formula: str
    source: str
    counts: str
    runs: Mapping[int, Sequence[float]]
    values: Mapping[float, float]

    @property
    def counts_steps(self) -> bool:
        """Whether a run of another length has another curve."""
        return "steps" in self.counts


@dataclasses.dataclass(frozen=True)
class Group:
    """Schedules that serve one purpose, and how a run names one of them."""

    title: str
    about: str
    option: str
    curves: tuple[Curve, ...]


def number(value: float) -> str:
    """Return a factor as people read it: three digits, and none that only rounding has made.

    >>> number(0.46211), number(1.0), number(0.99991), number(0.0), number(6.2e-06)
    ('0.462', '1', '1.000', '0', '6e-06')
    """
    if value in (0.0, 1.0):
        return f"{value:.0f}"
    return f"{value:.0e}" if abs(value) < 5e-4 else f"{value:.3f}"


def ends(curve: Curve) -> str:
    """Return in words where a schedule that counts steps is at the end of runs of each length."""
    parts = [f"{number(values[-1])} after {steps:,} steps" for steps, values in curve.runs.items()]
    return f"ends at {', '.join(parts[:-1])} and {parts[-1]}"


def page(groups: Sequence[Group], steps: int, command: str) -> str:
    """Return the page as HTML that needs no network and no other file.

    Args:
      groups: the schedules.
      steps: length of the run that the curves are of.
      command: the command that made the page.
    """
    body = "".join(_section(group, steps, f"g{place}") for place, group in enumerate(groups))
    naming = "".join(
        f"<li>{escape(group.title)}: <code>--{escape(group.option)} {escape(group.curves[-1].names[0])}</code></li>"
        for group in groups
    )
    short, run, long = (f"{length:,}" for length in groups[0].curves[0].runs)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Schedules over {run} steps</title><style>{STYLE}</style></head><body>
<h1>Schedules over a run of {run} steps</h1>
<p>A schedule multiplies a weight or the initial learning rate. Papers and code bases that bear one name have different
ones, and the difference is mostly this: some <b>follow the share of the run</b> that is done, and stretch with it;
others <b>count steps</b>, and know nothing of the length of the run. A curve that counts steps was chosen for runs of
its authors' length: a run of {short} steps sees only its beginning (a weight that hardly adapts, a learning rate that
hardly falls), and one of {long} steps spends nearly all of its time at its end.</p>
<p class="legend"><span class="run">{run} steps</span> <span class="short">{short} steps</span>
<span class="long">{long} steps</span> <span class="reference">ganin2016</span></p>
<p class="small">Each curve is drawn over the share of its own run, 0 to 100 %; where the lengths agree there is one
line.</p>
{body}
<h2>In a run</h2>
<ul>{naming}</ul>
<p><code>tladapt train --data digits-photo --method dann --method.schedule thuml --recipe.schedule thuml --steps
{steps}</code></p>
<p>From Python: <code>tladapt.methods.dann(schedule="thuml")</code>,
<code>tladapt.Recipe(schedule="thuml")</code>. One of your own is a function of (progress, step) that you put under a
name into <code>tladapt.losses.LAMBDA_SCHEDULES</code> or <code>LEARNING_RATE_SCHEDULES</code>.</p>
<p class="small">Made by <code>{escape(command)}</code></p>
</body></html>
"""


def _section(group: Group, steps: int, key: str) -> str:
    reference = next((curve for curve in group.curves if "ganin2016" in curve.names), group.curves[0])
    defs = (
        f'<svg class="defs" aria-hidden="true"><defs><path id="{key}" d="{_path(reference.runs[steps])}"/></defs></svg>'
    )
    cards = "".join(_card(curve, steps, key) for curve in group.curves)
    head = f"<h2>{escape(group.title)}</h2><p>{escape(group.about)}</p>"
    return f"{head}{defs}<div class='cards'>{cards}</div>{_table(group, steps)}"


def _card(curve: Curve, steps: int, key: str) -> str:
    kinds = ("short", "run", "long")
    lines = "".join(
        f'<path class="line {kind}" d="{_path(values)}"/>'
        for kind, (length, values) in zip(kinds, curve.runs.items(), strict=True)
        if curve.counts_steps or length == steps
    )
    x, y = LEFT + WIDTH, TOP + HEIGHT
    grid = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{x}" y1="{TOP + HEIGHT * (1 - v)}" y2="{TOP + HEIGHT * (1 - v)}"/>'
        f'<text x="{LEFT - 4}" y="{TOP + HEIGHT * (1 - v) + 3}" text-anchor="end">{v:g}</text>'
        for v in (0, 0.5, 1)
    ) + "".join(
        f'<text x="{LEFT + WIDTH * p}" y="{y + 12}" text-anchor="{anchor}">{p:.0%}</text>'
        for p, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    )
    also = f" <span class='also'>= {escape(', '.join(curve.names[1:]))}</span>" if curve.names[1:] else ""
    words = "Constant." if curve.counts == "nothing" else f"Follows the {curve.counts}."
    if curve.counts_steps:
        words = f"Counts steps: {ends(curve)}."
    said = " ".join(part for part in (curve.source, words) if part)
    return f"""<figure><figcaption><b>{escape(curve.names[0])}</b>{also}</figcaption>
<svg viewBox="0 0 {x + 6} {y + 16}" role="img" aria-label="{escape(curve.names[0])}, {escape(curve.formula)}">{grid}
<use class="line reference" href="#{key}"/>{lines}</svg>
<p>{escape(curve.formula)}</p><p class="small">{escape(said)}</p></figure>"""


def _path(values: Sequence[float]) -> str:
    """Return the SVG path of values at equally spaced places, without the points that a straight line goes through."""
    points = [
        (LEFT + WIDTH * i / (len(values) - 1), TOP + HEIGHT * (1.0 - min(max(value, 0.0), 1.0)))
        for i, value in enumerate(values)
    ]
    kept = [points[0]]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        if abs((before[1] + after[1]) / 2 - here[1]) > 1e-5:
            kept.append(here)
    kept.append(points[-1])
    return "M" + " ".join(f"{x:.1f},{y:.1f}" for x, y in kept)


def _table(group: Group, steps: int) -> str:
    shares = list(group.curves[0].values)
    others = [length for length in group.curves[0].runs if length != steps]
    heads = [f"{share:.0%}" for share in shares] + [f"end of {length:,}" for length in others]
    rows = []
    for curve in group.curves:
        cells = [number(curve.values[share]) for share in shares]
        cells += [number(curve.runs[length][-1]) for length in others]
        rows.append(
            f"<tr><th scope='row'>{escape(', '.join(curve.names))}</th><td class='words'>{escape(curve.counts)}</td>"
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    head = "<th></th><th scope='col' class='words'>counts</th>"
    head += "".join(f"<th scope='col'>{text}</th>" for text in heads)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


# Okabe and Ito's blue, orange and green, lighter in the dark; dashes tell the lines apart without colour.
STYLE = """
:root{color-scheme:light dark;--ink:#1a1a1a;--soft:#5a5a5a;--paper:#fff;--card:#f6f6f4;--grid:#d9d9d6;
--run:#0072b2;--short:#b86e00;--long:#007a5a;--reference:#9a9a9a}
@media(prefers-color-scheme:dark){:root{--ink:#ececec;--soft:#b0b0b0;--paper:#16181a;--card:#202326;--grid:#3b3f43;
--run:#5ab4ee;--short:#f0a93a;--long:#3ecf9f;--reference:#808589}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1180px;padding:1.2rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.2}h2{margin-top:2.2rem;font-size:1.25rem}p{max-width:75ch}
.small,.also,figcaption .also{color:var(--soft);font-size:.85rem}code{font-size:.92em;overflow-wrap:anywhere}
.cards{display:grid;gap:.9rem;grid-template-columns:repeat(auto-fill,minmax(min(250px,100%),1fr))}
figure{margin:0;padding:.7rem .8rem;background:var(--card);border-radius:8px}
figure p{margin:.3rem 0 0;font-size:.88rem;overflow-wrap:anywhere}figure svg{display:block;width:100%;margin-top:.3rem}
svg.defs{position:absolute;width:0;height:0}svg text{fill:var(--soft);font-size:9px}
.grid{stroke:var(--grid);stroke-width:.7}.line{fill:none;stroke-width:2;stroke-linejoin:round}
.run{--c:var(--run)}.short{--c:var(--short)}.long{--c:var(--long)}.reference{--c:var(--reference)}
.line{stroke:var(--c)}.line.short{stroke-dasharray:6 3}.line.long{stroke-dasharray:1.5 2.5}
.line.reference{stroke-width:1}
.legend span{display:inline-block;margin-right:1.1rem;white-space:nowrap}
.legend span::before{content:"";display:inline-block;width:2.2em;margin-right:.5em;vertical-align:.25em;
border-top:3px solid var(--c)}
.legend .short::before{border-top-style:dashed}.legend .long::before{border-top-style:dotted}
.legend .reference::before{border-top-width:1px}
.wide{overflow-x:auto;margin-top:1.2rem}table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .7rem;border-bottom:1px solid var(--grid);text-align:right;white-space:nowrap}
tbody th,.words{text-align:left}tbody th{font-weight:600;white-space:normal;min-width:9rem}
@media(max-width:600px){body{padding:.8rem}th,td{padding:.3rem .3rem}table{font-size:.8rem}
.words{display:none}tbody th{position:sticky;left:0;background:var(--paper);min-width:0;max-width:6.5rem}}
"""
