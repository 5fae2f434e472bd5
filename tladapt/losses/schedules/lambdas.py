"""Weights of an adaptation term over a run, each the curve of a paper or of a public code base."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tladapt.losses.schedules._shapes import Schedule, as_float32, constant, linear, sigmoid_ramp


def lambda_ganin2016(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """2 / (1 + exp(-10 p)) - 1: 0 at the start, 0.462 at p = 0.1, 0.987 at 0.5, 0.99991 at the end.

    Source: Ganin et al., "Domain-adversarial training of neural networks", JMLR 17 (2016), arXiv 1505.07818,
      section 5.2.2.

    Example:
      >>> from tladapt.losses.schedules import lambda_ganin2016
      >>> print(round(float(lambda_ganin2016(0.1, 0)), 3))
      0.462
    """
    return sigmoid_ramp(as_float32(progress), 10.0)


def lambda_thuml(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """2 / (1 + exp(-i / 1000)) - 1 of the step i, whatever the length of the run: 0.462 after 1,000 steps.

    The warm-start layer of thuml/Transfer-Learning-Library (alpha 1, 1,000 steps) and, the same curve, the official
    code of CDAN (alpha 10, 10,000 steps); neither stops at its number of steps.

    Example:
      >>> from tladapt.losses.schedules import lambda_thuml
      >>> print(round(float(lambda_thuml(0.5, 1000)), 3))
      0.462
    """
    return sigmoid_ramp(as_float32(step), 1e-3)


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
    return sigmoid_ramp(jnp.minimum(as_float32(progress), 1.0), 1.0)


def lambda_pykale(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """0 for the first fifth, then 2 / (1 + exp(-10 p')) - 1 with p' = (p - 0.2) / 0.8.

    The default of pykale and pytorch-ada: 10 epochs without adaptation out of 50. There the factor multiplies the
    loss behind a reversal of coefficient 1, so the discriminator is slowed down as well.

    Example:
      >>> from tladapt.losses.schedules import lambda_pykale
      >>> print(lambda_pykale(0.2, 0), round(float(lambda_pykale(0.28, 0)), 3))
      0.0 0.462
    """
    return sigmoid_ramp(jnp.maximum((as_float32(progress) - 0.2) / 0.8, 0.0), 10.0)


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
    return sigmoid_ramp(as_float32(step), 10.0 / 40.0)


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
    done = jnp.minimum(as_float32(step) / 1000.0, 1.0)
    return sigmoid_ramp(done, 1.0) / sigmoid_ramp(jnp.ones_like(done), 1.0)


def lambda_cdan_digits(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """0 for the first tenth of the run, then 2 / (1 + exp(-i / 1000)) - 1 of the step i, counted from the run's start.

    The official code of CDAN for USPS and MNIST: no adversary in the first of 10 epochs of 937 steps.

    Example:
      >>> from tladapt.losses.schedules import lambda_cdan_digits
      >>> print(lambda_cdan_digits(0.09, 843), round(float(lambda_cdan_digits(0.1, 937)), 3))
      0.0 0.437
    """
    return jnp.where(as_float32(progress) < 0.1, 0.0, lambda_thuml(progress, step))


def lambda_dsan(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """1 / (1 + exp(-10 p)) - 1/2: half the published curve of DANN, so it never passes 0.5.

    The weight of the authors' code, which moves once an epoch (of 200); here it moves with each step.

    Source: Zhu et al., "Deep subdomain adaptation network for image classification" (DSAN), IEEE TNNLS 2020.

    Example:
      >>> from tladapt.losses.schedules import lambda_dsan
      >>> print(round(float(lambda_dsan(0.1, 0)), 3))
      0.231
    """
    return 0.5 * lambda_ganin2016(progress, step)


def lambda_adamatch(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """1/2 - cos(pi min(2 p, 1)) / 2: half a cosine from 0 to 1 over the first half of the run, then 1.

    Source: Berthelot, Roelofs, Sohn, Carlini, Kurakin, "AdaMatch: a unified approach to semi-supervised learning and
      domain adaptation", ICLR 2022, arXiv 2106.04732.

    Example:
      >>> from tladapt.losses.schedules import lambda_adamatch
      >>> print(round(float(lambda_adamatch(0.25, 0)), 3), lambda_adamatch(0.7, 0))
      0.5 1.0
    """
    return 0.5 - 0.5 * jnp.cos(jnp.pi * jnp.minimum(2.0 * as_float32(progress), 1.0))


def lambda_rampup(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """exp(-5 (1 - q)^2) with q = min(p / (80 / 300), 1): 0.007 at the start, 1 after 80 of 300 epochs.

    The sigmoid-shaped ramp-up of temporal ensembling, which mean teachers took over; self-ensembling for adaptation
    has it as the alternative to its confidence threshold.

    Source: Laine, Aila, "Temporal ensembling for semi-supervised learning", ICLR 2017, arXiv 1610.02242; French,
      Mackiewicz, Fisher, "Self-ensembling for visual domain adaptation", ICLR 2018, arXiv 1706.05208.

    Example:
      >>> from tladapt.losses.schedules import lambda_rampup
      >>> print(round(float(lambda_rampup(40 / 300, 0)), 3), lambda_rampup(0.5, 0))
      0.287 1.0
    """
    done = jnp.minimum(as_float32(progress) * (300.0 / 80.0), 1.0)
    return jnp.exp(-5.0 * (1.0 - done) ** 2)


def lambda_aad(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + 10 p)^-5: falls from 1 to 0.016 at p = 0.13, and on: the one weight here that decays.

    The weight of the dispersion in "attracting and dispersing", with the exponent of its VisDA recipe.

    Source: Yang et al., "Attracting and dispersing: a simple approach for source-free domain adaptation" (AaD),
      NeurIPS 2022, arXiv 2205.04183.

    Example:
      >>> from tladapt.losses.schedules import lambda_aad
      >>> print(lambda_aad(0.1, 0))
      0.03125
    """
    return (1.0 + 10.0 * as_float32(progress)) ** -5.0


LAMBDA_SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "linear": linear,
    "ganin2016": lambda_ganin2016,
    "thuml": lambda_thuml,
    "tllib": lambda_thuml,
    "cdan": lambda_thuml,
    "cdan-digits": lambda_cdan_digits,
    "mdd": lambda_mdd,
    "deepda": lambda_deepda,
    "dsan": lambda_dsan,
    "pykale": lambda_pykale,
    "adatime": lambda_adatime,
    "adapt": lambda_adapt,
    "adapt-update": lambda_adapt_update,
    "pytorch-adapt": constant,
    "skada": constant,
    "domainbed": constant,
    "adamatch": lambda_adamatch,
    "rampup": lambda_rampup,
    "aad": lambda_aad,
}
"""Weights of an adaptation term, by name."""
