"""Factors of the initial learning rate over a run, each the curve of a paper or of a public code base."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tladapt.losses.schedules._shapes import Schedule, as_float32, constant


def learning_rate_ganin2016(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + 10 p)^-0.75: 1 at the start, 0.166 at the end. Also the curve of SHOT, OVANet and AaD.

    Source: Ganin et al., JMLR 17 (2016), arXiv 1505.07818, section 5.2.2, with initial learning rate 0.01.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_ganin2016
      >>> print(round(float(learning_rate_ganin2016(1.0, 0)), 3))
      0.166
    """
    return (1.0 + 10.0 * as_float32(progress)) ** -0.75


def _inverse(step: ArrayLike, gamma: float) -> jax.Array:
    return (1.0 + gamma * as_float32(step)) ** -0.75


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
    """(1 + 0.0003 i)^-0.75 of the step i: DAN and JAN in thuml/Transfer-Learning-Library, and DeepDA's default.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_thuml_dan
      >>> print(round(float(learning_rate_thuml_dan(0.5, 10000)), 3))
      0.354
    """
    return _inverse(step, 3e-4)


def learning_rate_thuml_mdd(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + 0.0002 i)^-0.75 of the step i: MDD, in thuml's library and its official code (0.001 every five steps).

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
    return 0.5 * (1.0 + jnp.cos(jnp.pi * as_float32(progress)))


