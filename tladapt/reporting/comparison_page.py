"""The page that compares runs: grouped by method and setting, with mean and interval over seeds."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np

from tladapt.reporting.charts import Series, line_chart
from tladapt.reporting.folder import RunFiles
from tladapt.reporting.maps import features
from tladapt.reporting.measures import class_scores, command_of, confusion, names_of, reliability, tested
from tladapt.reporting.outcome import mistakes
from tladapt.reporting.page import Markup, details, document, listing, paragraph, percent, render, section, table, tag
from tladapt.reporting.plots import dot_chart, reliability_chart
from tladapt.reporting.render import cells, footnotes
from tladapt.reporting.rows import Row, Table, worse_than_baselines
from tladapt.reporting.sections import how_to_read, trained_on, warning_list
from tladapt.reporting.tables import results_table


def comparison_page(runs: Sequence[RunFiles]) -> str:
    """Return the page that compares runs as HTML.

    Args:
      runs: finished ones; what is not finished is named and left out.

    Raises:
      UsageError: where no run is finished.
    """
    results = results_table(runs)
    by_folder = {str(run.path): run for run in runs}
    groups = [(_called(row, results.rows), row, [by_folder[folder] for folder in row.folders]) for row in results.rows]
    scenarios = list(dict.fromkeys(row.scenario for row in results.rows))
    methods = list(dict.fromkeys(row.method for row in results.rows))
    title = f"{_count(len(methods), 'method')} on {', '.join(scenarios)}"
    header, body, shared = _columns(results)
    worse = [text for row in results.rows for text in worse_than_baselines(row)]
    notes = [note for note in footnotes(results) if note not in worse]
    parts = [
        section("Warnings", *_warnings(groups, worse)),
        section(
            "Results",
            *_dots(groups),
            table(header, body, caption=" ".join([*shared, *notes]), left=_text(header)),
            how_to_read(),
        ),
        section("Curves", tag("div", *_curves(groups), class_="charts")),
    ]
    for heading, found in (
        ("Classes", _classes(groups)),
        ("Calibration", _calibration(groups)),
        ("Features after training", _maps(groups)),
        ("Most confident mistakes", _mistakes(groups)),
    ):
        if found:
            parts.append(section(heading, *found))
    first = groups[0][2][0]
    parts.append(
        section(
            "What was trained on what",
            paragraph(f"The first run, {_short(first, groups)}; the others in the list below."),
            *trained_on(first),
        )
    )
    parts.append(section("All runs", *_runs(groups)))
    return document(
        title,
        render(*parts),
        eyebrow="tladapt comparison",
        lead=paragraph(_verdict(groups, len(runs)), class_="lead"),
        foot=paragraph("Each run's own page: tladapt report DIR"),
    )


_ACROSS = 20  # up to this many classes a table has a column for each

Group = tuple[str, Row, list[RunFiles]]


def _called(row: Row, rows: Sequence[Row]) -> str:
    """Return a short name that no other row has."""
    name = row.method + (" [oracle]" if row.is_oracle else "")
    if len({other.scenario for other in rows}) > 1:
        name += f" on {row.scenario}"
    if len({other.recipe for other in rows}) > 1:
        name += f", {row.recipe}"
    return f"{name} ({row.settings})" if row.settings else name


def _columns(results: Table) -> tuple[list[str], list[list[str]], list[str]]:
    """Return header and cells with the method first; what all rows share is said in words."""
    header, body = cells(results)
    shared = []
    for name in ("scenario", "recipe"):
        place = header.index(name)
        if len({row[place] for row in body}) == 1:
            shared.append(f"{name.capitalize()} {body[0][place]}.")
            header, body = [*header[:place], *header[place + 1 :]], [[*row[:place], *row[place + 1 :]] for row in body]
    first = header.index("method")
    order = [first, *(place for place in range(len(header)) if place != first)]
    return [header[place] for place in order], [[row[place] for place in order] for row in body], shared


def _short(run: RunFiles, groups: Sequence[Group]) -> str:
    """Return the path of a run below the folder that all runs share."""
    paths = [str(other.path.resolve()) for _, _, runs in groups for other in runs]
    shared = os.path.commonpath(paths)
    return run.path.name if len(paths) < 2 else os.path.relpath(run.path.resolve(), shared)


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _text(header: Sequence[str]) -> list[int]:
    return [
        place for place, name in enumerate(header) if name in ("scenario", "method", "settings", "recipe", "validator")
    ]


def _verdict(groups: Sequence[Group], runs: int) -> str:
    known = [(called, row) for called, row, _ in groups if not math.isnan(row.last.mean) and not row.is_oracle]
    words = f"{_count(runs, 'run')}."
    if len(known) < 2:
        return words
    called, best = max(known, key=lambda one: one[1].last.mean)
    words += f" At the last step {called} has the highest accuracy on the target's test set, {best.last.mean:.1f} %"
    if best.gain is not None and not math.isnan(best.gain.low):
        words += (
            f": {best.gain.mean:+.1f} points over source-only on the same seeds, 95 % interval {best.gain.low:.1f} to"
            f" {best.gain.high:.1f} over {_count(best.gain.pairs, 'seed')}"
        )
    return words + "."


def _warnings(groups: Sequence[Group], worse: Sequence[str]) -> list[Markup]:
    texts: dict[str, list[str]] = {text: [] for text in worse}
    for _, _, runs in groups:
        for run in runs:
            for text in (run.summary or {}).get("warnings", []):
                texts.setdefault(text, []).append(_short(run, groups))
    return [warning_list([f"{text} ({', '.join(names)})" if names else text for text, names in texts.items()])]


def _dots(groups: Sequence[Group]) -> list[Markup]:
    rows = []
    for called, _, runs in groups:
        values = [100 * value for run in runs if (value := (run.summary or {}).get("target/accuracy")) is not None]
        if values:
            rows.append((called, values, _interval(values)))
    if not rows:
        return []
    words = "Each dot is a run; the stroke is the mean over seeds, the band its 95 % t-interval."
    return [dot_chart("Target accuracy by method", rows), paragraph(words, class_="small soft")]


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    if len(values) < 2:
        return None
    from scipy import stats

    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def _curves(groups: Sequence[Group]) -> list[Markup]:
    validators = {row.validator for _, row, _ in groups}
    keys = [
        ("target/accuracy", "Target accuracy (oracle: test labels)", 100.0),
        ("source/accuracy", "Source accuracy, held out", 100.0),
    ]
    keys += [(f"validator/{name}", f"Validator {name} (no target labels)", 1.0) for name in sorted(validators)]
    charts = []
    for key, title, factor in keys:
        series: list[Series] = []
        for slot, (called, _, runs) in enumerate(groups):
            lines = []
            for run in runs:
                rows = [row for row in run.of_kind("eval") if row.get(key) is not None]
                if rows:
                    lines.append((tuple(row["step"] for row in rows), [factor * row[key] for row in rows]))
            if not lines:
                continue
            if len(lines) > 1:
                series += [Series("", steps, values, slot, faint=True) for steps, values in lines]
            if len({steps for steps, _ in lines}) == 1:
                series.append(Series(called, lines[0][0], np.mean([values for _, values in lines], axis=0), slot))
            else:
                series[-1] = series[-1]._replace(label=called)
        y_range = (None, 101.0) if factor == 100 else (None, None)
        charts.append(line_chart(title, series, y_label="accuracy (%)" if factor == 100 else "", y_range=y_range))
    return charts


def _classes(groups: Sequence[Group]) -> list[Markup]:
    found: list[tuple[str, list[str], np.ndarray, float, float, int]] = []
    for called, _, runs in groups:
        recalls, f1s, errors = [], [], []
        names: list[str] = []
        for run in runs:
            if (seen := tested(run)) is None:
                continue
            names = names_of(run, seen[0].shape[1])
            scores = class_scores(confusion(*seen), names)
            recalls.append([score.recall for score in scores])
            f1s.append(np.nanmean([score.f1 for score in scores]))
            errors.append(reliability(*seen)[1] if np.isfinite(seen[0]).all() else math.nan)
        if recalls and len({len(one) for one in recalls}) == 1:
            mean = np.mean(recalls, axis=0)
            found.append((called, names, mean, float(np.mean(f1s)), float(np.mean(errors)), len(recalls)))
    if not found or len({tuple(names) for _, names, *_ in found}) > 1:
        return []
    names = found[0][1]

    def cell(value: float) -> Markup:
        if math.isnan(value):
            return tag("td", "–")
        return tag("td", f"{100 * value:.1f}", style=f"--a:{0.55 * value:.3f}")

    head = ["method", "mean over classes", "macro-F1", "ECE"]
    rows = [
        [called, cell(float(np.nanmean(mean))), cell(f1), tag("td", "–" if math.isnan(error) else f"{100 * error:.1f}")]
        for called, _, mean, f1, error, _ in found
    ]
    words = "of the target's test set in percent, last step, mean over seeds"
    if len(names) <= _ACROSS:
        wide = [[*row, *map(cell, mean)] for row, (_, _, mean, *_) in zip(rows, found, strict=True)]
        caption = f"Accuracy of each class {words}, with macro-F1 and ECE."
        return [table([*head, *names], wide, caption=caption, class_="matrix")]
    tall = [[name, *(cell(mean[place]) for _, _, mean, *_ in found)] for place, name in enumerate(names)]
    caption = f"Accuracy of each class {words}."
    each = table(["class", *(called for called, *_ in found)], tall, caption=caption, class_="matrix")
    summary = table(head, rows, caption=f"Scores {words}.", class_="matrix")
    return [summary, details(f"Each of the {len(names)} classes", each)]


def _calibration(groups: Sequence[Group]) -> list[Markup]:
    charts = []
    for slot, (called, _, runs) in enumerate(groups):
        seen = [found for run in runs if (found := tested(run)) is not None and np.isfinite(found[0]).all()]
        if seen and len({logits.shape[1] for logits, _ in seen}) == 1:
            logits, labels = (np.concatenate([one[part] for one in seen]) for part in (0, 1))
            charts.append(reliability_chart(called, reliability(logits, labels)[0], slot))
    words = (
        "Predictions of all seeds together; the calibration error (ECE) of each run by itself is in the table above."
        " Below the diagonal the model is surer than it is right."
    )
    return [paragraph(words), tag("div", *charts, class_="charts")] if charts else []


def _maps(groups: Sequence[Group]) -> list[Markup]:
    parts: list[Markup] = []
    for called, _, runs in groups:
        if found := features(runs[0], moments=("after",), explained=not parts):
            parts += [tag("h3", f"{called} ({_short(runs[0], groups)})"), *found]
    if not parts:
        return []
    return [paragraph("The first seed of each method."), *parts]


def _mistakes(groups: Sequence[Group]) -> list[Markup]:
    parts: list[Markup] = []
    for called, _, runs in groups:
        if found := mistakes(runs[0], most=8):
            parts += [tag("h3", f"{called} ({_short(runs[0], groups)})"), *found]
    return parts


def _runs(groups: Sequence[Group]) -> list[Markup]:
    rows, commands = [], []
    for called, _, runs in groups:
        for run in runs:
            summary, facts = run.summary or {}, run.record("environment.json")
            minutes = f"{facts['seconds'] / 60:.1f}" if "seconds" in facts else "–"
            accuracies = [percent(summary.get(f"{when}target/accuracy")) for when in ("", "chosen/", "oracle/")]
            steps = summary.get("steps", run.config.get("steps"))  # those done, where the run stopped early
            step = f"{steps:,}" if isinstance(steps, int) else "–"
            rows.append([_short(run, groups), called, str(run.config.get("seed", "–")), step, *accuracies, minutes])
            if (command := command_of(run)) is not None:
                commands.append(command)
    head = ["run", "method", "seed", "steps", "last", "chosen", "oracle (uses test labels)", "minutes"]
    shown = table(head, rows, caption="Target accuracy of each run.", left=(1,))
    lines = [tag("pre", command, tabindex="0") for command in dict.fromkeys(commands)]
    folders = listing(str(run.path.resolve()) for _, _, runs in groups for run in runs)
    return [shown, *([tag("h3", "The commands that made them"), *lines] if lines else []), details("Folders", folders)]
