"""SHOT: a source model is adapted without the source, its classifier fixed."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt import losses
from tladapt.methods.base import METHODS, Context, Method, PyTree, Stage, Start, Term, Terms, Update, classification
from tladapt.models import Bottleneck, Outputs, WeightNormLinear


@METHODS.register("shot")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SHOT(Method):
    """Source hypothesis transfer: train on the source, then adapt the backbone on the target alone.

    Stage "source": cross entropy with label smoothing. Stage "target": the classifier is fixed, and the backbone moves by
    L = mean H(p) - H(mean p) + b CE(p, yhat), with pseudo-labels yhat refreshed over the whole target: centroids of the
    features (each with a 1 appended, L2-normalised) weighted by the predicted probabilities, nearest centroid by cosine among the
    classes that are predicted at all, then one more round with the centroids of those labels.

    Which parameters move: all by the cross entropy of stage one; backbone and bottleneck only in stage two.

    Deviations from the paper:
      1. Stages share the run's steps by `source_share`; the authors count epochs.
      2. The source model is the last of its stage; the authors keep the best on a tenth of the source.
      3. The refreshes are evenly spaced by number, not by epoch.

    Source: Liang, Hu, Feng: Do we really need to access the source data? Source hypothesis transfer for unsupervised domain
    adaptation. ICML 2020. arXiv 2002.08546. Defaults of the authors' digits code.
    """

    name: ClassVar[str] = "shot"

    weight: float = 0.1
    """Weight b of the pseudo-labels' cross entropy; 0 is SHOT-IM (the authors: 0.1 for digits, 0.3 for objects)."""
    smoothing: float = 0.1
    """Label smoothing while the source model is trained."""
    source_share: float = 0.5
    """Which share of the steps trains the source model, in (0, 1)."""
    refreshes: int = 15
    """How many times the pseudo-labels are made anew."""
    width: int = 256
    """Width of the bottleneck, which is batch-normalised and has no activation."""
    dropout: float = 0.5
    """Dropout in the bottleneck (the authors use it for digits only)."""

    def bottleneck(self, features: int, rngs: nnx.Rngs) -> nnx.Module:
        return Bottleneck(features, self.width, batch_norm=True, relu=False, dropout=self.dropout, rngs=rngs)

    def classifier(self, features: int, classes: int, rngs: nnx.Rngs) -> nnx.Module:
        return WeightNormLinear(features, classes, rngs=rngs)

    def memory(self, start: Start) -> PyTree:
        return {"labels": jnp.zeros(start.sizes.target_examples, jnp.int32)}

    def stages(self) -> tuple[Stage, ...]:
        return (
            Stage("source", target=False, share=self.source_share),
            Stage("target", source=False, share=1.0 - self.source_share, refresh=self.refreshes),
        )

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
    """Return SHOT's pseudo-labels `[n]` from features `[n, d]` and logits `[n, C]` of the whole target."""
    classes = logits.shape[-1]
    features = jnp.concatenate([features, jnp.ones((len(features), 1), features.dtype)], axis=1)  # [n, d + 1]
    features = features / jnp.maximum(jnp.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    weights = jax.nn.softmax(logits)  # [n, C]
    predicted = jnp.argmax(logits, axis=1)
    present = jnp.zeros(classes, bool).at[predicted].set(True)
    labels = predicted
    for _ in range(2):  # by probabilities, then once more by the labels found
        centroids = weights.T @ features / (1e-8 + weights.sum(0)[:, None])  # [C, d + 1]
        centroids = centroids / jnp.maximum(jnp.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
        similarity = features @ centroids.T  # [n, C]
        labels = jnp.argmax(jnp.where(present[None, :], similarity, -jnp.inf), axis=1)
        weights = jax.nn.one_hot(labels, classes, dtype=features.dtype)
    return labels.astype(jnp.int32)
