"""DEV: the target's risk, estimated on held-out source examples that are weighted by how target-like they are."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any, ClassVar, Literal

import numpy as np

from tladapt.errors import UsageError
from tladapt.evaluation.metrics import predict
from tladapt.evaluation.validators.base import VALIDATORS, Assessment, ValidationOutputs, Validator, thinned

ENOUGH = 100  # effective examples: an error rate of one half then has a standard error of 5 points
_STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)  # of the L2 term in the classifier's mean loss; of equals, the strongest
_LARGEST = 50.0  # of |ln w|: beyond it squares of weights leave the floats


@VALIDATORS.register("dev")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DeepEmbeddedValidation(Validator):
    """`DEV = -(mean(L) + eta mean(w) - eta)`: minus the importance-weighted source risk, with a control variate.

    Over the source's validation examples, `L_i = w_i l_i`, `l_i` the model's loss, `eta = -Cov(L, w) / Var(w)`, and
    `w_i = p_t(f_i) / p_s(f_i) = (m_s / m_t) P(target | f_i) / P(source | f_i)` from a domain classifier that was fitted
    on `m_s` source training and `m_t` target features. The score is at most about 0, higher = a smaller risk.

    The estimate rests on `ESS = (sum w)^2 / sum w^2` examples, its effective sample size, and on weights whose mean
    should be 1. Where the domains hardly overlap, both fail, and so does the score, however good it looks:
    `assess` gives them as details, and says so in words for a mean outside [1/2, 2] and an ESS that is below 100 and
    below half of the examples. A model without an error on the source's validation examples scores 0 whatever the
    weights: with so easy a source take `loss="cross_entropy"`.

    Deviations from the paper:
      1. The domain classifier is a logistic regression on standardised features (the authors' code: a perceptron with
         two hidden layers).
      2. Its L2 strength is chosen by the log loss on a held-out fifth, not by accuracy: weights need probabilities.
      3. Weights that are all equal have eta = 0 (0/0 by the formula).
      4. Each domain is thinned evenly to at most `limit` examples for the classifier.

    Source: You, Wang, Long, Jordan, "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation", ICML
    2019 (PMLR 97); effective sample size: Kong, "A note on importance sampling using standardized weights", University
    of Chicago, 1992.

    Raises:
      UsageError: for a limit below 10.

    Example:
      >>> import numpy as np
      >>> rng = np.random.default_rng(0)
      >>> f, labels = rng.normal(size=(3, 200, 2)), np.arange(200) % 2
      >>> z = 9.0 * np.eye(2)[np.where(np.arange(200) < 50, 1 - labels, labels)]  # a quarter is wrong
      >>> seen = ValidationOutputs(f[0], z, labels, f[1], z, source_training_features=f[2])
      >>> print(f"{DeepEmbeddedValidation().score(seen):.1f}")  # equal domains: about minus the error rate
      -0.2
    """

    name: ClassVar[str] = "dev"
    summary: ClassVar[str] = "deep embedded validation: source risk, weighted by density ratios of the features"
    costly: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"source_training_features"})

    loss: Literal["error", "cross_entropy"] = "error"
    """Loss of a validation example: 0 or 1, or the cross entropy."""
    limit: int = 5_000
    """At most this many examples of each domain for the domain classifier, evenly thinned."""

    def __post_init__(self) -> None:
        if self.loss not in ("error", "cross_entropy"):
            raise UsageError(f"dev: loss must be 'error' or 'cross_entropy', got {self.loss!r}.")
        if self.limit < 10:
            raise UsageError(f"dev: limit must be at least 10 examples, got {self.limit!r}.")

    def score(self, outputs: ValidationOutputs) -> float:
        """Return minus the estimated risk."""
        return self.assess(outputs).score

    def assess(self, outputs: ValidationOutputs) -> Assessment:
        """Return minus the estimated risk, with `effective_sample_size` and `mean_weight`.

        Raises:
          UsageError: for outputs without `source_training_features`, or fewer than 5 examples of a domain.
        """
        if outputs.source_training_features is None:
            raise UsageError(
                "dev needs features of source training examples:"
                " ValidationOutputs(..., source_training_features=[m, d])."
            )
        labels = np.asarray(outputs.source_labels, dtype=np.int64)
        source = thinned(outputs.source_training_features, self.limit)
        target = thinned(outputs.target_features, self.limit)
        held_out = np.asarray(outputs.source_features, dtype=np.float64)
        losses = self._losses(np.asarray(outputs.source_logits, dtype=np.float64), labels)
        if not all(np.isfinite(values).all() for values in (source, target, held_out, losses)):
            return Assessment(math.nan)
        flat = (values.reshape(len(values), -1) for values in (source, target, held_out))
        weights = density_ratio(*flat)
        size, mean = effective_sample_size(weights), float(weights.mean())
        details = {"effective_sample_size": size, "mean_weight": mean}
        return Assessment(0.0 - risk(weights, losses), details, _doubt(weights, losses))

    def _losses(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        if self.loss == "error":
            wrong: np.ndarray = (predict(logits) != labels).astype(np.float64)
            return wrong
        shifted = logits - logits.max(axis=1, keepdims=True)
        own = np.take_along_axis(shifted, labels[:, None], axis=1)[:, 0]
        return np.asarray(np.log(np.exp(shifted).sum(axis=1)) - own)


def _doubt(weights: np.ndarray, losses: np.ndarray) -> str:
    size, mean, examples = effective_sample_size(weights), weights.mean(), len(weights)
    words = []
    if size < min(ENOUGH, examples / 2):
        words.append(f"it rests on {size:.1f} effective examples of {examples}")
    if not 0.5 <= mean <= 2:
        words.append(f"its weights average {mean:.2g} where 1 was expected: the domains hardly overlap")
    if not losses.any():
        words.append(f"all {examples} source validation examples are right, so there is nothing to weigh")
    return f"the score of dev says little: {'; '.join(words)}." if words else ""


def risk(weights: Any, losses: Any) -> float:
    """Weighted risk with a control variate: `mean(w l) + eta mean(w) - eta`, `eta = -Cov(w l, w) / Var(w)`.

    Args:
      weights: `[n]`, density ratios, >= 0.
      losses: `[n]`.

    Returns:
      The estimate; it does not change when a multiple of `w - 1` is added to `w l`. With weights that are all equal,
      or one example, `mean(w l)`.

    Example:
      >>> risk([1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0])
      0.25
    """
    w = np.asarray(weights, dtype=np.float64)
    weighted = w * np.asarray(losses, dtype=np.float64)
    centred = w - w.mean()
    if np.abs(centred).max() <= 1e-12 * np.abs(w).max():  # all equal, but for rounding
        return float(weighted.mean())
    eta = -float(((weighted - weighted.mean()) * centred).sum() / (centred**2).sum())  # ddof cancels
    return float(weighted.mean() + eta * (w.mean() - 1.0))


def effective_sample_size(weights: Any) -> float:
    """How many equally weighted examples weights are worth: `(sum w)^2 / sum w^2`, in [1, n]; 0 for no weight at all.

    Args:
      weights: `[n]`, >= 0.

    Example:
      >>> effective_sample_size([1.0, 1.0, 0.0, 0.0])
      2.0
    """
    w = np.asarray(weights, dtype=np.float64)
    largest = w.max(initial=0.0)
    if largest == 0:
        return 0.0
    w = w / largest  # squares must not overflow
    return float(w.sum() ** 2 / (w**2).sum())


def density_ratio(source: np.ndarray, target: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return `p_target(x) / p_source(x)` `[n]` at `at` `[n, d]`, by a logistic regression that tells the two apart.

    Args:
      source: `[m_s, d]` float64, examples that are not among `at`.
      target: `[m_t, d]`.
      at: `[n, d]`.

    Raises:
      UsageError: for fewer than 5 examples of a domain: a fifth of each is held out.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    if min(len(source), len(target)) < 5:
        raise UsageError(f"dev needs at least 5 examples of each domain, got {len(source)} and {len(target)}.")
    rng = np.random.default_rng(0)
    (check_s, fit_s), (check_t, fit_t) = (np.split(rng.permutation(x), [len(x) // 5]) for x in (source, target))
    x, x_check = np.concatenate([fit_s, fit_t]), np.concatenate([check_s, check_t])
    y = np.repeat([0, 1], [len(fit_s), len(fit_t)])
    sign = np.repeat([-1.0, 1.0], [len(check_s), len(check_t)])
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    deviation = np.where(deviation > 1e-6 * np.abs(x).max(axis=0), deviation, np.inf)  # a constant feature says nothing
    x, x_check, at = ((values - mean[None, :]) / deviation[None, :] for values in (x, x_check, at))
    best, lowest = None, math.inf
    # One thread, as elsewhere here: it gives every machine the same bits, and is no slower at these sizes.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the held-out loss is the judge
        for strength in _STRENGTHS:
            classifier = LogisticRegression(C=1 / (strength * len(x)), max_iter=200).fit(x, y)
            loss = float(np.logaddexp(0.0, -sign * classifier.decision_function(x_check)).mean())
            if loss < lowest:
                best, lowest = classifier, loss
    assert best is not None  # the inputs are finite, and so is the loss of the strongest
    log_ratio = best.decision_function(at) + math.log(len(fit_s) / len(fit_t))
    return np.asarray(np.exp(np.clip(log_ratio, -_LARGEST, _LARGEST)))
