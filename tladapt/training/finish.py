"""The end of a run: its summary, its result, and the files that others read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from tladapt.data import Domain, Scenario
from tladapt.data.pictures import pictures, some_of_each_class
from tladapt.errors import RunFolderError
from tladapt.evaluation import choose, oracle, predict, softmax
from tladapt.evaluation.distances import proxy_a_distance
from tladapt.training import anchoring
from tladapt.training.assemble import held_out, weights_of
from tladapt.training.features import joined
from tladapt.training.folder import RunFolder, jsonable
from tladapt.training.health import health
from tladapt.training.keeper import Keeper
from tladapt.training.layout import Layout
from tladapt.training.result import Result, save_model
from tladapt.training.state import State
from tladapt.training.stopping import stopped

PICTURES, MISTAKES = 20, 24  # how many the page of a run shows of each domain, and of what went wrong


def finish(keeper: Keeper, state: State, layout: Layout, started: float) -> Result:
    """Return the result of a run that has done all its steps, and write it to the folder where there is one.

    Args:
      keeper: the run's log and folder.
      state: after the last step.
      layout: how the run lay on the devices.
      started: `time.perf_counter()` at the start of this process's part of the run.

    Raises:
      RunFolderError: when the folder cannot be written; the checkpoints are intact.
    """
    assembly, weights = keeper.assembly, weights_of(state)
    metrics, logits = assembly.evaluator.test_metrics(weights)
    summary = summarize(keeper, metrics)
    adapted, predictor = assembly.evaluator.adapted(weights), assembly.evaluator.predictor
    if assembly.frozen is not None:
        frozen = assembly.frozen
        predictor = frozen.predictor(assembly.config, assembly.scenario, predictor.network.sizes)
        adapted = joined(adapted, frozen.params, frozen.statistics)
    result = Result(
        config=assembly.config,
        classes=assembly.scenario.classes,
        metrics=summary,
        history=keeper.history,
        weights=adapted,
        predictor=predictor,
        folder=None if keeper.folder is None else keeper.folder.path,
        texts=assembly.texts,
    )
    if keeper.folder is not None:
        try:
            _write(keeper, keeper.folder, state, result, logits, {"layout": str(layout)}, started)
        except RunFolderError:
            raise
        except OSError as error:
            raise RunFolderError(
                f"{keeper.folder.path} could not be written: {error.strerror or error}. Free some space or make the"
                " folder writable, then go on with --resume: training itself is done."
            ) from error
    return result


def summarize(keeper: Keeper, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return what `summary.json` says: the last step, the chosen one, and, for comparison, the oracle's.

    It holds nothing that differs between a run and its repetition; times are in `environment.json`.
    """
    assembly, history = keeper.assembly, keeper.history
    config, scenario = assembly.config, assembly.scenario
    validator: str = config.validator.name  # type: ignore[union-attr]
    evaluations = {row["step"]: row for row in history if row["kind"] == "eval"}
    chosen, best = choose(history, validator), oracle(history)
    left_out = ("kind", "step", "collapsed", "target/accuracy")
    steps = max(evaluations)  # fewer than the config's where the run stopped early
    last = evaluations[steps]
    summary = {name: value for name, value in last.items() if name not in left_out and not name.endswith("/doubt")}
    summary |= {f"target/{name}": value for name, value in metrics.items()}
    summary |= {"chosen/step": chosen.step, "chosen/validator": validator, "chosen/reason": chosen.reason}
    summary["chosen/source/accuracy"] = evaluations[chosen.step]["source/accuracy"]
    doubts = [text for name, text in evaluations[chosen.step].items() if name.endswith("/doubt")]
    if best is not None:
        summary |= {
            "chosen/target/accuracy": evaluations[chosen.step]["target/accuracy"],
            "oracle/step": best.step,
            "oracle/target/accuracy": best.score,
        }
    if (end := stopped(history, config, assembly.spans)) is not None:
        summary |= {"stopped/step": end.step, "stopped/reason": end.reason}
    accuracies = ("source/accuracy", "target/accuracy")
    summary |= {f"before/{name}": keeper.initial[name] for name in accuracies if name in keeper.initial}
    summary |= {
        "method": config.method.name,  # type: ignore[union-attr]
        "scenario": scenario.name,
        "seed": keeper.record["seed"],
        "steps": steps,
        "recipe": config.recipe.name,  # type: ignore[union-attr]
        "classes": list(scenario.classes),
        "oracle_run": scenario.is_oracle,
        "warnings": [*assembly.notes, *health(history, chosen=chosen), *doubts],
    }
    return dict(jsonable(summary))


