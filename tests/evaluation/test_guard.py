import re

import numpy as np
import pytest

from tladapt.evaluation.validators import ValidationOutputs, collapse, effective_rank


def model(predicted, *, classes=10, prior=None, features=None, seed=0):
    """Outputs of a model with the given predictions on the target and broad features."""
    rng = np.random.default_rng(seed)
    predicted = np.asarray(predicted)
    labels = np.arange(1000) % classes if prior is None else rng.choice(classes, size=1000, p=prior)
    source = rng.normal(size=(1000, 32))
    target = rng.normal(size=(len(predicted), 32)) if features is None else features
    logits = rng.normal(size=(len(predicted), classes)) + 20 * np.eye(classes)[predicted]
    return ValidationOutputs(source, 20 * np.eye(classes)[labels], labels, target, logits)


def spread(*shares, n=1000):
    """Predictions with the given shares of the classes."""
    return np.repeat(np.arange(len(shares)), np.round(n * np.array(shares) / sum(shares)).astype(int))


@pytest.mark.parametrize(
    "predicted",
    [
        spread(*[1] * 10),
        spread(1, 1, 1),  # three of ten classes learned
        spread(60, 15, 10, 5, 5, 5),  # an early model with a favourite
        spread(1, 1, 1, 1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2),
    ],
)
def test_a_model_that_uses_several_classes_passes(predicted):
    assert collapse(model(predicted)) is None


@pytest.mark.parametrize(
    ("predicted", "words"),
    [
        (spread(1), "every target example is predicted as class 0"),
        (spread(1, 1), "2.0 effective classes of 10.0"),
        (spread(49, 49, *[0.25] * 8), r"effective classes of 10.0 \(class 0 has 49%\)"),
        (spread(95, *[0.5] * 9), "class 0 has 9"),
    ],
)
def test_a_model_of_one_or_two_classes_is_refused(predicted, words):
    assert re.search(words, collapse(model(predicted)))


def test_the_source_prior_is_the_measure():
    rare = spread(94, 6)
    assert collapse(model(rare, classes=2, prior=[0.94, 0.06])) is None
    assert "effective classes" in collapse(model(rare, classes=2))
    assert collapse(model(spread(1), classes=2, prior=[0.94, 0.06])) == "every target example is predicted as class 0"
    assert collapse(model(spread(1), classes=2, prior=[1.0, 0.0])) is None  # a source of one class asks for no more


def test_partial_adaptation_passes():
    assert collapse(model(spread(*[1] * 10), classes=31)) is None  # Office-31's partial protocol: 10 of 31 classes
    assert collapse(model(spread(*[1] * 25), classes=65)) is None  # Office-Home's: 25 of 65


def test_few_examples_are_not_held_against_a_model():
    assert collapse(model(np.arange(4), classes=1000, features=np.eye(4))) is None
    assert collapse(model([7], classes=10, features=np.ones((1, 3)))) is None


def test_without_source_labels_the_prior_is_uniform():
    source_free = model(spread(1, 1))._replace(
        source_features=np.zeros((0, 32)), source_logits=np.zeros((0, 10)), source_labels=np.zeros(0, int)
    )
    assert "2.0 effective classes of 10.0" in collapse(source_free)


def test_flat_features_are_refused():
    rng = np.random.default_rng(0)
    predicted = spread(*[1] * 10)
    line = rng.normal(size=(1000, 1)) * rng.normal(size=(1, 32)) + 1e-3 * rng.normal(size=(1000, 32))
    assert "fill 1." in collapse(model(predicted, features=line))
    assert collapse(model(predicted, features=np.full((1000, 32), 0.1, np.float32))) == (
        "all target examples have the same features"
    )
    plane = rng.normal(size=(1000, 2))  # a user's two-dimensional features are no collapse
    assert collapse(model(predicted, features=plane)) is None


def test_class_means_alone_are_enough_directions():
    for classes in (2, 3, 10, 65):
        predicted = np.arange(1300) % classes
        simplex = np.eye(classes)[predicted]  # each example at its class mean: neural collapse, the best of models
        assert collapse(model(predicted, classes=classes, features=simplex)) is None


@pytest.mark.parametrize("field", ["source_features", "source_logits", "target_features", "target_logits"])
def test_what_is_not_finite_is_refused(field):
    healthy = model(spread(*[1] * 10))
    broken = np.array(getattr(healthy, field))
    broken[3, 0] = np.nan
    broken[5, 1] = np.inf
    assert (
        collapse(healthy._replace(**{field: broken}))
        == f"{field.replace('_', ' ')} are not finite for 2 of 1000 examples"
    )


def test_effective_rank_equals_singular_values_and_keeps_its_bounds():
    rng = np.random.default_rng(0)
    for n, d in ((5, 40), (40, 5), (90, 90)):
        x = rng.normal(size=(n, d)).astype(np.float32) * rng.random(d).astype(np.float32) + 7
        s = np.linalg.svd(x.astype(np.float64) - x.astype(np.float64).mean(axis=0), compute_uv=False)
        p = s[s > 1e-6 * s[0]] / s.sum()
        assert effective_rank(x) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-4)
        assert 1 <= effective_rank(x) <= min(n - 1, d)
        assert effective_rank(1e30 * x.astype(np.float64)) == pytest.approx(effective_rank(x), rel=1e-6)


def test_effective_rank_of_many_examples_is_that_of_an_even_sample():
    x = np.random.default_rng(0).normal(size=(20_000, 8)) * [8, 7, 6, 5, 4, 3, 2, 1]
    s = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    p = s / s.sum()
    assert effective_rank(x) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=0.02)


def test_early_training_of_a_real_model_passes():
    """A small network on scikit-learn's digits, its target inverted in part: refused at the start at most."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    x, y = load_digits(return_X_y=True)
    x = x / 16
    rng = np.random.default_rng(0)
    target = np.abs(rng.uniform(0, 0.6, size=x[900:].shape) - x[900:])
    network = MLPClassifier((64, 32), solver="sgd", learning_rate_init=0.05, random_state=1)
    words = {}
    for step in range(1, 65):
        batch = rng.integers(0, 900, size=64)
        network.partial_fit(x[batch], y[batch], classes=np.arange(10))

        def forward(inputs):
            h = inputs
            for weight, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
                h = np.maximum(h @ weight + bias, 0)
            return h, h @ network.coefs_[-1] + network.intercepts_[-1]

        words[step] = collapse(ValidationOutputs(*forward(x[:200]), y[:200], *forward(target)))
    assert "effective classes" in words[1]  # fresh weights say one class for nearly everything
    assert not any(words[step] for step in range(16, 65))
