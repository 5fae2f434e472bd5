"""AdaBN: the source model with the target's batch-normalisation statistics."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tladapt.methods.base import METHODS
from tladapt.methods.source_only import SourceOnly


@METHODS.register("adabn")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaBN(SourceOnly):
    """Adaptive batch normalisation: trained on the source alone, then each domain is normalised by its own statistics.

    L = CE(g(f(x_s)), y_s). Before each evaluation, and at the end of the run, the mean and variance of every BatchNorm
    layer are measured over the whole unlabelled target; predictions on the target use those, predictions on the source
    the running statistics of training. There is no gradient but the source's, and parameters are those of `source_only`
    bit for bit. The trained model that a run keeps has the target's statistics.

    Which parameters move: backbone and classifier by the cross entropy; statistics alone by the target.

    Logged: `loss/classification`, the cross entropy in nats.

    Deviations from the paper:
      1. Layers are measured in one pass, in batches of 500: each layer sees inputs normalised by its batch, and the
         batches are pooled by the law of total variance.

    Raises:
      UsageError: when a run starts, for a network without BatchNorm layers, whose predictions it could not change, and
        for a BatchNorm policy with frozen statistics.

    Source: Li, Wang, Shi, Hou, Liu: Adaptive batch normalization for practical domain adaptation. Pattern Recognition
    2018. arXiv 1603.04779.
    """

    name: ClassVar[str] = "adabn"
    target_statistics: ClassVar[bool] = True
