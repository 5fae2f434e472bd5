"""DEV: the risk and its identities, the density ratio, and when it says that it is not to be trusted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.evaluation import naive
from tladapt.errors import UsageError
from tladapt.evaluation import ValidationOutputs
from tladapt.evaluation.validators import DeepEmbeddedValidation
from tladapt.evaluation.validators.dev import density_ratio, effective_sample_size, risk


def draws(seed=0, n=50):
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(size=n)), rng.random(size=n)


def outputs(shift, *, n=400, wrong=80, seed=0, width=2):
    """A source and a target that lie `shift` apart, and a model that errs on the source's left side."""
    rng = np.random.default_rng(seed)
    held_out, trained, target = rng.normal(size=(n, width)), rng.normal(size=(n, width)), rng.normal(size=(n, width))
    target[:, 0] += shift
    labels = np.arange(n) % 2
    errs = np.argsort(np.argsort(held_out[:, 0])) < wrong
    logits = 3.0 * np.eye(2)[np.where(errs, 1 - labels, labels)]
    return ValidationOutputs(held_out, logits, labels, target, logits, source_training_features=trained)


@pytest.mark.parametrize("n", [2, 9, 50])
def test_risk_equals_the_naive_one(n):
    weights, losses = draws(n=n)
    assert risk(weights, losses) == pytest.approx(naive.dev_risk(weights, losses), rel=1e-10, abs=1e-12)


def test_equal_weights_give_the_plain_mean():
    _, losses = draws()
    assert risk(np.ones(50), losses) == pytest.approx(losses.mean(), rel=1e-12)
    assert risk([1.0], [0.25]) == 0.25
    assert risk(np.full(50, 0.1) + 1e-18, losses) == pytest.approx(0.1 * losses.mean())  # equal but for rounding


@pytest.mark.parametrize("k", [-3.0, 0.5, 40.0])
def test_the_control_variate_takes_away_every_multiple_of_w_minus_1(k):
    weights, losses = draws()
    other = losses + k * (weights - 1) / weights  # w l + k (w - 1)
    assert risk(weights, other) == pytest.approx(risk(weights, losses), rel=1e-9)


def test_a_constant_loss_is_the_risk_whatever_the_weights():
    """Cov(w c, w) = c Var(w), so eta = -c and c mean(w) - c mean(w) + c = c; plain weighting gives c mean(w)."""
    weights, _ = draws()
    assert risk(10 * weights, np.full(50, 0.3)) == pytest.approx(0.3, rel=1e-9)


def test_effective_sample_size():
    assert effective_sample_size(np.ones(7)) == pytest.approx(7)
    assert effective_sample_size([0.0, 3.0, 0.0]) == pytest.approx(1)
    assert effective_sample_size([1e300, 1e300]) == pytest.approx(2)
    assert effective_sample_size(np.zeros(3)) == 0
    weights, _ = draws()
    assert effective_sample_size(weights) == pytest.approx(weights.sum() ** 2 / (weights**2).sum())


def test_density_ratio_of_two_gaussians():
    """log p_t / p_s = shift x - shift^2 / 2 for unit variances; half as many target as source examples."""
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(20_000, 1)), rng.normal(size=(10_000, 1)) + 0.8
    at = np.linspace(-2, 3, 11)[:, None]
    np.testing.assert_allclose(np.log(density_ratio(source, target, at)), 0.8 * at[:, 0] - 0.32, atol=0.06)


def test_equal_domains_have_weights_of_one():
    rng = np.random.default_rng(0)
    weights = density_ratio(*rng.normal(size=(3, 500, 8)))
    assert weights.mean() == pytest.approx(1, abs=0.1) and weights.std() < 0.3


def test_the_score_follows_the_target():
    """The model errs on the left. A target on the left has a higher risk than the source, one on the right a lower."""
    left, middle, right = (DeepEmbeddedValidation().assess(outputs(shift)) for shift in (-1.0, 0.0, 1.0))
    assert left.score < -0.4 < middle.score < -0.1 < right.score < 0.05
    assert middle.score == pytest.approx(-0.2, abs=0.03)
    assert middle.details["effective_sample_size"] > 300 > left.details["effective_sample_size"] > 100
    assert middle.details["mean_weight"] == pytest.approx(1, abs=0.1)
    assert not middle.doubt and not left.doubt


def test_domains_that_hardly_overlap_are_told():
    found = DeepEmbeddedValidation().assess(outputs(6.0))
    assert "effective examples of 400" in found.doubt and "hardly overlap" in found.doubt
    assert found.details["effective_sample_size"] < 20 and math.isfinite(found.score)
    apart = DeepEmbeddedValidation().assess(outputs(1e6))
    assert math.isfinite(apart.score) and apart.doubt


def test_a_model_without_an_error_is_told():
    found = DeepEmbeddedValidation().assess(outputs(0.3, wrong=0))
    assert found.score == 0 and "all 400 source validation examples are right" in found.doubt
    graded = DeepEmbeddedValidation(loss="cross_entropy").assess(outputs(0.3, wrong=0))
    assert graded.score == pytest.approx(-math.log(1 + math.exp(-3)), rel=1e-6) and not graded.doubt


def test_deterministic_and_score_is_that_of_assess():
    seen = outputs(0.5)
    assert DeepEmbeddedValidation().score(seen) == DeepEmbeddedValidation().assess(seen).score
    assert DeepEmbeddedValidation().assess(seen) == DeepEmbeddedValidation().assess(seen)


@pytest.mark.filterwarnings("error")
def test_constant_and_non_finite_features():
    seen = outputs(0.0)
    constant = seen._replace(**{name: np.ones((400, 2)) for name in seen._fields if name.endswith("features")})
    assert DeepEmbeddedValidation().score(constant) == pytest.approx(-0.2)
    broken = seen.target_features.copy()
    broken[0, 0] = np.nan
    assert math.isnan(DeepEmbeddedValidation().score(seen._replace(target_features=broken)))


def test_mistakes():
    with pytest.raises(UsageError, match="needs features of source training examples"):
        DeepEmbeddedValidation().score(outputs(0.0)._replace(source_training_features=None))
    with pytest.raises(UsageError, match="loss must be 'error' or 'cross_entropy', got 'hinge'"):
        DeepEmbeddedValidation(loss="hinge")
    with pytest.raises(UsageError, match="limit must be at least 10"):
        DeepEmbeddedValidation(limit=3)
    with pytest.raises(UsageError, match="at least 5 examples of each domain, got 400 and 4"):
        DeepEmbeddedValidation().score(outputs(0.0)._replace(target_features=np.zeros((4, 2))))
