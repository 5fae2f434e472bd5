import json
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from tladapt.errors import MissingPackageError, RunFolderError
from tladapt.reporting import read_run, write_figures
from tladapt.reporting.confusion import confusion_figure
from tladapt.reporting.curves import curves_figure, title_of
from tladapt.reporting.embedding import embedding_figure
from tladapt.reporting.projection import project
from tladapt.reporting.style import style


def texts(figure):
    """All that a figure says."""
    import matplotlib.text

    return " | ".join(found.get_text() for found in figure.findobj(matplotlib.text.Text) if found.get_text())


def drawn(make, folder):
    """The figure as it is written."""
    with style():
        return make(read_run(folder))


def panels(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def shrink(folder, m=40):
    """Keep few features, so that the embedding takes no time."""
    with np.load(folder / "outputs.npz") as arrays:
        kept = {name: arrays[name] if name.startswith("test") else arrays[name][:m] for name in arrays.files}
    np.savez(folder / "outputs.npz", **kept)
    return folder


def test_all_figures_are_written_and_show_something(make_run):
    folder = shrink(make_run())
    written = write_figures(folder)
    assert [file.relative_to(folder).as_posix() for file in written] == [
        "figures/curves.png",
        "figures/confusion.png",
        "figures/embedding.png",
    ]
    for file in written:
        image = imread(file)
        assert min(image.shape[:2]) > 600 and image[..., :3].std() > 0.05
    there = {file.name for file in (folder / "figures").iterdir()}
    assert there == {"maps.npz", *(file.name for file in written)}


def test_curves_have_a_panel_for_each_quantity(make_run):
    figure = drawn(curves_figure, make_run())
    assert set(panels(figure)) == {
        "Accuracy over evaluations",
        "Loss terms",
        "Gradient of each term",
        "Adaptation coefficient",
        "Domain discriminator",
        "Learning rate",
        "Validator (no target labels)",
    }
    said = texts(figure)
    for words in (
        "oracle: test labels",
        "chosen (step 2700)",
        "chance",
        "refused (collapse)",
        "dann on digits-photo, seed 0",
    ):
        assert words in said
    assert all(axes.get_xlabel().startswith("step") and axes.get_ylabel() for axes in figure.axes)


def test_curves_show_the_numbers_of_the_log(make_run):
    run = read_run(make_run())
    figure = drawn(curves_figure, run.path)
    by_title = dict(zip(panels(figure), figure.axes, strict=True))
    target = by_title["Accuracy over evaluations"].lines[1]
    np.testing.assert_allclose(target.get_ydata(), [100 * row["target/accuracy"] for row in run.of_kind("eval")])
    chance = by_title["Domain discriminator"].lines[1]
    assert set(chance.get_ydata()) == {50}


def test_panels_without_data_are_left_out(make_run):
    titles = panels(drawn(curves_figure, make_run("plain", method="source_only")))
    assert "Domain discriminator" not in titles and "Adaptation coefficient" not in titles
    assert "oracle" not in texts(drawn(curves_figure, make_run("unlabelled", labelled=False)))


def test_many_log_points_are_shown_as_a_moving_average_that_says_so(make_run):
    said = texts(drawn(curves_figure, make_run(log_every=5)))
    assert "moving average" in said
    assert "moving average" not in texts(drawn(curves_figure, make_run("few")))


def test_an_oracle_run_carries_the_word(make_run):
    run = read_run(shrink(make_run(method="target_only")))
    assert "oracle" in title_of(run)
    for make in (curves_figure, confusion_figure, embedding_figure):
        figure = drawn(make, run.path)
        assert "target_only (oracle: trained on target labels)" in texts(figure)


def test_confusion_shows_counts_and_shares(make_run):
    folder = make_run(classes=("cat", "dog", "owl"))
    logits = np.eye(3)[[0, 0, 0, 1, 1, 1, 1, 2]]
    np.savez(folder / "outputs.npz", test_logits=logits, test_labels=[0, 0, 0, 0, 1, 1, 1, 1])
    figure = drawn(confusion_figure, folder)
    image = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(image[:2], [[75, 25, 0], [0, 75, 25]])
    assert image.mask[2].all()  # no owl was tested: no share, and no division by zero
    said = texts(figure)
    for words in ("cat (4)", "dog (4)", "owl (0)", "75", "75.0 % of 8 right"):
        assert words in said


@pytest.mark.parametrize("size", [2, 12, 13, 45])
def test_confusion_and_embedding_bear_any_number_of_classes(make_run, size):
    folder = shrink(make_run(classes=tuple(f"a_rather_long_name_{index}" for index in range(size)), log_every=500))
    assert [file.stem for file in write_figures(folder)] == ["curves", "confusion", "embedding"]
    assert ("a_rather_long_n…" in texts(drawn(embedding_figure, folder))) == (size <= 40)


def test_runs_without_labels_or_outputs_have_fewer_figures(make_run):
    unlabelled = shrink(make_run("unlabelled", labelled=False))
    assert [file.stem for file in write_figures(unlabelled)] == ["curves", "embedding"]
    assert "labels unknown" in texts(drawn(embedding_figure, unlabelled))
    running = make_run("running", finished=False, outputs=False)
    assert [file.stem for file in write_figures(running)] == ["curves"]
    (running / "metrics.jsonl").write_text("")
    assert write_figures(running) == []


def test_numbers_that_are_not_finite_stop_no_figure(make_run):
    folder = shrink(make_run(steps=600))
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows[-6:]:
        row |= {key: None for key in row if key.startswith(("loss", "gradient", "validator", "lambda"))}
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    with np.load(folder / "outputs.npz") as arrays:
        broken = dict(arrays)
    broken["after_target"][0, 0] = np.nan
    np.savez(folder / "outputs.npz", **broken)
    assert [file.stem for file in write_figures(folder)] == ["curves", "confusion"]


def test_projection_keeps_neighbours_and_is_the_same_twice():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 30)
    features = 10 * np.eye(3)[labels] @ rng.normal(size=(3, 20)) + rng.normal(size=(90, 20))
    points = project(features)
    distances = np.linalg.norm(points[:, None] - points[None, :], axis=-1) + 1e9 * np.eye(90)
    assert (labels[distances.argmin(axis=1)] == labels).mean() > 0.95
    np.testing.assert_array_equal(points, project(features))


