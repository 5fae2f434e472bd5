"""Logistic regression on the source's inputs: what a linear classifier reaches without any adaptation."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, ClassVar

import numpy as np

from tladapt.errors import UsageError
from tladapt.methods.shallow.base import SHALLOW, ShallowMethod, spread_out

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


@dataclasses.dataclass(frozen=True)
class _Linear:
    model: Any
    classes: int

    def scores(self, x: np.ndarray) -> np.ndarray:
        return spread_out(self.model.predict_proba(x), self.model.classes_, self.classes)


@SHALLOW.register("logistic_regression")
@dataclasses.dataclass(frozen=True, kw_only=True)
class LogisticRegression(ShallowMethod):
    """Logistic regression, `min_{W, b} 1/2 ||W||^2 + C sum_i CE(W x_i + b, y_i)`, trained on the source alone.

    It is deterministic. All of the source is trained on, unlike a network's run, which holds a tenth out.

    Raises:
      UsageError: for a C that is not positive.
    """

    name: ClassVar[str] = "logistic_regression"
    summary: ClassVar[str] = "a linear classifier on the source's inputs, C by cross-validation there"

    strength: float | None = None
    """C; None: the one of 0.001 to 10 that is most often right in five-fold cross-validation on the source."""

    def __post_init__(self) -> None:
        if self.strength is not None and not self.strength > 0:
            raise UsageError(f"logistic_regression: strength is C, a positive number; got {self.strength!r}.")

    def fit(self, x: np.ndarray, y: np.ndarray, x_target: np.ndarray, *, classes: int) -> _Linear:
        from scipy.sparse import csr_matrix
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression as Classifier
        from sklearn.model_selection import StratifiedKFold, cross_val_score

        if np.mean(x != 0) < 0.1:  # word counts: some ten times faster
            x = csr_matrix(x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a C that does not converge does not win by it
            strength = self.strength
            if strength is None:
                folds = StratifiedKFold(5, shuffle=True, random_state=0)
                right = {
                    c: float(np.mean(cross_val_score(Classifier(C=c, max_iter=1000), x, y, cv=folds)))
                    for c in STRENGTHS
                }
                strength = max(right, key=lambda c: (right[c], -c))
            return _Linear(Classifier(C=strength, max_iter=1000).fit(x, y), classes)
