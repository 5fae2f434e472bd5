"""Choosing among the checkpoints of runs: scores are those of the run, and no label of the target moves a choice."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

import tladapt
from tests.training import problems
from tladapt.data import Domain, Scenario
from tladapt.errors import RunFolderError, UsageError
from tladapt.evaluation import VALIDATORS, Validator
from tladapt.training import Selection
from tladapt.training.gather import run_folders


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confidence(Validator):
    """A validator of one's own."""

    name = "confidence"

    def score(self, outputs):
        return float(outputs.target_logits.max(axis=1).mean())


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of one method, chosen by DEV; a run with memory and a validator of one's own; one whose checkpoints
    lack what it predicts with, statistics of the target."""
    folder = tmp_path_factory.mktemp("grid")
    config = dataclasses.replace(problems.methods()["dann"], validator="dev")
    for seed in (0, 1):
        tladapt.run(config, problems.scenario(), seed=seed, out=folder / f"dann-seed{seed}")
    teacher = dataclasses.replace(problems.methods()["mean_teacher"], validator=Confidence())
    tladapt.run(teacher, problems.scenario(), out=folder / "deep" / "teacher")
    measured = problems.config(backbone=problems.NORMAL, batchnorm="target", steps=20, evaluations=2)
    tladapt.run(measured, problems.scenario(), out=folder / "deep" / "target-statistics")
    return folder


@pytest.fixture(scope="module")
def found(grid: Path) -> Selection:
    return tladapt.select(grid, problems.scenario())


def test_every_checkpoint_has_every_score(found: Selection) -> None:
    assert [(c.run, c.step) for c in found.candidates] == [
        *((run, step) for run in ("dann-seed0", "dann-seed1") for step in (10, 20, 30, 40)),
        *(("deep/target-statistics", step) for step in (10, 20)),
        *(("deep/teacher", step) for step in (10, 20, 30, 40)),
    ]
    assert all(set(c.scores) == set(VALIDATORS) == set(found.picks) for c in found.candidates)
    assert all(np.isfinite(list(c.scores.values())).all() for c in found.candidates)
    assert {c.predictions.shape for c in found.candidates} == {(35,)}


def test_scores_and_accuracies_are_those_that_the_runs_logged(grid: Path, found: Selection) -> None:
    """The same numbers from the folder, compiled anew, as from the training process: rounding may differ, no more."""
    judged = found.judgement
    assert judged is not None
    for place, candidate in enumerate(found.candidates):
        (logged,) = (
            row
            for row in tladapt.training.folder.RunFolder(grid / candidate.run).rows()
            if row["kind"] == "eval" and row["step"] == candidate.step
        )
        for name in ("im", "entropy", "source_accuracy", *(("dev",) if "dann" in candidate.run else ())):
            assert candidate.scores[name] == pytest.approx(logged[f"validator/{name}"], rel=1e-4, abs=1e-5)
        assert candidate.source_accuracy == logged["source/accuracy"]
        assert judged.accuracies[place] == logged["target/accuracy"]
        assert bool(candidate.collapsed) == bool(logged["collapsed"])
        assert ("dev/effective_sample_size" in logged) == ("dann" in candidate.run)  # a run computes what it needs
        assert "validator/snd" not in logged


def test_a_run_that_dev_chooses_says_how_far_to_trust_it(grid: Path) -> None:
    run = tladapt.open_run(grid / "dann-seed0")
    last = run.history[-1]
    assert run.metrics["chosen/validator"] == "dev" and run.metrics["dev/mean_weight"] == last["dev/mean_weight"]
    (chosen,) = (row for row in run.history if row["kind"] == "eval" and row["step"] == run.metrics["chosen/step"])
    assert chosen["dev/doubt"] in run.metrics["warnings"]  # four validation examples do not say much
    assert "dev/doubt" not in run.metrics


def test_it_introduces_itself_in_a_line(found: Selection) -> None:
    assert repr(found).startswith("Selection(toy, 14 checkpoints; ") and "snd: d" in repr(found)


def test_permuting_test_labels_changes_no_choice_and_does_change_the_verdict(grid: Path, found: Selection) -> None:
    plain = problems.scenario()
    order = np.random.default_rng(3).permutation(35)
    test = dataclasses.replace(plain.test, y=plain.test.y[order])
    other = tladapt.select(grid, Scenario(plain.source, plain.target, test, classes=plain.classes, name="toy"))
    assert other.picks == found.picks
    for one, two in zip(found.candidates, other.candidates, strict=True):
        assert one._replace(predictions=None) == two._replace(predictions=None)
        assert (one.predictions == two.predictions).all()
    assert found.judgement is not None and other.judgement is not None
    assert found.judgement.accuracies != other.judgement.accuracies


def test_validators_and_guard_never_meet_a_label_of_the_target(grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the moment when all choices stand, nothing asks the test set for its labels."""
    events = []

    class Watched(Domain):
        def __getattribute__(self, name):
            value = super().__getattribute__(name)
            if name == "y" and value is not None and armed:
                events.append("labels")
            return value

    armed: list[bool] = []
    plain = problems.scenario()
    scenario = Scenario(plain.source, plain.target, Watched(plain.test.x, plain.test.y), classes=plain.classes)
    chosen = tladapt.training.selection.pick
    monkeypatch.setattr(tladapt.training.selection, "pick", lambda c: (events.append("choices"), chosen(c))[1])
    monkeypatch.setattr(tladapt.training.selection, "check_data", lambda runs, scenario: armed.append(True))
    tladapt.select(grid / "dann-seed0", scenario, validators=["im", "dev"])
    assert events[0] == "choices" and "labels" in events


