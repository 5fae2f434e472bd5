import math

import numpy as np
import pytest
from sklearn import metrics as reference

from tladapt.errors import UsageError
from tladapt.evaluation import metrics


@pytest.fixture(params=[(1, 2), (7, 3), (501, 10)])
def predictions(request):
    """Logits that are right about half of the time, with classes that have no example."""
    n, classes = request.param
    rng = np.random.default_rng(n)
    labels = rng.integers(0, max(1, classes - 2), size=n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    return logits.astype(np.float32), labels.astype(np.int32)


def naive_softmax(row):
    e = [math.exp(z) for z in row]
    return [value / sum(e) for value in e]


def test_softmax_equals_a_naive_one(predictions):
    logits, _ = predictions
    np.testing.assert_allclose(
        metrics.softmax(logits), [naive_softmax(row) for row in logits.astype(np.float64)], rtol=1e-12
    )


def test_softmax_is_stable_and_says_nan_for_what_is_not_finite():
    assert metrics.softmax([[1e4, -1e4]]).tolist() == [[1.0, 0.0]]
    assert metrics.softmax([[0.0, -np.inf]]).tolist() == [[1.0, 0.0]]
    assert np.isnan(metrics.softmax([[np.inf, 0.0], [np.nan, 0.0]])).all()


def test_entropy_is_between_zero_and_log_classes():
    assert metrics.entropy(np.full(7, 1 / 7)) == pytest.approx(math.log(7))
    assert metrics.entropy([0.0, 1.0]) == 0
    assert metrics.entropy([[0.25, 0.75]])[0] == pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.75))
    assert np.isnan(metrics.entropy([np.nan, 1.0]))


def test_accuracy_confusion_and_recall_equal_scikit_learn(predictions):
    logits, labels = predictions
    guessed, classes = logits.argmax(axis=1), logits.shape[1]
    assert metrics.accuracy(logits, labels) == reference.accuracy_score(labels, guessed)
    confusion = reference.confusion_matrix(labels, guessed, labels=range(classes))
    np.testing.assert_array_equal(metrics.confusion_matrix(logits, labels), confusion)
    recalls = metrics.per_class_accuracy(logits, labels)
    present = np.unique(labels)
    np.testing.assert_allclose(
        recalls[present], reference.recall_score(labels, guessed, labels=present, average=None, zero_division=0)
    )
    assert np.isnan(np.delete(recalls, present)).all()
    assert metrics.mean_class_accuracy(logits, labels) == pytest.approx(recalls[present].mean())


def test_macro_f1_equals_scikit_learn(predictions):
    logits, labels = predictions
    expected = reference.f1_score(labels, logits.argmax(axis=1), average="macro", zero_division=0)
    assert metrics.macro_f1(logits, labels) == pytest.approx(expected, abs=1e-12)


def test_a_row_of_nan_is_wrong_and_in_no_column():
    logits, labels = np.array([[np.nan, 0.0], [1.0, 0.0]]), np.array([0, 0])
    assert metrics.accuracy(logits, labels) == 0.5
    assert metrics.confusion_matrix(logits, labels).tolist() == [[1, 0], [0, 0]]
    assert math.isnan(metrics.expected_calibration_error(logits, labels))


def naive_ece(logits, labels, bins=15):
    total = 0.0
    probabilities = [naive_softmax(row) for row in logits.astype(np.float64)]
    for m in range(bins):
        inside = [i for i, p in enumerate(probabilities) if m / bins < max(p) <= (m + 1) / bins]
        if inside:
            right = sum(int(np.argmax(probabilities[i])) == labels[i] for i in inside) / len(inside)
            sure = sum(max(probabilities[i]) for i in inside) / len(inside)
            total += len(inside) / len(labels) * abs(right - sure)
    return total


def test_calibration_error_equals_a_naive_one(predictions):
    logits, labels = predictions
    assert metrics.expected_calibration_error(logits, labels) == pytest.approx(naive_ece(logits, labels), abs=1e-12)


