"""Self-ensembling: a student that agrees with its teacher, and predictions that use the classes evenly."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tladapt.losses._arrays import as_float, as_weights, leave_out, same_width, weighted_mean


def consistency(
    student_logits: ArrayLike,
    teacher_logits: ArrayLike,
    *,
    confidence: float = 0.96837722,
    weights: ArrayLike | None = None,
) -> jax.Array:
    r"""Squared difference between the predictions of a student and of a teacher, where the teacher is confident.

    L = mean_i m_i mean_c (p_ic - q_ic)^2 with p = softmax(student), q = softmax(teacher), m_i = 1{max_c q_ic >
    confidence}. The mean is over all examples: those that are masked count in the denominator, so the loss grows with
    the number of confident ones. No gradient reaches the teacher.

    Args:
      student_logits: `[n, C]`, floating.
      teacher_logits: `[n, C]` of the same examples (another view of them), in the same dtype.
      confidence: threshold on the teacher's largest probability; 0 keeps every example.
      weights: `[n]`, >= 0; the mean over examples becomes a weighted mean, weight 0 leaves the example out.

    Returns:
      A scalar >= 0, float32 (float64 for float64 logits).

    Raises:
      ValueError: for shapes that do not fit.

    Deviations from the paper: none. (The difference is averaged over classes, as in the authors' code: it is 1/C of
      the squared distance.)

    Source: French, Mackiewicz, Fisher, "Self-ensembling for visual domain adaptation", ICLR 2018, arXiv 1706.05208;
      Tarvainen, Valpola, "Mean teachers are better role models", NeurIPS 2017, arXiv 1703.01780.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import consistency
      >>> teacher = jnp.array([[50.0, -50.0], [0.1, 0.0]])  # the second is not confident
      >>> print(consistency(jnp.zeros((2, 2)), teacher))  # (0.25 + 0) / 2
      0.125
    """
    student, teacher = as_float("student_logits", student_logits, 2), as_float("teacher_logits", teacher_logits, 2)
    same_width(("student_logits", student), ("teacher_logits", teacher))
    if student.shape != teacher.shape:
        raise ValueError(f"Expected logits of the same examples, got the shapes {student.shape} and {teacher.shape}.")
    checked = as_weights("weights", weights, student)
    p = jax.nn.softmax(leave_out(student, checked), axis=1)
    q = jax.nn.softmax(leave_out(jax.lax.stop_gradient(teacher), checked), axis=1)
    mask = confidence_mask(teacher, threshold=confidence)
    return weighted_mean(mask * jnp.mean((p - q) ** 2, axis=1), checked)


def confidence_mask(logits: ArrayLike, *, threshold: float) -> jax.Array:
    """1 where the largest probability of a prediction is above a threshold, else 0; without a gradient.

    Args:
      logits: `[n, C]`, floating.
      threshold: a probability; at 1 or above nothing passes, at 0 everything.

    Returns:
      `[n]` of 0 and 1, float32 (float64 for float64 logits).

    Raises:
      ValueError: for logits that are not `[n, C]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import confidence_mask
      >>> print(confidence_mask(jnp.array([[3.0, 0.0], [0.1, 0.0]]), threshold=0.9))
      [1. 0.]
    """
    logits = jax.lax.stop_gradient(as_float("logits", logits, 2))
    return (jnp.max(jax.nn.softmax(logits, axis=1), axis=1) > threshold).astype(logits.dtype)


def class_balance(logits: ArrayLike, *, weights: ArrayLike | None = None) -> jax.Array:
    r"""Binary cross entropy between the mean prediction and the uniform one, averaged over classes.

    L = mean_c [-1/C log pbar_c - (1 - 1/C) log(1 - pbar_c)] with pbar = mean_i softmax(z_i). Its least value, where
    all classes are used evenly, is not 0 but the entropy of a coin that falls once in C throws.

    Args:
      logits: `[n, C]`, floating and finite, C >= 2.
      weights: `[n]`, >= 0; the mean becomes a weighted mean, weight 0 leaves the example out.

    Returns:
      A scalar > 0, float32 (float64 for float64 logits). 0 where every example has weight 0.

    Raises:
      ValueError: for shapes that do not fit or a single class.

    Deviations from the paper:
      1. Exact through log-sum-exp, where the authors' code adds 1e-6 inside the logarithms.
      2. The authors multiply it by 0.005 C and by the share of confident examples: that is left to the caller.

    Source: French, Mackiewicz, Fisher, "Self-ensembling for visual domain adaptation", ICLR 2018, arXiv 1706.05208.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import class_balance
      >>> print(round(float(class_balance(jnp.zeros((4, 2)))), 4))  # log 2
      0.6931
    """
    logits = as_float("logits", logits, 2)
    n, classes = logits.shape
    if classes < 2:
        raise ValueError(f"Expected at least two classes, got logits of the shape {logits.shape}.")
    checked = as_weights("weights", weights, logits)
    there = jnp.array(True)
    counted = jnp.ones((n,), logits.dtype)
    if checked is not None:
        there = jnp.any(checked > 0)
        counted = jnp.where(there, checked, counted)
    log_p = jax.nn.log_softmax(leave_out(logits, checked), axis=1)
    summed = jax.nn.logsumexp(log_p, axis=0, b=counted[:, None])  # [C]
    log_mean = summed - jnp.log(jnp.sum(counted))
    others = ~jnp.eye(classes, dtype=bool)
    # log(1 - pbar_c) as the sum of the other classes: 1 - pbar_c itself has no digits left where pbar_c is near 1.
    log_rest = jax.nn.logsumexp(jnp.broadcast_to(log_mean[None, :], (classes, classes)), axis=1, where=others)  # [C]
    uniform = 1.0 / classes
    return jnp.where(there, jnp.mean(-uniform * log_mean - (1.0 - uniform) * log_rest), 0.0)