def learning_rate_warmup_cosine(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """Linear warm-up p / 0.05 over the first twentieth of the run, then (1 + cos(pi (p - 0.05) / 0.95)) / 2.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_warmup_cosine
      >>> print(learning_rate_warmup_cosine(0.0, 0), learning_rate_warmup_cosine(0.05, 0))
      0.0 1.0
    """
    p = as_float32(progress)
    return jnp.where(p < 0.05, p / 0.05, learning_rate_cosine((p - 0.05) / 0.95, step))


def learning_rate_thuml_fixmatch(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + 0.0004 i)^-0.75 of the step i: FixMatch for adaptation in thuml/Transfer-Learning-Library.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_thuml_fixmatch
      >>> print(round(float(learning_rate_thuml_fixmatch(0.5, 10000)), 3))
      0.299
    """
    return _inverse(step, 4e-4)


def learning_rate_bsp(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + 0.0001 i)^-0.75 of the step i: the official VisDA recipe of batch spectral penalization.

    Source: Chen, Wang, Long, Wang, "Transferability vs. discriminability: batch spectral penalization for adversarial
      domain adaptation" (BSP), ICML 2019.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_bsp
      >>> print(round(float(learning_rate_bsp(0.5, 10000)), 3))
      0.595
    """
    return _inverse(step, 1e-4)


def learning_rate_uan(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + min(i, 10000) / 1000)^-0.75 of the step i: thuml's curve, which stops falling at 0.166 after 10,000 steps.

    Source: You, Long, Cao, Wang, Jordan, "Universal domain adaptation" (UAN), CVPR 2019, official code.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_uan
      >>> print(round(float(learning_rate_uan(0.5, 30000)), 3))
      0.166
    """
    return _inverse(jnp.minimum(as_float32(step), 10_000.0), 1e-3)


def learning_rate_dsan(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + 10 e / 200)^-0.75 with e = floor(200 p): the curve of Ganin et al. in 200 steps, one an epoch.

    Source: Zhu et al., "Deep subdomain adaptation network for image classification" (DSAN), IEEE TNNLS 2020, the
      authors' code.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_dsan
      >>> print(learning_rate_dsan(0.004, 0), round(float(learning_rate_dsan(0.5, 0)), 3))
      1.0 0.261
    """
    return learning_rate_ganin2016(jnp.floor(200.0 * as_float32(progress)) / 200.0, step)


def learning_rate_cdan_usps_mnist(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """1, and 1/2 from p = 0.5 on: halved before the sixth of 10 epochs.

    The official code of CDAN for USPS to MNIST, where the discriminator's rate stays as it is.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_cdan_usps_mnist
      >>> print(learning_rate_cdan_usps_mnist(0.49, 0), learning_rate_cdan_usps_mnist(0.5, 0))
      1.0 0.5
    """
    return _steps(progress, (0.5,), 0.5)


def learning_rate_cdan_mnist_usps(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """1, 1/2 from p = 0.4 on and 1/4 from 0.9 on: halved before the fifth and the tenth of 10 epochs.

    The official code of CDAN for MNIST to USPS, where the discriminator's rate stays as it is.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_cdan_mnist_usps
      >>> print(learning_rate_cdan_mnist_usps(0.4, 0), learning_rate_cdan_mnist_usps(1.0, 0))
      0.5 0.25
    """
    return _steps(progress, (0.4, 0.9), 0.5)


def learning_rate_thuml_step(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """1, and 0.1 from p = 0.6 on: fine-tuning in thuml/Transfer-Learning-Library, after 12 of 20 epochs.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_thuml_step
      >>> print(learning_rate_thuml_step(0.59, 0), learning_rate_thuml_step(0.6, 0))
      1.0 0.1
    """
    return _steps(progress, (0.6,), 0.1)


def _steps(progress: ArrayLike, places: tuple[float, ...], factor: float) -> jax.Array:
    """Return 1 times `factor` for each place that is passed."""
    p = as_float32(progress)
    value = jnp.ones_like(p)
    for place in places:
        value = jnp.where(p >= place, value * factor, value)
    return value


def learning_rate_adamatch(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """cos(p arccos(0.25)): from 1 to 0.25 along the first part of a cosine.

    Source: Berthelot et al., "AdaMatch", ICLR 2022, arXiv 2106.04732, official code.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_adamatch
      >>> print(round(float(learning_rate_adamatch(1.0, 0)), 3))
      0.25
    """
    return jnp.cos(math.acos(0.25) * as_float32(progress))


def learning_rate_fixmatch(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """cos(7 pi p / 16): from 1 to 0.195 along the first part of a cosine.

    Source: Sohn et al., "FixMatch: simplifying semi-supervised learning with consistency and confidence", NeurIPS 2020,
      arXiv 2001.07685.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_fixmatch
      >>> print(round(float(learning_rate_fixmatch(1.0, 0)), 3))
      0.195
    """
    return jnp.cos(7.0 * jnp.pi / 16.0 * as_float32(progress))


def learning_rate_linear(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """1 - p: from 1 to 0 over the run.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_linear
      >>> print(learning_rate_linear(0.25, 0))
      0.75
    """
    return 1.0 - as_float32(progress)


def learning_rate_poly(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 - p)^0.9: "poly", from 1 to 0, a little above the line.

    Source: Chen, Papandreou, Kokkinos, Murphy, Yuille, "DeepLab", TPAMI 2017, arXiv 1606.00915.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_poly
      >>> print(round(float(learning_rate_poly(0.5, 0)), 3))
      0.536
    """
    return (1.0 - as_float32(progress)) ** 0.9


def learning_rate_step(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """1, 0.1 from p = 1/3 on and 0.01 from 2/3 on: every 30 of 90 epochs, as ResNets are trained on ImageNet.

    Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, arXiv 1512.03385; the
      epochs are those of torchvision's training script.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_step
      >>> print(learning_rate_step(0.3, 0), learning_rate_step(0.4, 0))
      1.0 0.1
    """
    return _steps(progress, (1 / 3, 2 / 3), 0.1)


def learning_rate_one_cycle(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """Half a cosine from 1/25 up to 1 at p = 0.3, and another one down to 1/250,000: one cycle.

    The learning rate that this is a factor of is the largest one. Momentum does not cycle.

    Source: Smith, Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018,
      arXiv 1708.07120; curve and constants are those of PyTorch's OneCycleLR.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_one_cycle
      >>> print(round(float(learning_rate_one_cycle(0.0, 0)), 3), learning_rate_one_cycle(0.3, 0))
      0.04 1.0
    """
    p = as_float32(progress)
    low, last = 1.0 / 25.0, 1.0 / 25.0 / 1e4
    up = low + (1.0 - low) * (1.0 - learning_rate_cosine(jnp.minimum(p / 0.3, 1.0), step))
    down = last + (1.0 - last) * learning_rate_cosine((p - 0.3) / 0.7, step)
    return jnp.where(p < 0.3, up, down)


def learning_rate_slanted_triangular(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """(1 + 31 t) / 32, t from 0 to 1 over the first tenth of the run and back to 0 over the rest.

    Source: Howard, Ruder, "Universal language model fine-tuning for text classification" (ULMFiT), ACL 2018,
      arXiv 1801.06146, section 3.2, with cut 0.1 and ratio 32.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_slanted_triangular
      >>> print(learning_rate_slanted_triangular(0.0, 0), learning_rate_slanted_triangular(0.1, 0))
      0.03125 1.0
    """
    p = as_float32(progress)
    return (1.0 + 31.0 * jnp.where(p < 0.1, p / 0.1, (1.0 - p) / 0.9)) / 32.0


def learning_rate_warmup(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """min(p / 0.05, 1): linear warm-up over the first twentieth of the run, then constant.

    Example:
      >>> from tladapt.losses.schedules import learning_rate_warmup
      >>> print(learning_rate_warmup(0.0, 0), learning_rate_warmup(0.5, 0))
      0.0 1.0
    """
    return jnp.minimum(as_float32(progress) / 0.05, 1.0)


LEARNING_RATE_SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "ganin2016": learning_rate_ganin2016,
    "shot": learning_rate_ganin2016,
    "ovanet": learning_rate_ganin2016,
    "aad": learning_rate_ganin2016,
    "dsan": learning_rate_dsan,
    "thuml": learning_rate_thuml,
    "tllib": learning_rate_thuml,
    "cdan": learning_rate_thuml,
    "thuml-dan": learning_rate_thuml_dan,
    "deepda": learning_rate_thuml_dan,
    "thuml-mdd": learning_rate_thuml_mdd,
    "mdd": learning_rate_thuml_mdd,
    "thuml-fixmatch": learning_rate_thuml_fixmatch,
    "bsp": learning_rate_bsp,
    "uan": learning_rate_uan,
    "cdan-usps-mnist": learning_rate_cdan_usps_mnist,
    "cdan-mnist-usps": learning_rate_cdan_mnist_usps,
    "thuml-step": learning_rate_thuml_step,
    "step": learning_rate_step,
    "linear": learning_rate_linear,
    "poly": learning_rate_poly,
    "one-cycle": learning_rate_one_cycle,
    "slanted-triangular": learning_rate_slanted_triangular,
    "cosine": learning_rate_cosine,
    "adamatch": learning_rate_adamatch,
    "fixmatch": learning_rate_fixmatch,
    "warmup": learning_rate_warmup,
    "warmup-cosine": learning_rate_warmup_cosine,
}
"""Factors of the initial learning rate, by name."""