def test_without_a_test_set_there_are_choices_and_no_regret(grid: Path, found: Selection) -> None:
    blind = tladapt.select(grid, problems.scenario(labelled=False), validators=["im", "snd"])
    assert blind.judgement is None
    assert blind.picks == {name: found.picks[name] for name in ("im", "snd")}
    assert not [key for row in blind.rows() for key in row if "oracle" in key] and "oracle" not in blind.record()


def test_records_say_oracle_wherever_labels_were_seen(found: Selection) -> None:
    (row, *_), record = found.rows(), found.record()
    assert [key for key in row if "target/accuracy" in key] == ["oracle/target/accuracy"]
    assert " ".join(row["chosen_by"] for row in found.rows()).split().sort() == sorted(VALIDATORS).sort()
    assert record["validators"]["im"]["oracle"]["regret"] >= 0
    assert record["oracle"]["accuracy"] == max(row["oracle/target/accuracy"] for row in found.rows())
    assert set(record["validators"]["im"]) >= {"choice", "score", "ties", "without_guard", "within_runs", "oracle"}


def test_validators_of_ones_own(grid: Path) -> None:
    counted = []
    mine = tladapt.select(
        [grid / "dann-seed0", grid / "dann-seed0"],
        problems.scenario(),
        validators=["im", Confidence()],
        watcher=lambda *said: counted.append(said),
    )
    assert set(mine.picks) == {"im", "confidence"} and len(mine.candidates) == 4  # a folder given twice counts once
    assert counted == [(done, 4, "dann-seed0") for done in (1, 2, 3, 4)]
    with pytest.raises(UsageError, match="more than one 'im'"):
        tladapt.select(grid, problems.scenario(), validators=["im", "im"])
    with pytest.raises(UsageError, match="Did you mean 'snd'"):
        tladapt.select(grid, problems.scenario(), validators=["sdn"])


def test_what_cannot_be_compared_is_left_out_in_words(grid: Path, tmp_path: Path) -> None:
    shutil.copytree(grid / "dann-seed0", tmp_path / "good")
    shutil.copytree(grid / "dann-seed1", tmp_path / "empty")
    shutil.rmtree(tmp_path / "empty" / "checkpoints")
    (tmp_path / "good" / "summary.json").unlink()  # a run that has not finished will do
    shutil.rmtree(tmp_path / "good" / "checkpoints" / "20" / "state")
    oracle = problems.config("target_only", steps=10, evaluations=1)
    tladapt.run(oracle, problems.scenario(), out=tmp_path / "upper")
    left = tladapt.select(tmp_path, problems.scenario(), validators=["im"])
    assert [candidate.step for candidate in left.candidates] == [10, 30, 40]
    notes = "\n".join(left.notes)
    assert "empty has no checkpoint" in notes and "upper is an oracle run" in notes
    assert "checkpoint of step 20" in notes
    with pytest.raises(RunFolderError, match=r"no checkpoint to choose from.*upper is an oracle run"):
        tladapt.select(tmp_path / "upper", problems.scenario())


def test_other_data_is_refused(grid: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not what .* was trained on: source 0, target differ"):
        tladapt.select(grid, problems.scenario(seed=1))
    with pytest.raises(UsageError, match=r"was made from Python.*give it"):
        tladapt.select(grid)
    tladapt.run(problems.config(steps=5, evaluations=1), problems.scenario(seed=1), out=tmp_path / "other")
    with pytest.raises(UsageError, match=r"trained on different data: .*dann-seed0 on toy; .*other on toy"):
        tladapt.select([grid / "dann-seed0", tmp_path / "other"], problems.scenario())


def test_folders(grid: Path, tmp_path: Path) -> None:
    assert [path.name for path in run_folders([grid])] == ["dann-seed0", "dann-seed1", "target-statistics", "teacher"]
    with pytest.raises(RunFolderError, match=r"no folder .*nowhere"):
        run_folders(tmp_path / "nowhere")
    with pytest.raises(RunFolderError, match="holds none"):
        run_folders([grid, tmp_path])


def test_a_method_of_ones_own_has_to_be_given_again(tmp_path: Path) -> None:
    own = problems.Breaking(at=99)
    tladapt.run(problems.config(own, steps=5, evaluations=1), problems.scenario(), out=tmp_path / "own")
    with pytest.raises(UsageError, match="made with a method of your own"):
        tladapt.select(tmp_path, problems.scenario())
    assert len(tladapt.select(tmp_path, problems.scenario(), validators=["im"], method=own).candidates) == 1
    with pytest.raises(UsageError, match="Did you mean 'method'"):
        tladapt.select(tmp_path, problems.scenario(), mehtod=own)
