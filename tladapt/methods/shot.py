"""SHOT: a source model is adapted without the source, its classifier fixed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt import losses
from tladapt.methods.base import (
    METHODS,
    Context,
    Method,
    PyTree,
    Stage,
    Start,
    Term,
    Terms,
    Update,
    check_range,
    classification,
)
from tladapt.models import Bottleneck, Outputs, WeightNormLinear
from tladapt.ranges import Choice, Range


@METHODS.register("shot")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SHOT(Method):
    """Source hypothesis transfer: train on the source, then adapt the backbone on the target alone.

    Stage "source": cross entropy with label smoothing. Stage "target", which never sees the source: the classifier is
    fixed, and L = mean H(p) - H(mean p) + b CE(p, yhat), with pseudo-labels yhat of `centroid_labels`, refreshed over
    the whole target.

    Which parameters move: all by the cross entropy of stage one; backbone and bottleneck only in stage two.

    Logged: `loss/classification` in stage one; in stage two `loss/information`, mean H(p) - H(mean p) in nats (-log C
    is the least: certain and balanced), and `loss/pseudo_labels`, the cross entropy before its weight.

    Deviations from the paper:
      1. Stages share the run's steps by `source_share`; the authors count epochs.
      2. The source model is the last of its stage; the authors keep the best on a tenth of the source.
      3. The refreshes are evenly spaced by number, not by epoch.
      4. Entropies have no 1e-5 inside the logarithm.

    Defaults: those of the authors' digits code: b 0.1 (0.3 for objects), smoothing 0.1, 15 refreshes, a bottleneck of
    256 with dropout. H(mean p) is a statistic of the batch: use batches well above the number of classes.

    Source: Liang, Hu, Feng: Do we really need to access the source data? Source hypothesis transfer for unsupervised
    domain adaptation. ICML 2020. arXiv 2002.08546.
    """

    name: ClassVar[str] = "shot"
    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "weight": Range(0.03, 1.0, log=True),
    }
    """1. weight: chosen here, a factor of about 3 on either side of the authors' 0.1 (digits) and 0.3 (objects)."""
    improves: ClassVar[frozenset[str]] = frozenset({"entropy", "im"})

    weight: float = 0.1
    """Weight b of the pseudo-labels' cross entropy; 0 is SHOT-IM (the authors: 0.1 for digits, 0.3 for objects)."""
    smoothing: float = 0.1
    """Label smoothing while the source model is trained."""
    source_share: float = 0.5
    """Which share of the steps trains the source model; 1: all of them, 0: none (start from such a run, `init=`)."""
    refreshes: int = 15
    """How many times the pseudo-labels are made, the first at the start of stage two."""
    width: int = 256
    """Width of the bottleneck, which is batch-normalised and has no activation."""
    dropout: float = 0.5
    """Dropout in the bottleneck (the authors use it for digits only)."""

    def __post_init__(self) -> None:
        for field, within in (
            ("weight", "[0, inf)"),
            ("smoothing", "[0, 1)"),
            ("source_share", "[0, 1]"),
            ("refreshes", "[1, inf)"),  # without one, every pseudo-label would be class 0
            ("width", "[1, inf)"),
            ("dropout", "[0, 1)"),
        ):
            check_range(self, field, within)

    def bottleneck(self, features: int, rngs: nnx.Rngs) -> nnx.Module:
        return Bottleneck(features, self.width, batch_norm=True, relu=False, dropout=self.dropout, rngs=rngs)

    def classifier(self, features: int, classes: int, rngs: nnx.Rngs) -> nnx.Module:
        return WeightNormLinear(features, classes, rngs=rngs)

    def memory(self, start: Start) -> PyTree:
        return {"labels": jnp.zeros(start.sizes.target_examples, jnp.int32)}

    def stages(self) -> tuple[Stage, ...]:
        both = (
            Stage("source", target=False, share=self.source_share),
            Stage("target", source=False, share=1.0 - self.source_share, refresh=self.refreshes),
        )
        return tuple(stage for stage in both if stage.share > 0.0)

    def updates(self, stage: Stage) -> tuple[Update, ...]:
        if stage.name == "source":
            return (Update(self.train_source),)
        return (Update(self.adapt, moves=("backbone", "bottleneck")),)

    def train_source(self, ctx: Context) -> Terms:
        """Stage one: cross entropy with label smoothing."""
        return {"classification": classification(ctx, smoothing=self.smoothing)}

    def adapt(self, ctx: Context) -> Terms:
        """Stage two: certain and diverse predictions that agree with the pseudo-labels."""
        labels = ctx.memory["labels"][ctx.target.index]
        return {
            "information": Term(losses.information_maximization(ctx.target.logits)),
            "pseudo_labels": Term(losses.cross_entropy(ctx.target.logits, labels), self.weight),
        }

    def refresh(self, ctx: Context, outputs: Outputs) -> PyTree:
        return {"labels": centroid_labels(outputs.features, outputs.logits)}


def centroid_labels(features: jax.Array, logits: jax.Array) -> jax.Array:
    """Return SHOT's pseudo-labels: the class of the nearest centroid, by cosine.

    With f_i the features with a 1 appended, L2-normalised, the centroids are c_k = sum_i p_ik f_i / sum_i p_ik. Each
    example takes the nearest one among the classes that are predicted at all; then centroids of those labels are
    formed, and each takes the nearest again. A class that has no example in a round is not assigned in it.

    Args:
      features: `[n, d]` of the whole target, in evaluation mode.
      logits: `[n, C]`.

    Returns:
      Class indices `[n]`, int32.

    Source: Liang, Hu, Feng, ICML 2020, arXiv 2002.08546, section 3.3.

    Example:
      >>> features = jnp.array([[3.0, 0.0], [2.0, 0.1], [0.0, 2.0], [0.1, 3.0]])
      >>> logits = jnp.array([[2.0, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 3.0, 0.0], [0.0, 3.0, 0.0]])
      >>> print(centroid_labels(features, logits))  # the second, barely of class 1, lies with the first
      [0 0 1 1]
    """
    classes = logits.shape[-1]
    features = jnp.concatenate([features, jnp.ones((len(features), 1), features.dtype)], axis=1)  # [n, d + 1]
    features = features / jnp.linalg.norm(features, axis=1, keepdims=True)
    labels, weights = jnp.argmax(logits, axis=1), jax.nn.softmax(logits, axis=1)  # [n], [n, C]
    for _ in range(2):
        present = jnp.zeros(classes, bool).at[labels].set(True)
        # A centroid's length does not matter to the cosine, so nothing is divided by the sum of its weights.
        centroids = jnp.matmul(weights.T, features, precision=jax.lax.Precision.HIGHEST)  # [C, d + 1]
        centroids = centroids / jnp.maximum(jnp.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
        similarity = jnp.matmul(features, centroids.T, precision=jax.lax.Precision.HIGHEST)  # [n, C]
        labels = jnp.argmax(jnp.where(present[None, :], similarity, -jnp.inf), axis=1)
        weights = jax.nn.one_hot(labels, classes, dtype=features.dtype)
    return labels.astype(jnp.int32)
