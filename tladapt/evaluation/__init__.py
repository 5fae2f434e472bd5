"""Scores of a model: metrics on labels, validators that need none, and statistics over seeds."""

from tladapt.evaluation.metrics import (
    accuracy,
    accuracy_interval,
    classification_metrics,
    confusion_matrix,
    entropy,
    expected_calibration_error,
    macro_f1,
    mean_class_accuracy,
    per_class_accuracy,
    predict,
    softmax,
)
from tladapt.evaluation.statistics import Interval, PairedTest, holm, mean_and_interval, paired_test, spread
from tladapt.evaluation.transferability import TRANSFERABILITY, Ranking, rank_models
from tladapt.evaluation.validators import (
    VALIDATORS,
    Choice,
    ValidationOutputs,
    Validator,
    choose,
    collapse,
    effective_rank,
    oracle,
)

__all__ = [
    "TRANSFERABILITY",
    "VALIDATORS",
    "Choice",
    "Interval",
    "PairedTest",
    "Ranking",
    "ValidationOutputs",
    "Validator",
    "accuracy",
    "accuracy_interval",
    "choose",
    "classification_metrics",
    "collapse",
    "confusion_matrix",
    "effective_rank",
    "entropy",
    "expected_calibration_error",
    "holm",
    "macro_f1",
    "mean_and_interval",
    "mean_class_accuracy",
    "oracle",
    "paired_test",
    "per_class_accuracy",
    "predict",
    "rank_models",
    "softmax",
    "spread",
]
