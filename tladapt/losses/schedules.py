"""Schedules by name, each the curve of a paper or of a public code base.

A schedule is a pure function `schedule(progress, step) -> factor`: `progress` in [0, 1] is the share of the run that
is done, `step` the number of steps that are done; both may be traced, and the factor is float32. Curves of progress
stretch with the run, curves of the step do not: the same name in two code bases can mean either, and "the" schedule of
DANN has been all of those below. Multiply the factor by the weight (lambda) or by the initial learning rate.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

Schedule = Callable[[ArrayLike, ArrayLike], jax.Array]


def _sigmoid_ramp(p: jax.Array, steepness: float) -> jax.Array:
    """2 / (1 + exp(-steepness p)) - 1, written as tanh(steepness p / 2): no cancellation near 0."""
    return jnp.tanh(0.5 * steepness * p)


def _float(x: ArrayLike) -> jax.Array:
    return jnp.asarray(x).astype(jnp.float32)


def constant(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """1 throughout. As lambda: the default of pytorch-adapt, skada and DomainBed.

    Example:
      >>> from tladapt.losses.schedules import constant
      >>> print(constant(0.3, 300))
      1.0
    """
    return jnp.ones_like(_float(progress))


def linear(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """p: from 0 to 1 over the run.

    Example:
      >>> from tladapt.losses.schedules import linear
      >>> print(linear(0.25, 0))
      0.25
    """
    return _float(progress)


def lambda_ganin2016(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """2 / (1 + exp(-10 p)) - 1: 0 at the start, 0.462 at p = 0.1, 0.987 at 0.5, 0.99991 at the end.

    Source: Ganin et al., "Domain-adversarial training of neural networks", JMLR 17 (2016), arXiv 1505.07818,
      section 5.2.2.

    Example:
      >>> from tladapt.losses.schedules import lambda_ganin2016
      >>> print(round(float(lambda_ganin2016(0.1, 0)), 3))
      0.462
    """
    return _sigmoid_ramp(_float(progress), 10.0)


def lambda_thuml(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """2 / (1 + exp(-i / 1000)) - 1 of the step i, whatever the length of the run: 0.462 after 1,000 steps.

    The warm-start layer of thuml/Transfer-Learning-Library (alpha 1, 1,000 steps) and, the same curve, the official
    code of CDAN (alpha 10, 10,000 steps); neither stops at its number of steps.

    Example:
      >>> from tladapt.losses.schedules import lambda_thuml
      >>> print(round(float(lambda_thuml(0.5, 1000)), 3))
      0.462
    """
    return _sigmoid_ramp(_float(step), 1e-3)


def lambda_mdd(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """0.1 (2 / (1 + exp(-i / 1000)) - 1) of the step i: the thuml curve, up to 0.1.

    Source: Zhang, Liu, Long, Jordan, "Bridging theory and algorithm for domain adaptation" (MDD), ICML 2019,
      arXiv 1904.05801, official code.

    Example:
      >>> from tladapt.losses.schedules import lambda_mdd
      >>> print(round(float(lambda_mdd(0.5, 1000)), 4))
      0.0462
    """
    return 0.1 * lambda_thuml(progress, step)


def lambda_deepda(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """2 / (1 + exp(-p)) - 1: the published curve with 1 in place of 10, so it never passes 0.462.

    The adversarial loss of DeepDA (jindongwang/transferlearning), where p is the step over the whole run.

    Example:
      >>> from tladapt.losses.schedules import lambda_deepda
      >>> print(round(float(lambda_deepda(1.0, 0)), 3))
      0.462
    """
    return _sigmoid_ramp(jnp.minimum(_float(progress), 1.0), 1.0)


def lambda_pykale(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """0 for the first fifth, then 2 / (1 + exp(-10 p')) - 1 with p' = (p - 0.2) / 0.8.

    The default of pykale and pytorch-ada: 10 epochs without adaptation out of 50. There the factor multiplies the
    loss behind a reversal of coefficient 1, so the discriminator is slowed down as well.

    Example:
      >>> from tladapt.losses.schedules import lambda_pykale
      >>> print(lambda_pykale(0.2, 0), round(float(lambda_pykale(0.28, 0)), 3))
      0.0 0.462
    """
    return _sigmoid_ramp(jnp.maximum((_float(progress) - 0.2) / 0.8, 0.0), 10.0)


def lambda_adatime(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """2 / (1 + exp(-10 i / 40)) - 1 of the step i: above 0.99 from step 22 on.

    What AdaTime's published code runs with its 40 epochs: it divides the step by the number of epochs where the run's
    number of steps was meant (`lambda_ganin2016` is the curve that was meant). Its count also starts one epoch late,
    so there the first value is near 1 already; here it starts at 0.

    Example:
      >>> from tladapt.losses.schedules import lambda_adatime
      >>> print(round(float(lambda_adatime(0.01, 22)), 3))
      0.992
    """
    return _sigmoid_ramp(_float(step), 10.0 / 40.0)


def lambda_adapt(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """0.1 throughout: the default of the library adapt-python/adapt, after the first paper's shallow experiments.

    Example:
      >>> from tladapt.losses.schedules import lambda_adapt
      >>> print(lambda_adapt(0.9, 900))
      0.1
    """
    return 0.1 * constant(progress, step)


def lambda_adapt_update(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """r(min(i / 1000, 1)) / r(1) with r(q) = 2 / (1 + exp(-q)) - 1 of the step i: nearly linear, 1 from step 1,000 on.

    The optional callback of adapt-python/adapt with its defaults.

    Example:
      >>> from tladapt.losses.schedules import lambda_adapt_update
      >>> print(round(float(lambda_adapt_update(0.1, 500)), 3), lambda_adapt_update(0.5, 2000))
      0.53 1.0
    """
    done = jnp.minimum(_float(step) / 1000.0, 1.0)
    return _sigmoid_ramp(done, 1.0) / _sigmoid_ramp(jnp.ones_like(done), 1.0)


def learning_rate_ganin2016(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + 10 p)^-0.75: 1 at the start, 0.166 at the end. Also SHOT's curve.

    Source: Ganin et al., JMLR 17 (2016), arXiv 1505.07818, section 5.2.2, with initial learning rate 0.01.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_ganin2016
      >>> print(round(float(learning_rate_ganin2016(1.0, 0)), 3))
      0.166
    """
    return (1.0 + 10.0 * _float(progress)) ** -0.75


def _inverse(step: ArrayLike, gamma: float) -> jax.Array:
    return (1.0 + gamma * _float(step)) ** -0.75


def learning_rate_thuml(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + 0.001 i)^-0.75 of the step i ("inv"): 0.595 after 1,000 steps, however long the run.

    Official code of CDAN; DANN and CDAN in thuml/Transfer-Learning-Library. Not `learning_rate_ganin2016`, except at
    the last step of a run of 10,000.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_thuml
      >>> print(round(float(learning_rate_thuml(0.5, 1000)), 3))
      0.595
    """
    return _inverse(step, 1e-3)


def learning_rate_thuml_dan(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + 0.0003 i)^-0.75 of the step i: DAN and JAN in thuml/Transfer-Learning-Library.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_thuml_dan
      >>> print(round(float(learning_rate_thuml_dan(0.5, 10000)), 3))
      0.354
    """
    return _inverse(step, 3e-4)


def learning_rate_thuml_mdd(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + 0.0002 i)^-0.75 of the step i: MDD in thuml/Transfer-Learning-Library.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_thuml_mdd
      >>> print(round(float(learning_rate_thuml_mdd(0.5, 10000)), 3))
      0.439
    """
    return _inverse(step, 2e-4)


def learning_rate_cosine(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + cos(pi p)) / 2: from 1 to 0 along half a cosine.

    Source: Loshchilov, Hutter, "SGDR", ICLR 2017, arXiv 1608.03983, without restarts.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_cosine
      >>> print(learning_rate_cosine(0.0, 0), round(float(learning_rate_cosine(0.5, 0)), 3))
      1.0 0.5
    """
    return 0.5 * (1.0 + jnp.cos(jnp.pi * _float(progress)))


def learning_rate_warmup_cosine(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """Linear warm-up p / 0.05 over the first twentieth of the run, then (1 + cos(pi (p - 0.05) / 0.95)) / 2.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_warmup_cosine
      >>> print(learning_rate_warmup_cosine(0.0, 0), learning_rate_warmup_cosine(0.05, 0))
      0.0 1.0
    """
    p = _float(progress)
    return jnp.where(p < 0.05, p / 0.05, learning_rate_cosine((p - 0.05) / 0.95, step))


LAMBDA_SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "linear": linear,
    "ganin2016": lambda_ganin2016,
    "thuml": lambda_thuml,
    "cdan": lambda_thuml,
    "mdd": lambda_mdd,
    "deepda": lambda_deepda,
    "pykale": lambda_pykale,
    "adatime": lambda_adatime,
    "adapt": lambda_adapt,
    "adapt-update": lambda_adapt_update,
    "pytorch-adapt": constant,
    "skada": constant,
    "domainbed": constant,
}
"""Weights of an adaptation term, by name."""

LEARNING_RATE_SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "ganin2016": learning_rate_ganin2016,
    "shot": learning_rate_ganin2016,
    "thuml": learning_rate_thuml,
    "thuml-dan": learning_rate_thuml_dan,
    "thuml-mdd": learning_rate_thuml_mdd,
    "cosine": learning_rate_cosine,
    "warmup-cosine": learning_rate_warmup_cosine,
}
"""Factors of the initial learning rate, by name."""
