"""Typical mistakes: exit status 2, one message on stderr that says what to do, nothing on stdout."""

from __future__ import annotations

import pytest

from tests.cli.toy import CLASSES, FAST, SMALL, call

MISTAKES = {
    "command": (["trian"], "There is no command 'trian'. Did you mean 'train'"),
    "option": (["train", "--data", "TOY", "--mehtod", "dann"], "Did you mean '--method'?"),
    "group of fields": (["train", "--data", "TOY", "--mehtod.weight", "1"], "Did you mean '--method.weight'"),
    "field": (
        ["train", "--data", "TOY", "--method", "dann", "--method.wieght", "1"],
        "method 'dann' has no option 'wieght'. Did you mean 'weight'? Options: weight, schedule, hidden, batch_norm.",
    ),
    "method": (["train", "--data", "TOY", "--method", "dan"], "Unknown method 'dan'. Did you mean 'dann'"),
    "backbone": (["train", "--data", "TOY", "--backbone", "lennet"], "Unknown backbone 'lennet'. Did you mean 'lenet'"),
    "recipe": (["train", "--data", "TOY", "--recipe", "gannin"], "Unknown recipe 'gannin'. Did you mean 'ganin2016'?"),
    "validator": (["train", "--data", "TOY", "--validator", "entropi"], "Did you mean 'entropy'?"),
    "preset": (["train", "--data", "TOY", "--batchnorm", "jiont"], "BatchNorm preset 'jiont'. Did you mean 'joint'?"),
    "penalty": (["train", "--data", "TOY", "--penalty", "l2"], "Unknown penalty 'l2'. Did you mean 'l2sp'?"),
    "penalty's field": (
        ["train", "--data", "TOY", "--penalty.weight", "1"],
        "Add --penalty NAME: bss, co_tuning, delta, ewc, l2sp, lwf.",
    ),
    "auto's field": (["train", "--data", "TOY", "--backbone.widths", "8"], "Name one, such as --backbone digits_cnn"),
    "data": (["train", "--data", "digit-photo"], "Did you mean 'digits-photo'"),
    "data's option": (["train", "--data", "digits-photo", "--data.sed", "1"], "Did you mean 'seed'? Options: seed,"),
    "data file": (["train", "--data", "nowhere.npz"], "There is no file or folder 'nowhere.npz'"),
    "data directory": (["train", "--data", "mnist-usps", "--data-dir", "/nowhere"], "there is no such folder"),
    "no data directory": (["train", "--data", "mnist-usps"], "give --data-dir DIR"),
    "kind": (["list", "method"], "Did you mean 'methods'?"),
    "no kind": (
        ["list"],
        "methods|backbones|data|benchmarks|shifts|validators|recipes|penalties|augmentations|scores is missing.",
    ),
    "no data": (["train"], "--data NAME is missing: A scenario by name;"),
    "no value": (["train", "--data", "TOY", "--steps"], "'--steps' requires an argument"),
    "no field's value": (
        ["train", "--data", "TOY", "--method.weight", "--steps", "5"],
        "--method.weight needs a value",
    ),
    "type": (
        ["train", "--data", "TOY", "--method", "dann", "--method.weight", "much"],
        "option 'weight' of method 'dann' must be a number, got 'much'.",
    ),
    "not finite": (["train", "--data", "TOY", "--method", "dann", "--method.weight", "nan"], "must be a number"),
    "choice": (
        ["train", "--data", "TOY", "--method", "mmd", "--method.estimator", "lineer"],
        "must be unbiased, biased or linear, got 'lineer'. Did you mean 'linear'?",
    ),
    "schedule": (
        ["train", "--data", "TOY", "--method", "dann", "--method.schedule", "gannin2016"],
        "Unknown lambda schedule 'gannin2016'. Did you mean 'ganin2016'",
    ),
    "widths": (
        ["train", "--data", "TOY", "--backbone", "mlp", "--backbone.widths", "8,x"],
        "separated by commas, got '8,x'",
    ),
    "group": (
        ["train", "--data", "TOY", "--recipe.groups", "x"],
        "a group of parameters is PATTERN=RATE or PATTERN=RATE:DECAY, such as ^backbone=0.1 or bias=2:0; got 'x'.",
    ),
    "too many phases": (
        ["train", "--data", "TOY", "--backbone", "mlp", "--recipe.unfreeze", "9"],
        "recipe.unfreeze asks for 9 phases, but the backbone has 2 blocks to unfreeze",
    ),
    "contradiction": (["train", "--data", "TOY", "--batchnorm.statistics", "per_domain"], "forward='separate'"),
    "way without seeds": (
        ["train", "--data", "TOY", "--replicate", "vmap"],
        "--replicate says how several seeds are trained; say how many, such as --seeds 3.",
    ),
    "unknown way": (
        ["train", "--data", "TOY", "--seeds", "2", "--replicate", "mpi"],
        "--replicate must be one of auto, loop, vmap, pmap; got 'mpi'",
    ),
    "devices and seeds": (
        ["train", "--data", "TOY", "--seeds", "2", "--devices", "2"],
        "--replicate pmap puts one seed on each device.",
    ),
    "no such devices": (
        ["train", "--data", "TOY", "--devices", "64"],
        "64 devices were asked for, and JAX sees 8 (cpu). JAX_NUM_CPU_DEVICES=64",
    ),
    "uneven devices": (
        ["train", "--data", "TOY", "--devices", "3"],
        "a batch of 64 examples a domain cannot be split evenly over 3 devices. Set the recipe's batch_size to a",
    ),
    "devices in words": (
        ["train", "--data", "TOY", "--devices", "two"],
        "--devices must be a whole number of at least 1",
    ),
    "negative steps": (
        ["train", "--data", "TOY", "--steps", "-5"],
        "--steps must be a whole number of at least 1; got '-5'",
    ),
    "words for steps": (["train", "--data", "TOY", "--steps", "many"], "whole number of at least 1; got 'many'"),
    "large seed": (["train", "--data", "TOY", "--seed", "3000000000"], "at most 2147483647"),
    "too much": (["train", "--data", "TOY", "dann"], "unexpected extra argument (dann)"),
    "images' backbone": (["train", "--data", "TOY", "--backbone", "lenet"], "vectors of 4 numbers. Use 'mlp'"),
    "init": (["train", "--data", "TOY", "--init", "nowhere"], "No weights at nowhere"),
    "weights": (["train", "--data", "TOY", "--weights", "nowhere"], "No weights at nowhere"),
    "misfit": (["train", "--data", "TOY", "--init", "RUN"], "expected [256], came [16]"),
    "misfit of weights": (["train", "--data", "TOY", "--weights", "RUN"], "expected [256], came [16]"),
    "folder in use": (["train", "--data", "TOY", "--out", "RUN"], "holds a run already. Go on with it (--resume), or"),
    "folder is a file": (["train", "--data", "TOY", *SMALL, *FAST, "--out", "TOY"], "could not be written"),
    "another run": (["train", "--data", "TOY", "--out", "RUN", "--resume"], "holds another run than the one to resume"),
    "no run": (["eval", "EMPTY"], "is not a run's folder"),
    "which": (["eval", "RUN", "--which", "chosne"], "Did you mean 'chosen'?"),
    "step": (["eval", "RUN", "--which", "7"], "kept no checkpoint of step 7, only [6, 12]"),
    "other classes": (
        ["eval", "RUN", "--data", "digits-photo"],
        f"knows the classes {', '.join(CLASSES)}; digits-photo",
    ),
    "doctor's data": (["doctor", "--data", "digit-photo"], "Did you mean 'digits-photo'"),
    "doctor's picture": (["doctor", "--data", "TOY", "--out", "x.pdf"], "--out must end in .png, got 'x.pdf'."),
    "report no run": (["report", "EMPTY"], "is not a run's folder"),
    "report nothing": (["report"], "DIR... is missing"),
    "report nowhere": (["report", "nowhere"], "there is no folder nowhere"),
    "report against": (["report", "RUN", "--compare", "RUN"], "a finished source_only run was expected"),
    "predict no run": (["predict", "EMPTY", "TOY", "--out", "p.csv"], "is not a run's folder"),
    "predict to": (["predict", "RUN", "TOY", "--out", "p.txt"], "--out must end in .csv or .npz, got 'p.txt'."),
    "predict nothing": (["predict", "RUN", "nothing.csv", "--out", "p.csv"], "no file or folder 'nothing.csv'"),
    "predict no x": (["predict", "RUN", "TOY", "--out", "p.csv"], "no array 'x' of inputs, only source_x"),
    "demo's method": (["demo", "--methods", "source_only,dan"], "Did you mean 'dann'"),
    "demo's seeds": (["demo", "--seeds", "0"], "--seeds must be a whole number of at least 1; got '0'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_clear_message(name, toy, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TLADAPT_DATA", raising=False)
    (tmp_path / "empty").mkdir()
    places = {"TOY": str(toy), "RUN": str(run.folder), "EMPTY": str(tmp_path / "empty")}
    arguments, words = MISTAKES[name]
    if name == "misfit of weights":
        places["RUN"] = str(run.folder / "model" / "model.safetensors")
    said = call(*(places.get(word, word) for word in arguments))
    assert said.status == 2, said
    assert said.out == ""
    assert words in said.err
    assert said.err.startswith("Error: ") and said.err.count("Error") == 1
    assert "Traceback" not in said.err
    assert not list(tmp_path.glob("runs/*/config.json"))  # nothing that a second try would stumble over


def test_what_is_not_the_users_mistake_keeps_its_traceback(toy, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("of a library")

    monkeypatch.setattr("tladapt.losses.domain_adversarial", broken)
    with pytest.raises(ValueError, match="of a library"):
        call("train", "--data", str(toy), "--method", "dann", *SMALL, *FAST, "--out", str(tmp_path / "run"))


def test_no_command_shows_the_help():
    said = call()
    assert said.status == 2 and "Commands:" in said.err
