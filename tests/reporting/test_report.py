"""The page of a run and of a comparison: what is on it, and what it bears."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.reporting.conftest import add_pictures
from tests.reporting.test_page import checked
from tladapt.errors import DamagedDataError, RunFolderError, UsageError
from tladapt.reporting import read_run, results_table, write_report
from tladapt.reporting.measures import class_scores, command_of, confusion, reliability
from tladapt.reporting.projection import save_maps


def read(file):
    """Return a page's source after a look at its form, and the words on it."""
    page = file.read_text()
    checked(page)
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    return page, " ".join(re.sub(r"<[^>]*>", " ", body).split())


def test_the_page_of_a_run_holds_what_one_asks_for(make_run):
    folder = add_pictures(make_run())
    file = write_report([folder])
    assert file == folder / "report.html"
    page, words = read(file)
    for title in (
        *("Warnings", "Results", "What was trained on what", "Curves", "Classes and confusion", "Calibration"),
        *("Most confident mistakes", "Features"),
    ):
        assert f"<h2>{title}</h2>" in page
    assert "dann on digits-photo" in words
    assert "right on 84.0 % of the target&#x27;s test set (95 % interval 82.0 to 86.0)" in words
    assert "No warnings" in words
    for word in ("last", "chosen (by im)", "oracle (best on test labels)"):
        assert word in words
    assert "It looks at no label of the target" in words and "Nobody has these in practice" in words
    assert "tladapt train --data &#x27;own data.npz&#x27;" in page
    assert "scans" in words and "800" in words and "1.5 minutes on cpu" in words
    assert page.count('src="data:image/png') == 4 + 4 + 5
    assert "the domain of 2.5 % of held-out examples before training, and of 40.0 % after" in words
    assert "refused: collapsed" in words and "chance" in words
    assert page.count("<svg") > 10 and len(page) < 600_000


def test_numbers_on_the_page_are_those_of_the_outputs(make_run):
    folder = make_run(classes=("cat", "dog", "owl"))
    logits = 5.0 * np.eye(3)[[0, 0, 0, 1, 1, 1, 1, 2]]
    np.savez(folder / "outputs.npz", test_logits=logits, test_labels=np.array([0, 0, 0, 0, 1, 1, 1, 1]))
    counts = confusion(logits, np.array([0, 0, 0, 0, 1, 1, 1, 1]))
    cat, dog, owl = class_scores(counts, ["cat", "dog", "owl"])
    assert (cat.examples, cat.recall, cat.precision) == (4, 0.75, 1.0) and cat.f1 == pytest.approx(6 / 7)
    assert dog.precision == 0.75 and np.isnan(owl.recall) and owl.precision == 0.0
    page, words = read(write_report([folder]))
    assert 'title="cat taken for dog: 1 (25.0 %)"' in page and 'title="dog taken for owl: 1 (25.0 %)"' in page
    assert "mean 8 75.0" in words


def test_reliability_is_the_calibration_error_of_the_paper():
    rng = np.random.default_rng(0)
    logits, labels = 4 * rng.normal(size=(500, 4)), rng.integers(0, 4, 500)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    sure, right = p.max(1), p.argmax(1) == labels
    wanted, filled = 0.0, 0
    for low in np.arange(15) / 15:
        inside = (sure > low) & (sure <= low + 1 / 15)
        filled += bool(inside.any())
        wanted += abs(right[inside].mean() - sure[inside].mean()) * inside.mean() if inside.any() else 0.0
    bins, error = reliability(logits, labels)
    assert error == pytest.approx(wanted) and sum(share for *_, share in bins) == pytest.approx(1.0)
    assert len(bins) == filled


def test_a_run_without_test_labels_says_so(make_run):
    folder = add_pictures(make_run(labelled=False))
    _, words = read(write_report([folder]))
    assert "How good it is on the target is not known" in words and "no labelled test set" in words
    for title in ("Classes and confusion", "Calibration", "Most confident mistakes"):
        assert title not in words
    assert "Colours of the target" not in words


def test_a_run_on_vectors_lists_its_mistakes(make_run):
    folder = make_run()
    with np.load(folder / "outputs.npz") as outputs:
        arrays = dict(outputs)
    np.savez(folder / "outputs.npz", **arrays, mistakes=np.array([3, 5]))
    page, words = read(write_report([folder]))
    assert "Most confident mistakes" in words and "test example" in words and "<img" not in page


