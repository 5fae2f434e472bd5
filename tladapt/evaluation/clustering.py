"""Unsupervised transfer: features are clustered without a label, and labels measure afterwards what came of it.

`k_means` sees features alone. `agreement_with_labels` needs labels and chooses nothing: with labels of the target, what
it returns is an oracle's word, for people to read and not to choose by.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from tladapt.errors import UsageError


class ClusterAgreement(NamedTuple):
    """How far clusters are the classes; measured with labels, and an oracle's word where they are the target's.

    Attributes:
      nmi: normalised mutual information, `2 I(U, V) / (H(U) + H(V))`, in [0, 1].
      ari: adjusted Rand index, 1 for equal partitions and 0 on average for unrelated ones.
      accuracy: share of examples whose cluster is matched with their class, by the best one-to-one matching.
      matching: class of each cluster `[K]`; -1 for a cluster that is matched with none.
    """

    nmi: float
    ari: float
    accuracy: float
    matching: np.ndarray


def k_means(features: Any, clusters: int, *, restarts: int = 10, seed: int = 0) -> np.ndarray:
    """Cluster features by k-means, without a label: the tightest of several starts, the same each time.

    Args:
      features: `[n, d]` floats. Scales matter; features divided by their norms make clusters of directions.
      clusters: K, in 1 ... n.
      restarts: how many times it starts anew (k-means++).
      seed: of the starts.

    Returns:
      `[n]` cluster of each example, int64 in [0, K); equal features may leave some clusters empty.

    Raises:
      UsageError: for a wrong shape, values that are not finite, or numbers out of range.

    Source: Lloyd, "Least squares quantization in PCM", IEEE Trans. Information Theory 28 (1982); Arthur and
      Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007.

    Example:
      >>> found = k_means([[0.0], [0.1], [5.0], [5.1]], 2)
      >>> bool(found[0] == found[1] != found[2] == found[3])
      True
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or 0 in x.shape:
        raise UsageError(f"expected features [n, d], got shape {x.shape}.")
    if not np.isfinite(x).all():
        raise UsageError("features hold values that are not finite; leave these examples out.")
    if not 1 <= clusters <= len(x):
        raise UsageError(f"clusters must be from 1 to the {len(x)} examples, got {clusters!r}.")
    if restarts < 1:
        raise UsageError(f"restarts must be at least 1, got {restarts!r}.")
    x = x / (np.abs(x).max() or 1.0)  # squares must not overflow
    # One thread: sums in another order would move examples between clusters from one machine to the next.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct features than clusters: fewer clusters
        found = KMeans(clusters, n_init=restarts, random_state=seed).fit_predict(x)
    return np.asarray(found, dtype=np.int64)


def agreement_with_labels(clusters: Any, labels: Any) -> ClusterAgreement:
    """Measure with labels how far clusters are the classes: NMI, ARI, and accuracy under the best matching.

    Accuracy is `1/n max_m sum_i 1{m(cluster_i) = y_i}` over one-to-one matchings m of clusters and classes (Hungarian
    method); where there are more clusters than classes, the others are matched with none.

    Args:
      clusters: `[n]` integers from 0.
      labels: `[n]` class indices.

    Returns:
      The three numbers and the matching.

    Raises:
      UsageError: for lengths that differ, no examples, or what are no integers from 0.

    Source: Strehl and Ghosh, JMLR 3 (2002) for NMI, here over the arithmetic mean of the entropies; Hubert and Arabie,
      Journal of Classification 2 (1985) for ARI; Kuhn, Naval Research Logistics Quarterly 2 (1955) for the matching.

    Example:
      >>> agreement_with_labels([0, 0, 1, 1], [1, 1, 0, 0])[:3]
      (1.0, 1.0, 1.0)
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    found, y = np.asarray(clusters), np.asarray(labels)
    for name, values in (("clusters", found), ("labels", y)):
        if values.shape != y.shape or values.ndim != 1 or len(values) == 0:
            raise UsageError(f"expected clusters [n] and labels [n], got shapes {found.shape} and {y.shape}.")
        if values.dtype.kind not in "iu" or values.min() < 0:
            raise UsageError(f"{name} must be integers from 0, got {values.dtype} such as {values[:3].tolist()}.")
    counts = np.zeros((int(found.max()) + 1, int(y.max()) + 1), np.int64)  # [K, C]
    np.add.at(counts, (found, y), 1)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    matching = np.full(len(counts), -1, np.int64)
    matching[rows] = columns
    return ClusterAgreement(
        float(normalized_mutual_info_score(y, found)),
        float(adjusted_rand_score(y, found)),
        float(counts[rows, columns].sum() / len(y)),
        matching,
    )
