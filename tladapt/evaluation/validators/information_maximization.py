"""IM: certain about each target example, and diverse over all of them."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from tladapt.evaluation.metrics import entropy, softmax
from tladapt.evaluation.validators.base import VALIDATORS, ValidationOutputs, Validator


@VALIDATORS.register("im")
@dataclasses.dataclass(frozen=True, kw_only=True)
class InformationMaximization(Validator):
    """`IM = H(1/n_t sum_i p_i) - 1/n_t sum_i H(p_i)` over the whole target: in [0, ln C] nats.

    The mutual information between the target example and its predicted class. Uniform predictions and one constant
    prediction both score 0; the best score needs certain predictions spread evenly over the classes, so under a strong
    shift of the class prior it favours models that are too even.

    Source: Bridle, Heading, MacKay, "Unsupervised Classifiers, Mutual Information and 'Phantom Targets'", NIPS 1991;
    as a validator: Musgrave, Belongie, Lim, "Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised
    Domain Adaptation", 2022, arXiv 2208.07360.

    Example:
      >>> import numpy as np
      >>> z = np.array([[100.0, 0.0], [0.0, 100.0]])
      >>> round(InformationMaximization().score(ValidationOutputs(z, z, np.array([0, 1]), z, z)), 4)  # ln 2
      0.6931
    """

    name: ClassVar[str] = "im"
    summary: ClassVar[str] = "information maximisation: diverse over the target, certain about each example"

    def score(self, outputs: ValidationOutputs) -> float:
        """Return the mutual information, in nats."""
        p = softmax(outputs.target_logits)  # [n_t, C]
        information = entropy(p.mean(axis=0)) - entropy(p).mean()
        return float(np.clip(information, 0.0, np.log(p.shape[1])))  # only rounding leaves the interval; NaN stays
