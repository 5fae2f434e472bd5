"""The collapse guard: what no validator may choose, told without a label of the target."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tladapt.evaluation.metrics import entropy, predict
from tladapt.evaluation.validators.base import ValidationOutputs

_RANKED = 1000  # examples that the effective rank is taken over: its cost grows with the cube


def effective_rank(features: Any) -> float:
    """How many directions features fill: `exp(H(s / sum s))`, `s` the singular values of the centred features.

    Args:
      features: `[n, d]` floats; more than 1,000 examples are thinned evenly to 1,000.

    Returns:
      A number in [1, min(n - 1, d)]; 0 where all examples have the same features.

    Deviations from the paper:
      1. Features are centred, so that a constant offset (as after a ReLU) is not a direction.
      2. No epsilon is added: singular values at rounding level are left out.

    Source: Garrido, Balestriero, Najman, LeCun, "RankMe: Assessing the Downstream Performance of Pretrained
    Self-Supervised Representations by Their Rank", ICML 2023, arXiv 2210.02885.

    Example:
      >>> round(effective_rank([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 6)
      2.0
    """
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    x = np.asarray(features, dtype=np.float64)
    if len(x) > _RANKED:
        x = x[np.linspace(0, len(x) - 1, _RANKED).astype(np.int64)]
    scale = np.abs(x).max(initial=0.0)
    centred = x - x.mean(axis=0, keepdims=True)
    # Float32 features that differ by less than their own rounding do not differ.
    if np.abs(centred).max(initial=0.0) <= 1e-6 * scale:
        return 0.0
    centred /= scale  # squares below must not overflow
    gram = centred @ centred.T if len(x) < x.shape[1] else centred.T @ centred  # the smaller of the two
    with threadpool_limits(1):  # on a busy machine LAPACK's threads wait for each other, 30 times longer than one needs
        singular = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0))
    singular = singular[singular > 1e-6 * singular[-1]]
    return float(np.exp(entropy(singular / singular.sum())))


def collapse(outputs: ValidationOutputs, *, diversity: float = 0.4, rank: float = 0.4) -> str | None:
    """Say why a model has collapsed, or None for one that a validator may choose.

    Four signs, in this order; none uses a label of the target:

    1. features or logits that are not finite;
    2. every target example predicted as one class, where the source has several;
    3. predictions too uneven: `H(h) < diversity * min(H(q), ln n_t)`, `h` the histogram of predicted classes on the
       target and `q` the source's class prior. With `exp(H)` read as an effective number of classes, a model must use
       more than `K ** diversity` of the source's K. At 0.4 these are 1.3 of 2 (a class with 8 % of the predictions
       suffices), 2.5 of 10, 5.3 of 65, 16 of 1000. Two of ten classes fail, with up to 4 % of the examples strewn over
       the others; a target that really holds a third of ten or more classes (partial adaptation) passes;
    4. features too flat: `ln r < rank * ln min(K - 1, d, n_t - 1)`, `r` the effective rank of the target's features.
       K class means that are equally far from each other span K - 1 directions (Papyan, Han, Donoho, PNAS 2020, arXiv
       2008.08186), so the bound leaves trained models much room; two classes may lie on a line.

    The bounds are on a logarithmic scale so that one number serves 2 and 1,000 classes. They are set to refuse what
    nobody would ship and nothing else: a first look at a model that has learned three of ten classes passes.
    With very few classes and a very different prior in the target (a balanced source, 5 % positives in the target),
    sign 3 can be wrong: lower `diversity` there.

    Args:
      outputs: of the model to judge. Without source labels the prior is taken as uniform over the C logits.
      diversity: share of the source's class entropy that predictions must keep, in [0, 1].
      rank: the same for the directions of the features, in [0, 1].

    Returns:
      The reason in words, or None.

    Example:
      >>> import numpy as np
      >>> labels = np.arange(100) % 10
      >>> healthy, constant = np.eye(10)[labels], np.eye(10)[np.full(100, 3)]
      >>> collapse(ValidationOutputs(healthy, healthy, labels, healthy, healthy)) is None
      True
      >>> collapse(ValidationOutputs(healthy, healthy, labels, healthy, constant))
      'every target example is predicted as class 3'
    """
    for name, values in outputs._asdict().items():
        if values is None:  # what no validator needed
            continue
        unfit = ~np.isfinite(np.asarray(values))
        if unfit.any():
            rows = unfit.reshape(len(unfit), -1).any(axis=1).sum()
            return f"{name.replace('_', ' ')} are not finite for {rows} of {len(unfit)} examples"
    logits = np.asarray(outputs.target_logits)
    examples, classes = logits.shape
    labels = np.asarray(outputs.source_labels, dtype=np.int64)
    prior = np.bincount(labels, minlength=classes) if len(labels) else np.ones(classes)
    attainable = min(float(entropy(prior / prior.sum())), math.log(examples))
    if attainable == 0:  # a source of one class, or one target example: nothing to compare with
        return None
    histogram = np.bincount(predict(logits), minlength=classes) / examples
    if histogram.max() == 1:
        return f"every target example is predicted as class {histogram.argmax()}"
    used = float(entropy(histogram))
    if used < diversity * attainable:
        return (
            f"predictions on the target use {math.exp(used):.1f} effective classes of {math.exp(attainable):.1f}"
            f" (class {histogram.argmax()} has {histogram.max():.0%}); at least"
            f" {math.exp(diversity * attainable):.1f} were expected"
        )
    features = np.asarray(outputs.target_features).reshape(examples, -1)
    directions = effective_rank(features)
    if directions == 0:
        return "all target examples have the same features"
    room = min(math.exp(attainable) - 1, features.shape[1], examples - 1)
    if room > 1 and math.log(directions) < rank * math.log(room):
        return (
            f"features of the target fill {directions:.1f} directions; at least {room**rank:.1f} were expected for"
            f" {math.exp(attainable):.1f} effective classes"
        )
    return None
