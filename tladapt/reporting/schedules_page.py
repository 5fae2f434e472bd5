"""One self-contained page that shows how schedules differ: curves, values, and words for short and long runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tladapt.reporting.page import Markup, document, listing, paragraph, section, table, tag

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
    short, run, long = (f"{length:,}" for length in groups[0].curves[0].runs)
    lead = paragraph(
        "A schedule multiplies a weight or the initial learning rate. Papers and code bases that bear one name have"
        " different ones, and the difference is mostly this: some ",
        tag("b", "follow the share of the run"),
        " that is done, and stretch with it; others ",
        tag("b", "count steps"),
        ", and know nothing of the length of the run. A curve that counts steps was chosen for runs of its authors'"
        f" length: a run of {short} steps sees only its beginning (a weight that hardly adapts, a learning rate that"
        f" hardly falls), and one of {long} steps spends nearly all of its time at its end.",
        class_="lead",
    )
    kinds = {"run": f"{run} steps", "short": f"{short} steps", "long": f"{long} steps", "reference": "ganin2016"}
    key = tag("p", *(tag("span", words, class_=kind) for kind, words in kinds.items()), class_="lengths small")
    about = paragraph(
        "Each curve is drawn over the share of its own run, 0 to 100 %; where the lengths agree there is one line.",
        class_="small soft",
    )
    named = [_named(group.title, tag("code", f"--{group.option} {group.curves[-1].names[0]}")) for group in groups]
    naming = section(
        "In a run",
        listing(named),
        tag(
            "pre",
            "tladapt train --data digits-photo --method dann --method.schedule thuml --recipe.schedule thuml"
            f" --steps {steps}",
        ),
        paragraph(
            "From Python: ",
            tag("code", 'tladapt.methods.dann(schedule="thuml")'),
            ", ",
            tag("code", 'tladapt.Recipe(schedule="thuml")'),
            ". One of your own is a function of (progress, step) that you put under a name into ",
            tag("code", "tladapt.losses.LAMBDA_SCHEDULES"),
            " or ",
            tag("code", "LEARNING_RATE_SCHEDULES"),
            ".",
        ),
    )
    drawn = (_section(group, steps, f"g{place}") for place, group in enumerate(groups))
    return document(
        f"Schedules over a run of {run} steps",
        Markup("".join((*drawn, naming))),
        eyebrow="tladapt schedules",
        lead=Markup(lead + key + about),
        foot=paragraph("Made by ", tag("code", command)),
    )


def _named(title: str, code: Markup) -> Markup:
    """Return how a run names a schedule of one purpose."""
    return Markup(tag("b", title) + ": " + code)


def _section(group: Group, steps: int, key: str) -> Markup:
    reference = next((curve for curve in group.curves if "ganin2016" in curve.names), group.curves[0])
    shared = tag("path", id=key, d=_path(reference.runs[steps]))
    defs = tag("svg", tag("defs", shared), class_="unseen", aria_hidden="true")
    cards = tag("div", *(_card(curve, steps, key) for curve in group.curves), class_="charts")
    return section(group.title, paragraph(group.about), defs, cards, _table(group, steps))


def _card(curve: Curve, steps: int, key: str) -> Markup:
    kinds = ("short", "run", "long")
    lines = [
        tag("path", class_=f"line {kind}", d=_path(values))
        for kind, (length, values) in zip(kinds, curve.runs.items(), strict=True)
        if curve.counts_steps or length == steps
    ]
    x, y = LEFT + WIDTH, TOP + HEIGHT
    grid: list[Markup] = []
    for v in (0, 0.5, 1):
        level = TOP + HEIGHT * (1 - v)
        grid.append(tag("line", class_="grid", x1=LEFT, x2=x, y1=level, y2=level))
        grid.append(tag("text", f"{v:g}", x=LEFT - 4, y=level + 3, text_anchor="end"))
    for p, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        grid.append(tag("text", f"{p:.0%}", x=LEFT + WIDTH * p, y=y + 14, text_anchor=anchor))
    words = "Constant." if curve.counts == "nothing" else f"Follows the {curve.counts}."
    if curve.counts_steps:
        words = f"Counts steps: {ends(curve)}."
    picture = tag(
        "svg",
        *grid,
        tag("use", class_="line reference", href=f"#{key}"),
        *lines,
        viewBox=f"0 0 {x + 6} {y + 18}",
        class_="plot",
        role="img",
        aria_label=f"{curve.names[0]}, {curve.formula}",
    )
    also = tag("span", f" = {', '.join(curve.names[1:])}", class_="soft") if curve.names[1:] else ""
    said = " ".join(part for part in (curve.source, words) if part)
    return tag(
        "figure",
        tag("h3", curve.names[0], also),
        paragraph(curve.formula, class_="small"),
        paragraph(said, class_="small soft"),
        picture,
        class_="chart",
    )


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


def _table(group: Group, steps: int) -> Markup:
    shares = list(group.curves[0].values)
    others = [length for length in group.curves[0].runs if length != steps]
    header = ["", "counts", *(f"{share:.0%}" for share in shares), *(f"end of {length:,}" for length in others)]
    rows = [
        (
            ", ".join(curve.names),
            curve.counts,
            *(number(curve.values[share]) for share in shares),
            *(number(curve.runs[length][-1]) for length in others),
        )
        for curve in group.curves
    ]
    return table(header, rows, caption=f"{group.title}: values over a run of {steps:,} steps.", left=(1,))
