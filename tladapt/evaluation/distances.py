"""How far two domains are apart, without a label: proxy A-distance, and MMD with its permutation test."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tladapt.errors import UsageError

MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)


class ProxyADistance(NamedTuple):
    """How well a linear classifier tells two domains apart.

    Attributes:
      distance: `2 (1 - 2 error)`, clipped to [0, 2].
      error: share of held-out examples whose domain is told wrong; 0.5 is chance.
      examples: how many were held out, both domains together.
    """

    distance: float
    error: float
    examples: int


class MMDTest(NamedTuple):
    """Squared MMD of two samples, and what it would be if both were one.

    Attributes:
      value: the biased (V) form, >= 0.
      null: the 95 % quantile over random splits of both samples together.
      p: share of the splits, this one included, with a value at least as large.
    """

    value: float
    null: float
    p: float


def proxy_a_distance(source: Any, target: Any, *, penalty: float = 1.0, seed: int = 0) -> ProxyADistance:
    """Proxy A-distance, `d_A = 2 (1 - 2 error)`, of a linear domain classifier on examples that it was not trained on.

    Both domains give the same number of examples, half of them for training and half held out; inputs are standardised
    by the training half; the classifier is a logistic regression with the L2 penalty `penalty / 2 ||w||^2` on the sum
    of the losses. 0: told apart no better than by chance; 2: always. Held-out errors above one half are clipped.

    Args:
      source: `[n_s, d]` floats, features or flattened inputs.
      target: `[n_t, d]`.
      penalty: strength of the L2 penalty, > 0; fixed beforehand, never chosen on the held-out half.
      seed: of the choice of examples.

    Returns:
      Distance, error and the number of held-out examples.

    Raises:
      UsageError: for shapes that do not fit, values that are not finite, or fewer than 4 examples of a domain.

    Deviations from the paper:
      1. A logistic regression in place of a linear SVM, with a fixed penalty: choosing it by the held-out error, as
         is often done, makes domains look further apart than they are.

    Source: Ben-David, Blitzer, Crammer, Pereira, "Analysis of Representations for Domain Adaptation", NIPS 2006;
      Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016), arXiv 1505.07818, section 5.1.5.

    Example:
      >>> import numpy as np
      >>> x = np.random.default_rng(0).normal(size=(400, 5))
      >>> round(proxy_a_distance(x[:200], x[200:] + 9.0).distance, 2)
      2.0
    """
    s, t = _matrices(source, target, least=4)
    rng = np.random.default_rng(seed)
    count = min(len(s), len(t)) // 2 * 2
    both = [x[rng.permutation(len(x))[:count]] for x in (s, t)]
    train = np.concatenate([x[: count // 2] for x in both])
    held = np.concatenate([x[count // 2 :] for x in both])
    domain = np.repeat([-1.0, 1.0], count // 2)  # [n]: the same for both halves
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    # What varies by its own rounding alone is constant.
    scale = np.where(deviation > 1e-7 * np.abs(train).max(axis=0), deviation, np.inf)
    with _one_thread():
        weights, offset = _logistic((train - mean) / scale, domain, penalty)
    score = (held - mean) / scale @ weights + offset
    error = float(np.mean(np.where(score == 0, 0.5, score * domain < 0)))  # an undecided example is half wrong
    return ProxyADistance(float(np.clip(2 * (1 - 2 * error), 0.0, 2.0)), error, 2 * (count // 2))


def mmd_test(
    source: Any, target: Any, *, bandwidth: float, permutations: int = 500, seed: int = 0, limit: int = 500
) -> MMDTest:
    r"""Squared MMD at a fixed bandwidth, and a permutation test of "both samples are from one distribution".

    With k(a, b) = sum_u exp(-||a - b||^2 / (m_u b)), m_u in (1/4, 1/2, 1, 2, 4) and b the `bandwidth`:

      value = mean_ij k(s_i, s_j) + mean_ij k(t_i, t_j) - 2 mean_ij k(s_i, t_j)        (biased: never negative).

    Values compare with each other only at one bandwidth and one scale of the features: fix both on a reference, such
    as 2 d for d features standardised by the source (the mean squared distance of two source examples), rather than
    on each pair of samples. The null has no such need.

    Args:
      source: `[n_s, d]` floats.
      target: `[n_t, d]`.
      bandwidth: b, in squared units of the features, > 0.
      permutations: how many random splits; the least p is 1 / (permutations + 1).
      seed: of the splits, and of the choice of examples.
      limit: at most this many examples of each domain: cost grows with the square.

    Returns:
      The value, the 95 % quantile of the null, and p.

    Raises:
      UsageError: for shapes that do not fit, values that are not finite, fewer than 2 examples, or no bandwidth > 0.

    Source: Gretton, Borgwardt, Rasch, Schoelkopf, Smola, "A Kernel Two-Sample Test", JMLR 13 (2012), equation 5;
      the kernels as in Long, Cao, Wang, Jordan, ICML 2015, arXiv 1502.02791.

    Example:
      >>> import numpy as np
      >>> x = np.random.default_rng(0).normal(size=(200, 3))
      >>> same, other = mmd_test(x[:100], x[100:], bandwidth=6.0), mmd_test(x[:100], x[100:] + 1.0, bandwidth=6.0)
      >>> same.p > 0.05, other.p < 0.01, other.value > other.null
      (True, True, True)
    """
    s, t = _matrices(source, target, least=2)
    if not (np.isfinite(bandwidth) and bandwidth > 0):
        raise UsageError(f"bandwidth must be a positive number, got {bandwidth!r}.")
    if permutations < 1:
        raise UsageError(f"permutations must be at least 1, got {permutations}.")
    rng = np.random.default_rng(seed)
    s, t = (x[rng.permutation(len(x))[:limit]] for x in (s, t))
    z = np.concatenate([s, t])
    z = z - z.mean(axis=0)
    with _one_thread():
        squares = (z**2).sum(axis=1)
        distances = np.maximum(squares[:, None] + squares[None, :] - 2 * z @ z.T, 0.0)  # [n, n]
        np.fill_diagonal(distances, 0.0)
        kernel = sum(np.exp(-distances / (multiple * bandwidth)) for multiple in MULTIPLES)
        signs = np.concatenate([np.full(len(s), 1 / len(s)), np.full(len(t), -1 / len(t))])
        splits = np.stack([signs, *(rng.permutation(signs) for _ in range(permutations))])  # [1 + permutations, n]
        values = ((splits @ kernel) * splits).sum(axis=1)
    value, null = max(0.0, float(values[0])), values[1:]
    # Splits that differ by rounding alone (identical samples) count as equal.
    at_least = int((null >= values[0] - 1e-12 * len(MULTIPLES)).sum())
    return MMDTest(value, float(np.quantile(null, 0.95)), (1 + at_least) / (1 + permutations))


def _one_thread() -> Any:
    """On a busy machine the threads of BLAS wait for each other, 30 times longer than one thread needs."""
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    return threadpool_limits(1)


def _matrices(source: Any, target: Any, *, least: int) -> tuple[np.ndarray, np.ndarray]:
    s, t = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if s.ndim != 2 or t.ndim != 2 or s.shape[1] != t.shape[1] or s.shape[1] == 0:
        raise UsageError(f"expected source [n_s, d] and target [n_t, d] of one width, got {s.shape} and {t.shape}.")
    if min(len(s), len(t)) < least:
        raise UsageError(f"expected at least {least} examples of each domain, got {len(s)} and {len(t)}.")
    for name, x in (("source", s), ("target", t)):
        if not np.isfinite(x).all():
            raise UsageError(f"{name} holds values that are not finite; leave these examples out.")
    return s, t


def _logistic(x: np.ndarray, y: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Return weights and offset of a logistic regression; `y` is -1 or 1. Convex: any start ends in one place."""
    from scipy.optimize import minimize

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = y * (x @ theta[:-1] + theta[-1])
        loss = np.logaddexp(0.0, -margin).sum() + 0.5 * penalty * float(theta[:-1] @ theta[:-1])
        pull = -y * np.exp(-np.logaddexp(0.0, margin))  # d loss / d score = -y sigmoid(-margin)
        return float(loss), np.append(x.T @ pull + penalty * theta[:-1], pull.sum())

    found = minimize(objective, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return found.x[:-1], float(found.x[-1])
