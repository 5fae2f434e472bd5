"""What `tladapt select` says: the table of choices, what the guard refused, doubts, and where validators disagree."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tladapt.cli.show import percent, plain_table

_SHOWN = 8  # lines on refused checkpoints; --json has all


def show_selection(found: Any) -> None:
    """Print a `tladapt.training.Selection`."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_title(found), style="bold", markup=False, soft_wrap=True)
    console.print(_table(found))
    for line in (*_legend(found), *_guard(found), *_remarks(found), *_agreement(found), *found.notes):
        console.print(line, markup=False, soft_wrap=not console.is_terminal)


def _percent(value: float) -> str:
    return percent(None if math.isnan(value) else value)


def _points(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _title(found: Any) -> str:
    runs, total = list(found.folders), len(found.candidates)
    whose = f"{len(runs)} runs" if len(runs) > 1 else runs[0]
    return f"{found.scenario}: what each validator chooses of {total} checkpoint{'s' * (total != 1)} of {whose}"


def _table(found: Any) -> Any:
    table = plain_table()
    several, judged = len(found.folders) > 1, found.judgement
    table.add_column("validator", no_wrap=True)
    if several:
        table.add_column("run", overflow="fold")
    table.add_column("step", justify="right")
    if judged is None:
        table.add_column("score", justify="right")
        table.add_column("source accuracy", justify="right")
    else:
        for name in ("target acc.", "regret", *(["regret in own run"] if several else []), "rank corr."):
            table.add_column(f"oracle: {name}", justify="right", max_width=7)

    def add(name: str, place: int | None, cells: list[str], nothing: str = "") -> None:
        chosen = None if place is None else found.candidates[place]
        run = [nothing if chosen is None else chosen.run] if several else []
        table.add_row(name, *run, nothing if chosen is None else str(chosen.step), *cells)

    for validator, pick in found.picks.items():
        chosen = None if pick.choice is None else found.candidates[pick.choice]
        name = validator + "*" * bool(chosen and validator in chosen.doubts)
        if judged is not None:
            verdict = judged.verdicts[validator]
            cells = [_percent(verdict.accuracy), _points(verdict.regret)]
            cells += [_points(verdict.regret_within)] * several
            cells += ["-" if math.isnan(verdict.rank_correlation) else f"{verdict.rank_correlation:.2f}"]
        elif chosen is None:
            cells = ["-", "-"]
        else:
            cells = [f"{chosen.scores[validator]:.4g}", percent(chosen.source_accuracy)]
        add(name, pick.choice, cells, "-")
    if judged is not None:
        table.add_section()
        best = judged.accuracies[judged.best]
        for name, place, value in (
            ("oracle", judged.best, best),
            ("last step" + ", mean" * several, None, judged.last),
            ("any step, mean", None, judged.blind),
        ):
            add(name, place, [_percent(value), _points(best - value), *[""] * several, ""])
    return table


def _legend(found: Any) -> Iterator[str]:
    if found.judgement is None:
        yield "The target has no labelled test set: nothing is known of regret, these are choices only."
        yield "Scores: higher is better, each on its own scale."
        return
    fit = sum(not candidate.collapsed for candidate in found.candidates)
    own = " ('in own run': each run chooses among its own checkpoints; mean)" if len(found.folders) > 1 else ""
    yield "Oracle columns know the target's test labels. They judge the choices, and took no part in them."
    yield f"Regret: points of target accuracy below the best checkpoint{own}."
    yield f"Rank corr.: Spearman's, of score and target accuracy over the {fit} checkpoints that pass the guard."


def _guard(found: Any) -> Iterator[str]:
    refused = [candidate for candidate in found.candidates if candidate.collapsed]
    total = len(found.candidates)
    if not refused:
        yield f"Collapse guard: all {total} checkpoints pass."
        return
    yield f"Collapse guard: {len(refused)} of {total} checkpoints refused."
    for candidate in refused[:_SHOWN]:
        yield f"  {candidate.run} step {candidate.step}: {candidate.collapsed}"
    if len(refused) > _SHOWN:
        yield f"  and {len(refused) - _SHOWN} more (--json lists them all)"
    saved: dict[int, list[str]] = {}
    for name, pick in found.picks.items():
        if pick.unguarded is not None and found.candidates[pick.unguarded].collapsed:
            saved.setdefault(pick.unguarded, []).append(name)
    for place, names in saved.items():
        chosen = found.candidates[place]
        accuracy = "" if found.judgement is None else f" (oracle: {percent(found.judgement.accuracies[place])})"
        yield f"  Without it {_and(names)} would choose {chosen.run} step {chosen.step}{accuracy}."


def _remarks(found: Any) -> Iterator[str]:
    """Yield what is to be known of single validators: no choice, ties, details, doubts."""
    for name, pick in found.picks.items():
        if pick.choice is None:
            yield f"{name} chooses nothing: no checkpoint passes the guard with a finite score."
            continue
        chosen = found.candidates[pick.choice]
        if pick.ties:
            which = "the latest step of the first run" if len(found.folders) > 1 else "the latest"
            yield f"{name}: {pick.ties} more with the same score; {which} stands for them."
        own = {key: value for key, value in chosen.details.items() if key.startswith(f"{name}/")}
        if own:
            told = (f"{key.split('/')[1].replace('_', ' ')} {value:.3g}" for key, value in own.items())
            yield f"{name}: {', '.join(told)}."
        if name in chosen.doubts:
            yield f"* {chosen.doubts[name]}"


def _agreement(found: Any) -> Iterator[str]:
    from tladapt.evaluation.comparison import disagreement

    groups: dict[int, list[str]] = {}
    for name, pick in found.picks.items():
        if pick.choice is not None:
            groups.setdefault(pick.choice, []).append(name)
    if len(groups) < 2:
        if len(found.picks) > 1 and groups:
            yield "The validators agree on one checkpoint."
        return
    shares = disagreement(found.candidates, found.picks)
    one, other = max(((a, b) for a in shares for b in shares[a]), key=lambda pair: shares[pair[0]][pair[1]])
    yield (
        f"The validators choose {len(groups)} different checkpoints. Those of {one} and {other} differ most: they class"
        f" {percent(shares[one][other])} of the target's training examples differently."
    )


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