def _write(
    keeper: Keeper,
    folder: RunFolder,
    state: State,
    result: Result,
    logits: np.ndarray | None,
    facts: dict[str, Any],
    started: float,
) -> None:
    """Write the run's files, the summary last: it is what says that the run has ended."""
    scenario, before = keeper.assembly.scenario, keeper.before
    after = keeper.assembly.evaluator.sample(weights_of(state))
    arrays = {f"before_{name}": before[name] for name in ("source", "target")}
    arrays |= {f"after_{name}": after[name] for name in ("source", "target")}
    arrays |= {name: after[name] for name in ("source_labels", "target_labels")}
    if logits is not None and scenario.test is not None:
        arrays |= {"test_logits": logits, "test_labels": np.asarray(scenario.test.y)}
        arrays |= mistakes(scenario.test, logits)
    arrays |= samples(scenario)
    folder.write_arrays("outputs.npz", arrays)
    folder.write_json("data.json", {**keeper.assembly.data.record(), "features": told_apart(arrays)})
    save_model(folder, result, keeper.record, keeper.assembly)
    _hand_on(keeper, folder, state)
    facts = folder.read_json("environment.json") | facts
    facts["seconds"] = round(facts.get("seconds", 0.0) + time.perf_counter() - started, 3)
    folder.write_json("environment.json", facts)
    folder.write_json("summary.json", result.metrics)


def samples(scenario: Scenario) -> dict[str, np.ndarray]:
    """Return a few examples of the source, with labels, and of the target as pictures; nothing where there are none."""
    arrays = {}
    for role, domain in (("source", scenario.source[0]), ("target", scenario.target)):
        index = some_of_each_class(domain, PICTURES)
        if (shown := pictures(domain, index)) is not None:
            arrays[f"pictures_{role}"] = shown
            if domain.y is not None:
                arrays[f"pictures_{role}_labels"] = domain.y[index]
    return arrays


def told_apart(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the proxy A-distance of source and target features before and after training; it needs no label."""
    found = {}
    for moment in ("before", "after"):
        source, target = arrays[f"{moment}_source"], arrays[f"{moment}_target"]
        if min(len(source), len(target)) >= 4 and np.isfinite(source).all() and np.isfinite(target).all():
            found[moment] = proxy_a_distance(source, target)._asdict()
    return found


def mistakes(test: Domain, logits: np.ndarray) -> dict[str, np.ndarray]:
    """Return the test examples that the model is most certain about and wrong, as positions and as pictures.

    Where several examples are of one independent unit (`test.groups`), the one with the highest confidence stands for
    it.
    """
    confidence, wrong = softmax(logits).max(axis=1), predict(logits) != test.y
    order = np.argsort(-np.where(np.isnan(confidence), 0.0, confidence), kind="stable")
    order = order[wrong[order]]
    if test.groups is not None:
        order = order[np.sort(np.unique(test.groups[order], return_index=True)[1])]
    index = order[:MISTAKES]
    shown = pictures(test, index)
    return {"mistakes": index} | ({} if shown is None else {"mistakes_pictures": shown})


def _hand_on(keeper: Keeper, folder: RunFolder, state: State) -> None:
    """Keep what the penalty hands on to a run that starts from this one."""
    assembly = keeper.assembly
    penalty, network = assembly.parts.penalty, assembly.parts.network
    if penalty is None:
        return
    # Predictions on the target may use statistics of their own, which the state has not.
    adapted = assembly.evaluator.adapted(weights_of(state))
    statistics = {**state.statistics, network.key_of("target"): adapted.statistics[network.key_of("target")]}
    sources, _ = held_out(assembly.seen, keeper.record["seed"])
    end = anchoring.shown(
        network,
        state.inputs,
        params=state.params,
        statistics=statistics,
        sources=sources,
        target=assembly.seen.target,
        seed=keeper.record["seed"],
    )
    anchoring.hand_on(folder.path, penalty, end, state.penalty)