def test_an_unfinished_or_empty_run_is_shown_as_far_as_it_got(make_run):
    folder = make_run(finished=False, outputs=False)
    _, words = read(write_report([folder]))
    assert "This run is not finished: its log ends at step 3000 of 3000" in words and "Curves" in words
    (folder / "metrics.jsonl").write_text("")
    _, words = read(write_report([folder]))
    assert "its log ends at step 0" in words and "Curves" not in words


def test_what_users_name_is_escaped_and_warnings_are_shown(make_run):
    evil = "<script>alert(1)</script>"
    folder = add_pictures(make_run(scenario=evil, classes=(evil, "b", "c")))
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "warnings": [f"the term {evil}"]}))
    page, _ = read(write_report([folder]))
    assert "<script" not in page and "The term &lt;script&gt;" in page


def test_a_run_over_cached_features_says_so(make_run):
    folder = make_run()
    assert "the backbone stayed as its weights are" not in read(write_report([folder]))[1]
    config = json.loads((folder / "config.json").read_text())
    changed = {**config, "weights": "net.safetensors", "transfer": "features", "views": 3}
    (folder / "config.json").write_text(json.dumps(changed))
    _, words = read(write_report([folder]))
    assert "the backbone stayed as its weights are, and was run once, and 3 augmented views of each example" in words
    assert "net.safetensors" in words


def test_an_oracle_run_says_so_at_the_top(make_run):
    _, words = read(write_report([make_run(method="target_only")]))
    assert words.index("oracle: trained on the target&#x27;s labels") < words.index("Warnings")


def test_many_classes_are_listed_from_the_worst(make_run):
    folder = make_run(classes=tuple(f"class {i}" for i in range(60)))
    page, words = read(write_report([folder]))
    assert "The other 40 classes" in words and 'class="matrix"' not in page
    assert "The most frequent confusions" in words


def test_long_names_stand_on_the_map_as_numbers(make_run):
    _, words = read(write_report([make_run(classes=("a rather long name", "b", "c"))]))
    assert "Numbers on the maps: 0 a rather long name, 1 b, 2 c." in words
    assert "Numbers on the maps" not in read(write_report([make_run("short")]))[1]


def test_maps_are_those_of_the_figures_where_there_are_some(make_run):
    folder = make_run()
    assert "PCA of both domains" in read(write_report([folder]))[1]
    rng = np.random.default_rng(0)
    save_maps(read_run(folder), {"after": rng.normal(size=(500, 2))})
    _, words = read(write_report([folder]))
    assert "mapped to the plane by t-SNE" in words and "Before training" not in words
    (folder / "figures" / "maps.npz").write_text("garbled")
    with pytest.raises(DamagedDataError, match=r"maps\.npz cannot be read"):
        write_report([folder])


# ---- several runs --------------------------------------------------------------------------------------------------


def several(make_run, **last):
    """Write two seeds of each method, its accuracies as named."""
    for method, values in last.items():
        for seed, value in enumerate(values):
            make_run(f"bench/{method}/seed{seed}", method=method, seed=seed, last=value, log_every=500)


def test_a_comparison_groups_runs_by_method(make_run, tmp_path):
    several(make_run, source_only=(0.70, 0.71), dann=(0.80, 0.83), mmd=(0.9, 0.91))
    add_pictures(tmp_path / "bench/dann/seed0")
    file = write_report([tmp_path / "bench"])
    assert file == tmp_path / "bench" / "report.html"
    page, words = read(file)
    assert "3 methods on digits-photo" in words and "6 runs." in words
    assert "mmd has the highest accuracy on the target&#x27;s test set, 90.5 %: +20.0 points over source-only" in words
    assert "over 2 seeds" in words and "70.5 ± 0.7" in words
    for word in ("oracle (uses test labels)", "All runs", "dann/seed0", "source_only/seed1", "macro-F1", "ECE"):
        assert word in words
    assert page.count("tladapt train --data") == 1  # of the one run whose command is known


def test_many_classes_are_compared_in_rows(make_run, tmp_path):
    names = tuple(f"class {i}" for i in range(30))
    for method in ("source_only", "dann"):
        make_run(f"bench/{method}", method=method, classes=names, log_every=500)
    page, words = read(write_report([tmp_path / "bench"]))
    assert "Each of the 30 classes" in words and '<th scope="row">class 29</th>' in page
    assert '<th scope="col">class 29</th>' not in page