def test_calibration_bins_are_where_the_formula_puts_them():
    probabilities = np.array([[0.90, 0.10], [0.96, 0.04]])  # in (13/15, 14/15], right; and in (14/15, 1], wrong
    assert metrics.expected_calibration_error(np.log(probabilities), [0, 1]) == pytest.approx((0.10 + 0.96) / 2)
    edge = np.log([[0.5, 0.5], [0.6, 0.4]])  # 0.5 belongs to the lower of two bins: (0, 0.5]
    assert metrics.expected_calibration_error(edge, [0, 1], bins=2) == pytest.approx((0.5 + 0.6) / 2)


def test_wilson_interval_equals_the_textbook():
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81 of 263 gives 0.2553 to 0.3662.
    low, high = metrics.accuracy_interval(np.arange(263) < 81)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert metrics.accuracy_interval(np.arange(263) < 81, groups=np.arange(263)) == (low, high)


def test_interval_over_groups_is_wider_where_groups_agree():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 10)
    correct = np.repeat(rng.random(60) < 0.7, 10) ^ (rng.random(600) < 0.05)
    plain, clustered = metrics.accuracy_interval(correct), metrics.accuracy_interval(correct, groups)
    assert clustered[0] < correct.mean() < clustered[1]
    assert 2 < (clustered[1] - clustered[0]) / (plain[1] - plain[0]) < 4  # sqrt(10) for groups that agree wholly


def test_interval_over_groups_equals_a_loop_over_resamples():
    rng = np.random.default_rng(3)
    groups, correct = rng.integers(0, 40, size=300), rng.random(300) < 0.6
    loop = np.random.default_rng(5)
    resampled = []
    for _ in range(2000):
        drawn = loop.choice(np.unique(groups), size=len(np.unique(groups)))
        resampled.append(np.concatenate([correct[groups == group] for group in drawn]).mean())
    np.testing.assert_allclose(
        metrics.accuracy_interval(correct, groups), np.quantile(resampled, [0.025, 0.975]), atol=0.01
    )
    assert metrics.accuracy_interval(correct, groups) == metrics.accuracy_interval(correct, groups)
    assert metrics.accuracy_interval(correct, groups, seed=1) != metrics.accuracy_interval(correct, groups)


def test_interval_where_resampling_shows_no_spread():
    assert metrics.accuracy_interval(np.ones(50, bool), np.repeat(np.arange(5), 10)) == metrics.accuracy_interval(
        [1] * 5
    )
    low, high = metrics.accuracy_interval(np.ones(50, bool), np.zeros(50, int))
    assert low < 0.25 and high == 1  # one unit says next to nothing


def test_classification_metrics_is_flat_and_fit_for_json(predictions):
    import json

    logits, labels = predictions
    found = metrics.classification_metrics(logits, labels, [str(c) for c in range(logits.shape[1])])
    assert list(found) == ["accuracy", "mean_class_accuracy", "macro_f1", "ece", "interval", "per_class_accuracy"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["interval"][0] <= found["accuracy"] <= found["interval"][1]
    assert len(found["per_class_accuracy"]) == logits.shape[1]
    grouped = metrics.classification_metrics(logits, labels, logits.shape[1], groups=np.arange(len(labels)) // 4)
    assert grouped["accuracy"] == found["accuracy"]


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        (np.zeros((3, 2)), [0, 1], r"shapes \(3, 2\) and \(2,\)"),
        (np.zeros((0, 2)), np.zeros(0, int), "no examples"),
        (np.zeros((2, 2)), [0, 2], r"\[0, 2\)"),
        (np.zeros((2, 2)), [0, -1], "unknown"),
        (np.zeros((2, 2)), [0.0, 1.0], "integers"),
    ],
)
def test_errors_say_what_came(logits, labels, words):
    with pytest.raises(UsageError, match=words):
        metrics.accuracy(logits, labels)


def test_errors_of_classes_and_groups():
    with pytest.raises(UsageError, match="2 columns, but there are 3 classes"):
        metrics.classification_metrics(np.zeros((1, 2)), [0], ["a", "b", "c"])
    with pytest.raises(UsageError, match="one entry for each of the 3"):
        metrics.accuracy_interval([1, 0, 1], groups=[0, 1])