@pytest.mark.parametrize(
    "features", [np.ones((20, 4)), np.zeros((3, 4)), np.arange(20.0)[:, None], np.eye(2)[[0, 1] * 10]]
)
def test_projection_bears_degenerate_features(features):
    points = project(features)
    assert points.shape == (len(features), 2) and np.isfinite(points).all()


def test_an_unwritable_folder_is_named(make_run, monkeypatch):
    folder = make_run(outputs=False)
    (folder / "figures").write_text("a file where the folder should be")
    with pytest.raises(RunFolderError, match=r"curves.png cannot be written"):
        write_figures(folder)


def test_a_figure_is_written_whole_or_not_at_all(make_run, monkeypatch):
    import os

    folder = make_run(outputs=False)
    before = write_figures(folder)[0].read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    (folder / "summary.json").unlink()  # another figure from now on: no chosen step
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunFolderError, match="No space left"):
        write_figures(folder)
    assert (folder / "figures" / "curves.png").read_bytes() == before
    assert [file.name for file in (folder / "figures").iterdir()] == ["curves.png"]


def test_without_matplotlib_the_message_names_the_extra(make_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r"tladapt\[plot\]"):
        write_figures(make_run())


def test_reporting_needs_no_jax(make_run):
    folder = shrink(make_run())
    code = (
        "import sys, tladapt.reporting as r;"
        "assert 'matplotlib' not in sys.modules and 'sklearn' not in sys.modules and 'rich' not in sys.modules;"
        f"r.write_figures({str(folder)!r}); r.write_report([{str(folder)!r}]);"
        f"r.to_rich(r.results_table([r.read_run({str(folder)!r})]));"
        "found = {name.split('.')[0] for name in sys.modules} & {'jax', 'flax', 'optax', 'orbax'};"
        "assert not found, found;"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('tladapt.')};"
        "assert rooms <= {'reporting', 'errors', 'registry'}, rooms"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
