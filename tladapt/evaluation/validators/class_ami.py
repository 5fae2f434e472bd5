"""ClassAMI: whether the clusters of the target's features are the classes that the model predicts."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import ClassVar

import numpy as np

from tladapt.errors import UsageError
from tladapt.evaluation.metrics import predict
from tladapt.evaluation.validators.base import VALIDATORS, ValidationOutputs, Validator, thinned


@VALIDATORS.register("class_ami")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassAMI(Validator):
    """`AMI(k-means(f_t), argmax z_t)`: agreement of clusters and predicted classes, corrected for chance; at most 1.

    The target's features are clustered by k-means with as many clusters as there are classes;
    `AMI(U, V) = (I(U, V) - E I) / ((H(U) + H(V)) / 2 - E I)`, `E I` the mutual information expected of two random
    labellings of the same sizes (Vinh, Epps, Bailey, JMLR 11, 2010). Unrelated labellings are about 0.

    Deviations from the paper:
      1. A model that predicts one class alone scores 0. By the formula it is 0/0, which the usual code makes a perfect
         1 where features have collapsed, too.
      2. k-means takes the best of `restarts` runs from fixed seeds, so that a model has one score.
      3. More than `limit` target examples are thinned evenly.

    Source: Musgrave, Belongie, Lim, "Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain
    Adaptation", 2022, arXiv 2208.07360.

    Raises:
      UsageError: for fewer than one restart, or a limit below 2.

    Example:
      >>> import numpy as np
      >>> f = np.array([[0.0, 0.1], [0.1, 0.0], [5.0, 5.1], [5.1, 5.0]])
      >>> z = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
      >>> round(ClassAMI().score(ValidationOutputs(f, z, np.array([0, 0, 1, 1]), f, z)), 4)
      1.0
    """

    name: ClassVar[str] = "class_ami"
    summary: ClassVar[str] = "agreement of predicted classes with clusters of the target's features"
    costly: ClassVar[bool] = True

    restarts: int = 5
    """How many times k-means starts anew; the tightest clustering counts."""
    limit: int = 5_000
    """At most this many target examples, evenly thinned."""

    def __post_init__(self) -> None:
        if self.restarts < 1:
            raise UsageError(f"class_ami: restarts must be at least 1, got {self.restarts!r}.")
        if self.limit < 2:
            raise UsageError(f"class_ami: limit must be at least 2 examples, got {self.limit!r}.")

    def score(self, outputs: ValidationOutputs) -> float:
        """Return the adjusted mutual information."""
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.metrics import adjusted_mutual_info_score
        from threadpoolctl import threadpool_limits  # comes with scikit-learn

        logits = thinned(outputs.target_logits, self.limit)
        features = thinned(outputs.target_features, self.limit).reshape(len(logits), -1)
        if not (np.isfinite(features).all() and np.isfinite(logits).all()):
            return math.nan
        predicted = predict(logits)
        clusters = min(logits.shape[1], len(features))
        scale = np.abs(features).max() or 1.0  # distances below must not overflow
        kmeans = KMeans(clusters, n_init=self.restarts, random_state=0)
        # One thread: sums in another order would move examples between clusters from one machine to the next.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct features than clusters: fewer clusters
            found = kmeans.fit_predict((features / scale).astype(np.float32))
        if len(np.unique(predicted)) == 1 or len(np.unique(found)) == 1:
            return 0.0
        return float(adjusted_mutual_info_score(predicted, found))
