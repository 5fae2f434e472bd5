"""`check_loss`: the order of the checks, and what they need to know of a loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tladapt.testing import batch_checks, checks
from tladapt.testing.case import ARGUMENTS, Case, Kind, weight_names


def check_loss(
    fn: Callable[..., Any],
    *,
    kind: Kind = "pair",
    sizes: Sequence[tuple[int, int]] = ((32, 32), (17, 23), (9, 4)),
    width: int = 8,
    equal_sizes: bool = False,
    permutation: bool = True,
    weights: bool | None = None,
    no_gradient: Sequence[int] = (),
    bias: float = 0.0,
    tolerance: float = 0.25,
    reference: Callable[..., float] | None = None,
    seed: int = 0,
) -> None:
    """Run the conformance kit on a loss; silence means that it passed.

    The checks, in order: `value` (a finite floating scalar at odd and unequal sizes), `reference`, `gradient` (finite
    and not zero), `pure`, `compiled` (jit equals eager, one trace), `descent` (a step against the gradient lowers the
    loss), `equal` and `shift` (kind "pair": about 0 for equal domains, more for shifted ones), `sign` (kinds "domains",
    "aligned" and "labelled": lower where predictions are better; of a "single" batch the kit cannot know the sign),
    `permutation` (neither positions nor blocks of the batch, such as each device's part, matter), `mean` (not a sum:
    every example twice changes little), `weights` (weight 0 equals leaving out), `precision` (float32 stays, bfloat16
    is finite), `degenerate` (constant, identical and extreme inputs) and `devices` (the batch split over 2, 4, 8
    devices, as far as there are; with one device, a warning says that it did not run).

    Args:
      fn: the loss, of arrays and perhaps of keyword weights, without randomness.
      kind: what `fn` takes.
        "pair": a discrepancy of `(source_features [n_s, width], target_features [n_t, width])`, to be minimised;
        "domains": a loss of `(source_logits [n_s], target_logits [n_t])`, a discriminator's;
        "single": a loss of one batch of `logits [n, width]`;
        "aligned": a loss of two batches `[n, width]` about the same examples;
        "labelled": a loss of `(logits [n, width], labels [n])`, int32.
      sizes: pairs (n_s, n_t) of batch sizes to try; kinds with one batch take the first of each pair.
      width: features, or classes.
      equal_sizes: whether `fn` needs n_s = n_t. Then it has to refuse anything else by `ValueError`.
      permutation: whether the order of the examples must not matter.
      weights: whether `fn` takes `source_weights` and `target_weights` (`weights` for kinds with one batch) and is
        checked with them. None looks at its signature.
      no_gradient: positions of arguments that must get none, exactly: a teacher's logits.
      bias: how far from 0 a discrepancy of equal domains may be by design, beside `tolerance`.
      tolerance: the noise of small batches, relative to the value for shifted domains; `mean` and `equal` use it.
        Unbiased estimators can be a little below 0 for equal domains, biased ones a little above.
      reference: the same loss in plain float64 NumPy, `(*arrays) -> float`; compared to 1 part in 10,000.
      seed: of the random inputs.

    Raises:
      ConformanceError: at the first check that fails.
      ValueError: for an unknown kind.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from tladapt.testing import check_loss
      >>> def difference_of_means(source, target):
      ...     return jnp.sum((source.mean(0) - target.mean(0)) ** 2)
      >>> check_loss(difference_of_means)
      >>> check_loss(lambda source, target: difference_of_means(jax.lax.stop_gradient(source), target))
      Traceback (most recent call last):
      ...
      tladapt.testing.ConformanceError: check 'gradient': no gradient reaches the source features at sizes (32, 32): ...
    """
    if kind not in ARGUMENTS:
        raise ValueError(f"Expected `kind` to be one of {', '.join(ARGUMENTS)}, got {kind!r}.")
    if weights is None:
        weights = set(weight_names(kind)) <= set(inspect.signature(fn).parameters)
    case = Case(fn, kind, tuple(sizes), width, equal_sizes, tuple(no_gradient), bias, tolerance, seed)
    checks.check_value(case)
    if reference is not None:
        checks.check_reference(case, reference)
    checks.check_gradient(case)
    checks.check_pure_and_compiled(case)
    checks.check_descent(case)
    if kind == "pair":
        checks.check_equal_and_shift(case)
    elif kind != "single":  # of one batch of predictions nobody can know what is better
        checks.check_sign(case)
    if permutation:
        batch_checks.check_permutation(case)
    batch_checks.check_mean(case)
    if weights:
        batch_checks.check_weights(case)
    checks.check_precision(case)
    checks.check_degenerate(case)
    batch_checks.check_devices(case)
