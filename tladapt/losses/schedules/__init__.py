"""Schedules by name, each the curve of a paper or of a public code base.

A schedule is a pure function `schedule(progress, step) -> factor`: `progress` in [0, 1] is the share of the run that
is done, `step` the number of steps that are done; both may be traced, and the factor is float32. Curves of progress
stretch with the run, curves of the step do not: the same name in two code bases can mean either, and "the" schedule of
DANN has been a dozen of those below. Multiply the factor by the weight (lambda) or by the initial learning rate.
`tladapt schedules` draws them side by side.
"""

from tladapt.losses.schedules._shapes import Schedule, constant, linear
from tladapt.losses.schedules.lambdas import (
    LAMBDA_SCHEDULES,
    lambda_aad,
    lambda_adamatch,
    lambda_adapt,
    lambda_adapt_update,
    lambda_adatime,
    lambda_cdan_digits,
    lambda_deepda,
    lambda_dsan,
    lambda_ganin2016,
    lambda_mdd,
    lambda_pykale,
    lambda_rampup,
    lambda_thuml,
)
from tladapt.losses.schedules.learning_rates import (
    LEARNING_RATE_SCHEDULES,
    learning_rate_adamatch,
    learning_rate_bsp,
    learning_rate_cdan_mnist_usps,
    learning_rate_cdan_usps_mnist,
    learning_rate_cosine,
    learning_rate_dsan,
    learning_rate_fixmatch,
    learning_rate_ganin2016,
    learning_rate_linear,
    learning_rate_thuml,
    learning_rate_thuml_dan,
    learning_rate_thuml_fixmatch,
    learning_rate_thuml_mdd,
    learning_rate_thuml_step,
    learning_rate_uan,
    learning_rate_warmup,
    learning_rate_warmup_cosine,
)

__all__ = [
    "LAMBDA_SCHEDULES",
    "LEARNING_RATE_SCHEDULES",
    "Schedule",
    "constant",
    "lambda_aad",
    "lambda_adamatch",
    "lambda_adapt",
    "lambda_adapt_update",
    "lambda_adatime",
    "lambda_cdan_digits",
    "lambda_deepda",
    "lambda_dsan",
    "lambda_ganin2016",
    "lambda_mdd",
    "lambda_pykale",
    "lambda_rampup",
    "lambda_thuml",
    "learning_rate_adamatch",
    "learning_rate_bsp",
    "learning_rate_cdan_mnist_usps",
    "learning_rate_cdan_usps_mnist",
    "learning_rate_cosine",
    "learning_rate_dsan",
    "learning_rate_fixmatch",
    "learning_rate_ganin2016",
    "learning_rate_linear",
    "learning_rate_thuml",
    "learning_rate_thuml_dan",
    "learning_rate_thuml_fixmatch",
    "learning_rate_thuml_mdd",
    "learning_rate_thuml_step",
    "learning_rate_uan",
    "learning_rate_warmup",
    "learning_rate_warmup_cosine",
    "linear",
]