def test_runs_may_be_given_one_by_one_into_a_file(make_run, tmp_path):
    several(make_run, source_only=(0.70,), dann=(0.80,))
    folders = [tmp_path / "bench" / name / "seed0" for name in ("source_only", "dann")]
    _, words = read(write_report(folders, tmp_path / "page.html"))
    assert "2 methods" in words
    with pytest.raises(UsageError, match=r"2 folders have no place of their own for the page; say --out"):
        write_report(folders)


def test_worse_than_source_only_is_claimed_against_named_runs(make_run, tmp_path):
    several(make_run, source_only=(0.80, 0.81, 0.82), dann=(0.70, 0.72, 0.71), mmd=(0.79, 0.83, 0.80))
    _, words = read(write_report([tmp_path / "bench"]))
    assert "dann is worse than source-only: by 10.0 points" in words and "source_only/seed0" in words
    assert "mmd is worse" not in words
    table = results_table([read_run(path.parent) for path in sorted((tmp_path / "bench").glob("*/*/config.json"))])
    assert any("dann is worse than source-only" in note for note in table.notes)


def test_worse_than_from_scratch_is_claimed_against_named_runs(make_run, tmp_path):
    weights = {"config": {"weights": "net.safetensors", "penalty": {"name": "l2sp", "weight": 0.1}}}
    scratch = {"config": {"weights": None, "init": None, "penalty": None}}
    for seed, (tuned, plain) in enumerate([(0.70, 0.80), (0.72, 0.81), (0.71, 0.83)]):
        make_run(f"bench/tuned{seed}", last=tuned, seed=seed, log_every=500, **weights)
        make_run(f"bench/scratch{seed}", last=plain, seed=seed, log_every=500, **scratch)
    _, words = read(write_report([tmp_path / "bench"]))
    assert "is worse than the same training from scratch: by 10.3 points" in words and "negative transfer" in words
    assert "bench/scratch0" in words and "No gain" in words  # there is no source-only run
    _, words = read(write_report([tmp_path / "bench/tuned0"], against=[tmp_path / "bench/scratch0"]))
    assert "ends 10.0 points below the same training from scratch on the same seed" in words
    assert "It is -10.0 points against the same training from scratch" in words


def test_a_run_is_held_against_a_named_one(make_run, tmp_path):
    several(make_run, source_only=(0.80,), dann=(0.70,), mmd=(0.9,))
    bench = tmp_path / "bench"
    base = [bench / "source_only" / "seed0"]
    _, words = read(write_report([bench / "dann" / "seed0"], against=base))
    assert "dann ends 10.0 points below source-only on the same seed" in words and "One seed proves little" in words
    assert "source_only/seed0" in words
    _, words = read(write_report([bench / "mmd" / "seed0"], against=base))
    assert "+10.0 points against source-only" in words and "No warnings" in words
    other = make_run("other", method="source_only", recipe="another")
    with pytest.raises(UsageError, match=r"cannot be held against .*other: a finished source_only run was expected"):
        write_report([bench / "dann" / "seed0"], against=[other])


def test_what_is_no_run_is_named(make_run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match="empty is not a run's folder"):
        write_report([tmp_path / "empty"])
    with pytest.raises(RunFolderError, match="there is no folder"):
        write_report([tmp_path / "nowhere"])
    with pytest.raises(UsageError, match="at least one run"):
        write_report([])
    make_run("bench/a", finished=False)
    make_run("bench/b", finished=False, seed=1)
    with pytest.raises(UsageError, match="at least one finished run"):
        write_report([tmp_path / "bench"])
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_report([make_run("fine")], tmp_path / "file" / "page.html")


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["/usr/bin/tladapt", "train", "--data", "a b"], "tladapt train --data 'a b'"),
        (["/x/tladapt/__main__.py", "demo"], "tladapt demo"),
        (["mine.py", "1"], "python mine.py 1"),
        ([], None),
        (None, None),
    ],
)
def test_the_command_is_one_to_type_again(make_run, arguments, command):
    folder = make_run(outputs=False)
    (folder / "environment.json").write_text(json.dumps({"arguments": arguments}))
    assert command_of(read_run(folder)) == command
